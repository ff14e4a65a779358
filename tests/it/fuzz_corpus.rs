//! The corpus of every fuzz target, without a fuzzer.

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::fs;
use std::path::Path;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut found = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        body(&fs::read(&path).unwrap());
        found += 1;
    }
    assert!(found > 0, "{} is empty", folder.display());
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
