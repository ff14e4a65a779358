//! One binary for all integration tests: a file a topic.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "a test says what went wrong by panicking and why it skips by printing, and tests are clients: they dial"
)]

// Tests begin in the order of their names, and this one takes two minutes, in which the others are to run: it is first.
#[cfg(target_os = "linux")]
#[path = "soak/mod.rs"]
mod a_soak;
mod admin;
mod adversarial_addr;
#[cfg(target_os = "linux")]
mod adversarial_gateway;
mod adversarial_http;
mod adversarial_limits;
mod adversarial_tls;
mod answers;
mod ase_api;
#[cfg(target_os = "linux")]
mod ase_page;
#[cfg(target_os = "linux")]
mod attack;
mod azure_logs;
#[cfg(target_os = "linux")]
mod azure_page;
#[cfg(target_os = "linux")]
mod bulk;
mod captures;
mod cases;
mod catalogue;
mod cli;
mod clients;
mod config;
mod convert;
mod corpus;
mod diff;
mod differential;
mod dns;
mod doctor;
mod doctor_firewall;
mod doctor_network;
mod doctor_routes;
mod doctor_tags;
mod doubts;
mod enforce;
#[cfg(target_os = "linux")]
mod faults;
mod fidelity;
mod fuzz_corpus;
#[cfg(target_os = "linux")]
mod gateway;
#[cfg(target_os = "linux")]
mod icmp;
mod import;
#[cfg(target_os = "linux")]
mod jail;
mod layering;
mod lint;
mod mssql;
#[cfg(target_os = "linux")]
mod nft;
#[cfg(target_os = "linux")]
mod overload;
#[cfg(target_os = "linux")]
mod parity;
mod picture;
mod positive;
mod quickstart;
mod readme;
mod repository;
#[cfg(target_os = "linux")]
mod rights;
mod run;
#[cfg(target_os = "linux")]
mod run_held;
mod scripts;
mod segments;
mod support;
mod threat;
mod topology;
#[cfg(unix)]
mod trace;
#[cfg(target_os = "linux")]
mod udp;
mod watcher;
mod wire;
#[cfg(target_os = "linux")]
mod wire_gateway;
