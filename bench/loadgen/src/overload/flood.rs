//! An origin of one page that never ends, whatever it was asked.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
const CHUNK: usize = 64 * 1024;
/// What this machine's kernel may keep of what is sent, bytes: an origin is another machine, usually.
const IN_KERNEL: u32 = 64 * 1024;

/// Ends when it is dropped.
pub struct Flood {
    pub addr: SocketAddr,
    _serving: JoinSet<()>,
}

impl Flood {
    pub async fn start() -> Result<Flood> {
        let socket = TcpSocket::new_v4()?;
        socket.set_send_buffer_size(IN_KERNEL)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(1024)?;
        let addr = listener.local_addr()?;
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(page(stream));
            }
        });
        Ok(Flood { addr, _serving: serving })
    }
}

/// Until the other side closes.
async fn page(mut stream: TcpStream) {
    let chunk = [b'x'; CHUNK];
    let asked = matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) && stream.write_all(HEAD).await.is_ok();
    while asked && stream.write_all(&chunk).await.is_ok() {}
}
