//! What the firewall lets through (`FW-…`).

use super::finding::rules;

rules! {
    RULES:
}
