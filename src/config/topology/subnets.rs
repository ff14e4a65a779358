//! Subnets as people name them, `SUBNET` or `VNET/SUBNET`, in any letter case.

use crate::config::error::Problem;
use crate::flow::nearest;
use crate::vnet::{Client, Network, Place};

use super::faults::listed;

/// A new machine in a subnet that is named, with the address that it would be given.
///
/// # Errors
/// What is wrong with the name, and the mend where one is known.
pub fn client_of_subnet(network: Option<&Network>, name: &str) -> Result<Client, String> {
    let found = network.ok_or_else(no_subnets).and_then(|network| Ok((network, subnet_called(network, name)?)));
    let (network, place) = found.map_err(Problem::one_line)?;
    let address = network.free_address(place, None);
    let empty = || format!("subnet `{name}` has no prefix: nothing is in it");
    Ok(Client { address: address.ok_or_else(empty)?, place })
}

pub(in crate::config) fn no_subnets() -> Problem {
    Problem::new("there is no topology, and no subnet to name").mend("name its file, as in --topology vnet.toml")
}

pub(in crate::config) fn subnet_called(network: &Network, name: &str) -> Result<Place, Problem> {
    let is_it = |place: &Place| match name.split_once('/') {
        Some((vnet, subnet)) => network.place(vnet, subnet) == Some(*place),
        None => network.subnet(*place).name.eq_ignore_ascii_case(name),
    };
    let found: Vec<Place> = network.places().filter(is_it).collect();
    match found.as_slice() {
        [only] => Ok(*only),
        [] => Err(unknown(network, name)),
        several => {
            let names: Vec<String> = several.iter().map(|place| full_name(network, *place)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Err(Problem::new(format!("several networks have a subnet `{name}`"))
                .mend(format!("say which: {}", listed(&names))))
        }
    }
}

fn unknown(network: &Network, name: &str) -> Problem {
    let all: Vec<String> = network.places().map(|place| full_name(network, place)).collect();
    let alone = network.places().map(|place| network.subnet(place).name.as_str());
    let known: Vec<&str> = if name.contains('/') { all.iter().map(String::as_str).collect() } else { alone.collect() };
    let mend = match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if all.is_empty() => "add it, or give its file too, by one more --topology".to_owned(),
        None => format!("there is {}", listed(&all.iter().map(String::as_str).collect::<Vec<_>>())),
    };
    Problem::new(format!("there is no subnet `{name}`")).mend(mend)
}

fn full_name(network: &Network, place: Place) -> String {
    format!("{}/{}", network.virtual_network(place).name, network.subnet(place).name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network_of;

    const TWO: &str = r#"
        [[vnet]]
        name = "hub"
        address_space = "10.0.0.0/16"
        subnet = [{ name = "apps", prefix = "10.0.1.0/24" }, { name = "data", prefix = "10.0.2.0/24" }]

        [[vnet]]
        name = "spoke"
        address_space = "10.1.0.0/16"
        subnet = [{ name = "apps", prefix = "10.1.1.0/24" }]
    "#;

    #[test]
    fn names() {
        let (network, _) = network_of("vnet.toml", TWO).unwrap();
        let check = |name: &str, expected: Result<&str, &str>| {
            let found = client_of_subnet(Some(&network), name).map(|it| it.address.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{name}");
        };
        check("Data", Ok("10.0.2.4"));
        check("SPOKE/apps", Ok("10.1.1.4"));
        check("apps", Err("several networks have a subnet `apps`; say which: `hub/apps`, `spoke/apps`"));
        check("dta", Err("there is no subnet `dta`; did you mean `data`?"));
        check("hub/app", Err("there is no subnet `hub/app`; did you mean `hub/apps`?"));
        check("gateway", Err("there is no subnet `gateway`; there is `hub/apps`, `hub/data`, `spoke/apps`"));
        let none = "there is no topology, and no subnet to name; name its file, as in --topology vnet.toml";
        assert_eq!(client_of_subnet(None, "data"), Err(none.to_owned()));
    }
}
