#![forbid(unsafe_code)]
use std::process::ExitCode;

fn main() -> ExitCode {
    egret::cli::run(std::env::args_os())
}
