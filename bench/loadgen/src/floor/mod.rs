//! The floors: the least that a proxy of each kind can do, on the same runtime and library as Egret.
//!
//! No policy, no log, no deadlines: they are a measure, not a proxy to use.

pub mod dns;
pub mod forward;
pub mod relay;
pub mod sni;
pub mod socks;
pub mod splice;

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const BACKLOG: i32 = 4096;

/// Serves until the process is killed: one single-threaded runtime per core, each with its own listener on the
/// same port. The address is written to `port_file`, one line, once all of them listen.
pub fn serve_per_core<F>(
    listen: SocketAddr,
    port_file: &Path,
    serve: fn(TcpStream, SocketAddr) -> F,
    origin: SocketAddr,
) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    end_with_parent()?;
    let first = reuse_port(listen)?;
    let addr = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..thread::available_parallelism()?.get() {
        listeners.push(reuse_port(addr)?);
    }
    fs::write(port_file, format!("{addr}\n")).with_context(|| format!("writing {}", port_file.display()))?;

    let cores = listeners.into_iter().map(|listener| thread::spawn(move || core(listener, serve, origin)));
    for core in cores.collect::<Vec<_>>() {
        core.join().expect("a core's thread does not panic")?;
    }
    Ok(())
}

/// A floor must not outlive the tool that started it, however that ended.
fn end_with_parent() -> Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?)
}

fn reuse_port(addr: SocketAddr) -> Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into()).with_context(|| format!("listening on {addr}"))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn core<F>(listener: std::net::TcpListener, serve: fn(TcpStream, SocketAddr) -> F, origin: SocketAddr) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                incoming = listener.accept() => {
                    let (stream, _) = incoming?;
                    stream.set_nodelay(true)?;
                    connections.spawn(serve(stream, origin));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    })
}
