//! `egret ready`: is a running Egret ready? For health checks of containers that have no curl.

use std::time::Duration;

use anyhow::bail;
use hyper::StatusCode;

use super::Exit;
use super::asking::{self, Admin};
use super::output::Printer;

/// Ask a running Egret whether it is ready
///
/// Exits with 0 when it is, with 4 when it is not or nobody answers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  HEALTHCHECK CMD [\"/egret\", \"ready\"]")]
pub(super) struct Args {
    /// Where its admin server listens
    #[arg(long, env = "EGRET_ADMIN", value_name = "ADDR:PORT", default_value = "127.0.0.1:9315")]
    admin: Admin,
    /// The admin server's bearer token, where it wants one
    #[arg(long, env = "EGRET_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// Seconds to wait for an answer
    #[arg(long, env = "EGRET_TIMEOUT", value_name = "SECONDS", default_value = "5")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

pub(super) fn run(args: &Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Args { admin, admin_token, timeout } = args;
    let limit = Duration::from_secs(*timeout);
    let (status, text) = asking::get(*admin, admin_token.as_deref(), "/readyz", limit)?;
    if status != StatusCode::OK {
        let answered = if let Admin::At(admin) = admin { admin.to_string() } else { "it".to_owned() };
        bail!("{answered} answers {}: {}", status.as_u16(), text.trim());
    }
    printer.line("ready")?;
    Ok(Exit::Clean)
}
