//! SQL Server's clients: which server they want is in a ClientHello that they send only when their pre-login was
//! answered. So Egret answers it, reads the hello, and makes up for it towards the server once that is dialled.
//!
//! Everything but the pre-login stays between client and server. Where the client would have encrypted its login
//! alone, all is encrypted: only then is it the same to both whatever the server answers.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::flow::Reason;
use crate::net::deadline::Timer;
use crate::wire::ParseError;
use crate::wire::client_hello::ClientHello;
use crate::wire::tds::{self, Encryption, PreLogin, PreLoginReader, TdsError};

use super::peek::Peek;

/// A client's pre-login, which was answered and is still to be sent to the server.
pub(super) struct Login {
    packets: Vec<u8>,
    asked: PreLogin,
}

/// Reads the pre-login off what is held, answers it, and reads the hello behind it, which stays held.
pub(super) async fn identify(peek: &mut Peek<'_>) -> Result<(ClientHello, Login), Reason> {
    let login = read_login(peek).await?;
    // There will be no hello to see a name in.
    if login.asked.encryption == Encryption::NotSupported {
        return Err(Reason::MissingSni);
    }
    if !peek.session.write(peek.stream, &login.asked.answer()).await {
        return Err(Reason::ClientGone);
    }
    let mut reader = tds::HelloReader::default();
    let hello = peek.read_hello(|bytes| reader.read(bytes), TdsError::reason).await?;
    Ok((hello, login))
}

async fn read_login(peek: &mut Peek<'_>) -> Result<Login, Reason> {
    let mut reader = PreLoginReader::of_client();
    loop {
        match reader.read(peek.held) {
            Ok((asked, length)) => {
                let mut packets = peek.held.split_to(length).to_vec();
                asked.demand_encryption(&mut packets);
                return Ok(Login { packets, asked });
            }
            Err(ParseError::Invalid(error)) => return Err(error.reason()),
            Err(ParseError::Incomplete) => peek.more().await?,
        }
    }
}

impl Login {
    /// Sends the pre-login to the server and takes its answer, which has to be what the client was told already.
    /// Returns how many bytes were sent.
    pub(super) async fn repeat(
        &self,
        origin: &mut TcpStream,
        within: Duration,
        timer: &Timer,
    ) -> Result<usize, Reason> {
        let deadline = Instant::now() + within;
        let sent = timer.within(within, origin.write_all(&self.packets)).await;
        sent.map_err(|_| Reason::UpstreamTimeout)?.map_err(|_| Reason::UpstreamUnreachable)?;
        let (mut answer, mut reader) = (Vec::with_capacity(256), PreLoginReader::of_server());
        loop {
            match reader.read(&answer) {
                Ok((given, length)) if self.is_kept_by(&given) && length == answer.len() => {
                    return Ok(self.packets.len());
                }
                Ok(_) | Err(ParseError::Invalid(_)) => return Err(Reason::UpstreamInvalid),
                Err(ParseError::Incomplete) => {}
            }
            match timer.by(deadline, origin.read_buf(&mut answer)).await {
                Err(_) => return Err(Reason::UpstreamTimeout),
                Ok(Ok(0) | Err(_)) => return Err(Reason::UpstreamInvalid),
                Ok(Ok(_)) => {}
            }
        }
    }

    fn is_kept_by(&self, given: &PreLogin) -> bool {
        let encrypts = matches!(given.encryption, Encryption::On | Encryption::Required);
        encrypts && given.mars == self.asked.mars
    }
}
