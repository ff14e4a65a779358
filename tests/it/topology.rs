//! Topologies, from files to the network that the program asks.

use std::fs;

use egret::config::{ConfigErrors, Loaded, Overrides, load};

fn load_topology(files: &[&str]) -> Result<Loaded, ConfigErrors> {
    load(&Overrides { topology: files.iter().map(ToString::to_string).collect(), ..Overrides::default() }, false)
}

fn policies(loaded: &Loaded) -> Vec<&str> {
    loaded.config.rules.policies.iter().map(|policy| policy.name.as_str()).collect()
}

const WORKED: &str = "docs/ase/vnet.toml";

#[test]
fn the_worked_set_up_loads() {
    let loaded = load_topology(&[WORKED]).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let network = loaded.config.network.as_ref().unwrap();
    assert_eq!(network.places().count(), 2);
    assert!(network.place("ASE-vnet", "ase-subnet").is_some());
    assert_eq!(policies(&loaded), ["ase-egress"]);
    assert!(loaded.files.iter().any(|file| file.ends_with(WORKED)));
}

/// The topology's own policy is for when nobody names another.
#[test]
fn whose_policy_it_is() {
    let check = |change: fn(&mut Overrides), expected: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vnet.toml");
        fs::write(&path, "[firewall]\npolicy = [\"mine.toml\"]\n").unwrap();
        fs::write(folder.path().join("mine.toml"), "name = \"mine\"\nallow = [\"a.test\"]\n").unwrap();
        let mut overrides = Overrides { topology: vec![path.display().to_string()], ..Overrides::default() };
        change(&mut overrides);
        let loaded = load(&overrides, false).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(policies(&loaded), expected);
    };
    check(|_| (), &["mine"]);
    check(|it| it.policy = vec!["none".to_owned()], &["none"]);
    check(|it| it.allow = vec!["b.test".to_owned()], &["local", "mine"]);
}

#[test]
fn the_digest_depends_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vnet.toml");
    let digest = |text: &str| {
        fs::write(&path, text).unwrap();
        load_topology(&[path.to_str().unwrap()]).unwrap_or_else(|errors| panic!("{errors}")).digest
    };
    let before = digest("[[nsg]]\nname = \"a\"\n");
    assert_eq!(digest("# a comment\n[[nsg]]\nname = \"a\"\n"), before);
    assert_ne!(digest("[[nsg]]\nname = \"b\"\n"), before);
    assert_ne!(before, load(&Overrides::default(), false).unwrap().digest);
}
