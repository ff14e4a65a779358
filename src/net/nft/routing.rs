//! What TPROXY needs of routing: packets with its mark are for this machine, whatever their destination.
//!
//! A rule of Egret's is known by its priority and by its mark being the number of its table; no other is touched.

use super::Spec;
use super::command::{NftError, Program, run};

/// Before those of VPNs, which like to take everything (Tailscale's begin at 5210).
const PRIORITY: &str = "4567";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    const BOTH: [Family; 2] = [Family::V4, Family::V6];

    pub(super) fn nft(self) -> &'static str {
        match self {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        }
    }

    pub(super) fn nfproto(self) -> &'static str {
        match self {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        }
    }

    fn flag(self) -> &'static str {
        match self {
            Family::V4 => "-4",
            Family::V6 => "-6",
        }
    }
}

/// The rules of Egret's, by their marks.
pub(super) fn own() -> Result<Vec<(Family, u32)>, NftError> {
    let mut own = Vec::new();
    for family in Family::BOTH {
        own.extend(marks(family)?.into_iter().map(|mark| (family, mark)));
    }
    Ok(own)
}

/// Is this one of the rules that `spec` needs?
pub(super) fn is_for(spec: &Spec, family: Family, mark: u32) -> bool {
    mark == spec.mark.routing() && spec.routed().any(|routed| routed == family)
}

/// Adds what `spec` needs to the rules that there are.
pub(super) fn add(spec: &Spec, there: &[(Family, u32)]) -> Result<(), NftError> {
    let wanted = spec.mark.routing();
    let number = wanted.to_string();
    for family in spec.routed() {
        // The rule alone leads nowhere; a route alone would not be found again.
        if !there.contains(&(family, wanted)) {
            ip(family, &rule("add", &number))?;
        }
        ip(family, &route("replace", &number))?;
    }
    Ok(())
}

/// Removes those rules of Egret's, with their routes, that are unwanted.
pub(super) fn clear(unwanted: impl Fn(Family, u32) -> bool) -> Result<(), NftError> {
    for family in Family::BOTH {
        for mark in marks(family)?.into_iter().filter(|mark| unwanted(family, *mark)) {
            ip(family, &rule("del", &mark.to_string()))?;
            // The kernel drops it by itself when `lo` goes down.
            let _ = ip(family, &route("del", &mark.to_string()));
        }
    }
    Ok(())
}

/// The rules and routes of Egret's, as commands that would write them.
pub(super) fn in_force() -> Result<Vec<String>, NftError> {
    let mut shown = Vec::new();
    for family in Family::BOTH {
        for mark in marks(family)? {
            let number = mark.to_string();
            shown.push(command(family, &rule("add", &number)));
            let routes = ip(family, &["route", "show", "table", &number]).unwrap_or_default();
            if routes.lines().any(|line| line.starts_with("local default dev lo")) {
                shown.push(command(family, &route("replace", &number)));
            }
        }
    }
    Ok(shown)
}

pub(super) fn set_script(spec: &Spec) -> String {
    let number = spec.mark.routing().to_string();
    let commands = spec
        .routed()
        .flat_map(|family| [route("replace", &number), rule("add", &number)].map(|args| command(family, &args)));
    let commands: String = commands.map(|command| command + "\n").collect();
    format!("{CLEAR_SCRIPT}{commands}")
}

/// What [`clear`] does to all of them.
pub(super) const CLEAR_SCRIPT: &str = r#"for family in -4 -6; do
	ip $family rule show 2>/dev/null | sed -n 's/^4567:.* fwmark \(0x[0-9a-f]*\) lookup \([0-9]*\) *$/\1 \2/p' |
	while read -r mark table; do
		[ $((mark)) -eq "$table" ] || continue
		ip $family rule del priority 4567 fwmark "$mark" lookup "$table"
		ip $family route del local default dev lo table "$table" || :
	done
done
"#;

fn rule<'a>(verb: &'a str, mark: &'a str) -> [&'a str; 8] {
    ["rule", verb, "priority", PRIORITY, "fwmark", mark, "lookup", mark]
}

fn route<'a>(verb: &'a str, table: &'a str) -> [&'a str; 8] {
    ["route", verb, "local", "default", "dev", "lo", "table", table]
}

fn command(family: Family, args: &[&str]) -> String {
    format!("ip {} {}", family.flag(), args.join(" "))
}

/// The marks of the rules of Egret's. Where the kernel lacks the family there are none.
fn marks(family: Family) -> Result<Vec<u32>, NftError> {
    match ip(family, &["rule", "show"]) {
        Ok(listing) => Ok(listing.lines().filter_map(own_mark).collect()),
        Err(error) if is_lacking(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// `Address family not supported by protocol`, or `Operation not supported` where there are no rules at all.
fn is_lacking(error: &NftError) -> bool {
    matches!(error, NftError::Refused { said, .. } if said.contains("not supported"))
}

/// Of `4567: from all fwmark 0x4568 lookup 17768`.
fn own_mark(line: &str) -> Option<u32> {
    let rule = line.strip_prefix(PRIORITY)?.strip_prefix(':')?;
    let ["from", "all", "fwmark", mark, "lookup", table] = rule.split_whitespace().collect::<Vec<_>>()[..] else {
        return None;
    };
    let mark = u32::from_str_radix(mark.strip_prefix("0x")?, 16).ok()?;
    (table.parse() == Ok(mark)).then_some(mark)
}

fn ip(family: Family, args: &[&str]) -> Result<String, NftError> {
    let mut all = vec![family.flag()];
    all.extend(args);
    run(Program::Ip, &all, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_the_family_has_no_rules_of_it() {
        let refused = |said: &str| NftError::Refused { command: "ip -6 rule show".to_owned(), said: said.to_owned() };
        assert!(is_lacking(&refused("RTNETLINK answers: Address family not supported by protocol; Dump terminated")));
        for other in
            [refused("Cannot send dump request: No buffer space available"), NftError::NotInstalled(Program::Ip)]
        {
            assert!(!is_lacking(&other), "{other}");
        }
    }

    #[test]
    fn only_rules_of_our_own_are_found() {
        assert_eq!(own_mark("4567:\tfrom all fwmark 0x4568 lookup 17768"), Some(17768));
        for other in [
            "0:\tfrom all lookup local",
            "4567:\tfrom all lookup main",
            "4567:\tfrom all fwmark 0x4568 lookup 100",
            "4567:\tfrom all fwmark 0x4568 lookup main",
            "4567:\tfrom 10.0.0.0/8 fwmark 0x4568 lookup 17768",
            "4567:\tfrom all fwmark 0x4568/0xffff lookup 17768",
            "45678:\tfrom all fwmark 0x4568 lookup 17768",
            "100:\tfrom all fwmark 0x4568 lookup 17768",
        ] {
            assert_eq!(own_mark(other), None, "{other}");
        }
    }
}
