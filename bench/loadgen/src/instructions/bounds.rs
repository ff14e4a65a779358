//! What was counted before, and how far a count may be from it.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Of a file that is new.
const TOLERANCE_PERCENT: u64 = 15;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bounds {
    /// How much dearer or cheaper is no news, per cent. Compilers and C libraries differ, too.
    tolerance_percent: u64,
    /// User-space instructions of one operation, by name.
    instructions: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    Unknown,
    AsRecorded,
    Dearer,
    Cheaper,
}

impl Bounds {
    /// Before anything was counted.
    pub(super) fn none() -> Bounds {
        Bounds { tolerance_percent: TOLERANCE_PERCENT, instructions: BTreeMap::new() }
    }

    pub(super) fn read(path: &Path) -> Result<Bounds> {
        let mend = "--bounds FILE says where it is, --write makes it";
        let text = fs::read_to_string(path).with_context(|| format!("reading {} ({mend})", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }

    pub(super) fn of(&self, name: &str) -> Option<u64> {
        self.instructions.get(name).copied()
    }

    pub(super) fn record(&mut self, name: &str, cost: u64) {
        self.instructions.insert(name.to_owned(), cost);
    }

    pub(super) fn judge(&self, name: &str, cost: u64) -> Judgement {
        let Some(recorded) = self.of(name) else { return Judgement::Unknown };
        let room = recorded * self.tolerance_percent / 100;
        match cost {
            _ if cost > recorded + room => Judgement::Dearer,
            _ if cost + room < recorded => Judgement::Cheaper,
            _ => Judgement::AsRecorded,
        }
    }
}

impl Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Judgement::Unknown => "not recorded yet",
            Judgement::AsRecorded => "as recorded",
            Judgement::Dearer => "DEARER",
            Judgement::Cheaper => "cheaper: record it with --write",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_the_tolerance_nothing_is_news() {
        let instructions = BTreeMap::from([("tunnel".to_owned(), 1000)]);
        let bounds = Bounds { tolerance_percent: 10, instructions };
        for (cost, expected) in [
            (1000, Judgement::AsRecorded),
            (1100, Judgement::AsRecorded),
            (1101, Judgement::Dearer),
            (900, Judgement::AsRecorded),
            (899, Judgement::Cheaper),
        ] {
            assert_eq!(bounds.judge("tunnel", cost), expected, "{cost}");
        }
        assert_eq!(bounds.judge("socks5", 1), Judgement::Unknown);
    }
}
