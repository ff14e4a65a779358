//! `egret ready`: is a running Egret ready? For health checks of containers that have no curl.

use std::net::{AddrParseError, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};

use super::Exit;
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

/// What `serve` takes too.
#[derive(Debug, Clone, Copy)]
enum Admin {
    Off,
    At(SocketAddr),
}

impl FromStr for Admin {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Admin, AddrParseError> {
        if text == "off" { Ok(Admin::Off) } else { text.parse().map(Admin::At) }
    }
}

/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

pub(super) fn run(args: &Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Args { admin, admin_token, timeout } = args;
    let Admin::At(admin) = admin else {
        bail!("the admin server is off (--admin or EGRET_ADMIN): nobody can be asked");
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let limit = Duration::from_secs(*timeout);
    let token = admin_token.as_deref().filter(|token| !token.is_empty());
    let answer = runtime.block_on(async { tokio::time::timeout(limit, ask(*admin, token)).await });
    let (status, text) = answer.with_context(|| format!("{admin} did not answer within {timeout} s"))??;
    if status != StatusCode::OK {
        bail!("{admin} answers {}: {}", status.as_u16(), text.trim());
    }
    printer.line("ready")?;
    Ok(Exit::Clean)
}

async fn ask(admin: SocketAddr, token: Option<&str>) -> anyhow::Result<(StatusCode, String)> {
    let stream = connect(admin).await.with_context(|| format!("nobody answers at {admin}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::get("/readyz").header(header::HOST, admin.to_string());
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new()).context("the token cannot be sent in a header")?;
    let answer = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    // The connection ends with the sender; what it has to say of its end, the answer says too.
    let (answer, _) = tokio::join!(answer, connection);
    answer.with_context(|| format!("no answer from {admin}"))
}

async fn connect(admin: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if admin.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.connect(admin).await
}
