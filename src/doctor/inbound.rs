//! What comes in to the environment: management, the load balancer, itself, the clients of its apps (`IN-…`).

use super::finding::rules;

rules! {
    RULES:
}
