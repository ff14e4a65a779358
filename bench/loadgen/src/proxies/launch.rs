//! How a proxy is started, told by the file of each and carried out for all alike.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{io, thread};

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::stage::{Pattern, Stage};
use crate::door::Door;
use crate::namespace;

/// What the configuration of a proxy is made from.
pub struct Site<'a> {
    pub stage: &'a Stage,
    /// Its directory, which goes when it ends.
    pub dir: &'a Path,
    /// Where it is to listen. Another process could take the port in between; the start then fails and says so.
    pub addr: SocketAddr,
    /// A second address, for proxies that speak HTTP elsewhere than TLS.
    pub http_addr: SocketAddr,
}

pub struct Launch {
    pub command: Command,
    pub ready: Ready,
    /// `host:port` for CONNECT and SOCKS5.
    pub tunnel: String,
    /// `host:port` for forwarded requests.
    pub http: String,
    pub reload: Option<Reload>,
}

/// How one learns that a proxy listens, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// It writes `port` in its directory, a line for each listener; the last is the one that was asked for.
    PortFile,
    /// It accepts connections there.
    At(SocketAddr),
}

/// How a running proxy is made to load its allowlist again.
#[derive(Debug)]
pub struct Reload {
    pub signal: Signal,
    /// The file that is changed before.
    pub list: PathBuf,
    /// What is added to it, and the next time taken away.
    pub line: String,
}

impl Site<'_> {
    pub fn new<'a>(stage: &'a Stage, dir: &'a Path) -> Result<Site<'a>> {
        Ok(Site { stage, dir, addr: free_address()?, http_addr: free_address()? })
    }

    /// A configuration from `bench/peers`, the placeholders filled in.
    pub fn configure(&self, file: &str, template: &str, extra: &[(&str, String)]) -> Result<PathBuf> {
        let origins = self.stage.origins;
        let usual = [
            ("{port}", self.addr.port().to_string()),
            ("{http_port}", self.http_addr.port().to_string()),
            ("{tls_origin}", origins.tls.to_string()),
            ("{http_origin}", origins.http.to_string()),
            ("{tls_origin_port}", origins.tls.port().to_string()),
            ("{http_origin_port}", origins.http.port().to_string()),
            ("{dns_origin_port}", origins.dns.port().to_string()),
            ("{dir}", self.dir.display().to_string()),
            ("{workers}", cores().to_string()),
        ];
        let fill = |text: String, (name, value): &(&str, String)| text.replace(name, value);
        self.write(file, &extra.iter().chain(&usual).fold(template.to_owned(), fill))
    }

    pub fn write(&self, file: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.join(file);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// A file with a line for each allowed name, in the words of a proxy.
    pub fn write_list(&self, file: &str, line: impl Fn(&Pattern) -> String) -> Result<PathBuf> {
        self.write_lines(file, self.stage.policy.patterns(), line)
    }

    /// The same of a proxy that has no hosts file of its own: where there is none for all, it is asked by address.
    pub fn write_list_with_host(&self, file: &str, line: impl Fn(&Pattern) -> String) -> Result<PathBuf> {
        let address = (!namespace::is_inside()).then(|| Pattern::Name(self.host().into()));
        self.write_lines(file, address.into_iter().chain(self.stage.policy.patterns()), line)
    }

    /// Written as it goes: it may be long.
    fn write_lines(
        &self,
        file: &str,
        patterns: impl Iterator<Item = Pattern>,
        line: impl Fn(&Pattern) -> String,
    ) -> Result<PathBuf> {
        let path = self.dir.join(file);
        let mut out = io::BufWriter::new(File::create(&path)?);
        for pattern in patterns {
            writeln!(out, "{}", line(&pattern))?;
        }
        out.flush()?;
        Ok(path)
    }

    /// Where it listens for the work of this stage, if it speaks HTTP elsewhere than TLS.
    pub fn heard_at(&self) -> SocketAddr {
        if self.stage.door == Door::Explicit { self.http_addr } else { self.addr }
    }

    /// The name where everybody can look it up, else the origin's address, for proxies without a hosts file of their
    /// own.
    pub fn host(&self) -> &'static str {
        if namespace::is_inside() { "ok.test" } else { "127.0.0.1" }
    }

    /// For proxies that dial the port that they are asked for.
    pub fn at_origins(&self, command: Command, host: &str) -> Launch {
        let origins = self.stage.origins;
        Launch {
            command,
            ready: Ready::At(self.addr),
            tunnel: format!("{host}:{}", origins.tls.port()),
            http: format!("{host}:{}", origins.http.port()),
            reload: None,
        }
    }

    /// For proxies that know where the origins are, whatever they are asked for.
    pub fn by_name(&self, command: Command, ready: Ready) -> Launch {
        Launch { command, ready, tunnel: "ok.test:443".into(), http: "ok.test:80".into(), reload: None }
    }
}

impl Launch {
    /// `line` is of `list`, for a name that nobody asks for.
    pub fn reloads(self, signal: Signal, list: PathBuf, line: &str) -> Launch {
        Launch { reload: Some(Reload { signal, list, line: format!("{line}\n") }), ..self }
    }
}

impl Reload {
    /// Adds the line, or takes it away where it is there.
    pub fn change(&self) -> Result<()> {
        let text = fs::read(&self.list).with_context(|| format!("reading {}", self.list.display()))?;
        let mut file = OpenOptions::new().append(true).open(&self.list)?;
        if text.ends_with(self.line.as_bytes()) {
            file.set_len((text.len() - self.line.len()) as u64)?;
        } else {
            file.write_all(self.line.as_bytes())?;
        }
        Ok(())
    }
}

pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_taken_back_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("names");
        fs::write(&list, "ok.test\n").unwrap();
        let reload = Reload { signal: Signal::HUP, list: list.clone(), line: "churn.test\n".into() };
        reload.change().unwrap();
        assert_eq!(fs::read_to_string(&list).unwrap(), "ok.test\nchurn.test\n");
        reload.change().unwrap();
        assert_eq!(fs::read_to_string(&list).unwrap(), "ok.test\n");
    }
}
