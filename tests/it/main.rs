//! One binary for all integration tests: a file a topic.

mod cases;
mod config;
mod adversarial_http;
mod adversarial_tls;
mod fuzz_corpus;
mod support;
