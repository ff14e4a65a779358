//! The floor of lookups: questions that were asked before are answered from a map, others are asked of one server. A
//! thread with a socket of its own per core; no policy, no log, nothing expires.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::dns::{MAX_MESSAGE, key, number};

const PATIENCE: Duration = Duration::from_secs(2);

/// Serves until the process is killed.
pub fn serve(listen: SocketAddr, port_file: &Path, origin: SocketAddr) -> Result<()> {
    super::end_with_parent()?;
    let first = socket(listen)?;
    let addr = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..thread::available_parallelism()?.get() {
        sockets.push(socket(addr)?);
    }
    fs::write(port_file, format!("{addr}\n")).with_context(|| format!("writing {}", port_file.display()))?;
    let cores = sockets.into_iter().map(|socket| thread::spawn(move || core(&socket, origin)));
    for core in cores.collect::<Vec<_>>() {
        core.join().expect("a core's thread does not panic")?;
    }
    Ok(())
}

fn socket(addr: SocketAddr) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into()).with_context(|| format!("listening on {addr}"))?;
    Ok(socket.into())
}

fn core(socket: &UdpSocket, origin: SocketAddr) -> Result<()> {
    let mut known: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let mut buffer = [0; MAX_MESSAGE];
    loop {
        let (length, client) = socket.recv_from(&mut buffer)?;
        let question = &buffer[..length];
        let Some(key) = key(question) else { continue };
        if !known.contains_key(key) {
            // A client whose question is lost asks again, as with any server.
            let Ok(answer) = ask(origin, question) else { continue };
            known.insert(key.to_vec(), answer);
        }
        if let Some(answer) = known.get_mut(key) {
            number(answer, u16::from_be_bytes([question[0], question[1]]));
            socket.send_to(answer, client)?;
        }
    }
}

/// By a socket of its own, so that a late answer never meets another question.
fn ask(origin: SocketAddr, question: &[u8]) -> Result<Vec<u8>> {
    let upstream = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    upstream.connect(origin)?;
    upstream.set_read_timeout(Some(PATIENCE))?;
    upstream.send(question)?;
    let mut buffer = [0; MAX_MESSAGE];
    let length = upstream.recv(&mut buffer)?;
    Ok(buffer[..length].to_vec())
}
