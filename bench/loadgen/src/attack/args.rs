//! The command line of `egret-bench attack`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::case::{Need, Profile};
use super::corpus::Corpus;
use super::run::Patience;
use super::subject::{self, Peer, Subject};
use super::ways::{Gateway, Ways};
use crate::proxies::egret_binary;

/// Sends adversarial cases to a proxy and says which it takes wrongly.
#[derive(Debug, Args)]
pub struct Attack {
    #[command(flatten)]
    pub who: Who,
    #[command(flatten)]
    pub place: Place,
    /// What is expected: what is safe, or what Azure Firewall does [default: strict; with --egret both]
    #[arg(long, value_enum)]
    pub profile: Option<Profile>,
    /// These families alone
    #[arg(long, value_delimiter = ',')]
    family: Vec<String>,
    /// These cases alone: ids, or how they begin
    #[arg(long, value_delimiter = ',')]
    case: Vec<String>,
    /// A folder of cases instead of those that are built in
    #[arg(long, value_name = "FOLDER")]
    corpus: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write the report as JSON to this file too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report as Markdown to this file too
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Cases at a time
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Seconds that an answer may take
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    patience: u64,
    /// Seconds that the proxy's own deadlines may take, for a head or a hello that never ends [default: 15; 12 for
    /// what is started here]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    deadline: Option<u64>,
    /// Print the cases, and send nothing
    #[arg(long)]
    pub list: bool,
    /// Print what a proxy has to be configured with, and send nothing
    #[arg(long)]
    pub setup: bool,
}

/// Who is attacked.
#[derive(Debug, Args)]
pub struct Who {
    /// A proxy that runs already: HTTP forward and CONNECT
    #[arg(long, value_name = "IP:PORT")]
    proxy: Option<SocketAddr>,
    /// The same for SOCKS5
    #[arg(long, value_name = "IP:PORT")]
    socks: Option<SocketAddr>,
    /// A gateway that runs already: what it is handed, or takes by itself, for TLS
    #[arg(long, value_name = "IP:PORT")]
    gateway: Option<SocketAddr>,
    /// The same for plain HTTP
    #[arg(long, value_name = "IP:PORT", requires = "gateway")]
    gateway_http: Option<SocketAddr>,
    /// A DNS proxy that runs already
    #[arg(long, value_name = "IP:PORT")]
    dns: Option<SocketAddr>,
    /// Egret's log in JSON, for the reasons of its denials
    #[arg(long, value_name = "FILE", conflicts_with_all = ["egret", "peer"])]
    pub egret_log: Option<PathBuf>,
    /// The proxy looks into TLS
    #[arg(long, conflicts_with_all = ["egret", "peer"])]
    inspects: bool,
    /// An egret binary to start
    #[arg(long, value_name = "PATH", conflicts_with_all = ["proxy", "socks", "gateway", "dns"])]
    egret: Option<PathBuf>,
    /// Peers to start; `installed` for all that are
    #[arg(long, value_delimiter = ',', value_name = "PEER", conflicts_with_all = ["proxy", "socks", "gateway", "dns"])]
    #[arg(value_parser = PossibleValuesParser::new(subject::peers()))]
    peer: Vec<String>,
}

/// Where the runner's own halves are, for a proxy that runs already.
#[derive(Debug, Args)]
pub struct Place {
    /// Where the origin listens for plain HTTP
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:80")]
    pub origin_http: SocketAddr,
    /// Where the origin listens for TLS
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:443")]
    pub origin_tls: SocketAddr,
    /// Where the runner serves names, if the proxy asks it
    #[arg(long, value_name = "IP:PORT")]
    pub names: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
    Markdown,
}

impl Attack {
    /// Subjects are started in namespaces of their own, which have to be entered before anything else runs.
    pub fn starts_subjects(&self) -> bool {
        (self.who.egret.is_some() || !self.who.peer.is_empty()) && !self.list && !self.setup
    }

    pub fn corpus(&self) -> Result<Corpus> {
        let corpus = self.corpus.as_deref().map_or_else(Corpus::embedded, Corpus::load)?;
        corpus.only(&self.family, &self.case)
    }

    pub fn patience(&self, usual: u64) -> Patience {
        let deadline = Duration::from_secs(self.deadline.unwrap_or(usual));
        Patience { step: Duration::from_secs(self.patience), deadline }
    }

    pub fn subjects(&self) -> Result<Vec<Subject>> {
        let profiles = self.profile.map_or(Profile::ALL.to_vec(), |profile| vec![profile]);
        let egret = self.who.egret.as_deref().map(egret_binary).transpose()?;
        let mut subjects: Vec<Subject> = egret
            .iter()
            .flat_map(|path| profiles.iter().map(|profile| Subject::Egret(path.clone(), *profile)))
            .collect();
        for name in &self.who.peer {
            if name == subject::INSTALLED {
                subjects.extend(subject::installed().into_iter().map(Subject::Peer));
            } else {
                let peer = Peer::from_str(name, true).map_err(anyhow::Error::msg)?;
                subjects.push(Subject::Peer(peer));
            }
        }
        Ok(subjects)
    }
    /// What a proxy that runs already is said to do.
    pub fn can(&self) -> Vec<Need> {
        let names = self.place.names.map(|_| Need::Names);
        let sight = if self.who.inspects { Need::Inspection } else { Need::Opaque };
        names.into_iter().chain([sight]).collect()
    }
}

impl Who {
    /// To a proxy that runs already.
    pub fn ways(&self) -> Result<Ways> {
        let Who { proxy, socks, gateway, gateway_http, dns, .. } = *self;
        ensure!(
            proxy.is_some() || socks.is_some() || gateway.is_some() || dns.is_some(),
            "--proxy, --socks, --gateway, --dns, --egret or --peer says who is attacked"
        );
        Ok(Ways { proxy, socks, gateway: gateway.map(|tls| Gateway::At { tls, http: gateway_http }), dns })
    }
}
