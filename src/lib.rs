//! **Egret**, the EGRess Emulator and Tester: an Azure Firewall in one binary, for labs and CI.
//!
//! It filters real traffic by SNI, Host header and address, with Azure Firewall's own rules and order, and says
//! of every flow what was decided and why. `docs/fidelity.md` says what is emulated, what differs and what is
//! assumed.
//!
//! # One decision, many faces
//!
//! ```text
//!  HTTP ──────┐   identify        authorize           dial           relay          record
//!  CONNECT ───┤
//!  SOCKS5 ────┼─► Ask ──────────► Permit | Denied ──► socket ──────► Relayed ─────► FlowRecord
//!  gateway ───┤   (front-end       (policy, pure,      (net::dial:    (net::relay,   (telemetry)
//!  run ───────┘    and wire)        one call)           only a Permit) proxy::udp)
//!  DNS, check, admin: the same policy, and nothing is dialled
//!  lint, convert: its rules alone, and no flow is decided
//! ```
//!
//! There is one engine, [`vnet::Egress::decide`], and everything asks it: the data path, `check`, the admin
//! server, live tunnels after a reload. Without a topology that is [`policy::Policy::decide`]; with one, what is around
//! the firewall comes first, and the policy is asked where the route leads to it. Threat intelligence is part of that call, before any rule. Deny is the default, and only the owner of a [`policy::Permit`] can
//! dial. [`policy::walk`] decides the same question rule by rule: it is what `check --explain` prints, and the
//! oracle that property tests hold the compiled policy against.
//!
//! # Modules
//!
//! | module | what | may use |
//! |---|---|---|
//! | [`flow`] | vocabulary: names, addresses, ports, reasons | – |
//! | [`wire`] | network bytes into structs: ClientHello, HTTP head and body, SOCKS5, TDS, DNS | flow |
//! | [`policy`] | rule tree, compiled policy, explanation | flow |
//! | [`allowlist`] | the lists in `allowlists/`, embedded; the built-in policies | flow, policy |
//! | [`vnet`] | the network around the firewall: security groups, routes, service endpoints | flow, policy, allowlist |
//! | [`doctor`] | would an App Service Environment stay healthy? | flow, policy, allowlist, vnet |
//! | [`azure`] | the only place that knows Azure's JSON names | flow, policy, allowlist, vnet |
//! | [`lint`] | what is wrong with a policy, and what two policies differ in | flow, policy, allowlist |
//! | [`config`] | `egret.toml` and flags, resolved; errors that say where and how to mend | flow, policy, allowlist, vnet, azure |
//! | [`telemetry`] | flow log, last decisions, metrics | flow, policy, vnet, azure |
//! | `net` | mechanism: listen, dial, relay, resolve, hand over | flow, wire, policy, config (resolved) |
//! | `proxy` | the data plane: sessions and their front-ends | flow, wire, policy, vnet, net, telemetry, config |
//! | `control` | admin server and reload, on their own thread | all but cli |
//! | `jail` | Linux namespaces for one command; sockets out of them | flow, net |
//! | [`cli`] | arguments, subcommands, the only printer | all |
//!
//! The first eight are pure: no sockets, no files, no clock, no log. A test keeps this table.
//!
//! # Threads
//!
//! One thread a core, each with a single-threaded runtime, a listener of its own (`SO_REUSEPORT`), the last
//! answers to its names and a batch of the log; the policy is one `Arc` behind one atomic load. Beside them a
//! thread for names (`egret-dns`: name servers, their cache, DNS clients), one that writes the log and one for
//! the admin server and reloads.
#![forbid(unsafe_code)]

pub mod allowlist;
pub mod azure;
pub mod cli;
pub mod config;
mod control;
pub mod doctor;
pub mod flow;
#[cfg(target_os = "linux")]
pub mod jail;
pub mod lint;
mod net;
pub mod policy;
mod proxy;
/// What fuzz targets call of modules that nobody else may: bodies like those of `tests/fuzz`, replayed beside them.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod rehearsal {
    pub use crate::control::rehearse_paths as arm_path;
    pub use crate::net::dns::rehearse_reply as dns_reply;
    #[cfg(target_os = "linux")]
    pub use crate::net::echo::rehearse as echo;
    #[cfg(unix)]
    pub use crate::proxy::rehearsal::session;

    /// Every input of a target's corpus.
    #[cfg(test)]
    pub(crate) fn replay(target: &str, body: fn(&[u8])) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let mut found = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            body(&std::fs::read(&path).unwrap());
            found += 1;
        }
        assert!(found > 0, "{} is empty", folder.display());
    }
}
pub mod telemetry;
pub mod vnet;
pub mod wire;
