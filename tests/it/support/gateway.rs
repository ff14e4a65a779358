//! Egret as the gateway of a lab of network namespaces. No client in it has heard of a proxy.

use super::egret::Egret;
use super::netns::{GATEWAY_PORT, HAND_OVERS, HandOver, Net};
use super::raw::{Client, End};

/// An address that no machine of the lab has.
pub const NOBODY: &str = "203.0.113.9";

pub struct Gateway {
    // It ends before its namespaces go.
    pub egret: Egret,
    pub net: Net,
    pub how: HandOver,
}

impl Gateway {
    /// None, and said so, where there can be no namespaces.
    pub fn start<S: AsRef<str>>(how: HandOver, config: &str, flags: &[S]) -> Option<Gateway> {
        Net::new().map(|net| Gateway::of(net, how, config, flags))
    }

    /// In a lab that has origins, or a name server, already.
    pub fn of<S: AsRef<str>>(net: Net, how: HandOver, config: &str, flags: &[S]) -> Gateway {
        let mut all = vec![
            format!("--gateway=0.0.0.0:{GATEWAY_PORT}"),
            format!("--gateway=[::]:{GATEWAY_PORT}"),
            format!("--gateway-mode={}", how.word()),
        ];
        all.extend(flags.iter().map(|flag| flag.as_ref().to_owned()));
        Gateway { egret: Egret::inside(&net.gateway, config, &all), net, how }
    }

    /// Runs the test with either way of handing over.
    pub fn both<S: AsRef<str>>(config: &str, flags: &[S], test: impl Fn(&Gateway)) {
        HAND_OVERS.into_iter().filter_map(|how| Gateway::start(how, config, flags)).for_each(|gateway| test(&gateway));
    }

    /// What a client sees of these first bytes to there has to be the end, without a byte.
    pub fn assert_closed(&self, to: &str, first: impl AsRef<[u8]>, verdict: &str) {
        let mut client = self.net.connect(to);
        // A verdict may fall before the last byte is sent.
        client.try_send(first.as_ref());
        self.assert_ends(&mut client, verdict);
    }

    /// The same of a connection on which something was sent.
    pub fn assert_ends(&self, client: &mut Client, verdict: &str) {
        let (bytes, end) = client.rest();
        assert_eq!((bytes.escape_ascii().to_string(), end), (String::new(), End::Eof), "{:?} {verdict}", self.how);
        assert_eq!(self.egret.verdict(client.addr()), verdict, "{:?}", self.how);
    }
}
