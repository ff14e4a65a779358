//! One binary for all integration tests: a file a topic.

mod cases;
mod config;
mod fuzz_corpus;
