//! How clients come to a proxy.

use clap::ValueEnum;
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// They know it and ask it over HTTP: CONNECT, or a request in absolute form
    Explicit,
    /// They know it and ask it by SOCKS5
    Socks5,
    /// They do not know it: the kernel hands their connections over
    Gateway,
    /// They ask it for addresses
    Dns,
}

impl Door {
    pub fn of(gateway: bool) -> Door {
        if gateway { Door::Gateway } else { Door::Explicit }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Door::Explicit => "explicit",
            Door::Socks5 => "socks5",
            Door::Gateway => "gateway",
            Door::Dns => "dns",
        }
    }

    pub fn what(self) -> &'static str {
        match self {
            Door::Explicit => "an explicit proxy",
            Door::Socks5 => "a SOCKS5 proxy",
            Door::Gateway => "a gateway",
            Door::Dns => "a DNS proxy",
        }
    }
}
