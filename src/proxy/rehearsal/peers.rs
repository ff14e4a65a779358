//! The client and the origins of a play.

use std::io;
use std::net::TcpStream as StdStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::sleep;

use super::Notes;
use super::script::Cuts;

/// After all that a client says, and long before any deadline.
const ANSWERS_AFTER: Duration = Duration::from_secs(2);

/// After the last word of a client it does what it does next.
const PAUSE: Duration = Duration::from_millis(500);

/// Two ends of one connection, which look like TCP.
pub(super) fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let (one, other) = UnixStream::pair()?;
    let stream = |end: UnixStream| {
        end.set_nonblocking(true)?;
        TcpStream::from_std(StdStream::from(OwnedFd::from(end)))
    };
    Ok((stream(one)?, stream(other)?))
}

#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) says: Vec<u8>,
    pub(super) then: Then,
}

/// What a client does when it has said all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Waits,
    EndsItsHalf,
    Leaves,
}

impl Client {
    pub(super) async fn act(self, stream: TcpStream, cuts: Cuts, notes: Notes) {
        let (mut from, mut to) = stream.into_split();
        let says = async {
            for (segment, pause) in cuts.of(&self.says) {
                if to.write_all(segment).await.is_err() {
                    break;
                }
                sleep(pause).await;
            }
            sleep(PAUSE).await;
            match self.then {
                Then::Waits => std::future::pending().await,
                Then::EndsItsHalf => {
                    // It may be closed already.
                    let _ = to.shutdown().await;
                    std::future::pending().await
                }
                Then::Leaves => {}
            }
        };
        let hears = async {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(read @ 1..) = from.read(&mut buffer).await {
                notes.borrow_mut().to_client.extend_from_slice(&buffer[..read]);
            }
        };
        tokio::select! {
            () = says => {}
            () = hears => {}
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// Empty: what fits what it hears.
    pub(super) says: Vec<u8>,
    pub(super) manner: Manner,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Answers whatever it hears, each time.
    Answers,
    /// Answers once and closes.
    Closes,
    /// The same, a byte at a time.
    Trickles,
    /// Answers once and stays.
    Stays,
    SpeaksFirst,
    Silent,
    HangsUp,
    Refuses,
}

impl Origin {
    pub(super) fn refuses(&self) -> bool {
        self.manner == Manner::Refuses
    }

    /// Does the part of one connection, the one of this number.
    pub(super) async fn act(self, stream: TcpStream, number: usize, notes: Notes) {
        let (mut from, mut to) = stream.into_split();
        if self.manner == Manner::HangsUp {
            return;
        }
        if self.manner == Manner::SpeaksFirst && !self.say(&mut to, number, &notes).await {
            return;
        }
        let mut answered = false;
        while hear(&mut from, number, &notes).await {
            let again = self.manner == Manner::Answers;
            if matches!(self.manner, Manner::Silent | Manner::SpeaksFirst) || (answered && !again) {
                continue;
            }
            sleep(ANSWERS_AFTER).await;
            answered = true;
            if !self.say(&mut to, number, &notes).await || matches!(self.manner, Manner::Closes | Manner::Trickles) {
                return;
            }
        }
    }

    async fn say(&self, to: &mut OwnedWriteHalf, number: usize, notes: &Notes) -> bool {
        let answer = match self.says.as_slice() {
            [] => fitting(&notes.borrow().reached[number].heard).to_vec(),
            says => says.to_vec(),
        };
        notes.borrow_mut().reached[number].said.extend_from_slice(&answer);
        let size = if self.manner == Manner::Trickles { 1 } else { answer.len().max(1) };
        for part in answer.chunks(size) {
            if to.write_all(part).await.is_err() {
                return false;
            }
            sleep(Duration::from_millis(1)).await;
        }
        true
    }
}

/// False at the end.
async fn hear(from: &mut OwnedReadHalf, number: usize, notes: &Notes) -> bool {
    let mut buffer = vec![0; 16 * 1024];
    match from.read(&mut buffer).await {
        Ok(read @ 1..) => {
            notes.borrow_mut().reached[number].heard.extend_from_slice(&buffer[..read]);
            true
        }
        Ok(_) | Err(_) => false,
    }
}

const HTTP: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// A pre-login answer: a version, and that encryption is required.
const PRE_LOGIN: &[u8] = &[4, 1, 0, 26, 0, 0, 1, 0, 0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 16, 0, 0, 0, 0, 0, 3];

/// The beginning of a ServerHello.
const SERVER_HELLO: &[u8] = &[
    22, 3, 3, 0, 48, 2, 0, 0, 44, 3, 3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 0, 0x13, 1, 0, 0, 4, 0, 43, 0, 0,
];

fn fitting(heard: &[u8]) -> &'static [u8] {
    match heard.first() {
        Some(22) => SERVER_HELLO,
        Some(0x12) => PRE_LOGIN,
        Some(_) => HTTP,
        None => b"220 ready\r\n",
    }
}
