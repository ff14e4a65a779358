//! The client's half of DNS: one question after the other from one socket.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use tokio::net::UdpSocket;

use crate::dns::{MAX_MESSAGE, Said, number, question, said};

/// So many names are asked for in turn, so that a cache has to look.
const NAMES: usize = 64;
const DENIED: &str = "h0.denied.test";

pub struct Asker {
    socket: UdpSocket,
    questions: Vec<Vec<u8>>,
    denied: Vec<u8>,
    asked: u16,
}

impl Asker {
    pub async fn new(server: SocketAddr) -> Result<Asker> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(server).await?;
        let questions = (0..NAMES).map(|at| question(&format!("h{at}.ok.test"))).collect();
        Ok(Asker { socket, questions, denied: question(DENIED), asked: 0 })
    }

    /// The address of the next name.
    pub async fn lookup(&mut self) -> Result<()> {
        let at = usize::from(self.asked) % NAMES;
        let said = exchange(&self.socket, &mut self.questions[at], &mut self.asked).await?;
        ensure!(said == Said::Address, "an allowed name was not answered with its address");
        Ok(())
    }

    /// Asks for a name that no policy here allows.
    pub async fn refused(&mut self) -> Result<()> {
        let said = exchange(&self.socket, &mut self.denied, &mut self.asked).await?;
        ensure!(said == Said::No, "a denied name was not refused");
        Ok(())
    }
}

/// What does not belong to the question is read over.
async fn exchange(socket: &UdpSocket, question: &mut [u8], asked: &mut u16) -> Result<Said> {
    *asked = asked.wrapping_add(1);
    number(question, *asked);
    socket.send(question).await?;
    let mut answer = [0; MAX_MESSAGE];
    loop {
        let length = socket.recv(&mut answer).await?;
        if let Some(said) = said(&answer[..length], *asked) {
            return Ok(said);
        }
    }
}
