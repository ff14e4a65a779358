//! Arithmetic of address ranges.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::meter::Stop;
use super::super::value;
use super::Pure;
use super::args::Args;
use crate::azure::json::Value;

pub(super) fn function(name: &str) -> Option<Pure> {
    Some(match name {
        "cidrhost" => cidr_host,
        "cidrsubnet" => cidr_subnet,
        "parsecidr" => parse_cidr,
        _ => return None,
    })
}

fn range(args: &Args<'_>) -> Result<IpNet, Stop> {
    let text = args.text(0)?;
    text.parse().map_err(|_| args.wrong(format!("takes an address range, and not '{text}'")))
}

/// The host of that number, where 0 is the first one after the range's own address.
fn cidr_host(args: &mut Args<'_>) -> Result<Value, Stop> {
    let (range, host) = (range(args)?, args.whole(1)?);
    let offset = u128::try_from(host).ok().and_then(|host| host.checked_add(1));
    let found = offset.and_then(|offset| address(range, bits(range.network()).checked_add(offset)?));
    let found = found.filter(|address| range.contains(address));
    let found = found.ok_or_else(|| args.wrong(format!("{range} has no host {host}")))?;
    args.text_of(found.to_string())
}

fn cidr_subnet(args: &mut Args<'_>) -> Result<Value, Stop> {
    let (range, length, number) = (range(args)?, args.whole(1)?, args.whole(2)?);
    let found = subnet(range, length, number);
    let found = found.ok_or_else(|| args.wrong(format!("{range} has no /{length} with number {number}")))?;
    args.text_of(found.to_string())
}

fn subnet(range: IpNet, length: i64, number: i64) -> Option<IpNet> {
    let length =
        u8::try_from(length).ok().filter(|length| (range.prefix_len()..=range.max_prefix_len()).contains(length))?;
    let step = 1u128.checked_shl(u32::from(range.max_prefix_len() - length))?;
    let first = bits(range.network()).checked_add(step.checked_mul(u128::try_from(number).ok()?)?)?;
    IpNet::new(address(range, first)?, length).ok().filter(|found| range.contains(found))
}

fn parse_cidr(args: &mut Args<'_>) -> Result<Value, Stop> {
    let range = range(args)?.trunc();
    let mut hosts = range.hosts();
    let first = hosts.next().unwrap_or(range.network());
    // `broadcast` is the last address, which is a host's in IPv6 and in ranges of two.
    let is_spare = matches!(range, IpNet::V4(range) if range.prefix_len() < 31);
    let last = bits(range.broadcast()) - u128::from(is_spare);
    let last = address(range, last).unwrap_or(first);
    let mut members = vec![
        ("network", range.network().to_string()),
        ("netmask", range.netmask().to_string()),
        ("firstUsable", first.to_string()),
        ("lastUsable", last.to_string()),
    ];
    if matches!(range, IpNet::V4(_)) {
        members.push(("broadcast", range.broadcast().to_string()));
    }
    let mut members: Vec<(&str, Value)> = members.into_iter().map(|(name, text)| (name, value::text(text))).collect();
    members.push(("cidr", value::number(range.prefix_len())));
    Ok(value::object(members, args.at))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn address(range: IpNet, bits: u128) -> Option<IpAddr> {
    match range {
        IpNet::V4(_) => u32::try_from(bits).ok().map(|bits| IpAddr::V4(bits.into())),
        IpNet::V6(_) => Some(IpAddr::V6(bits.into())),
    }
}
