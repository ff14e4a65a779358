//! The name that was likely meant by a misspelt one, for every list of names that there is.

/// Bytes of a name. Longer ones are no slip of the fingers, and slow to compare.
const LONGEST: usize = 64;

/// The nearest of the names, in any letter case, where it is near enough for "did you mean"; the first of several.
pub(crate) fn nearest<'n>(typed: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let typed = typed.trim().to_lowercase();
    if typed.len() > LONGEST {
        return None;
    }
    let most = farthest(&typed);
    let near = known.into_iter().filter_map(|name| Some((distance(&typed, name, most)?, name)));
    near.filter(|(far, _)| *far <= most).min_by_key(|(far, _)| *far).map(|(_, name)| name)
}

/// Slips of the fingers: one in three letters.
fn farthest(typed: &str) -> usize {
    (typed.len() / 3).max(1)
}

/// None where the lengths alone say that it is too far.
fn distance(typed: &str, name: &str, most: usize) -> Option<usize> {
    // A word with its first half left out is common: `ports` for `destination_ports`.
    if typed.len() > 3 && is_second_half(typed, name) {
        return Some(1);
    }
    if name.len() > LONGEST || name.chars().count().abs_diff(typed.chars().count()) > most {
        return None;
    }
    Some(strsim::damerau_levenshtein(typed, &name.to_lowercase()))
}

fn is_second_half(typed: &str, name: &str) -> bool {
    let at = name.len().checked_sub(typed.len() + 1);
    let end = at.and_then(|at| name.get(at..)).and_then(|end| end.strip_prefix('_'));
    end.is_some_and(|end| end.eq_ignore_ascii_case(typed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant() {
        let names = ["AzureActiveDirectory", "Storage", "SqlManagement", "destination_ports", "web"];
        let check = |typed: &str, meant: Option<&str>| assert_eq!(nearest(typed, names), meant, "{typed}");
        check("storgae", Some("Storage"));
        check("AZUREACTIVEDIRECTROY", Some("AzureActiveDirectory"));
        check("ports", Some("destination_ports"));
        check("wbe", Some("web"));
        check("xyz", None);
        check("", None);
        check("contoso-shops", None);
        assert_eq!(nearest("aa", ["ab", "ac"]), Some("ab"), "the first of several");
    }

    /// Neither what is long nor what differs in length alone is compared letter by letter.
    #[test]
    fn what_is_not_compared() {
        let long = "a".repeat(LONGEST + 1);
        assert_eq!(nearest(&long, [&long[..60]]), None);
        assert_eq!(distance("abcdef", &long, 100), None);
        assert_eq!(distance("abcdef", "abcdefghi", 2), None);
        assert_eq!(distance("abcdef", "abcdefgh", 2), Some(2));
    }
}
