//! The origin: one listener on loopback, served by a thread of its own, that plays the workload's other half.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::hello::HELLO_LEN;

/// What the origin answers with, bytes: the body of an HTTP answer, and all of a tunnel's.
pub const ANSWER_LEN: usize = 128;

/// No connection outlives this, whatever its peer does.
const SESSION: Duration = Duration::from_secs(900);
/// How long a peer may take to send its hello or to close.
const PATIENCE: Duration = Duration::from_secs(30);

const STREAM_CHUNK: usize = 256 * 1024;
const HTTP_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n";

/// What a connection does after it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Reads the hello, answers, closes first.
    Answer,
    /// Reads the hello, answers, waits for the peer to close.
    Hold,
    /// Reads the hello, then returns every byte.
    Echo,
    /// Reads the hello, then writes until the peer closes.
    Stream,
    /// Reads for as long as the peer writes.
    Swallow,
    /// Makes a TLS handshake, answers inside it, closes first.
    Tls,
    /// HTTP/1.1 with keep-alive.
    Http,
}

/// Stops, with all its connections, when dropped.
pub struct Origin {
    addr: SocketAddr,
    accepted: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    pub fn start(bind: SocketAddr, script: Script) -> Result<Origin> {
        let listener = std::net::TcpListener::bind(bind).with_context(|| format!("listening on {bind}"))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let accepted = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel();
        let counter = accepted.clone();
        let thread = std::thread::Builder::new().name("origin".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = serve(listener, script, &counter) => {}
                }
            });
        })?;
        Ok(Origin { addr, accepted, stop: Some(stop), thread: Some(thread) })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections so far: proof that the traffic came through rather than being answered by the proxy.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; there is nothing to add while shutting down.
            let _ = thread.join();
        }
    }
}

/// Connections are bounded by the descriptor limit: at the limit, accepting pauses and the backlog fills.
async fn serve(listener: std::net::TcpListener, script: Script, accepted: &AtomicU64) {
    let listener = TcpListener::from_std(listener).expect("runs inside a runtime with I/O enabled");
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            incoming = listener.accept() => match incoming {
                Ok((stream, _)) => {
                    accepted.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(timeout(SESSION, play(stream, script)));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A peer that leaves early is the end of a session, not an error: the client's own count shows what failed.
async fn play(mut stream: TcpStream, script: Script) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    if script == Script::Http {
        return http(&mut stream).await;
    }
    let mut hello = [0; HELLO_LEN];
    timeout(PATIENCE, stream.read_exact(&mut hello)).await??;
    match script {
        Script::Answer => answer(&mut stream).await,
        Script::Hold => hold(&mut stream).await,
        Script::Echo => echo(&mut stream).await,
        Script::Stream => flood(&mut stream).await,
        Script::Swallow => until_closed(&mut stream).await,
        Script::Tls => answer(&mut stream).await,
        Script::Http => unreachable!("handled above, it has no hello"),
    }
}

/// Closing first leaves the time-wait socket on this side, where it is in nobody's way.
async fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(&[b'a'; ANSWER_LEN]).await?;
    stream.shutdown().await?;
    timeout(PATIENCE, until_closed(stream)).await?
}

async fn hold(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(&[b'a'; ANSWER_LEN]).await?;
    until_closed(stream).await
}

async fn until_closed(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut rest = [0; 64];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

async fn echo(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}

async fn flood(stream: &mut TcpStream) -> std::io::Result<()> {
    let chunk = vec![b's'; STREAM_CHUNK];
    loop {
        stream.write_all(&chunk).await?;
    }
}

/// Answers each request head; requests have no body here. `Connection: close` is honoured, since a proxy that
/// asks for it waits for the end of the stream.
async fn http(stream: &mut TcpStream) -> std::io::Result<()> {
    let kept = http_answer("");
    let last = http_answer("Connection: close\r\n");
    let mut buffer = Vec::with_capacity(4096);
    while stream.read_buf(&mut buffer).await? > 0 {
        while let Some(end) = head_end(&buffer) {
            if asks_to_close(&buffer[..end]) {
                stream.write_all(&last).await?;
                return stream.shutdown().await;
            }
            stream.write_all(&kept).await?;
            buffer.drain(..end);
        }
    }
    Ok(())
}

fn http_answer(extra: &str) -> Vec<u8> {
    let body = "h".repeat(ANSWER_LEN);
    format!("{HTTP_HEAD}{extra}Content-Length: {ANSWER_LEN}\r\n\r\n{body}").into_bytes()
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn asks_to_close(head: &[u8]) -> bool {
    head.windows(17).any(|window| window.eq_ignore_ascii_case(b"connection: close"))
}
