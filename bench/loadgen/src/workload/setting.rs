//! How a proxy runs and what its clients send, beside the workload itself.

use clap::ValueEnum;
use serde::Serialize;

/// The usual setting is [`Setting::default`]; a curve varies one field of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Entries of the allowlist beside the names that are used. Of Egret also beside its built-in policy.
    pub policy: usize,
    pub hello: HelloKind,
    pub log: LogTo,
    /// The allowlist is changed, and the proxy told to load it again, every second.
    pub churn: bool,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting { policy: 0, hello: HelloKind::Classic, log: LogTo::File, churn: false }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HelloKind {
    /// One record of 517 bytes, as browsers sent it for years
    Classic,
    /// With a key share of X25519MLKEM768: about 1.8 KB, more than one segment on most networks
    PostQuantum,
}

/// Where Egret's flow log goes. The peers write none, whatever this says: that is in their favour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogTo {
    /// Nowhere
    Off,
    /// To a file
    File,
    /// Into a pipe that is read far more slowly than it is filled
    SlowSink,
}

impl HelloKind {
    pub fn as_str(self) -> &'static str {
        match self {
            HelloKind::Classic => "classic",
            HelloKind::PostQuantum => "post-quantum",
        }
    }
}

impl LogTo {
    pub fn as_str(self) -> &'static str {
        match self {
            LogTo::Off => "off",
            LogTo::File => "file",
            LogTo::SlowSink => "slow-sink",
        }
    }
}
