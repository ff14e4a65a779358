//! What of the machine's own settings is in the way of the rules. It is told, never changed.

use std::fs;
use std::path::Path;

use crate::config::{HandOver, Interface};

use super::{Clients, Spec};

const CONF: &str = "/proc/sys/net/ipv4/conf";
const BRIDGED: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// Each with its mend.
pub(crate) fn warnings(spec: &Spec) -> Vec<String> {
    let Spec { mode, listeners: _, mark: _, clients, own: _, inbound, answers: _ } = spec;
    let interfaces: &[Interface] = match clients {
        Clients::AllForwarded => &[],
        Clients::Interfaces(names) => names,
    };
    let mut told: Vec<String> = interfaces.iter().filter_map(absent).collect();
    if *mode == HandOver::Tproxy {
        let named = interfaces.iter().filter_map(Interface::single);
        told.extend(std::iter::once("all").chain(named).filter_map(marked_sources));
    }
    if is_on(Path::new(BRIDGED)) && has_bridge() {
        told.push(format!(
            "what hosts behind one bridge send each other comes by the rules too, since {BRIDGED} is 1\n  \
             = mend: sysctl -w net.bridge.bridge-nf-call-iptables=0, where nobody else needs it"
        ));
    }
    if *mode == HandOver::Redirect && inbound.iter().any(|rule| rule.protocols.udp) {
        told.push(
            "DNAT rules for UDP are not in force: redirect carries TCP only\n  = mend: take the mode tproxy".into(),
        );
    }
    told
}

fn absent(interface: &Interface) -> Option<String> {
    let name = interface.single()?;
    let there = Path::new(CONF).join(name).exists() || !Path::new(CONF).exists();
    (!there).then(|| {
        format!("there is no interface `{name}` at present: what comes in by it will be filtered once it is there")
    })
}

/// With it the kernel looks a packet's source up with the mark that TPROXY gave it, finds it to be this machine
/// itself, and drops the packet as forged.
fn marked_sources(name: &str) -> Option<String> {
    is_on(&Path::new(CONF).join(name).join("src_valid_mark")).then(|| {
        format!(
            "the kernel will drop what TPROXY leads here, since net.ipv4.conf.{name}.src_valid_mark is 1 (wg-quick \
             sets it)\n  = mend: sysctl -w net.ipv4.conf.{name}.src_valid_mark=0, or take the mode redirect"
        )
    })
}

fn has_bridge() -> bool {
    let interfaces = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    interfaces.into_iter().any(|interface| interface.path().join("bridge").exists())
}

fn is_on(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|value| value.trim() == "1")
}
