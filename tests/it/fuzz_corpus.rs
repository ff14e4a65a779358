//! The corpus of every fuzz target, without a fuzzer. Targets of what only the library itself may call are replayed
//! beside what they call.

#[path = "../fuzz/bodies.rs"]
pub mod bodies;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn replay(target: &str, body: fn(&[u8])) {
    let folder = here("tests/fuzz/corpus").join(target);
    let mut found = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        body(&fs::read(&path).unwrap());
        found += 1;
    }
    assert!(found > 0, "{} is empty", folder.display());
}

/// What stands between these two, wherever it does.
fn between<'t>(text: &'t str, before: &str, after: &str) -> BTreeSet<&'t str> {
    text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0)).collect()
}

#[test]
fn every_target_has_a_body_and_a_corpus_that_is_replayed() {
    let manifest = fs::read_to_string(here("tests/fuzz/Cargo.toml")).unwrap();
    let targets = between(&manifest, "path = \"fuzz_targets/", ".rs\"");
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(here(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let targets: BTreeSet<String> = targets.into_iter().map(str::to_owned).collect();
    assert!(targets.len() > 20, "{targets:?}");
    assert_eq!(names("tests/fuzz/fuzz_targets"), targets);
    assert_eq!(names("tests/fuzz/corpus"), targets);
    let replays = [
        include_str!("fuzz_corpus.rs"),
        include_str!("../../src/control/arm/path.rs"),
        include_str!("../../src/net/dns/upstream.rs"),
        include_str!("../../src/net/echo.rs"),
        include_str!("../../src/proxy/rehearsal/tests.rs"),
    ];
    let call = concat!("replay", "(\"");
    let replayed: BTreeSet<String> =
        replays.iter().flat_map(|text| between(text, call, "\",")).map(str::to_owned).collect();
    assert_eq!(replayed, targets, "a target that nobody replays, or a replay of none");
    let manual = fs::read_to_string(here("tests/fuzz/README.md")).unwrap();
    let told: BTreeSet<String> = between(&manual, "\n| `", "` |").into_iter().map(str::to_owned).collect();
    assert_eq!(told, targets, "tests/fuzz/README.md tells of other targets");
}

#[test]
fn client_hello() {
    replay("client_hello", bodies::client_hello);
}

#[test]
fn http_head() {
    replay("http_head", bodies::http_head);
}

#[test]
fn http_body() {
    replay("http_body", bodies::http_body);
}

#[test]
fn host_name() {
    replay("host_name", bodies::host_name);
}

#[test]
fn socks5() {
    replay("socks5", bodies::socks5);
}

#[test]
fn dns_query() {
    replay("dns_query", bodies::dns_query);
}

#[test]
fn greeting() {
    replay("greeting", bodies::greeting);
}

#[test]
fn tds() {
    replay("tds", bodies::tds);
}

#[test]
fn service_tags() {
    replay("service_tags", bodies::service_tags);
}

#[test]
fn threat_sign() {
    replay("threat_sign", bodies::threat_sign);
}

#[test]
fn template() {
    replay("template", bodies::template);
}

#[test]
fn shape() {
    replay("shape", bodies::shape);
}

#[test]
fn terraform() {
    replay("terraform", bodies::terraform);
}

#[test]
fn topology() {
    replay("topology", bodies::topology);
}

#[test]
fn config() {
    replay("config", bodies::config);
}

#[test]
fn effective_routes() {
    replay("effective_routes", bodies::effective_routes);
}

#[test]
fn files() {
    replay("files", bodies::files);
}

#[test]
fn http_hyper() {
    replay("http_hyper", bodies::http_hyper);
}

#[test]
fn network_watcher() {
    replay("network_watcher", bodies::network_watcher);
}

#[test]
fn words() {
    replay("words", bodies::words);
}
