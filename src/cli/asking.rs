//! Questions to the admin server of a running Egret.

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

/// Where it listens: what `serve` takes too.
#[derive(Debug, Clone, Copy)]
pub(super) enum Admin {
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
const MAX_ANSWER: usize = 256 * 1024;

/// The answer to a GET, made anew: its status and its text.
pub(super) fn get(
    admin: Admin,
    token: Option<&str>,
    path: &str,
    limit: Duration,
) -> anyhow::Result<(StatusCode, String)> {
    let Admin::At(admin) = admin else {
        bail!("the admin server is off (--admin or EGRET_ADMIN): nobody can be asked");
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let token = token.filter(|token| !token.is_empty());
    let answer = runtime.block_on(async { tokio::time::timeout(limit, ask(admin, token, path)).await });
    answer.with_context(|| format!("{admin} did not answer within {} s", limit.as_secs()))?
}

async fn ask(admin: SocketAddr, token: Option<&str>, path: &str) -> anyhow::Result<(StatusCode, String)> {
    let stream = connect(admin).await.with_context(|| format!("nobody answers at {admin}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::get(path).header(header::HOST, admin.to_string());
    request = request.header(header::CACHE_CONTROL, "no-cache");
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
