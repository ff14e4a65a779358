//! One binary for all integration tests: a file a topic.

mod adversarial_addr;
mod adversarial_http;
mod adversarial_tls;
mod cases;
mod config;
mod fuzz_corpus;
mod support;
