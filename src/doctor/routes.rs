//! Which way traffic leaves and comes back (`RT-…`).

use super::finding::rules;

rules! {
    RULES:
}
