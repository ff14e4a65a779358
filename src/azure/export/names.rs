//! Names that Azure takes, none twice among siblings.

use std::collections::{HashMap, HashSet};

/// Letters of a name (REST API, the drafts of firewall policies: `^[^_\W][\w-._]{0,79}(?<![-.])$`).
const LONGEST: usize = 80;

/// The names of siblings, compared in any letter case as Azure does.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: Taken,
    shortest: Shortest,
}

/// Names that are there, and for each that came again the number that is tried next: siblings of one name by the
/// thousands do not go through all of each other's.
#[derive(Debug, Default)]
struct Taken {
    names: HashSet<String>,
    next: HashMap<String, u32>,
    tried: usize,
}

impl Taken {
    /// The name, or the first of the numbered ones that is free in any letter case.
    fn first_free(&mut self, name: String, numbered: impl Fn(&str, u32) -> String) -> String {
        self.tried += 1;
        let key = name.to_ascii_lowercase();
        if self.names.insert(key.clone()) {
            return name;
        }
        let Taken { names, next, tried } = self;
        let next = next.entry(key).or_insert(2);
        loop {
            let candidate = numbered(&name, *next);
            *next += 1;
            *tried += 1;
            if names.insert(candidate.to_ascii_lowercase()) {
                return candidate;
            }
        }
    }
}

/// What a name has at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Shortest {
    #[default]
    One,
    /// azurerm's pattern, `^[^\W_][\w-.]*[\w]$`.
    Two,
}

impl Names {
    pub(super) fn new(shortest: Shortest) -> Names {
        Names { taken: Taken::default(), shortest }
    }

    /// The name, where Azure takes it and no sibling has it; else the nearest one.
    pub(super) fn take(&mut self, name: &str, otherwise: &str) -> String {
        let legal = legal(name, otherwise, self.shortest);
        self.taken.first_free(legal, |legal, number| {
            let suffix = format!("-{number}");
            format!("{}{suffix}", &legal[..legal.len().min(LONGEST - suffix.len())])
        })
    }
}

/// Letters, digits, `_`, `.` and `-`; first a letter or a digit, last one of them or `_`.
fn legal(name: &str, otherwise: &str, shortest: Shortest) -> String {
    let name = name.replace('*', "any");
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_start_matches(['_', '.', '-']);
    let name = name[..name.len().min(LONGEST)].trim_end_matches(['.', '-']);
    match name.len() {
        0 => otherwise.to_owned(),
        1 if shortest == Shortest::Two => format!("{name}_"),
        _ => name.to_owned(),
    }
}

/// An identifier of Bicep and Terraform, none twice.
#[derive(Debug, Default)]
pub(super) struct Symbols(Taken);

impl Symbols {
    pub(super) fn take(&mut self, name: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        let symbol: String = name.chars().map(plain).collect();
        let symbol = if symbol.starts_with(|c: char| c.is_ascii_digit()) { format!("_{symbol}") } else { symbol };
        self.0.first_free(symbol, |symbol, number| format!("{symbol}_{number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_legal_and_told_apart() {
        let mut names = Names::default();
        let mut check = |name: &str, expected: &str| assert_eq!(names.take(name, "rule"), expected, "{name}");
        check("allow-web_1.x", "allow-web_1.x");
        check("Allow-Web_1.x", "Allow-Web_1.x-2");
        check("login.windows.net:443", "login.windows.net-443");
        check("*:123", "any-123");
        check("gr-Prod-*.cloudapp.net:443", "gr-Prod-any.cloudapp.net-443");
        check("-a-", "a");
        check("", "rule");
        check("***", "anyanyany");
        check("bücher", "b-cher");
        check("äöü", "rule-2");
        assert_eq!(Names::new(Shortest::Two).take("a", "rule"), "a_");
        let mut names = Names::default();
        let mut check = |name: &str, expected: &str| assert_eq!(names.take(name, "rule"), expected, "{name}");
        let long = "x".repeat(90);
        check(&long, &"x".repeat(80));
        check(&long, &format!("{}-2", "x".repeat(78)));
    }

    /// Each name that comes again tries one number.
    #[test]
    fn thousands_of_one_name() {
        let mut names = Names::default();
        let mut symbols = Symbols::default();
        for number in 1..=5000 {
            let name = names.take(if number % 2 == 0 { "Rule" } else { "rule" }, "rule");
            let symbol = symbols.take("rule");
            if number > 1 {
                assert!(name.ends_with(&format!("ule-{number}")), "{name}");
                assert_eq!(symbol, format!("rule_{number}"));
            }
        }
        assert!(names.taken.tried < 10_000 && symbols.0.tried < 10_000);
    }

    #[test]
    fn symbols_are_identifiers() {
        let mut symbols = Symbols::default();
        assert_eq!(symbols.take("My.Group-1"), "my_group_1");
        assert_eq!(symbols.take("my group 1"), "my_group_1_2");
        assert_eq!(symbols.take("1st"), "_1st");
    }
}
