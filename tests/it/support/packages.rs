//! What git and package managers fetch, for an origin to serve: files by path.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

pub type Files = HashMap<String, Vec<u8>>;

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{shown}", output.status);
}

/// Every file below a folder, by its path behind `prefix`.
fn files_below(folder: &Path, prefix: &str) -> Files {
    let mut found = HashMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}/{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            found.extend(files_below(&path, &name));
        } else {
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

/// A git repository with a `README` that says `cloned`, below `/repo.git`.
pub fn repository() -> Files {
    let source = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        let identity = ["-c", "user.name=lab", "-c", "user.email=lab@ok.test", "-c", "init.defaultBranch=main"];
        command.current_dir(source.path()).args(identity).args(args);
        succeeds(&mut command);
    };
    git(&["init", "-q", "work"]);
    fs::write(source.path().join("work/README"), "cloned").unwrap();
    git(&["-C", "work", "add", "README"]);
    git(&["-C", "work", "commit", "-q", "-m", "one"]);
    git(&["clone", "-q", "--bare", "work", "bare"]);
    git(&["-C", "bare", "update-server-info"]);
    files_below(&source.path().join("bare"), "/repo.git")
}

/// A wheel is a zip archive with three files of metadata.
const MAKE_WHEEL: &str = "
import sys, zipfile
info = 'lab-1.0.dist-info/'
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('lab.py', '')
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: lab\\nVersion: 1.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', '')
";

pub const WHEEL: &str = "lab-1.0-py3-none-any.whl";

/// A package index with `lab`, at `/simple/`.
pub fn wheel() -> Files {
    let made = tempfile::tempdir().unwrap();
    let wheel = made.path().join(WHEEL);
    succeeds(Command::new("python3").args(["-c", MAKE_WHEEL]).arg(&wheel));
    let page = format!("<a href=\"/files/{WHEEL}\">{WHEEL}</a>");
    HashMap::from([
        ("/simple/lab/".to_owned(), page.into_bytes()),
        (format!("/files/{WHEEL}"), fs::read(&wheel).unwrap()),
    ])
}

/// A crate with nothing in it, packed as registries have them.
fn packed_crate() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("lab-1.0.0");
    fs::create_dir_all(root.join("src")).unwrap();
    fs::write(root.join("Cargo.toml"), "[package]\nname = \"lab\"\nversion = \"1.0.0\"\nedition = \"2021\"\n").unwrap();
    fs::write(root.join("src/lib.rs"), "").unwrap();
    packed(folder.path(), "lab-1.0.0")
}

fn packed(folder: &Path, inside: &str) -> Vec<u8> {
    succeeds(Command::new("tar").current_dir(folder).args(["-czf", "packed", inside]));
    fs::read(folder.join("packed")).unwrap()
}

/// A sparse index with the crate `lab`, at `/index/` of this host.
pub fn cargo_registry(host: &str) -> Files {
    let packed = packed_crate();
    let sum: String = Sha256::digest(&packed).iter().map(|byte| format!("{byte:02x}")).collect();
    let index = format!(
        "{{\"name\":\"lab\",\"vers\":\"1.0.0\",\"deps\":[],\"cksum\":\"{sum}\",\"features\":{{}},\"yanked\":false}}\n"
    );
    let config = format!("{{\"dl\":\"https://{host}/crates/{{crate}}\"}}").into_bytes();
    HashMap::from([
        ("/index/config.json".to_owned(), config),
        ("/index/3/l/lab".to_owned(), index.into_bytes()),
        ("/crates/lab".to_owned(), packed),
    ])
}

/// A project that depends on the crate of this host's registry, in a folder of its own.
pub fn cargo_project(folder: &Path, host: &str) -> PathBuf {
    let project = folder.join(format!("project-{host}"));
    fs::create_dir_all(project.join("src")).unwrap();
    fs::create_dir_all(project.join(".cargo")).unwrap();
    fs::write(project.join("src/lib.rs"), "").unwrap();
    let manifest = "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n\
                    [dependencies]\nlab = { version = \"1\", registry = \"lab\" }\n";
    fs::write(project.join("Cargo.toml"), manifest).unwrap();
    let registry = format!("[registries.lab]\nindex = \"sparse+https://{host}/index/\"\n[net]\nretry = 0\n");
    fs::write(project.join(".cargo/config.toml"), registry).unwrap();
    project
}

/// A registry with the package `lab`, at the root of this host.
pub fn npm_registry(host: &str) -> Files {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "{\"name\":\"lab\",\"version\":\"1.0.0\"}";
    fs::create_dir(folder.path().join("package")).unwrap();
    fs::write(folder.path().join("package/package.json"), manifest).unwrap();
    let about = format!(
        "{{\"name\":\"lab\",\"dist-tags\":{{\"latest\":\"1.0.0\"}},\"versions\":{{\"1.0.0\":{{\"name\":\"lab\",\
         \"version\":\"1.0.0\",\"dist\":{{\"tarball\":\"https://{host}/lab.tgz\"}}}}}}}}"
    );
    HashMap::from([("/lab".to_owned(), about.into_bytes()), ("/lab.tgz".to_owned(), packed(folder.path(), "package"))])
}
