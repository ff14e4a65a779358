//! The floor of a gateway: the name in the ClientHello is compared with one, everything leads to one address, and bytes
//! are copied.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::relay;
use crate::hello::{RECORD_HEADER, server_name};

const ALLOWED: &[u8] = b"ok.test";
const MAX_HELLO: usize = 16 * 1024;

pub async fn serve(mut client: TcpStream, origin: SocketAddr) -> Result<()> {
    let Some(mut upstream) = upstream(&mut client, origin).await? else { return Ok(()) };
    relay::both_ways(&mut client, &mut upstream).await
}

/// A connection that the hello has been sent on. `None` for another name.
pub async fn upstream(client: &mut TcpStream, origin: SocketAddr) -> Result<Option<TcpStream>> {
    let mut hello = Vec::with_capacity(1024);
    while !is_complete(&hello) {
        ensure!(client.read_buf(&mut hello).await? > 0, "closed before the end of the hello");
        ensure!(hello.len() < MAX_HELLO, "the hello is too long");
    }
    if server_name(&hello) != Some(ALLOWED) {
        return Ok(None);
    }
    let mut upstream = TcpStream::connect(origin).await?;
    upstream.set_nodelay(true)?;
    upstream.write_all(&hello).await?;
    Ok(Some(upstream))
}

fn is_complete(record: &[u8]) -> bool {
    let length = |at: usize| record.get(at).map_or(0, |byte| usize::from(*byte));
    record.len() >= RECORD_HEADER && record.len() >= RECORD_HEADER + (length(3) << 8 | length(4))
}
