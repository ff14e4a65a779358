//! What a template may cost, whatever its loops say.

/// Values that are made: more are no policy. They are what memory is bounded by.
const MOST_NODES: usize = 2_000_000;
/// Bytes of text that are made.
const MOST_TEXT: usize = 64 << 20;
/// A unit is about the comparison of two values.
const MOST_WORK: usize = 40_000_000;
/// What the evaluation of one function costs at least.
const CALL: usize = 16;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// In words, for the expression that it is in.
    Wrong(String),
    /// An argument that has to be known is not.
    Unknown,
    /// The meter has run out.
    Spent,
}

#[derive(Debug, Default)]
pub(super) struct Meter {
    nodes: usize,
    text: usize,
    work: usize,
    halted: bool,
}

impl Meter {
    pub(super) fn make(&mut self, nodes: usize) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.go_on()
    }

    pub(super) fn make_text(&mut self, bytes: usize) -> Result<(), Stop> {
        self.text = self.text.saturating_add(bytes);
        self.go_on()
    }

    pub(super) fn work(&mut self, units: usize) -> Result<(), Stop> {
        self.work = self.work.saturating_add(units);
        self.go_on()
    }

    pub(super) fn call(&mut self) -> Result<(), Stop> {
        self.work(CALL)
    }

    /// What is too deep is often broad as well: nothing is evaluated after it.
    pub(super) fn halt(&mut self) {
        self.halted = true;
    }

    pub(super) fn is_spent(&self) -> bool {
        self.halted || self.nodes > MOST_NODES || self.text > MOST_TEXT || self.work > MOST_WORK
    }

    fn go_on(&self) -> Result<(), Stop> {
        if self.is_spent() { Err(Stop::Spent) } else { Ok(()) }
    }

    /// What ran out, for people; not what was halted, as that has been said.
    pub(super) fn words(&self) -> Option<String> {
        if self.halted {
            return None;
        }
        let what = if self.nodes > MOST_NODES {
            format!("more than {MOST_NODES} values")
        } else if self.text > MOST_TEXT {
            format!("more than {MOST_TEXT} bytes of text")
        } else {
            "more work than any policy".to_owned()
        };
        Some(format!("the template's expressions make {what}; it was not evaluated any further"))
    }
}
