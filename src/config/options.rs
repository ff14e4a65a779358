//! Every option of `egret.toml`, once: what the reader accepts, what `egret schema` prints and what the manual
//! must describe are all made from this table. That of topologies is another one of its kind.

use serde_json::{Map, Value, json};

use crate::flow::nearest;

use super::kernel::Mark;
use super::settings_table;
use super::topology::TOPOLOGY;
use super::values::{self, Words};

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// `proxy.listen`; inside lists of tables without an index, `rule_collection_group.name`.
    pub path: &'static str,
    pub kind: Kind,
    pub presence: Presence,
    /// One sentence for the schema and the manual.
    pub doc: &'static str,
}

/// What an option's value looks like.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Text,
    /// A text or a list of them.
    List,
    /// As `List`; single ports may be numbers.
    Ports,
    Flag,
    Count {
        min: i64,
        max: i64,
    },
    /// `500ms`, `10s`, `4m`, `1h`.
    Duration,
    /// One of these words, in any letter case.
    Choice(fn() -> Vec<&'static str>),
    Table,
    /// `[[…]]`
    Tables,
    /// `[…]`, or `[[…]]` for several.
    TableOrTables,
}

/// A kind of file, by its options.
#[derive(Debug)]
pub(super) struct Schema {
    pub title: &'static str,
    pub options: &'static [Opt],
    /// Keys of Azure's that Egret does not have, and what to do instead.
    pub elsewhere: &'static [(&'static str, &'static str)],
}

/// `egret.toml`
pub(super) const CONFIG: Schema = Schema { title: "egret.toml", options: OPTIONS, elsewhere: ELSEWHERE };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Required,
    /// Means nothing when it is not there.
    Optional,
    /// Means this, as JSON, when it is not there.
    Default(&'static str),
}

use Kind::{Choice, Count, Duration, Flag, List, Ports, Table, TableOrTables, Tables, Text};
use Presence::{Default, Optional, Required};

pub(super) const fn opt(path: &'static str, kind: Kind, presence: Presence, doc: &'static str) -> Opt {
    Opt { path, kind, presence, doc }
}

pub(super) fn words<T>(words: Words<T>) -> Vec<&'static str> {
    words.iter().map(|(word, _)| *word).collect()
}

const PRIORITY: Kind = Count { min: 100, max: 65_000 };
const MANY: Kind = Count { min: 1, max: 10_000_000 };
const THREAT_MODE: Kind = Choice(|| words(settings_table::THREAT_MODES));
/// Azure's ports for application protocols.
const AZURE_PORT: Kind = Count { min: 0, max: 65_535 };
const BYTES: Kind = Count { min: 512, max: 65_536 };

pub const OPTIONS: &[Opt] = &[
    opt("name", Text, Optional, "The policy's name in logs and reports; the file's stem where it is not given."),
    opt("policy", List, Optional, "Policies that take part: built-in names or files, relative to this file."),
    opt("base_policy", Text, Optional, "The parent policy, a built-in name or a file: its rules come first."),
    opt("without", List, Default("[]"), "Parts of the built-in lists to leave out, such as `linux`."),
    opt("parameters", List, Default("[]"), "Files with the parameters of ARM templates, relative to this file."),
    opt("set", List, Default("[]"), "What templates leave open, as `NAME=VALUE`."),
    opt(
        "service_endpoints",
        Choice(|| words(values::SERVICE_ENDPOINTS)),
        Default("\"auto\""),
        "`auto`: the service endpoints of the built-in policies in use; `none`: no service endpoint.",
    ),
    opt(
        "service_tags",
        Text,
        Optional,
        "A `ServiceTags_Public_….json`, relative to this file, instead of the built-in service tags.",
    ),
    opt(
        "tag",
        List,
        Default("[]"),
        "`NAME=FILE`: the members of an FQDN tag or web category, one a line, instead of those that are built in.",
    ),
    opt(
        "topology",
        List,
        Default("[]"),
        "What is around the firewall: files such as `vnet.toml`, or templates with the network in them, relative to this file.",
    ),
    opt(
        "enforce",
        Choice(|| words(values::ENFORCES)),
        Default("\"all\""),
        "Whose flows meet the security groups and routes of the topology: `all`, as if clients of the proxy went to their destinations themselves; those of the `gateway`; `none`.",
    ),
    opt(
        "client_subnet",
        Text,
        Optional,
        "`SUBNET` or `VNET/SUBNET` of the topology: clients that are in no subnet, such as those of this machine, count as a new machine in it.",
    ),
    opt("allow", List, Default("[]"), "Targets to allow, such as `*.contoso.com:443` or `10.1.0.0/16:1433`."),
    opt("deny", List, Default("[]"), "Targets to deny, before any that is allowed."),
    opt(
        "profile",
        Choice(|| words(values::PROFILES)),
        Default("\"azure\""),
        "`azure` answers as Azure Firewall does, `strict` as is safe.",
    ),
    opt(
        "private_addresses",
        Choice(|| words(values::PRIVATE_ADDRESSES)),
        Optional,
        "Whether a permitted name may resolve to a private address; `allow` in `azure`, `deny` in `strict`.",
    ),
    opt("proxy", Table, Optional, "The explicit proxy."),
    opt("proxy.listen", List, Default("[\"127.0.0.1:3128\"]"), "Addresses and ports to listen on."),
    opt("proxy.open", Flag, Default("false"), "Serve anybody who can reach a listener off loopback."),
    opt("proxy.credentials_file", Text, Optional, "A file of one line `user:password` that clients have to give."),
    opt("proxy.workers", Count { min: 0, max: 1024 }, Default("0"), "Threads; 0: one for each core."),
    opt(
        "proxy.reason_headers",
        Flag,
        Default("true"),
        "`X-Egret-Reason` and `X-Egret-Rule` on answers of Egret's own.",
    ),
    opt(
        "proxy.ech",
        Choice(|| words(values::ECH_MODES)),
        Default("\"deny\""),
        "A ClientHello with an encrypted one inside: `deny` it or judge by the outer name (`allow-outer`).",
    ),
    opt(
        "proxy.forwarded_for",
        Choice(|| words(values::FORWARDED_FOR)),
        Default("\"append\""),
        "An `X-Forwarded-For` that a client sends: keep it and add the client's address (`append`) or put that in its place (`replace`).",
    ),
    opt(
        "proxy.rewrite",
        Choice(|| words(values::REWRITES)),
        Default("\"minimal\""),
        "Plain HTTP: change what a proxy has to (`minimal`), or all that was observed of Azure Firewall (`azure`): ask for gzip and unpack it, headers in its order.",
    ),
    opt("gateway", Table, Optional, "The transparent gateway."),
    opt("gateway.listen", List, Optional, "Where the kernel hands connections over; without it there is no gateway."),
    opt(
        "gateway.mode",
        Choice(|| words(values::HAND_OVERS)),
        Default("\"tproxy\""),
        "How: `tproxy` for TCP and UDP, `redirect` for TCP alone.",
    ),
    opt(
        "gateway.rules",
        Choice(|| words(values::KERNEL_RULES)),
        Default("\"manage\""),
        "nftables: `manage` writes the rules at the start and removes them at the end, `leave` does neither.",
    ),
    opt("gateway.interfaces", List, Default("[]"), "Interfaces that clients come in by; none: all."),
    opt("gateway.local", Flag, Default("false"), "Filter this machine's own traffic too."),
    opt(
        "gateway.mark",
        Count { min: Mark::MIN, max: Mark::MAX },
        Default("17767"),
        "The firewall mark of Egret's own sockets; the next one routes what TPROXY takes.",
    ),
    opt(
        "gateway.denied_tcp",
        Choice(|| words(values::DENIED_TCP)),
        Optional,
        "On ports that are not intercepted: `silence` (usual in `azure`) or `reset` (in `strict`, and in `egret run`).",
    ),
    opt(
        "gateway.denied_udp",
        Choice(|| words(values::DENIED_UDP)),
        Optional,
        "`drop` (usual in `azure`) or `unreachable`, by ICMP (in `strict`, and in `egret run`).",
    ),
    opt(
        "gateway.host_without_port",
        Choice(|| words(values::HOSTS_WITHOUT_PORT)),
        Default("\"port-80\""),
        "A Host header without a port speaks of `port-80`, or of `any` that was connected to.",
    ),
    opt(
        "gateway.dnat_deny",
        Choice(|| words(values::DNAT_DENIES)),
        Default("\"ignored\""),
        "A network rule that denies what a DNAT rule allowed is `ignored`, or `overrides` it.",
    ),
    opt(
        "gateway.snat",
        Choice(|| words(values::SNATS)),
        Default("\"policy\""),
        "Whom destinations of network rules see: the client where a policy names them private (`policy`, TPROXY only), or Egret (`always`).",
    ),
    opt("limits", Table, Optional, "Bounds on what clients can take."),
    opt(
        "limits.connections",
        MANY,
        Default("10000"),
        "Connections at once, or what descriptors are enough for; beyond them new ones wait, then are closed.",
    ),
    opt(
        "limits.connections_per_client",
        Count { min: 0, max: 10_000_000 },
        Default("0"),
        "Connections and UDP flows at once from one address, or from one /64 of IPv6; beyond them new ones are closed or denied; 0: nine tenths of all connections, and any number of flows.",
    ),
    opt("limits.head_bytes", BYTES, Default("65536"), "Bytes of a request head."),
    opt("limits.hello_bytes", BYTES, Default("65536"), "Bytes of a ClientHello."),
    opt(
        "limits.udp_flows",
        MANY,
        Default("10000"),
        "UDP flows at once on the gateway; beyond them new ones are denied.",
    ),
    opt(
        "limits.silent",
        Count { min: 0, max: 10_000_000 },
        Default("1024"),
        "Denied connections without an answer at once; beyond them they are reset.",
    ),
    opt("timeouts", Table, Optional, "One deadline for each phase."),
    opt("timeouts.idle_client", Duration, Default("\"60s\""), "From the accept or the last answer to a request."),
    opt("timeouts.head", Duration, Default("\"30s\""), "From the first byte of a request head to its last."),
    opt("timeouts.hello", Duration, Default("\"10s\""), "From the 200 to the last byte of the ClientHello."),
    opt("timeouts.resolve", Duration, Default("\"5s\""), "For a name to resolve."),
    opt("timeouts.connect", Duration, Default("\"10s\""), "For one address to accept; the next is tried after it."),
    opt("timeouts.response", Duration, Default("\"120s\""), "From a request's last byte to the answer's head."),
    opt("timeouts.idle", Duration, Default("\"4m\""), "A body or tunnel that moves no byte."),
    opt("timeouts.udp", Duration, Default("\"60s\""), "A UDP flow that moves no datagram."),
    opt("timeouts.silence", Duration, Default("\"60s\""), "A denied connection that is left without an answer."),
    opt("timeouts.drain", Duration, Default("\"30s\""), "From SIGTERM until what still runs is closed."),
    opt("health", Table, Optional, "The health of the App Service Environment of the topology, followed live."),
    opt(
        "health.unhealthy_after",
        Duration,
        Default("\"5m\""),
        "A dependency that is denied for so long makes it unhealthy; Azure publishes no duration.",
    ),
    opt(
        "health.suspended_after",
        Duration,
        Default("\"1h\""),
        "It is suspended once it was unhealthy for so long; Azure publishes no duration.",
    ),
    opt("admin", Table, Optional, "The admin listener: health, readiness, metrics, reload."),
    opt("admin.listen", Text, Default("\"127.0.0.1:9315\""), "Address and port, or `off`."),
    opt("admin.token_file", Text, Optional, "A file with the bearer token that requests have to carry."),
    opt("dns", Table, Optional, "How names become addresses."),
    opt("dns.listen", List, Optional, "Where the DNS proxy listens, UDP and TCP; without it there is none."),
    opt(
        "dns.mode",
        Choice(|| words(values::DNS_MODES)),
        Optional,
        "`azure` resolves anything; `strict` only names that a rule could allow. As the profile, where not given; `strict` in `egret run`.",
    ),
    opt(
        "dns.synthetic",
        Text,
        Optional,
        "A network such as `198.18.0.0/15`: each allowed name gets an address of its own from it.",
    ),
    opt(
        "dns.servers",
        List,
        Optional,
        "Name servers, or `system`; the policy's where not given, else the system's. Port 53 where none is given.",
    ),
    opt("dns.resolve", List, Default("[]"), "`HOST:PORT:ADDR[,ADDR]` or `HOST:ADDR`, as curl's `--resolve`."),
    opt("dns.connect_to", List, Default("[]"), "`HOST1:PORT1:HOST2:PORT2`, as curl's `--connect-to`."),
    opt("threat_intel", Table, Optional, "Threat intelligence: what the operator says of it, beside the policies."),
    opt(
        "threat_intel.mode",
        Choice(|| words(values::THREAT_MODES)),
        Optional,
        "`off`, `alert` or `deny`, whatever the policies say; as they say, else `alert`, where not given.",
    ),
    opt(
        "threat_intel.feed",
        List,
        Default("[]"),
        "Files of names, addresses and URLs that are known to be bad, one a line, relative to this file.",
    ),
    opt(
        "threat_intel.allow",
        List,
        Default("[]"),
        "Names and addresses that are exempt, beside those that the policies exempt.",
    ),
    opt("log", Table, Optional, "Where flow records go."),
    opt(
        "log.on_error",
        Choice(|| words(values::ON_LOG_ERROR)),
        Default("\"serve\""),
        "While a log cannot be written: `serve` and count what is lost, or `refuse` new flows.",
    ),
    opt(
        "log.categories",
        List,
        Optional,
        "What `azure` and `azure-legacy` write, by the names of Azure's diagnostic settings, such as `AZFWFlowTrace`; of a format of which none is named, the usual ones.",
    ),
    opt(
        "log.fat_flow_every",
        Duration,
        Default("\"3m\""),
        "How often flows are looked at for `AZFWFatFlow`, which has those of 1 Mbps and more.",
    ),
    opt(
        "log.flow_log_every",
        Duration,
        Default("\"1m\""),
        "How often `vnet-flow` and `nsg-flow` are written; a flow that runs is in them again after five times as long.",
    ),
    opt("log.sink", Tables, Optional, "One destination of records; standard output where none is given."),
    opt("log.sink.target", Text, Required, "`stdout` or a file, relative to this file."),
    opt(
        "log.sink.format",
        Choice(|| words(values::LOG_FORMATS)),
        Default("\"auto\""),
        "`auto` is text on a terminal and JSON elsewhere; `azure` and `azure-legacy` are Azure's own shapes; `vnet-flow` and `nsg-flow` are its flow logs of networks, with a topology.",
    ),
    opt("infrastructure", Table, Optional, "Azure's built-in rule collection, after all application rules."),
    opt("infrastructure.fqdns", List, Required, "Its names; Azure does not publish them."),
    opt(
        "infrastructure.protocols",
        List,
        Default("[\"Http:80\", \"Https:443\"]"),
        "The protocols and ports of these names.",
    ),
    opt(
        "classic",
        Flag,
        Default("false"),
        "The rules of a firewall without a policy: the policy has no name, and names of groups may be empty.",
    ),
    opt("settings", Table, Optional, "What a firewall policy holds beside its rules."),
    opt("settings.tier", Choice(|| words(settings_table::TIERS)), Optional, "The policy's tier (`sku.tier`)."),
    opt(
        "settings.base_policy",
        Text,
        Optional,
        "The parent's name or resource id in Azure; `base_policy` is what is read here.",
    ),
    opt("settings.idps", THREAT_MODE, Optional, "The mode of intrusion detection; not emulated."),
    opt("settings.allow_sql_redirect", Flag, Optional, "SQL in redirect mode without rules for its ports."),
    opt("settings.threat_intel", Table, Optional, "Threat intelligence."),
    opt("settings.threat_intel.mode", THREAT_MODE, Optional, "What becomes of what threat intelligence knows."),
    opt(
        "settings.threat_intel.allowed_fqdns",
        List,
        Default("[]"),
        "Names that threat intelligence lets pass (`threatIntelWhitelist.fqdns`).",
    ),
    opt(
        "settings.threat_intel.allowed_addresses",
        List,
        Default("[]"),
        "Addresses that threat intelligence lets pass (`threatIntelWhitelist.ipAddresses`).",
    ),
    opt("settings.dns", Table, Optional, "The policy's DNS settings."),
    opt("settings.dns.servers", List, Default("[]"), "Addresses of name servers."),
    opt("settings.dns.proxy", Flag, Optional, "The DNS proxy is on (`enableProxy`)."),
    opt(
        "settings.dns.require_proxy_for_network_rules",
        Flag,
        Optional,
        "Names in network rules want the DNS proxy (`requireProxyForNetworkRules`).",
    ),
    opt("settings.snat", Table, Optional, "Source address translation."),
    opt(
        "settings.snat.private_ranges",
        List,
        Optional,
        "Destinations that see the client's own address; an empty list is an answer.",
    ),
    opt("settings.snat.auto_learn", Flag, Optional, "These ranges are learned (`autoLearnPrivateRanges`)."),
    opt("settings.explicit_proxy", Table, Optional, "The firewall's explicit proxy."),
    opt("settings.explicit_proxy.enabled", Flag, Optional, "It is on (`enableExplicitProxy`)."),
    opt("settings.explicit_proxy.http_port", AZURE_PORT, Optional, "Its port for HTTP."),
    opt("settings.explicit_proxy.https_port", AZURE_PORT, Optional, "Its port for HTTPS."),
    opt("settings.explicit_proxy.pac_enabled", Flag, Optional, "It serves a PAC file (`enablePacFile`)."),
    opt("settings.explicit_proxy.pac_port", AZURE_PORT, Optional, "The PAC file's port."),
    opt("settings.explicit_proxy.pac_file", Text, Optional, "The PAC file's URL."),
    opt("settings.kept", Tables, Optional, "A property of the policy in Azure that means nothing here."),
    opt("settings.kept.property", Text, Required, "Its name, such as `insights` or `tags`."),
    opt("settings.kept.json", Text, Required, "Its value, as JSON."),
    opt("ip_group", Tables, Optional, "Addresses that go by a name, for the rules of this file."),
    opt("ip_group.name", Text, Required, "The name that rules call it by."),
    opt(
        "ip_group.addresses",
        List,
        Default("[]"),
        "Addresses, CIDRs and ranges. Rules that name an empty group are skipped.",
    ),
    opt("rule_collection_group", Tables, Optional, "A rule collection group."),
    opt("rule_collection_group.name", Text, Required, "Its name, once in a policy."),
    opt("rule_collection_group.priority", PRIORITY, Required, "100 (first) to 65000 (last)."),
    opt("rule_collection_group.rule_collection", Tables, Optional, "A rule collection: rules of one type."),
    opt("rule_collection_group.rule_collection.name", Text, Required, "Its name, once in a group."),
    opt("rule_collection_group.rule_collection.priority", PRIORITY, Required, "100 (first) to 65000 (last)."),
    opt(
        "rule_collection_group.rule_collection.type",
        Choice(|| words(values::RULE_TYPES)),
        Required,
        "The type of its rules: `dnat` rules are looked at first, then `network`, then `application`.",
    ),
    opt(
        "rule_collection_group.rule_collection.action",
        Choice(|| words(values::ACTIONS)),
        Optional,
        "`allow` or `deny` for network and application rules; `dnat` or nothing for DNAT rules.",
    ),
    opt("rule_collection_group.rule_collection.rule", Tables, Optional, "A rule; the first that matches decides."),
    opt("rule_collection_group.rule_collection.rule.name", Text, Required, "Its name, once in a collection."),
    opt("rule_collection_group.rule_collection.rule.description", Text, Optional, "What it is for."),
    opt(
        "rule_collection_group.rule_collection.rule.source_addresses",
        List,
        Optional,
        "Addresses, CIDRs, ranges or `*`; where neither these nor groups are given, `*`.",
    ),
    opt("rule_collection_group.rule_collection.rule.source_ip_groups", List, Default("[]"), "IP groups of this file."),
    opt(
        "rule_collection_group.rule_collection.rule.ip_protocols",
        List,
        Optional,
        "Network and DNAT rules: `TCP`, `UDP`, `ICMP`, `Any`.",
    ),
    opt(
        "rule_collection_group.rule_collection.rule.destination_addresses",
        List,
        Default("[]"),
        "Network and DNAT rules: addresses, CIDRs, ranges, `*`; network rules: service tags too.",
    ),
    opt(
        "rule_collection_group.rule_collection.rule.destination_ip_groups",
        List,
        Default("[]"),
        "Network rules: IP groups of this file.",
    ),
    opt(
        "rule_collection_group.rule_collection.rule.destination_fqdns",
        List,
        Default("[]"),
        "Network rules: exact names.",
    ),
    opt(
        "rule_collection_group.rule_collection.rule.destination_ports",
        Ports,
        Optional,
        "Network and DNAT rules: ports, ranges or `*`.",
    ),
    opt(
        "rule_collection_group.rule_collection.rule.protocols",
        List,
        Optional,
        "Application rules: `Http`, `Https` or `Mssql`, each with a port, as in `Https:8443`.",
    ),
    opt(
        "rule_collection_group.rule_collection.rule.target_fqdns",
        List,
        Default("[]"),
        "Application rules: names, `*.contoso.com`, `*`, or full globs written `glob:gr-*.contoso.com`.",
    ),
    opt("rule_collection_group.rule_collection.rule.fqdn_tags", List, Default("[]"), "Application rules: FQDN tags."),
    opt(
        "rule_collection_group.rule_collection.rule.target_urls",
        List,
        Default("[]"),
        "Application rules: host and path without scheme, as in `www.contoso.com/test/*`.",
    ),
    opt(
        "rule_collection_group.rule_collection.rule.web_categories",
        List,
        Default("[]"),
        "Application rules: Azure's web categories.",
    ),
    opt(
        "rule_collection_group.rule_collection.rule.terminate_tls",
        Flag,
        Default("false"),
        "Application rules: Azure Firewall Premium decrypts what matches. Egret never does.",
    ),
    opt(
        "rule_collection_group.rule_collection.rule.http_headers",
        Tables,
        Optional,
        "Application rules: a header that allowed requests are sent on with.",
    ),
    opt("rule_collection_group.rule_collection.rule.http_headers.name", Text, Required, "The header's name."),
    opt("rule_collection_group.rule_collection.rule.http_headers.value", Text, Required, "The header's value."),
    opt(
        "rule_collection_group.rule_collection.rule.translated_address",
        Text,
        Optional,
        "DNAT rules: the address that the flow is led to.",
    ),
    opt(
        "rule_collection_group.rule_collection.rule.translated_fqdn",
        Text,
        Optional,
        "DNAT rules: the name that the flow is led to.",
    ),
    opt(
        "rule_collection_group.rule_collection.rule.translated_port",
        Count { min: 1, max: 65_535 },
        Optional,
        "DNAT rules: the port that the flow is led to.",
    ),
];

const ELSEWHERE: &[(&str, &str)] = &[
    ("http_headers_to_insert", "write http_headers = [{ name = \"…\", value = \"…\" }]"),
    ("threat_intel_mode", "write mode = \"…\" in [threat_intel], or in [settings.threat_intel] for what a policy says"),
    ("threat_intel_whitelist", "write allowed_fqdns and allowed_addresses in [settings.threat_intel]"),
    ("dns_settings", "write [settings.dns]"),
];

impl Schema {
    /// The options that may stand in the table at `path`; the empty path is the file itself.
    pub(super) fn children(&self, path: &str) -> impl Iterator<Item = (&'static str, &'static Opt)> {
        self.options.iter().filter_map(move |opt| {
            let rest = match path {
                "" => opt.path,
                path => opt.path.strip_prefix(path)?.strip_prefix('.')?,
            };
            (!rest.contains('.')).then_some((rest, opt))
        })
    }

    /// What an unknown key was perhaps meant to be.
    pub(super) fn mend_key(&self, path: &str, key: &str) -> Option<String> {
        let snake = snake_case(key);
        if let Some((_, mend)) = self.elsewhere.iter().find(|(name, _)| *name == snake) {
            return Some((*mend).to_owned());
        }
        if let Some(near) = nearest(&snake, self.children(path).map(|(name, _)| name)) {
            return Some(format!("did you mean `{near}`?"));
        }
        let elsewhere = self.options.iter().find(|opt| opt.path.rsplit('.').next() == Some(snake.as_str()))?;
        Some(format!("`{snake}` belongs in `{}`", elsewhere.path))
    }

    fn table(&self, path: &str) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, opt) in self.children(path) {
            let mut schema = self.value(opt);
            schema["description"] = json!(opt.doc);
            match opt.presence {
                Required => required.push(name),
                Optional => {}
                Default(default) => schema["default"] = serde_json::from_str(default).unwrap_or(Value::Null),
            }
            properties.insert(name.to_owned(), schema);
        }
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    }

    fn value(&self, opt: &Opt) -> Value {
        match opt.kind {
            Text => json!({"type": "string"}),
            List => one_or_many(json!({"type": "string"})),
            Ports => one_or_many(json!({"type": ["string", "integer"]})),
            Flag => json!({"type": "boolean"}),
            Count { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
            Duration => json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"}),
            // The words for editors to offer, the pattern for what else is read.
            Choice(words) => json!({"type": "string", "anyOf": [{"enum": words()}, {"pattern": any_case(&words())}]}),
            Table => self.table(opt.path),
            Tables => json!({"type": "array", "items": self.table(opt.path)}),
            TableOrTables => one_or_many(self.table(opt.path)),
        }
    }

    /// The JSON Schema (draft 2020-12) of such a file.
    pub(super) fn json(&self) -> Value {
        let mut schema = self.table("");
        schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        schema["title"] = json!(self.title);
        schema
    }
}

/// `sourceAddresses` and `source-addresses` as `source_addresses`.
fn snake_case(key: &str) -> String {
    let mut snake = String::with_capacity(key.len());
    for c in key.chars() {
        match c {
            '-' => snake.push('_'),
            c if c.is_ascii_uppercase() => {
                if !snake.is_empty() {
                    snake.push('_');
                }
                snake.push(c.to_ascii_lowercase());
            }
            c => snake.push(c),
        }
    }
    snake
}

impl Kind {
    /// For people: `a text or a list of texts`.
    pub fn describe(self) -> String {
        match self {
            Text => "a text".to_owned(),
            List => "a text or a list of texts".to_owned(),
            Ports => "a port or a list of ports".to_owned(),
            Flag => "true or false".to_owned(),
            Count { min, max } => format!("a number from {min} to {max}"),
            Duration => "a duration such as \"10s\"".to_owned(),
            Choice(words) => format!("one of {}", quoted(&words())),
            Table => "a table".to_owned(),
            Tables => "a list of tables".to_owned(),
            TableOrTables => "a table or a list of tables".to_owned(),
        }
    }
}

pub(super) fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// A pattern of these words in any letter case: `^([Aa][Ll][Ll][Oo][Ww]|…)$`.
fn any_case(words: &[&str]) -> String {
    let either = |c: char| match c.is_ascii_alphabetic() {
        true => format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase()),
        false => c.to_string(),
    };
    let words: Vec<String> = words.iter().map(|word| word.chars().map(either).collect()).collect();
    format!("^({})$", words.join("|"))
}

fn one_or_many(one: Value) -> Value {
    json!({"anyOf": [one, {"type": "array", "items": one}]})
}

/// The JSON Schema (draft 2020-12) of `egret.toml`.
pub fn schema() -> Value {
    CONFIG.json()
}

/// The same of `vnet.toml`.
pub fn topology_schema() -> Value {
    TOPOLOGY.json()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_in_the_schema() {
        let schema = schema();
        for opt in OPTIONS {
            let mut at = &schema;
            for part in opt.path.split('.') {
                let table = if at["type"] == "array" { &at["items"] } else { at };
                at = &table["properties"][part];
            }
            assert_eq!(at["description"], opt.doc, "{}", opt.path);
        }
    }

    #[test]
    fn words_in_any_case() {
        assert_eq!(any_case(&["on", "a-1"]), "^([Oo][Nn]|[Aa]-1)$");
    }

    #[test]
    fn defaults_are_json_of_their_kind() {
        for opt in OPTIONS {
            let Default(default) = opt.presence else { continue };
            let value: Value = serde_json::from_str(default).expect(opt.path);
            match opt.kind {
                Choice(words) => assert!(words().contains(&value.as_str().unwrap()), "{}", opt.path),
                Count { min, max } => assert!((min..=max).contains(&value.as_i64().unwrap()), "{}", opt.path),
                Flag => assert!(value.is_boolean(), "{}", opt.path),
                List => assert!(value.is_array(), "{}", opt.path),
                _ => assert!(value.is_string(), "{}", opt.path),
            }
        }
    }

    #[test]
    fn unknown_keys_are_mended() {
        let check = |path: &str, key: &str, mend: Option<&str>| {
            assert_eq!(CONFIG.mend_key(path, key).as_deref(), mend, "{path} {key}");
        };
        let rule = "rule_collection_group.rule_collection.rule";
        check("", "polcy", Some("did you mean `policy`?"));
        check("proxy", "Listen", Some("did you mean `listen`?"));
        check(rule, "sourceAddresses", Some("did you mean `source_addresses`?"));
        check(rule, "ports", Some("did you mean `destination_ports`?"));
        check(rule, "httpHeadersToInsert", Some("write http_headers = [{ name = \"…\", value = \"…\" }]"));
        check(rule, "terminateTls", Some("did you mean `terminate_tls`?"));
        check("", "listen", Some("`listen` belongs in `proxy.listen`"));
        check("", "xyzzy", None);
    }
}
