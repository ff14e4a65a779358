//! The floor of SOCKS5: CONNECT to anything leads to one address, and bytes are copied.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::relay;

const NO_AUTHENTICATION: [u8; 2] = [5, 0];
const CONNECT: u8 = 1;
const BY_NAME: u8 = 3;
const SUCCEEDED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

pub async fn serve(mut client: TcpStream, origin: SocketAddr) -> Result<()> {
    let mut message = [0; 512];
    let greeting = client.read(&mut message).await?;
    ensure!(message[..greeting].starts_with(&[5]), "no SOCKS5");
    client.write_all(&NO_AUTHENTICATION).await?;
    // Clients here send the request whole, and nothing after it before the answer.
    let request = client.read(&mut message).await?;
    let [5, CONNECT, 0, BY_NAME, length, ..] = message[..request] else { anyhow::bail!("no CONNECT to a name") };
    ensure!(request == usize::from(length) + 7, "the request is not whole");
    let mut upstream = TcpStream::connect(origin).await?;
    upstream.set_nodelay(true)?;
    client.write_all(&SUCCEEDED).await?;
    relay::both_ways(&mut client, &mut upstream).await
}
