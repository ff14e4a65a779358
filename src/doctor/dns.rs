//! Who resolves names, and how (`DNS-…`).

use super::finding::rules;

rules! {
    RULES:
}
