//! The integration tests: one binary, a module a topic.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test that fails says so by a panic, and tests are clients: they dial and wait"
)]

mod layering;
mod repository;
