#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| egret::rehearsal::dns_reply(bytes));
