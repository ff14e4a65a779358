//! The cases by family: those that are built in, or those of a folder. `bench/attacks/*.json` as a whole.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::case::Case;

const EMBEDDED: &[(&str, &str)] = &[
    ("address", include_str!("../../../attacks/address.json")),
    ("control", include_str!("../../../attacks/control.json")),
    ("dns", include_str!("../../../attacks/dns.json")),
    ("framing", include_str!("../../../attacks/framing.json")),
    ("host", include_str!("../../../attacks/host.json")),
    ("jail", include_str!("../../../attacks/jail.json")),
    ("limit", include_str!("../../../attacks/limit.json")),
    ("name", include_str!("../../../attacks/name.json")),
    ("protocol", include_str!("../../../attacks/protocol.json")),
    ("sni", include_str!("../../../attacks/sni.json")),
    ("split", include_str!("../../../attacks/split.json")),
    ("tls", include_str!("../../../attacks/tls.json")),
    ("tunnel", include_str!("../../../attacks/tunnel.json")),
];

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    pub family: String,
    pub about: String,
    pub cases: Vec<Case>,
}

/// All families, by name.
#[derive(Debug, Clone)]
pub struct Corpus {
    pub families: Vec<Family>,
}

impl Corpus {
    pub fn embedded() -> Result<Corpus> {
        Corpus::of(EMBEDDED.iter().map(|(name, text)| parse(name, text)).collect::<Result<_>>()?)
    }

    /// Every `*.json` of a folder.
    pub fn load(folder: &Path) -> Result<Corpus> {
        let mut families = Vec::new();
        let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
                families.push(parse(&path.display().to_string(), &text)?);
            }
        }
        ensure!(!families.is_empty(), "{} holds no .json", folder.display());
        Corpus::of(families)
    }

    fn of(mut families: Vec<Family>) -> Result<Corpus> {
        families.sort_by(|a, b| a.family.cmp(&b.family));
        let mut seen = HashSet::new();
        for case in families.iter().flat_map(|family| &family.cases) {
            ensure!(seen.insert(case.id.clone()), "{} is there twice", case.id);
            ensure!(!case.doors.is_empty(), "{} concerns no door", case.id);
        }
        Ok(Corpus { families })
    }

    /// What is left when only this family and this case are wanted.
    pub fn only(mut self, families: &[String], cases: &[String]) -> Result<Corpus> {
        let names: Vec<&str> = self.families.iter().map(|it| it.family.as_str()).collect();
        for wanted in families {
            ensure!(names.contains(&wanted.as_str()), "there is no family {wanted}, but {}", names.join(", "));
        }
        self.families.retain(|it| families.is_empty() || families.contains(&it.family));
        for family in &mut self.families {
            family.cases.retain(|case| cases.is_empty() || cases.iter().any(|wanted| case.id.starts_with(wanted)));
        }
        self.families.retain(|family| !family.cases.is_empty());
        if self.families.is_empty() {
            bail!("no case is left");
        }
        Ok(self)
    }

    pub fn cases(&self) -> impl Iterator<Item = (&Family, &Case)> {
        self.families.iter().flat_map(|family| family.cases.iter().map(move |case| (family, case)))
    }
}

fn parse(name: &str, text: &str) -> Result<Family> {
    serde_json::from_str(text).with_context(|| format!("the attacks of {name}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::ValueEnum as _;

    use super::super::case::{Door, Verdict};
    use super::*;

    /// Ids and what they mean never change: what a case does is kept as a digest in a list to which lines are only
    /// added. Another wording of title, source or reason is no other meaning.
    #[test]
    fn ids_are_immutable() {
        let kept = include_str!("../../../attacks/ids.txt");
        let kept: BTreeMap<&str, &str> = kept.lines().filter_map(|line| line.split_once(' ')).collect();
        let corpus = Corpus::embedded().unwrap();
        let now: BTreeMap<String, String> = corpus.cases().map(|(_, case)| (case.id.clone(), digest(case))).collect();
        let lines: Vec<String> = now.iter().map(|(id, digest)| format!("{id} {digest}")).collect();
        if std::env::var_os("EGRET_BENCH_ADD_IDS").is_some() {
            let changed = kept.iter().filter(|(id, digest)| now.get(**id).is_none_or(|it| it != *digest));
            assert_eq!(changed.count(), 0, "what is published does not change");
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../attacks/ids.txt");
            std::fs::write(path, lines.join("\n") + "\n").unwrap();
            return;
        }
        for (id, digest) in &kept {
            assert!(now.contains_key(*id), "{id} is gone: a published case stays");
            assert_eq!(now[*id], *digest, "{id} means something else now: give the new one an id of its own");
        }
        let new: Vec<&String> = now.keys().filter(|id| !kept.contains_key(id.as_str())).collect();
        assert!(new.is_empty(), "not in ids.txt; EGRET_BENCH_ADD_IDS=1 cargo test adds them: {new:?}");
    }

    fn digest(case: &Case) -> String {
        let mut meaning = serde_json::to_value(case).unwrap();
        let fields = meaning.as_object_mut().unwrap();
        for wording in ["title", "source", "reason"] {
            fields.remove(wording);
        }
        // FNV-1a: a change by accident is what it has to see.
        let hash = meaning
            .to_string()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        format!("{hash:016x}")
    }

    #[test]
    fn files_are_sorted_and_named_after_their_family() {
        let corpus = Corpus::embedded().unwrap();
        assert_eq!(corpus.families.len(), EMBEDDED.len());
        for ((name, _), family) in EMBEDDED.iter().zip(&corpus.families) {
            assert_eq!(*name, family.family);
            let ids: Vec<&str> = family.cases.iter().map(|case| case.id.as_str()).collect();
            assert!(ids.is_sorted(), "{name} is not sorted");
            let prefix = format!("{name}-");
            assert!(ids.iter().all(|id| id.starts_with(&prefix)), "an id of {name} does not begin with it");
            let number = |id: &&str| id[prefix.len()..].split('-').next().is_some_and(|it| it.parse::<u8>().is_ok());
            assert!(ids.iter().all(number), "an id of {name} has no number of peers.md");
        }
    }

    #[test]
    fn the_folder_and_what_is_embedded_are_the_same() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../attacks"));
        let ids = |corpus: Corpus| corpus.cases().map(|(_, case)| case.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(Corpus::load(folder).unwrap()), ids(Corpus::embedded().unwrap()));
    }

    /// Whoever denies everything must not look good.
    #[test]
    fn every_way_in_has_something_that_must_pass() {
        let corpus = Corpus::embedded().unwrap();
        for door in Door::value_variants() {
            let passes = |(_, case): &(&Family, &Case)| case.doors.contains(door) && case.strict == Verdict::Allow;
            assert!(corpus.cases().filter(passes).count() >= 3, "{door:?}");
        }
    }
}
