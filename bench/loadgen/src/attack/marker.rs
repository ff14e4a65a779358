//! What a run is known by again wherever its bytes arrive.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Characters of a marker. It is a label of a name, a part of a path, and the beginning of a hello's random.
pub const LEN: usize = 16;

/// A label of its own for each run: a letter and hexadecimal digits.
pub fn next() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let prefix = prefix();
    format!("{prefix}{count:0width$x}", width = LEN - prefix.len())
}

/// How all markers of this process begin.
pub fn prefix() -> String {
    format!("m{:07x}", std::process::id() & 0x0fff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_labels_of_their_own() {
        let (first, second) = (next(), next());
        assert!(first.len() == LEN && second.len() == LEN && first != second);
        assert!(first.starts_with('m') && first.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
