//! Paths of Azure Resource Manager, in any letter case, with escapes.

use crate::azure::shape::kinds::ENVIRONMENT;

use super::metadata::is_metadata;

/// Where a resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) subscription: String,
    /// None for what a whole subscription has.
    pub(super) group: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    Environments,
    Environment { name: String, part: Part },
    Watcher { name: String, part: WatcherPart },
    Interface { name: String, part: InterfacePart },
}

/// Of an App Service Environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Inbound,
    Outbound,
    VirtualIp,
    Networking,
    Suspend,
    Resume,
    Reboot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatcherPart {
    NextHop,
    IpFlowVerify,
    Diagnostics,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InterfacePart {
    EffectiveRoutes,
    EffectiveSecurity,
}

const WATCHERS: &str = "Microsoft.Network/networkWatchers";
const INTERFACES: &str = "Microsoft.Network/networkInterfaces";

/// What may follow the name of a resource, each with its methods; `docs/ase-api.md` has them.
pub(super) const PARTS: &[(&str, Part, &str)] = &[
    ("", Part::Whole, "GET, HEAD"),
    ("inboundNetworkDependenciesEndpoints", Part::Inbound, "GET, HEAD"),
    ("outboundNetworkDependenciesEndpoints", Part::Outbound, "GET, HEAD"),
    ("capacities/virtualip", Part::VirtualIp, "GET, HEAD"),
    ("configurations/networking", Part::Networking, "GET, HEAD"),
    ("suspend", Part::Suspend, "POST"),
    ("resume", Part::Resume, "POST"),
    ("reboot", Part::Reboot, "POST"),
];

pub(super) const WATCHER_PARTS: &[(&str, WatcherPart, &str)] = &[
    ("nextHop", WatcherPart::NextHop, "POST"),
    ("ipFlowVerify", WatcherPart::IpFlowVerify, "POST"),
    ("networkConfigurationDiagnostic", WatcherPart::Diagnostics, "POST"),
];

pub(super) const INTERFACE_PARTS: &[(&str, InterfacePart, &str)] = &[
    ("effectiveRouteTable", InterfacePart::EffectiveRoutes, "POST"),
    ("effectiveNetworkSecurityGroups", InterfacePart::EffectiveSecurity, "POST"),
];

/// Is this path Resource Manager's, and not the admin server's own?
pub(in super::super) fn is_arm(path: &str) -> bool {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.next().is_some_and(|first| is(first, "subscriptions")) || is_metadata(path)
}

/// None for a path that leads nowhere.
pub(super) fn parse(path: &str) -> Option<(Scope, Resource)> {
    let segments: Vec<String> =
        path.split('/').filter(|segment| !segment.is_empty()).map(unescaped).collect::<Option<_>>()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (scope, rest) = match segments.as_slice() {
        [first, subscription, groups, group, rest @ ..]
            if is(first, "subscriptions") && is(groups, "resourceGroups") =>
        {
            (Scope { subscription: (*subscription).to_owned(), group: Some((*group).to_owned()) }, rest)
        }
        [first, subscription, rest @ ..] if is(first, "subscriptions") => {
            (Scope { subscription: (*subscription).to_owned(), group: None }, rest)
        }
        _ => return None,
    };
    let [providers, namespace, kind, rest @ ..] = rest else { return None };
    if !is(providers, "providers") {
        return None;
    }
    let resource = resource(&format!("{namespace}/{kind}"), rest)?;
    // Single resources are of a group.
    (scope.group.is_some() || resource == Resource::Environments).then_some((scope, resource))
}

fn resource(kind: &str, rest: &[&str]) -> Option<Resource> {
    let Some((name, part)) = rest.split_first() else {
        return is(kind, ENVIRONMENT).then_some(Resource::Environments);
    };
    let (name, part) = ((*name).to_owned(), part.join("/"));
    if is(kind, ENVIRONMENT) {
        Some(Resource::Environment { name, part: find(PARTS, &part)? })
    } else if is(kind, WATCHERS) {
        Some(Resource::Watcher { name, part: find(WATCHER_PARTS, &part)? })
    } else if is(kind, INTERFACES) {
        Some(Resource::Interface { name, part: find(INTERFACE_PARTS, &part)? })
    } else {
        None
    }
}

fn find<T: Copy>(parts: &[(&str, T, &str)], text: &str) -> Option<T> {
    parts.iter().find(|(known, ..)| is(known, text)).map(|(_, part, _)| *part)
}

fn is(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// `%20` and the like, once. None for what is no escape, or no text.
fn unescaped(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(hex(*high)? << 4 | hex(*low)?);
                after
            }
            (b'%', _) => return None,
            _ => {
                bytes.push(*first);
                after
            }
        };
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl Resource {
    /// The methods that it takes.
    pub(super) fn methods(&self) -> &'static str {
        fn of<T: PartialEq>(parts: &[(&str, T, &'static str)], part: &T) -> &'static str {
            parts.iter().find(|(_, known, _)| known == part).map_or("GET, HEAD", |(_, _, methods)| methods)
        }
        match self {
            Resource::Environments => "GET, HEAD",
            Resource::Environment { part, .. } => of(PARTS, part),
            Resource::Watcher { part, .. } => of(WATCHER_PARTS, part),
            Resource::Interface { part, .. } => of(INTERFACE_PARTS, part),
        }
    }

    /// Is it of Microsoft.Web, whose versions are known?
    pub(super) fn is_web(&self) -> bool {
        matches!(self, Resource::Environments | Resource::Environment { .. })
    }
}

/// The body of a fuzz target: letter case never matters, and whatever is found has its methods.
#[cfg(any(test, fuzzing))]
pub fn rehearse(bytes: &[u8]) {
    let Ok(path) = std::str::from_utf8(bytes) else { return };
    let found = parse(path);
    assert_eq!(parse(&path.to_ascii_uppercase()).is_some(), found.is_some());
    let Some((scope, resource)) = found else { return };
    assert!(is_arm(path) || path.contains('%'), "{path}");
    assert!(!resource.methods().is_empty());
    assert!(scope.group.is_some() || resource == Resource::Environments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus() {
        crate::rehearsal::replay("arm_path", rehearse);
    }

    fn environment(path: &str) -> Option<(String, Part)> {
        match parse(path)? {
            (Scope { group: Some(_), .. }, Resource::Environment { name, part }) => Some((name, part)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_in_any_case() {
        let of = |part: &str| {
            format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/hostingEnvironments/Ase{part}")
        };
        for (part, known, _) in PARTS {
            let part = if part.is_empty() { String::new() } else { format!("/{part}") };
            for path in [of(&part), of(&part).to_lowercase(), of(&part).to_uppercase(), of(&part) + "/"] {
                let (name, found) = environment(&path).unwrap_or_else(|| panic!("{path}"));
                assert_eq!((name.to_lowercase().as_str(), found), ("ase", *known), "{path}");
            }
        }
    }

    #[test]
    fn escapes() {
        let path = "/subscriptions/s/resourceGroups/my%20group/providers/Microsoft.Web/hostingEnvironments/a%73e";
        let (scope, resource) = parse(path).unwrap();
        assert_eq!(scope.group.as_deref(), Some("my group"));
        assert_eq!(resource, Resource::Environment { name: "ase".into(), part: Part::Whole });
        assert_eq!(parse("/subscriptions/%zz/providers/Microsoft.Web/hostingEnvironments"), None);
        assert_eq!(parse("/subscriptions/%f"), None);
        assert_eq!(parse("/subscriptions/%ff/providers/Microsoft.Web/hostingEnvironments"), None);
    }

    #[test]
    fn what_there_is_and_what_not() {
        let list = "/subscriptions/s/providers/Microsoft.Web/hostingEnvironments";
        assert!(matches!(parse(list), Some((Scope { group: None, .. }, Resource::Environments))));
        assert_eq!(parse(&format!("{list}/ase")), None, "single ones are of a group");
        assert_eq!(parse("/subscriptions/s"), None);
        let web = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web";
        for nothing in ["/sites/x", "/hostingEnvironments/ase/diagnostics", "/hostingEnvironments/ase/capacities"] {
            assert_eq!(parse(&format!("{web}{nothing}")), None, "{nothing}");
        }
        let watcher = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkWatchers/nw/nexthop";
        assert_eq!(parse(watcher).map(|(_, it)| it.methods()), Some("POST"));
        assert!(is_arm("//SUBSCRIPTIONS/x") && !is_arm("/v1/policy") && !is_arm("/"));
    }
}
