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
    door: Door,
}

/// How clients come in.
enum Door {
    /// By asking for it.
    Proxy,
    /// Without knowing of it. The addresses that they dial are nobody's.
    #[cfg(target_os = "linux")]
    Gateway(super::netns::Net),
}

impl Lab {
    pub fn new(profile: &'static str, origin: Origin) -> Lab {
        Lab::with_config(profile, origin, "")
    }

    pub fn with_config(profile: &'static str, origin: Origin, config: &str) -> Lab {
        let egret = Egret::with_config(config, &flags(profile, &origin));
        Lab { egret, origin, profile, door: Door::Proxy }
    }

    /// Egret as a gateway. None, and said so, where that is not possible.
    #[cfg(target_os = "linux")]
    pub fn gateway(profile: &'static str, origin: impl Fn() -> Origin + Sync, config: &str) -> Option<Lab> {
        use super::gateway::Gateway;
        use super::netns::{HandOver, Net};
        let net = Net::new()?;
        let origin = net.gateway.enter(&origin);
        let Gateway { egret, net, .. } = Gateway::of(net, HandOver::Tproxy, config, &flags(profile, &origin));
        Some(Lab { egret, origin, profile, door: Door::Gateway(net) })
    }

    #[cfg(not(target_os = "linux"))]
    pub fn gateway(_: &'static str, _: impl Fn() -> Origin + Sync, _: &str) -> Option<Lab> {
        None
    }

    /// Runs the test in both profiles, with a new origin each.
    pub fn both(origin: impl Fn() -> Origin, test: impl Fn(&Lab)) {
        PROFILES.iter().for_each(|profile| test(&Lab::new(profile, origin())));
    }

    /// The same by the proxy and by the gateway, for what either has to see alike.
    pub fn everywhere(origin: impl Fn() -> Origin + Sync, test: impl Fn(&Lab)) {
        Lab::both(&origin, &test);
        PROFILES.iter().filter_map(|profile| Lab::gateway(profile, &origin, "")).for_each(|lab| test(&lab));
    }

    pub fn addr(&self) -> SocketAddr {
        self.egret.addr
    }

    /// One of two, by the way in.
    pub fn by_door<T>(&self, proxy: T, gateway: T) -> T {
        match self.door {
            Door::Proxy => proxy,
            #[cfg(target_os = "linux")]
            Door::Gateway(_) => gateway,
        }
    }

    /// A connection to where TLS is spoken: to the gateway it is one to anywhere, on that port.
    pub fn tunnel(&self, authority: &str) -> Client {
        match &self.door {
            Door::Proxy => Client::tunnel(self.addr(), authority),
            #[cfg(target_os = "linux")]
            Door::Gateway(net) => {
                let (_, port) = authority.rsplit_once(':').expect("a port");
                net.connect(&format!("{}:{port}", super::gateway::NOBODY))
            }
        }
    }

    /// Begins with these bytes: a request, whose form the gateway takes too.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Client {
        let mut client = match &self.door {
            Door::Proxy => Client::connect(self.addr()),
            #[cfg(target_os = "linux")]
            Door::Gateway(_) => self.tunnel(":80"),
        };
        client.send(bytes);
        client
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

fn flags(profile: &str, origin: &Origin) -> Vec<String> {
    let mut flags: Vec<String> = POLICY.iter().map(ToString::to_string).collect();
    flags.extend([format!("--profile={profile}"), format!("--connect-to=::{}", origin.addr)]);
    flags
}
