//! What has to hold of the repository, whatever the program does.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn nothing_is_left_for_later() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    let mut wrong = Vec::new();
    for path in files(&["rs", "toml", "md", "sh", "yml", "txt"]) {
        for (line, number) in fs::read_to_string(&path).unwrap().lines().zip(1..) {
            let mut words = line.split(|c: char| !c.is_alphanumeric());
            if words.any(|word| marks.contains(&word)) {
                wrong.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "marks of unfinished work:\n{}", wrong.join("\n"));
}

#[test]
fn links_of_the_manual_lead_somewhere() {
    let mut wrong = Vec::new();
    for path in files(&["md"]) {
        let text = fs::read_to_string(&path).unwrap();
        let local = links(&text).filter(|link| !link.contains("://") && !link.starts_with(['#', '<']));
        for link in local {
            let target = link.split('#').next().unwrap_or(link);
            if !path.parent().unwrap().join(target).exists() {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn every_ban_has_its_reason() {
    let clippy: toml::Table = read("clippy.toml").parse().unwrap();
    let bans = clippy["disallowed-methods"].as_array().unwrap();
    assert!(bans.len() > 5);
    for ban in bans {
        let reason = ban.get("reason").and_then(toml::Value::as_str);
        assert!(reason.is_some_and(|reason| reason.len() > 10), "{ban}");
    }
}

#[test]
fn ci_runs_everything_and_skips_nothing() {
    let ci = read(".ci/run");
    assert!(ci.contains("export EGRET_NO_SKIP=1") && ci.trim_end().ends_with("exec scripts/test"), "{ci}");
    let script = read("scripts/test");
    for command in ["cargo fmt --all --check", "cargo clippy --workspace --all-targets", "cargo test --workspace"] {
        assert!(script.contains(command), "scripts/test runs no `{command}`");
    }
}

#[cfg(unix)]
#[test]
fn scripts_are_executable() {
    use std::os::unix::fs::PermissionsExt;
    for script in [".ci/run", "scripts/test"] {
        let mode = fs::metadata(root().join(script)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script}");
    }
}

/// The image is built by a Rust that is named by its version, and new enough.
#[test]
fn the_image_is_pinned() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let wanted = version(manifest["package"]["rust-version"].as_str().unwrap());
    let dockerfile = read("Dockerfile");
    let bases: Vec<&str> = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")).collect();
    let [builder, "scratch"] = bases.as_slice() else { panic!("{bases:?}") };
    let (_, tag) = builder.split_once("rust:").unwrap();
    assert!(version(tag.split('-').next().unwrap()) >= wanted, "{builder}");
    assert!(tag.split_once("-alpine").is_some_and(|(_, alpine)| alpine.starts_with("3.")), "{builder}");
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|number| number.parse().unwrap()).collect()
}

fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The repository's own files of these kinds: not what builds leave, nor hidden folders.
fn files(extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(root(), extensions, &mut found);
    assert!(found.len() > 1, "no files below {}", root().display());
    found
}

fn collect(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && !matches!(&*name, "target" | "corpus" | "artifacts" | "results") {
                collect(&path, extensions, found);
            }
        } else if path.extension().is_some_and(|ext| extensions.iter().any(|wanted| ext == *wanted)) {
            found.push(path);
        }
    }
}
