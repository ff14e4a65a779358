//! The floor of a tunnel: CONNECT to anything leads to one address, and bytes are copied.
//!
//! One buffer per core serves all tunnels, so that an idle one owns none and a new one clears none.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use anyhow::{Result, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

const MAX_HEAD: usize = 8 * 1024;
const BUFFER_LEN: usize = 64 * 1024;
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_LEN]);
}

pub async fn serve(mut client: TcpStream, origin: SocketAddr) -> Result<()> {
    let mut head = Vec::with_capacity(512);
    let end = loop {
        ensure!(client.read_buf(&mut head).await? > 0, "closed before the end of the request");
        if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        ensure!(head.len() < MAX_HEAD, "the request is too long");
    };
    let mut upstream = TcpStream::connect(origin).await?;
    upstream.set_nodelay(true)?;
    client.write_all(ESTABLISHED).await?;
    upstream.write_all(&head[end..]).await?;
    drop(head);
    both_ways(&mut client, &mut upstream).await
}

pub async fn both_ways(client: &mut TcpStream, upstream: &mut TcpStream) -> Result<()> {
    let (client_read, client_write) = client.split();
    let (upstream_read, upstream_write) = upstream.split();
    tokio::try_join!(pump(client_read, upstream_write), pump(upstream_read, client_write))?;
    Ok(())
}

async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
    while let Some(rest) =
        poll_fn(|context| BUFFER.with_borrow_mut(|buffer| step(context, buffer, &mut from, &mut to))).await?
    {
        to.write_all(&rest).await?;
    }
    to.shutdown().await
}

/// Reads once and writes once. Yields what could not be written, or `None` at the end of the stream.
fn step(
    context: &mut Context<'_>,
    buffer: &mut [u8],
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
) -> Poll<io::Result<Option<Vec<u8>>>> {
    let mut room = ReadBuf::new(buffer);
    ready!(Pin::new(from).poll_read(context, &mut room))?;
    if room.filled().is_empty() {
        return Poll::Ready(Ok(None));
    }
    let sent = match Pin::new(to).poll_write(context, room.filled()) {
        Poll::Ready(sent) => sent?,
        Poll::Pending => 0,
    };
    Poll::Ready(Ok(Some(room.filled()[sent..].to_vec())))
}
