//! How clients come to a proxy.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// They know it and ask it.
    Explicit,
    /// They do not: the kernel hands their connections over.
    Gateway,
}

impl Door {
    pub fn of(gateway: bool) -> Door {
        if gateway { Door::Gateway } else { Door::Explicit }
    }

    pub fn what(self) -> &'static str {
        match self {
            Door::Explicit => "an explicit proxy",
            Door::Gateway => "a gateway",
        }
    }
}
