//! Tunnels that move much, and tunnels that move nothing for too long.

use std::fs;
use std::io::{Read, Write};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::support::egret::Egret;
use super::support::hello::Hello;
use super::support::lab::{Lab, PROFILES};
use super::support::origin::Origin;
use super::support::random::Random;
use super::support::raw::End;

const BULK: usize = 32 << 20;

fn bulk() -> Vec<u8> {
    let mut random = Random::seeded(7);
    (0..BULK / 8).flat_map(|_| random.next().to_le_bytes()).collect()
}

/// Greets whoever says something, then answers with bulk each time.
fn origin() -> Origin {
    let bulk = bulk();
    Origin::start(move |mut stream, _| {
        let mut answer = &b"hello"[..];
        while let Ok(1..) = stream.read(&mut [0; 4096]) {
            if stream.write_all(answer).is_err() {
                break;
            }
            answer = &bulk;
        }
    })
}

fn pipes(egret: &Egret) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", egret.pid())).expect("it runs");
    let links = descriptors.filter_map(|one| fs::read_link(one.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("pipe:")).count()
}

/// How many descriptors it may have; those it has stay. What it might have had before.
fn let_have(egret: &Egret, current: Option<u64>) -> Option<u64> {
    let pid = Pid::from_raw(egret.pid().try_into().unwrap());
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).expect("it is ours").current
}

#[test]
fn bulk_moves_through_pipes_and_is_copied_where_descriptors_have_run_out() {
    let bulk = bulk();
    let lab = Lab::new("strict", origin());
    let mut client = lab.tunnel("ok.test:443");
    client.send(Hello::of("ok.test").bytes());
    assert_eq!(client.bytes(5), b"hello");
    let before = pipes(&lab.egret);
    let allowed = let_have(&lab.egret, Some(0));
    client.send("bulk");
    assert!(client.bytes(BULK) == bulk, "what was copied");
    assert_eq!(pipes(&lab.egret), before, "a pipe was opened with no descriptor left");
    let_have(&lab.egret, allowed);
    client.send("again");
    assert!(client.bytes(BULK) == bulk, "what was piped");
    assert_eq!(pipes(&lab.egret), before + 2, "one direction, one core, one pipe");
    client.finish();
    assert_eq!(client.rest(), (Vec::new(), End::Eof));
    let close = lab.egret.close(client.addr());
    assert_eq!((close["bytes_down"].as_u64(), close["reason"].as_str()), (Some(5 + 2 * BULK as u64), Some("eof")));
}

/// As Azure Firewall has it: neither end is to take it for an end in good order.
#[test]
fn a_tunnel_that_idled_out_is_reset_at_both_ends() {
    for profile in PROFILES {
        let origin = Origin::start(|mut stream, note| {
            let mut buffer = [0; 4096];
            note.note(&loop {
                match stream.read(&mut buffer) {
                    Ok(0) => break b"end".to_vec(),
                    Ok(_) => stream.write_all(b"hello").unwrap(),
                    Err(error) => break error.kind().to_string().into_bytes(),
                }
            });
        });
        let lab = Lab::with_config(profile, origin, "[timeouts]\nidle = \"1s\"\n");
        let mut client = lab.tunnel("ok.test:443");
        client.send(Hello::of("ok.test").bytes());
        assert_eq!(client.rest(), (b"hello".to_vec(), End::Reset), "{profile}");
        assert_eq!(lab.origin.wait_noted(1), ["connection reset"], "{profile}");
        let close = lab.egret.close(client.addr());
        let ended = (close["closed_by"].as_str(), close["reason"].as_str());
        assert_eq!(ended, (Some("egret"), Some("idle-timeout")), "{profile}");
    }
}
