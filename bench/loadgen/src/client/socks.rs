//! The client's half of SOCKS5 (RFC 1928), without authentication, by name.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{drain, reset};

const GREETING: [u8; 3] = [5, 1, 0];
const CONSENT: [u8; 2] = [5, 0];
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
const SUCCEEDED: u8 = 0;

/// The request for `host:port`, a name or an address.
pub fn request(authority: &str) -> Result<Vec<u8>> {
    let (host, port) = authority.rsplit_once(':').context("a destination is host:port")?;
    let port: u16 = port.parse().context("a port is a number")?;
    let mut out = vec![5, CONNECT, 0, NAME, u8::try_from(host.len()).context("a name has 255 bytes at most")?];
    out.extend(host.as_bytes());
    out.extend(port.to_be_bytes());
    Ok(out)
}

pub async fn open_tunnel(stream: &mut TcpStream, request: &[u8]) -> Result<()> {
    let reply = ask(stream, request).await?;
    ensure!(reply == SUCCEEDED, "SOCKS5 was answered with {reply}");
    Ok(())
}

/// Asks for what is not allowed, and reads the refusal.
pub async fn be_refused(mut stream: TcpStream, request: &[u8]) -> Result<()> {
    let reply = ask(&mut stream, request).await?;
    ensure!(reply != SUCCEEDED, "a denied name was answered with a consent");
    // RFC 1928, 6: the server closes, shortly after.
    if drain(&mut stream).await.is_err() { reset(stream) } else { Ok(()) }
}

async fn ask(stream: &mut TcpStream, request: &[u8]) -> Result<u8> {
    stream.write_all(&GREETING).await?;
    let mut method = [0; 2];
    stream.read_exact(&mut method).await?;
    ensure!(method == CONSENT, "SOCKS5 wants another way of authentication");
    stream.write_all(request).await?;
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    let rest = match head[3] {
        IPV4 => 5,
        IPV6 => 17,
        NAME => usize::from(head[4]) + 2,
        other => anyhow::bail!("SOCKS5 was answered with an address of kind {other}"),
    };
    stream.read_exact(&mut [0; 300][..rest]).await?;
    Ok(head[1])
}
