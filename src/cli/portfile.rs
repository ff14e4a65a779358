//! A file that says where Egret listens, for whoever started it on port 0.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;

/// The file, there for as long as this is.
#[derive(Debug)]
pub(super) struct PortFile {
    path: PathBuf,
}

impl PortFile {
    /// One address a line. It appears whole: whoever sees it can read it.
    pub(super) fn write(path: PathBuf, addrs: &[SocketAddr]) -> anyhow::Result<PortFile> {
        let text: String = addrs.iter().map(|addr| format!("{addr}\n")).collect();
        let mut beside = path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(beside);
        let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path));
        if written.is_err() {
            // Perhaps it was never there.
            let _ = fs::remove_file(&beside);
        }
        written.with_context(|| format!("cannot write the port file `{}`", path.display()))?;
        Ok(PortFile { path })
    }
}

impl Drop for PortFile {
    fn drop(&mut self) {
        // Somebody may have tidied up already.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_for_as_long_as_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("port");
        let file = PortFile::write(path.clone(), &["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "127.0.0.1:1\n[::1]:2\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(file);
        assert!(!path.exists());
        let missing = PortFile::write(folder.path().join("none/port"), &[]).unwrap_err();
        assert!(format!("{missing:#}").starts_with("cannot write the port file `"), "{missing:#}");
    }
}
