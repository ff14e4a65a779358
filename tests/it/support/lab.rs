//! The policy of the adversarial cases, with one origin that every destination is led to: what Egret lets
//! through by mistake arrives there.

use std::net::SocketAddr;

use super::egret::Egret;
use super::origin::Origin;
use super::raw::{Client, End};

pub const PROFILES: [&str; 2] = ["azure", "strict"];

const POLICY: &[&str] =
    &["--allow=https://ok.test", "--allow=http://ok.test", "--allow=https://*.wild.test", "--allow=http://*.wild.test"];

pub struct Lab {
    pub egret: Egret,
    pub origin: Origin,
    pub profile: &'static str,
}

impl Lab {
    pub fn new(profile: &'static str, origin: Origin) -> Lab {
        Lab::with_config(profile, origin, "")
    }

    pub fn with_config(profile: &'static str, origin: Origin, config: &str) -> Lab {
        let mut flags: Vec<String> = POLICY.iter().map(ToString::to_string).collect();
        flags.extend([format!("--profile={profile}"), format!("--connect-to=::{}", origin.addr)]);
        Lab { egret: Egret::with_config(config, &flags), origin, profile }
    }

    /// Runs the test in both profiles, with a new origin each.
    pub fn both(origin: impl Fn() -> Origin, test: impl Fn(&Lab)) {
        PROFILES.iter().for_each(|profile| test(&Lab::new(profile, origin())));
    }

    pub fn addr(&self) -> SocketAddr {
        self.egret.addr
    }

    pub fn tunnel(&self, authority: &str) -> Client {
        Client::tunnel(self.addr(), authority)
    }

    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Client {
        Client::send_to(self.addr(), bytes)
    }

    /// The tunnel has to be closed without a byte, and the origin to have seen nothing.
    pub fn assert_closed(&self, client: &mut Client, verdict: &str) {
        let (bytes, end) = client.rest();
        assert_eq!((bytes.escape_ascii().to_string(), end), (String::new(), End::Eof), "{verdict}");
        assert_eq!(self.egret.verdict(client.addr()), verdict);
        assert_eq!(self.origin.connections(), 0, "{verdict}");
    }

    /// A request has to be refused with this status, logged for this reason, and to have reached nobody.
    pub fn assert_refused(&self, request: impl AsRef<[u8]>, status: u16, verdict: &str) {
        let mut client = self.send(&request);
        let shown = request.as_ref().escape_ascii().to_string();
        assert_eq!(client.status(), status, "{shown}");
        assert_eq!(self.egret.verdict(client.addr()), verdict, "{shown}");
        assert_eq!(self.origin.connections(), 0, "{shown}");
    }

    /// What this profile answers where policy denies.
    pub fn denied(&self) -> u16 {
        if self.profile == "azure" { 470 } else { 403 }
    }
}
