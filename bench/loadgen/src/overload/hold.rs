//! The attackers: so many connections in some awkward state, each replaced by another when it is closed.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::hello::client_hello;
use crate::output;
use crate::workload::HelloKind;

const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Those that are on their way into their state at a time.
const AT_A_TIME: usize = 64;
/// Before a connection that was closed is replaced. Without it this would be a flood.
const PAUSE: Duration = Duration::from_secs(1);
/// For what is sent to be taken; what is not taken by then was not meant to be.
const SENDING: Duration = Duration::from_secs(2);
/// Of a head or a hello that has no end: just less than is refused.
const MUCH: usize = 65_000;

/// What the kernel may keep of what an attacker does not read, bytes.
const LITTLE: u32 = 4_096;

/// States that a connection can be kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A tunnel with half a ClientHello of the usual size
    Hellos,
    /// Most of a request head that is as large as may be
    Heads,
    /// A tunnel with most of a ClientHello as large as may be, in small records
    LargeHellos,
    /// A request with half its body
    Bodies,
    /// A tunnel of which nothing is read, from an origin that sends and sends
    Tunnels,
    /// A request for a page without end, which is not read
    Answers,
}

impl Kind {
    pub const SLOW: &[Kind] = &[Kind::Heads, Kind::LargeHellos, Kind::Bodies, Kind::Tunnels, Kind::Answers];

    pub fn what(self) -> &'static str {
        match self {
            Kind::Hellos => "half-open hellos",
            Kind::Heads => "slow heads of 65 000 bytes",
            Kind::LargeHellos => "slow hellos of 65 000 bytes",
            Kind::Bodies => "half bodies",
            Kind::Tunnels => "tunnels that are not read",
            Kind::Answers => "answers that are not read",
        }
    }

    fn script(self) -> Script {
        let hello = hello_of("ok.test");
        let (tunnel, bytes) = match self {
            Kind::Hellos => (Some("ok.test"), hello[..hello.len() / 2].to_vec()),
            Kind::Heads => (None, format!("GET http://ok.test/ HTTP/1.1\r\nX: {}", "a".repeat(MUCH)).into_bytes()),
            Kind::LargeHellos => (Some("ok.test"), large_hello()),
            Kind::Bodies => (
                None,
                b"POST http://slow.test/ HTTP/1.1\r\nHost: slow.test\r\nContent-Length: 1000\r\n\r\nhalf".to_vec(),
            ),
            Kind::Tunnels => (Some("flood.test"), hello_of("flood.test")),
            Kind::Answers => (None, b"GET http://flood.test/ HTTP/1.1\r\nHost: flood.test\r\n\r\n".to_vec()),
        };
        let is_read = !matches!(self, Kind::Tunnels | Kind::Answers);
        Script { tunnel, bytes, is_read }
    }
}

/// What each attacker of a kind does: made once, for attackers have no processor time of their own.
struct Script {
    /// The host that a tunnel is asked for first.
    tunnel: Option<&'static str>,
    /// What is sent then.
    bytes: Vec<u8>,
    /// Whether it reads what it is sent.
    is_read: bool,
}

fn hello_of(name: &str) -> Vec<u8> {
    client_hello(HelloKind::Classic, name)
}

/// The beginning of one, in records that are as long as their headers.
fn large_hello() -> Vec<u8> {
    let length = u32::try_from(MUCH).expect("it is small").to_be_bytes();
    let message = [&[1], &length[1..], &[3; 2], &[7; MUCH - 100][..]].concat();
    message
        .chunks(6)
        .flat_map(|fragment| [&[22, 3, 1, 0, fragment.len().to_le_bytes()[0]], fragment].concat())
        .collect()
}

/// Hold connections in an awkward state
#[derive(Debug, Args)]
pub struct Hold {
    #[arg(long)]
    pub proxy: SocketAddr,
    #[arg(long)]
    pub kind: Kind,
    #[arg(long)]
    pub count: u32,
}

/// What became of them, told when they are told to stop.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub struct Held {
    /// At a time.
    pub asked: u64,
    pub held: u64,
    pub opened: u64,
    /// Closed without having got into their state.
    pub refused: u64,
    /// Closed in it.
    pub ended: u64,
}

impl Held {
    /// That at least half of them got into their state, whether or not they are still in it: some are refused on purpose,
    /// as those of one address beyond its share.
    pub fn is_an_attack(&self) -> bool {
        2 * (self.held + self.ended) >= self.asked
    }
}

#[derive(Default)]
struct Counts {
    tried: AtomicU64,
    held: AtomicU64,
    opened: AtomicU64,
    refused: AtomicU64,
    ended: AtomicU64,
}

/// The attackers' process.
pub struct Attackers {
    child: Child,
    said: Arc<std::sync::Mutex<BufReader<ChildStdout>>>,
}

impl Attackers {
    pub fn start(proxy: SocketAddr, kind: Kind, count: u32) -> Result<Attackers> {
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        let kind = kind.to_possible_value().context("every kind has a name")?;
        command.args(["hold", "--proxy", &proxy.to_string(), "--kind", kind.get_name(), "--count", &count.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting attackers")?;
        let said = child.stdout.take().context("its output is a pipe")?;
        Ok(Attackers { child, said: Arc::new(BufReader::new(said).into()) })
    }

    /// Each of them has been in its state, or was refused.
    pub async fn wait_until_all_came(&self) -> Result<()> {
        let said = self.said.clone();
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            said.lock().expect("nobody panics with it").read_line(&mut line).map(|_| line)
        });
        let line = line.await??;
        anyhow::ensure!(line.trim() == "all", "the attackers said {line:?}");
        Ok(())
    }

    pub fn stop(mut self) -> Result<Held> {
        // The end of its input ends it.
        drop(self.child.stdin.take());
        let mut line = String::new();
        self.said.lock().expect("nobody panics with it").read_line(&mut line)?;
        self.child.wait()?;
        serde_json::from_str(&line).with_context(|| format!("the attackers said {line:?}"))
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the attackers' process does.
pub async fn hold(hold: Hold) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    let (counts, at_a_time) = (Arc::new(Counts::default()), Arc::new(Semaphore::new(AT_A_TIME)));
    let script = Arc::new(hold.kind.script());
    let mut running = JoinSet::new();
    for _ in 0..hold.count {
        let (script, counts, at_a_time) = (script.clone(), counts.clone(), at_a_time.clone());
        running.spawn(async move {
            loop {
                one(hold.proxy, &script, &counts, &at_a_time).await;
                sleep(PAUSE).await;
            }
        });
    }
    while counts.tried.load(Relaxed) < u64::from(hold.count) {
        sleep(Duration::from_millis(20)).await;
    }
    output::print("all\n")?;
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    let Counts { held, opened, refused, ended, .. } = &*counts;
    let [held, opened, refused, ended] = [held, opened, refused, ended].map(|count| count.load(Relaxed));
    output::print(serde_json::to_string(&Held { asked: hold.count.into(), held, opened, refused, ended })? + "\n")
}

/// Gets into the state and stays there until the other side ends it.
async fn one(proxy: SocketAddr, script: &Script, counts: &Counts, at_a_time: &Semaphore) {
    let place = at_a_time.acquire().await;
    let opened = open(proxy, script).await;
    drop(place);
    counts.tried.fetch_add(1, Relaxed);
    counts.opened.fetch_add(1, Relaxed);
    let Ok(mut stream) = opened else {
        counts.refused.fetch_add(1, Relaxed);
        return;
    };
    // What is not to be read shows its end by what can be written no more.
    if !script.is_read {
        counts.held.fetch_add(1, Relaxed);
        while !matches!(stream.try_write(b""), Err(error) if error.kind() != ErrorKind::WouldBlock) {
            sleep(PAUSE).await;
        }
    } else if timeout(PAUSE, stream.read(&mut [0; 1024])).await.is_ok() {
        counts.refused.fetch_add(1, Relaxed);
        return;
    } else {
        counts.held.fetch_add(1, Relaxed);
        // Its end, one way or another.
        let _ = stream.read(&mut [0; 1024]).await;
    }
    counts.held.fetch_sub(1, Relaxed);
    counts.ended.fetch_add(1, Relaxed);
}

async fn open(proxy: SocketAddr, script: &Script) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // So that many of them find a port.
    socket.set_reuseaddr(true)?;
    if !script.is_read {
        socket.set_recv_buffer_size(LITTLE)?;
    }
    socket.bind((FROM, 0).into())?;
    let mut stream = socket.connect(proxy).await?;
    if let Some(host) = script.tunnel {
        stream.write_all(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").as_bytes()).await?;
        let mut answer = [0; 39];
        timeout(Duration::from_secs(10), stream.read_exact(&mut answer)).await??;
        anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200 "), "no tunnel");
    }
    // What cannot be sent is what is not read.
    if let Ok(sent) = timeout(SENDING, stream.write_all(&script.bytes)).await {
        sent?;
    }
    Ok(stream)
}
