#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| egret::rehearsal::arm_path(bytes));
