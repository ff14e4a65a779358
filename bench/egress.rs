//! What the network around the firewall costs a decision: `cargo bench --bench egress`.
//!
//! The policy alone, the same through [`Egress`] without a topology, and with the worked set-up of `docs/ase`: by a client
//! in no subnet and by one in the environment's, to where each way leads. Then with a thousand rules in the group and
//! four hundred routes in the table.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints figures, and one that cannot be set up may as well panic"
)]

use std::fmt::Write;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use egret::config::{Overrides, load};
use egret::flow::{Host, Protocol};
use egret::policy::{Policy, PrivateAddresses, Query};
use egret::vnet::{Egress, Flows, Network};

mod alloc;

fn main() {
    black_box((alloc::live(), alloc::peak()));
    alloc::reset_peak();
    divan::main();
}

struct Subject {
    policy: Policy,
    network: Arc<Network>,
}

impl Subject {
    fn of(topology: &str) -> Subject {
        let overrides = Overrides { topology: vec![topology.to_owned()], ..Overrides::default() };
        let config = load(&overrides, egret::config::DefaultFile::Ignored).unwrap().config;
        let policy = Policy::compile(Arc::new(config.rules), PrivateAddresses::Allow);
        Subject { policy, network: config.network.unwrap() }
    }

    fn egress(&self) -> Egress<'_> {
        Egress::new(&self.policy, Some(&self.network), Flows::New)
    }
}

static WORKED: LazyLock<Subject> =
    LazyLock::new(|| Subject::of(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ase/vnet.toml")));
static LARGE: LazyLock<Subject> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("egret-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("vnet.toml");
    std::fs::write(&path, large()).unwrap();
    let subject = Subject::of(path.to_str().unwrap());
    std::fs::remove_dir_all(folder).unwrap();
    subject
});

/// A thousand rules that deny something else, and four hundred routes.
fn large() -> String {
    let mut text = "[[vnet]]\nname = \"v\"\naddress_space = [\"10.0.0.0/8\"]\n[[vnet.subnet]]\nname = \"s\"\nprefix = \
                    \"10.1.0.0/16\"\nnsg = \"g\"\nroute_table = \"t\"\n[[nsg]]\nname = \"g\"\nrule = [\n"
        .to_owned();
    for number in 0..1000 {
        let (priority, a, b) = (100 + number, number / 250, number % 250);
        writeln!(
            text,
            "{{ name = \"r{number}\", priority = {priority}, direction = \"Outbound\", access = \"Deny\", destination = \
             \"203.{a}.{b}.0/24\", ports = 25 }},"
        )
        .unwrap();
    }
    text.push_str("]\n[[route_table]]\nname = \"t\"\nroute = [\n");
    for number in 0..399 {
        let (a, b) = (number / 250, number % 250);
        writeln!(text, "{{ name = \"u{number}\", prefix = \"198.{a}.{b}.0/24\", next_hop = \"Internet\" }},").unwrap();
    }
    text.push_str(
        "{ name = \"default\", prefix = \"0.0.0.0/0\", next_hop = \"VirtualAppliance\", next_hop_address = \
         \"10.0.0.4\" }]\n[firewall]\nprivate_address = \"10.0.0.4\"\npolicy = [\"ase\"]\n",
    );
    text
}

const BATCH: u32 = 2_000;
const IN_SUBNET: &str = "192.168.251.140";
const ELSEWHERE: &str = "127.0.0.1";

fn ask<T>(bencher: Bencher<'_, '_>, client: &str, to: &str, mut answer: impl FnMut(&Query<'_>) -> T) {
    let client: IpAddr = client.parse().unwrap();
    let host = Host::Addr(to.parse().unwrap());
    let query = Query::new(Some(client), Protocol::Tcp, &host, 443);
    black_box(answer(&query));
    bencher.bench_local(|| answer(black_box(&query)));
}

#[divan::bench(sample_size = BATCH)]
fn a_policy_alone(bencher: Bencher<'_, '_>) {
    ask(bencher, IN_SUBNET, "198.51.100.7", |query| WORKED.policy.decide(query));
}

#[divan::bench(sample_size = BATCH)]
fn b_without_a_topology(bencher: Bencher<'_, '_>) {
    let egress = Egress::new(&WORKED.policy, None, Flows::New);
    ask(bencher, IN_SUBNET, "198.51.100.7", |query| egress.decide(query, 51_000));
}

#[divan::bench(sample_size = BATCH)]
fn c_in_no_subnet(bencher: Bencher<'_, '_>) {
    ask(bencher, ELSEWHERE, "198.51.100.7", |query| WORKED.egress().decide(query, 51_000));
}

/// To the firewall, to a service endpoint, past it.
#[divan::bench(sample_size = BATCH, args = ["198.51.100.7", "104.208.0.17", "70.37.57.58"])]
fn d_in_the_environments_subnet(bencher: Bencher<'_, '_>, to: &str) {
    ask(bencher, IN_SUBNET, to, |query| WORKED.egress().decide(query, 51_000));
}

#[divan::bench(sample_size = BATCH, args = ["198.51.100.7", "198.0.7.7", "203.0.7.7"])]
fn e_a_thousand_rules_and_four_hundred_routes(bencher: Bencher<'_, '_>, to: &str) {
    ask(bencher, "10.1.0.4", to, |query| LARGE.egress().decide(query, 51_000));
}
