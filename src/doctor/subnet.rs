//! The subnet itself (`NET-…`).

use super::finding::rules;

rules! {
    RULES:
}
