//! The flags that several commands share, and what they mean to the configuration.
//!
//! Each has a twin in the environment. What can be given more than once is one text there, with semicolons
//! between: `EGRET_ALLOW='*.contoso.com:443;10.1.0.0/16:1433'`. An empty text counts as none.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches, ValueHint};

use crate::config::{Overrides, TopologyBy};

/// What decides: the policy and the names and addresses that it is asked about.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Policy")]
pub(super) struct PolicyArgs {
    /// Configuration file; egret.toml of this folder where it is there
    #[arg(long, env = "EGRET_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Policy: a built-in name (see `egret allowlist list`) or a file; more than once for several
    #[arg(long, env = "EGRET_POLICY", value_name = "FILE|NAME", value_hint = ValueHint::FilePath, value_delimiter = ';')]
    policy: Vec<String>,
    /// Parameters file of an ARM template; more than once for several
    #[arg(long, env = "EGRET_PARAMETERS", value_name = "FILE", value_hint = ValueHint::FilePath, value_delimiter = ';')]
    parameters: Vec<String>,
    /// A value that a template leaves open, such as parameters.location=westeurope
    #[arg(long, env = "EGRET_SET", value_name = "NAME=VALUE", value_delimiter = ';')]
    set: Vec<String>,
    #[command(flatten)]
    topology: TopologyArgs,
    /// ServiceTags_Public_….json, instead of the built-in service tags
    #[arg(long, env = "EGRET_SERVICE_TAGS", value_name = "FILE", value_hint = ValueHint::FilePath)]
    service_tags: Option<PathBuf>,
    /// The members of an FQDN tag or web category: a file with a name a line
    #[arg(long, env = "EGRET_TAG", value_name = "NAME=FILE", value_delimiter = ';')]
    tag: Vec<String>,
    /// Threat intelligence [default: as the policy says, else alert]
    #[arg(long, env = "EGRET_THREAT_INTEL", value_name = "off|alert|deny")]
    threat_intel: Option<String>,
    /// Names, addresses and URLs that threat intelligence knows: a file with one a line
    #[arg(long, env = "EGRET_THREAT_FEED", value_name = "FILE", value_hint = ValueHint::FilePath, value_delimiter = ';')]
    threat_feed: Vec<String>,
    /// Allow a target too, such as '*.contoso.com:443' or 10.1.0.0/16:1433
    #[arg(long, env = "EGRET_ALLOW", value_name = "TARGET", value_delimiter = ';')]
    allow: Vec<String>,
    /// Deny a target, before all that is allowed
    #[arg(long, env = "EGRET_DENY", value_name = "TARGET", value_delimiter = ';')]
    deny: Vec<String>,
    /// Leave out a part of the built-in lists, such as linux
    #[arg(long, env = "EGRET_WITHOUT", value_name = "PART", value_delimiter = ';')]
    without: Vec<String>,
    /// Service endpoints, whose flows pass the firewall by: auto or none
    #[arg(long, env = "EGRET_SERVICE_ENDPOINTS", value_name = "auto|none")]
    service_endpoints: Option<String>,
    /// Answer as Azure Firewall does (azure) or as is safe (strict)
    #[arg(long, env = "EGRET_PROFILE", value_name = "azure|strict")]
    profile: Option<String>,
    /// Whether a permitted name may resolve to a private address: allow or deny
    #[arg(long, env = "EGRET_PRIVATE_ADDRESSES", value_name = "allow|deny")]
    private_addresses: Option<String>,
    /// The address of a name, HOST:ADDR or HOST:PORT:ADDR[,ADDR], as curl has it
    #[arg(long, env = "EGRET_RESOLVE", value_name = "HOST[:PORT]:ADDR", value_delimiter = ';')]
    #[arg(allow_hyphen_values = true)]
    resolve: Vec<String>,
    /// Where a destination is really dialled, HOST1:PORT1:HOST2:PORT2, as curl has it
    #[arg(long, env = "EGRET_CONNECT_TO", value_name = "H1:P1:H2:P2", value_delimiter = ';')]
    connect_to: Vec<String>,
}

/// What is around the firewall, and where that was said, which clap's values do not tell.
#[derive(Debug, Clone)]
struct TopologyArgs {
    files: Vec<String>,
    by: TopologyBy,
}

#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
struct TopologyFlag {
    /// What is around the firewall: vnet.toml, or a template with the network in it; more than once for several
    #[arg(long, env = "EGRET_TOPOLOGY", value_name = "FILE", value_hint = ValueHint::FilePath, value_delimiter = ';')]
    topology: Vec<String>,
}

impl clap::Args for TopologyArgs {
    fn augment_args(command: Command) -> Command {
        TopologyFlag::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        TopologyFlag::augment_args_for_update(command)
    }
}

impl FromArgMatches for TopologyArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<TopologyArgs, clap::Error> {
        let by = match matches.value_source("topology") {
            Some(ValueSource::EnvVariable) => TopologyBy::Variable,
            _ => TopologyBy::Flag,
        };
        let TopologyFlag { topology: files } = TopologyFlag::from_arg_matches(matches)?;
        Ok(TopologyArgs { files, by })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = TopologyArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Whose flows are decided, where flows are.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Policy")]
pub(super) struct FlowArgs {
    /// Whose flows meet the topology's security groups and routes: all, those of the gateway, or none
    #[arg(long, env = "EGRET_ENFORCE", value_name = "all|gateway|none")]
    enforce: Option<String>,
    /// The topology's subnet that clients in none of its subnets count as being in
    #[arg(long, env = "EGRET_CLIENT_SUBNET", value_name = "[VNET/]SUBNET")]
    client_subnet: Option<String>,
}

/// What only a running proxy needs.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Proxy")]
pub(super) struct ProxyArgs {
    /// Where the proxy listens; port 0 for any free port [default: 127.0.0.1:3128]
    #[arg(long, env = "EGRET_LISTEN", value_name = "ADDR:PORT", value_delimiter = ';')]
    listen: Vec<String>,
    /// Serve anybody who can reach a listener off loopback
    #[arg(long, env = "EGRET_OPEN", value_parser = FalseyValueParser::new())]
    open: bool,
    #[command(flatten)]
    gateway: GatewayArgs,
    /// The gateway's nftables rules: write and remove them (manage), or leave that to others [default: manage]
    #[arg(long, env = "EGRET_GATEWAY_RULES", value_name = "manage|leave")]
    gateway_rules: Option<String>,
    /// Be a DNS proxy too, on UDP and TCP
    #[arg(long, env = "EGRET_DNS", value_name = "ADDR[:PORT]", value_delimiter = ';')]
    dns: Vec<String>,
    /// The DNS proxy resolves anything (azure), or what a rule could allow (strict) [default: as --profile]
    #[arg(long, env = "EGRET_DNS_MODE", value_name = "azure|strict")]
    dns_mode: Option<String>,
    /// The DNS proxy gives each allowed name an address of its own from this network, such as 198.18.0.0/15
    #[arg(long, env = "EGRET_DNS_SYNTHETIC", value_name = "NETWORK")]
    dns_synthetic: Option<String>,
    /// Credentials that clients have to give
    #[arg(long, env = "EGRET_AUTH", value_name = "USER:PASSWORD", hide_env_values = true)]
    auth: Option<String>,
    /// Threads; 0: one for each core [default: 0]
    #[arg(long, env = "EGRET_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1024))]
    workers: Option<u16>,
    /// Name server, or system; the policy's where not given, else the system's
    #[arg(long, env = "EGRET_DNS_SERVER", value_name = "ADDR[:PORT]", value_delimiter = ';')]
    dns_server: Vec<String>,
    /// Where the admin server listens, or off [default: 127.0.0.1:9315]
    #[arg(long, env = "EGRET_ADMIN", value_name = "ADDR:PORT|off")]
    admin: Option<String>,
    /// Bearer token that admin requests have to carry
    #[arg(long, env = "EGRET_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// Where the flow log goes: stdout or a file; more than once for several [default: stdout]
    #[arg(long, env = "EGRET_LOG", value_name = "FILE|stdout", value_hint = ValueHint::FilePath, value_delimiter = ';')]
    log: Vec<String>,
    /// Shape of the flow log; auto is text on a terminal and JSON elsewhere
    #[arg(long, env = "EGRET_LOG_FORMAT", value_name = "auto|json|text|azure|azure-legacy|vnet-flow|nsg-flow")]
    log_format: Option<String>,
    /// What the shapes azure and azure-legacy write, such as AZFWNetworkRule; more than once for several
    #[arg(long, env = "EGRET_LOG_CATEGORIES", value_name = "CATEGORY", value_delimiter = ';')]
    log_categories: Vec<String>,
    /// While the log cannot be written: serve on and count what is lost, or refuse new flows
    #[arg(long, env = "EGRET_LOG_ON_ERROR", value_name = "serve|refuse")]
    log_on_error: Option<String>,
}

/// What the rules of the gateway have to know as well.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Proxy")]
pub(super) struct GatewayArgs {
    /// Be a gateway: where the kernel hands connections over, such as 0.0.0.0:3129 (Linux)
    #[arg(long, env = "EGRET_GATEWAY", value_name = "ADDR:PORT", value_delimiter = ';')]
    gateway: Vec<String>,
    /// How the kernel hands connections over [default: tproxy]
    #[arg(long, env = "EGRET_GATEWAY_MODE", value_name = "tproxy|redirect")]
    gateway_mode: Option<String>,
    /// Interface that the gateway's clients come in by; all where not given
    #[arg(long, env = "EGRET_INTERFACE", value_name = "NAME", value_delimiter = ';')]
    interface: Vec<String>,
}

impl PolicyArgs {
    pub(super) fn into_overrides(self) -> Overrides {
        let PolicyArgs {
            config,
            policy,
            parameters,
            set,
            topology,
            service_tags,
            tag,
            threat_intel,
            threat_feed,
            allow,
            deny,
            without,
            service_endpoints,
            profile,
            private_addresses,
            resolve,
            connect_to,
        } = self;
        Overrides {
            config: config.filter(|path| !path.as_os_str().is_empty()),
            policy: given(policy),
            parameters: given(parameters),
            set: given(set),
            topology: given(topology.files),
            topology_by: topology.by,
            service_tags: service_tags.filter(|path| !path.as_os_str().is_empty()),
            tags: given(tag),
            threat_intel: one(threat_intel),
            threat_feed: given(threat_feed),
            allow: given(allow),
            deny: given(deny),
            without: given(without),
            service_endpoints: one(service_endpoints),
            profile: one(profile),
            private_addresses: one(private_addresses),
            resolve: given(resolve),
            connect_to: given(connect_to),
            ..Overrides::default()
        }
    }
}

impl FlowArgs {
    pub(super) fn over(self, overrides: Overrides) -> Overrides {
        let FlowArgs { enforce, client_subnet } = self;
        Overrides { enforce: one(enforce), client_subnet: one(client_subnet), ..overrides }
    }
}

impl ProxyArgs {
    pub(super) fn over(self, overrides: Overrides) -> Overrides {
        let ProxyArgs {
            listen,
            open,
            gateway,
            gateway_rules,
            dns,
            dns_mode,
            dns_synthetic,
            auth,
            workers,
            dns_server,
            admin,
            admin_token,
            log,
            log_format,
            log_categories,
            log_on_error,
        } = self;
        Overrides {
            listen: given(listen),
            open,
            gateway_rules: one(gateway_rules),
            dns: given(dns),
            dns_mode: one(dns_mode),
            dns_synthetic: one(dns_synthetic),
            auth: one(auth),
            workers: workers.map(usize::from),
            dns_servers: given(dns_server),
            admin: one(admin),
            admin_token: one(admin_token),
            log: given(log),
            log_format: one(log_format),
            log_categories: given(log_categories),
            log_on_error: one(log_on_error),
            ..gateway.over(overrides)
        }
    }
}

impl GatewayArgs {
    pub(super) fn over(self, overrides: Overrides) -> Overrides {
        let GatewayArgs { gateway, gateway_mode, interface } = self;
        Overrides {
            gateway: given(gateway),
            gateway_mode: one(gateway_mode),
            interfaces: given(interface),
            ..overrides
        }
    }
}

/// A variable that is set to nothing says nothing.
pub(super) fn one(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// The same for what can be given more than once.
pub(super) fn given(texts: Vec<String>) -> Vec<String> {
    texts.into_iter().filter(|text| !text.is_empty()).collect()
}
