//! What the security group lets out (`OUT-…`).

use super::finding::rules;

rules! {
    RULES:
}
