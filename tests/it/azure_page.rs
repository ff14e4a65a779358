//! What docs/azure.md shows is what happens, in the folder `tests/fixtures/azure/portal`.

use std::fs;
use std::path::Path;

use super::clients::is_here;
use super::readme::{fences, page};
use super::support::command::{BINARY, finish};
use super::support::https::Https;
use super::support::packages::Files;
use super::support::run::undisturbed;

/// A copy of the folder, and origins for the two names that its tests get through to.
struct Lab {
    folder: tempfile::TempDir,
    origin: Https,
}

impl Lab {
    fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        for file in fs::read_dir("tests/fixtures/azure/portal").unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        let files = [("/health", "healthy\n"), ("/simple/requests/", "requests-2.32.tar.gz\n")];
        let files: Files = files.map(|(path, body)| (path.to_owned(), body.as_bytes().to_vec())).into();
        let origin = Https::start(&["api.contoso.com", "pypi.org"], files, folder.path());
        Lab { folder, origin }
    }

    /// What a command says, on either stream.
    fn answer(&self, line: &str) -> String {
        let at = self.origin.addr;
        let path = format!("{}:{}", Path::new(BINARY).parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut shell = undisturbed("sh");
        shell.current_dir(self.folder.path()).env("PATH", path).env("CURL_CA_BUNDLE", &self.origin.ca);
        shell.env("EGRET_CONNECT_TO", format!("api.contoso.com:443:{at};pypi.org:443:{at}"));
        finish(shell.args(["-c", &format!("exec 2>&1; {line}")]), "").out
    }
}

#[test]
fn every_console_block_is_what_happens() {
    if !is_here("make", &["--version"]) || !is_here("curl", &["--version"]) {
        return;
    }
    let lab = Lab::new();
    let blocks = fences(&page("docs/azure.md"), "console");
    let mut commands = 0;
    for session in blocks.iter().flat_map(|block| block.strip_prefix("$ ").unwrap().split("\n$ ")) {
        let (line, shown) = session.split_once('\n').unwrap_or((session, ""));
        if line.starts_with("az ") {
            assert_eq!(shown.trim(), "", "{line}");
            continue;
        }
        assert_eq!(lab.answer(line).trim(), shown.trim(), "{line}");
        commands += 1;
    }
    assert!(commands > 3, "{commands}");
}
