//! What the documents leave open or contradict themselves about, as far as decisions depend on it.

use super::guard::PrivateAddresses;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Switches {
    pub private: PrivateAddresses,
    pub dnat_deny: DnatDeny,
}

/// May a network rule that denies the translated flow take back what a DNAT rule allows? (azure-docs,
/// rule-processing.md of 2026: no; older pages: yes.) A translated name has no address here: only rules for any
/// destination or for the name itself can deny it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DnatDeny {
    #[default]
    Ignored,
    Overrides,
}

impl From<PrivateAddresses> for Switches {
    fn from(private: PrivateAddresses) -> Switches {
        Switches { private, ..Switches::default() }
    }
}
