//! Workloads with many operations on one connection.

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{timeout, timeout_at};

use super::exchange;
use super::meter::Meter;
use crate::client::{Dial, EXCHANGE, Then, drain, reset};

const BULK_BUFFER: usize = 256 * 1024;

/// A new session whenever one has ended, until the limit is reached.
pub async fn repeat<F: Future<Output = Result<()>>>(meter: &Meter, session: impl Fn() -> F) {
    while meter.has_more() {
        if let Err(error) = session().await {
            meter.failed(&error);
        }
    }
}

/// Requests on one connection, for as long as the proxy keeps it.
pub async fn http(dial: &Dial, meter: &Meter) -> Result<()> {
    let mut stream = timeout(EXCHANGE, dial.connect()).await??;
    let mut buffer = Vec::with_capacity(4096);
    let mut kept = false;
    while let Some(since) = meter.take() {
        match timeout(EXCHANGE, dial.get(&mut stream, &mut buffer)).await.context("no answer within 10 s")?? {
            Some(Then::Keep) => meter.done(since),
            Some(Then::Close) => {
                meter.done(since);
                return timeout(EXCHANGE, drain(&mut stream)).await.context("not closed within 10 s")?;
            }
            // Some proxies close after an answer without having said so; the request is then asked anew.
            None if kept => {
                meter.put_back();
                return Ok(());
            }
            None => bail!("closed without an answer"),
        }
        kept = true;
    }
    reset(stream)
}

pub async fn pingpong(dial: &Dial, meter: &Meter) -> Result<()> {
    let mut stream = timeout(EXCHANGE, dial.tunnel()).await??;
    let mut byte = [b'p'];
    while let Some(since) = meter.take() {
        let round = async {
            stream.write_all(&byte).await?;
            stream.read_exact(&mut byte).await
        };
        timeout(EXCHANGE, round).await.context("no echo within 10 s")??;
        meter.done(since);
    }
    reset(stream)
}

pub async fn bulk(dial: &Dial, meter: &Meter) -> Result<()> {
    let mut stream = timeout(EXCHANGE, dial.tunnel()).await??;
    let mut buffer = vec![0; BULK_BUFFER];
    while meter.has_more() {
        let Ok(read) = timeout_at(meter.deadline().into(), stream.read(&mut buffer)).await else { break };
        let n = read?;
        ensure!(n > 0, "the stream ended");
        meter.received(n);
    }
    reset(stream)
}

/// What the kernel has taken counts: what it still holds at the end is little beside the rest.
pub async fn bulk_up(dial: &Dial, meter: &Meter) -> Result<()> {
    let mut stream = timeout(EXCHANGE, dial.tunnel()).await??;
    let chunk = vec![b'u'; BULK_BUFFER];
    while meter.has_more() {
        let Ok(written) = timeout_at(meter.deadline().into(), stream.write(&chunk)).await else { break };
        meter.received(written?);
    }
    reset(stream)
}

/// One handshake after the other, each on a connection of its own.
pub async fn handshakes(dial: &Dial, meter: &Meter) -> Result<()> {
    let connector = dial.connector()?;
    exchange::repeat(meter, || exchange::handshake(dial, &connector)).await;
    Ok(())
}

/// Questions from one socket, one after the other.
pub async fn lookups(dial: &Dial, meter: &Meter) -> Result<()> {
    let mut asker = dial.asker().await?;
    while let Some(since) = meter.take() {
        timeout(EXCHANGE, asker.lookup()).await.context("no answer within 10 s")??;
        meter.done(since);
    }
    Ok(())
}

pub async fn refused_lookups(dial: &Dial, meter: &Meter) -> Result<()> {
    let mut asker = dial.asker().await?;
    while let Some(since) = meter.take() {
        timeout(EXCHANGE, asker.refused()).await.context("no answer within 10 s")??;
        meter.done(since);
    }
    Ok(())
}
