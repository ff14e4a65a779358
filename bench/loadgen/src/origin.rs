//! The origin: one listener on loopback, served by a thread of its own, that plays the workload's other half.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::dns;
use crate::hello::{HELLO_LEN, RECORD_HEADER};
use crate::tls::Identity;

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
    /// A name server over UDP, that answers every question.
    Names,
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
        let listener = Listener::bind(bind, script).with_context(|| format!("listening on {bind}"))?;
        let addr = listener.addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let accepted = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel();
        let counter = accepted.clone();
        let thread = std::thread::Builder::new().name("origin".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = serve(listener, &counter) => {}
                }
            });
        })?;
        Ok(Origin { addr, accepted, stop: Some(stop), thread: Some(thread) })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections or questions so far: proof that the traffic came through rather than being answered by the proxy.
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

/// What an origin hears with, and what it does then.
enum Listener {
    Streams(std::net::TcpListener, Part),
    Datagrams(std::net::UdpSocket),
}

/// What it does with a connection.
#[derive(Clone)]
enum Part {
    Plain(Script),
    Tls(TlsAcceptor),
}

impl Listener {
    fn bind(addr: SocketAddr, script: Script) -> Result<Listener> {
        if script == Script::Names {
            let socket = std::net::UdpSocket::bind(addr)?;
            socket.set_nonblocking(true)?;
            return Ok(Listener::Datagrams(socket));
        }
        let listener = std::net::TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let part = match script {
            Script::Tls => Part::Tls(Identity::get()?.acceptor()?),
            plain => Part::Plain(plain),
        };
        Ok(Listener::Streams(listener, part))
    }

    fn addr(&self) -> std::io::Result<SocketAddr> {
        match self {
            Listener::Streams(listener, _) => listener.local_addr(),
            Listener::Datagrams(socket) => socket.local_addr(),
        }
    }
}

async fn serve(listener: Listener, count: &AtomicU64) {
    match listener {
        Listener::Streams(listener, part) => accept(listener, part, count).await,
        Listener::Datagrams(socket) => answer_questions(socket, count).await,
    }
}

/// Connections are bounded by the descriptor limit: at the limit, accepting pauses and the backlog fills.
async fn accept(listener: std::net::TcpListener, part: Part, accepted: &AtomicU64) {
    let listener = TcpListener::from_std(listener).expect("runs inside a runtime with I/O enabled");
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            incoming = listener.accept() => match incoming {
                Ok((stream, _)) => {
                    accepted.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(timeout(SESSION, play(stream, part.clone())));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What is no question is left alone. An answer that cannot be sent is for somebody who has gone.
async fn answer_questions(socket: std::net::UdpSocket, asked: &AtomicU64) {
    let socket = UdpSocket::from_std(socket).expect("runs inside a runtime with I/O enabled");
    let mut buffer = [0; dns::MAX_MESSAGE];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(answer) = dns::answer(&buffer[..length]) {
            asked.fetch_add(1, Ordering::Relaxed);
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

/// A peer that leaves early is the end of a session, not an error: the client's own count shows what failed.
async fn play(mut stream: TcpStream, part: Part) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    match part {
        Part::Plain(Script::Http) => http(&mut stream).await,
        Part::Plain(script) => {
            timeout(PATIENCE, read_hello(&mut stream)).await??;
            after_hello(&mut stream, script).await
        }
        Part::Tls(acceptor) => {
            let mut inside = timeout(PATIENCE, acceptor.accept(stream)).await??;
            answer(&mut inside).await
        }
    }
}

async fn after_hello(stream: &mut TcpStream, script: Script) -> std::io::Result<()> {
    match script {
        Script::Answer => answer(stream).await,
        Script::Hold => hold(stream).await,
        Script::Echo => echo(stream).await,
        Script::Stream => flood(stream).await,
        Script::Swallow => swallow(stream).await,
        Script::Http | Script::Tls | Script::Names => unreachable!("have no hello to be read"),
    }
}

/// Exactly the hello's record: more may follow. The shorter of the two kinds takes one read.
async fn read_hello(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut first = [0; HELLO_LEN];
    stream.read_exact(&mut first).await?;
    let whole = RECORD_HEADER + usize::from(u16::from_be_bytes([first[3], first[4]]));
    let mut rest = vec![0; whole.saturating_sub(HELLO_LEN)];
    stream.read_exact(&mut rest).await.map(drop)
}

/// Closing first leaves the time-wait socket on this side, where it is in nobody's way.
async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<()> {
    stream.write_all(&[b'a'; ANSWER_LEN]).await?;
    stream.shutdown().await?;
    timeout(PATIENCE, until_closed(stream)).await?
}

async fn hold(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(&[b'a'; ANSWER_LEN]).await?;
    until_closed(stream).await
}

async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
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

async fn swallow(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; STREAM_CHUNK];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
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
