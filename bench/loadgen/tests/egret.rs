//! Every subcommand that takes an egret binary tells what it is given instead.

use std::path::Path;
use std::process::Command;

const SUBCOMMANDS: [&[&str]; 5] = [
    &["compare", "--quick", "--doors", "explicit"],
    &["load", "--workload", "tunnel"],
    &["instructions", "--only", "tunnel"],
    &["overload"],
    &["attack"],
];

fn check(egret: &Path, words: &str) {
    for subcommand in SUBCOMMANDS {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret-bench"));
        let ended = command.args(subcommand).arg("--egret").arg(egret).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        let code = if subcommand == ["attack"] { 2 } else { 1 };
        assert_eq!(ended.status.code(), Some(code), "{subcommand:?}: {said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{subcommand:?}: {said}");
    }
}

#[test]
fn a_binary_that_is_missing_or_something_else_is_told_alike() {
    let folder = tempfile::tempdir().unwrap();
    let mend = "build it with `cargo build --release`, or say where it is with --egret PATH";
    for path in [folder.path().join("egret"), folder.path().to_owned()] {
        check(&path, &format!("there is no file {}: {mend}", path.display()));
    }
    check(Path::new("/bin/true"), "/bin/true is no egret: its --version says \"");
}
