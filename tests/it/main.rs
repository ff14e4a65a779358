//! Integration tests: one binary, one file a topic.

mod fuzz_corpus;
