//! What a proxy that runs already has to be configured with.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::case::Step;
use super::corpus::Corpus;

/// Policy, names and, as an example, the flags of Egret.
pub fn text(corpus: &Corpus, http: &SocketAddr, tls: &SocketAddr) -> String {
    let mut out = String::from(
        "# Policy: nothing but this is allowed.\n\
         allow https://ok.test:443\n\
         allow http://ok.test:80\n\
         allow https://*.wild.test:443   (names below wild.test at any depth, not wild.test itself)\n\
         allow http://*.wild.test:80\n\
         deny, after resolution: loopback, link-local, metadata and other internal addresses\n\
         A request head and a ClientHello have to be whole within 5 seconds.\n\n\
         # Names, in /etc/hosts of the proxy's machine or wherever it looks: those that are denied lead to the runner\n\
         # too, so that it sees what gets through. Without the ports 80 and 443 of that address (--origin-http,\n\
         # --origin-tls) the proxy has to map ports as well.\n",
    );
    let address = http.ip();
    for name in names(corpus) {
        let _ = writeln!(out, "{address} {name}");
    }
    let _ = write!(
        out,
        "\n# The same for Egret, with `timeouts.head = \"4s\"` and `timeouts.hello = \"4s\"` in its egret.toml:\n\
         egret serve --profile strict --allow https://ok.test --allow http://ok.test \\\n    \
         --allow 'https://*.wild.test' --allow 'http://*.wild.test' \\\n    \
         --connect-to :80:{http} --connect-to ::{tls} --log flows.log --log-format json\n\
         egret-bench attack --proxy 127.0.0.1:3128 --socks 127.0.0.1:3128 --egret-log flows.log \\\n    \
         --origin-http {http} --origin-tls {tls}\n"
    );
    out
}

/// Names that cases use and a hosts file can hold.
fn names(corpus: &Corpus) -> BTreeSet<String> {
    let mut names: BTreeSet<String> =
        ["ok.test", "evil.test", "wild.test", "a.wild.test", "a.b.wild.test", "evilwild.test", "a.ok.test"]
            .map(str::to_owned)
            .into();
    for (_, case) in corpus.cases() {
        let host = case.target.rsplit_once(':').map_or(case.target.as_str(), |(host, _)| host);
        let spoken = case.steps.iter().filter_map(|step| match step {
            Step::Tls { name, .. } => Some(name.as_str()),
            _ => None,
        });
        let plain = |name: &&str| {
            name.ends_with(".test") && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        };
        names.extend(spoken.chain([host]).filter(plain).map(str::to_lowercase));
    }
    names
}
