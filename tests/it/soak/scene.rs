//! Egret with everything around it: in namespaces, where it is a gateway too, or else on loopback.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::clock::{Clock, MORTAL, Rules};
use super::origin::Origin;
use crate::support::egret::Egret;
use crate::support::gateway::Gateway;
use crate::support::netns::{HandOver, Net};
use crate::support::upstream::Upstream;

pub struct Scene {
    // It ends before its namespaces go.
    pub egret: Egret,
    pub clock: Clock,
    pub dns: SocketAddr,
    /// Those that are never killed.
    _steady: [Origin; 2],
    mortal: Mutex<[Origin; 2]>,
    _names: Names,
    net: Option<Arc<Net>>,
}

/// A name server, which ends where it was begun: by a connection to it.
struct Names {
    upstream: Option<Upstream>,
    net: Option<Arc<Net>>,
}

impl Drop for Names {
    fn drop(&mut self) {
        let upstream = self.upstream.take();
        match &self.net {
            Some(net) => net.gateway.enter(|| drop(upstream)),
            None => drop(upstream),
        }
    }
}

/// What Egret reaches.
struct Behind {
    steady: [Origin; 2],
    mortal: [Origin; 2],
    upstream: Upstream,
}

impl Behind {
    fn start() -> Behind {
        let origins = || [Origin::echo(), Origin::http()];
        Behind { steady: origins(), mortal: origins(), upstream: Upstream::with(&["192.0.2.1"], 1) }
    }

    /// TLS is an echo, port 80 is HTTP.
    fn flags(&self, dns: SocketAddr) -> Vec<String> {
        let mut flags = vec![format!("--dns={dns}"), "--dns-mode=strict".to_owned(), self.upstream.flag()];
        for (name, [echo, http]) in [(MORTAL, &self.mortal), ("", &self.steady)] {
            flags.push(format!("--connect-to={name}:443:{}", echo.addr));
            flags.push(format!("--connect-to={name}:80:{}", http.addr));
        }
        flags
    }
}

/// Of this process alone.
fn dns_address() -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    ([127, high | 0x80, low, 250], 5399).into()
}

impl Scene {
    pub fn new() -> Scene {
        let dns = dns_address();
        let config = Rules::FIRST.config();
        let Some(net) = Net::new() else { return Scene::on_loopback(dns) };
        let behind = net.gateway.enter(Behind::start);
        let flags = behind.flags(dns);
        let Gateway { egret, net, .. } = Gateway::of(net, HandOver::Tproxy, &config, &flags);
        Scene::of(egret, behind, dns, Some(Arc::new(net)))
    }

    fn on_loopback(dns: SocketAddr) -> Scene {
        let behind = Behind::start();
        Scene::of(Egret::with_config(&Rules::FIRST.config(), &behind.flags(dns)), behind, dns, None)
    }

    fn of(egret: Egret, behind: Behind, dns: SocketAddr, net: Option<Arc<Net>>) -> Scene {
        let Behind { steady, mortal, upstream } = behind;
        Scene {
            egret,
            clock: Clock::default(),
            dns,
            _steady: steady,
            mortal: Mutex::new(mortal),
            _names: Names { upstream: Some(upstream), net: net.clone() },
            net,
        }
    }

    /// Does the work where Egret is.
    pub fn beside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.net {
            Some(net) => net.gateway.enter(work),
            None => work(),
        }
    }

    /// Does the work where clients of the gateway are, if there is one.
    pub fn before(&self, work: impl FnOnce() + Send) {
        if let Some(net) = &self.net {
            net.client.enter(work);
        }
    }

    /// Puts the other policy in force and tells how long that took. To be called beside Egret.
    pub fn reload(&self, rules: Rules) -> std::time::Duration {
        let began = Instant::now();
        self.clock.tick();
        let new = self.egret.path("egret.toml.new");
        fs::write(&new, rules.config()).expect("the folder is there");
        fs::rename(new, self.egret.path("egret.toml")).expect("the folder is there");
        let answer = self.egret.post("/v1/reload", "");
        assert_eq!(answer.status, 200, "{answer:?}");
        self.clock.tick();
        began.elapsed()
    }

    pub fn kill_the_mortal(&self) {
        self.mortal.lock().expect("nobody panics with it").iter_mut().for_each(Origin::kill);
    }

    /// To be called beside Egret.
    pub fn restart_the_mortal(&self) {
        self.mortal.lock().expect("nobody panics with it").iter_mut().for_each(Origin::restart);
    }
}
