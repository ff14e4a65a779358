//! What becomes old or has changed (`LIFE-…`, `DOC-…`).

use super::finding::rules;

rules! {
    RULES:
}
