//! Workloads whose operation is a connection of its own.

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::meter::Meter;
use crate::client::{Dial, EXCHANGE};
use crate::origin::ANSWER_LEN;

/// One exchange after the other, each with a deadline, until the limit is reached.
pub async fn repeat<F: Future<Output = Result<()>>>(meter: &Meter, exchange: impl Fn() -> F) {
    while let Some(since) = meter.take() {
        match timeout(EXCHANGE, exchange()).await.unwrap_or_else(|_| bail!("no end within 10 s")) {
            Ok(()) => meter.done(since),
            Err(error) => meter.failed(&error),
        }
    }
}

/// The origin closes first, so that time-wait sockets gather on the servers' side of each connection.
pub async fn tunnel(dial: &Dial) -> Result<()> {
    let mut stream = dial.tunnel().await?;
    until_answered(&mut stream).await
}

/// The same with TLS inside.
pub async fn handshake(dial: &Dial, connector: &TlsConnector) -> Result<()> {
    let mut stream = dial.handshake(connector).await?;
    until_answered(&mut stream).await
}

async fn until_answered(stream: &mut (impl AsyncRead + Unpin)) -> Result<()> {
    let mut answer = [0; 2 * ANSWER_LEN];
    let mut received = 0;
    loop {
        let n = stream.read(&mut answer[received..]).await?;
        if n == 0 {
            ensure!(received == ANSWER_LEN, "{received} bytes came back instead of {ANSWER_LEN}");
            return Ok(());
        }
        received += n;
    }
}
