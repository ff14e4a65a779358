#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| egret_fuzz::network_watcher(bytes));
