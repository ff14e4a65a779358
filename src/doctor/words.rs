//! How findings put lists and numbers.

/// Names that a sentence gives before it says how many more there are; evidence has them all.
const NAMED: usize = 4;

/// `a, b, c, d and 9 more`
pub(super) fn some(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.len() <= NAMED + 1 {
        return all(&items);
    }
    format!("{} and {} more", items[..NAMED].join(", "), items.len() - NAMED)
}

/// `a, b and c`
fn all(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `6,695`
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 route`, `3 routes`, `2 prefixes`, `2 dependencies`
pub(super) fn count(number: usize, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if number == 1 => format!("{number} {noun}"),
        Some(stem) => format!("{number} {stem}ies"),
        None if noun.ends_with('x') => format!("{number} {noun}es"),
        None => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(some(["a"]), "a");
        assert_eq!(some(["a", "b", "c", "d", "e"]), "a, b, c, d and e");
        assert_eq!(some(["a", "b", "c", "d", "e", "f"]), "a, b, c, d and 2 more");
        assert_eq!(some([0_u8; 0]), "");
    }

    #[test]
    fn numbers() {
        let shown: Vec<String> = [7, 695, 6695, 1_000_000].into_iter().map(thousands).collect();
        assert_eq!(shown, ["7", "695", "6,695", "1,000,000"]);
        let counted = [(1, "route"), (0, "route"), (2, "prefix"), (1, "prefix"), (3, "dependency"), (1, "dependency")];
        let expected = ["1 route", "0 routes", "2 prefixes", "1 prefix", "3 dependencies", "1 dependency"];
        assert_eq!(counted.map(|(number, noun)| count(number, noun)), expected);
    }
}
