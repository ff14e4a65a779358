//! The clients: how each door is come through, in bytes.

mod dns;
mod http;
mod socks;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::hello::client_hello;
use crate::tls::Identity;
use crate::workload::HelloKind;
pub use dns::Asker;
pub use http::Then;

/// Deadline of one exchange, from the first byte to the last.
pub const EXCHANGE: Duration = Duration::from_secs(10);

const OK: &str = "ok.test";
const DENIED: &str = "denied.test";
/// A TLS record with an alert begins with it.
const ALERT: u8 = 21;

/// Where the load goes: the proxy, and what is asked of it.
pub struct Dial {
    addr: SocketAddr,
    opening: Opening,
    refused: Opening,
    get: Vec<u8>,
    hello: Vec<u8>,
    refused_hello: Vec<u8>,
    tls: HelloKind,
}

/// What comes before the ClientHello.
enum Opening {
    /// Nothing: the kernel hands connections over, or there is no proxy.
    Nothing,
    Connect(Vec<u8>),
    Socks(Vec<u8>),
}

impl Dial {
    /// A proxy that is asked over HTTP; `tunnel` and `http` are `host:port` as it is to see them.
    pub fn http(proxy: SocketAddr, tunnel: &str, http: &str, hello: HelloKind) -> Dial {
        let connect = |authority| Opening::Connect(http::connect_request(authority));
        let refused = format!("{DENIED}:{}", port(tunnel));
        let get = http::proxy_request(http);
        Dial { opening: connect(tunnel), refused: connect(&refused), get, ..Dial::origin(proxy, hello) }
    }

    /// A proxy that is asked by SOCKS5.
    pub fn socks(proxy: SocketAddr, tunnel: &str, hello: HelloKind) -> Result<Dial> {
        let opening = Opening::Socks(socks::request(tunnel)?);
        let refused = Opening::Socks(socks::request(&format!("{DENIED}:{}", port(tunnel)))?);
        Ok(Dial { opening, refused, ..Dial::origin(proxy, hello) })
    }

    /// A destination that a gateway stands before: the ClientHello comes first.
    pub fn handed_over(destination: SocketAddr, hello: HelloKind) -> Dial {
        Dial::origin(destination, hello)
    }

    /// No proxy.
    pub fn origin(addr: SocketAddr, hello: HelloKind) -> Dial {
        Dial {
            addr,
            opening: Opening::Nothing,
            refused: Opening::Nothing,
            get: http::origin_request(OK),
            hello: client_hello(hello, OK),
            refused_hello: client_hello(hello, DENIED),
            tls: hello,
        }
    }

    /// A name server, for [`Dial::asker`] alone.
    pub fn resolver(addr: SocketAddr) -> Dial {
        Dial::origin(addr, HelloKind::Classic)
    }

    pub async fn asker(&self) -> Result<Asker> {
        Asker::new(self.addr).await
    }

    pub async fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.addr).await.with_context(|| format!("connecting to {}", self.addr))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A tunnel whose ClientHello has been sent.
    pub async fn tunnel(&self) -> Result<TcpStream> {
        let mut stream = self.opened().await?;
        stream.write_all(&self.hello).await?;
        Ok(stream)
    }

    async fn opened(&self) -> Result<TcpStream> {
        let mut stream = self.connect().await?;
        match &self.opening {
            Opening::Nothing => {}
            Opening::Connect(request) => http::open_tunnel(&mut stream, request).await?,
            Opening::Socks(request) => socks::open_tunnel(&mut stream, request).await?,
        }
        Ok(stream)
    }

    /// The client's end of TLS, for [`Dial::handshake`].
    pub fn connector(&self) -> Result<TlsConnector> {
        Identity::get()?.connector(self.tls)
    }

    /// A tunnel through which a whole handshake has gone.
    pub async fn handshake(&self, connector: &TlsConnector) -> Result<TlsStream<TcpStream>> {
        let stream = self.opened().await?;
        let name = ServerName::try_from(OK).expect("it is a name");
        Ok(connector.connect(name, stream).await?)
    }

    /// Asks for a name that no policy here allows, and waits for the whole refusal.
    pub async fn refused(&self) -> Result<()> {
        let stream = self.connect().await?;
        match &self.refused {
            Opening::Nothing => self.refused_hello(stream).await,
            Opening::Connect(request) => http::be_refused(stream, request).await,
            Opening::Socks(request) => socks::be_refused(stream, request).await,
        }
    }

    /// Closed or reset, without a byte but those of an alert.
    async fn refused_hello(&self, mut stream: TcpStream) -> Result<()> {
        stream.write_all(&self.refused_hello).await?;
        let mut answer = [0; 64];
        loop {
            match stream.read(&mut answer).await {
                Ok(0) => return Ok(()),
                Ok(n) => ensure!(answer[0] == ALERT && n < 16, "a denied name was answered with {n} bytes"),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => bail!(error),
            }
        }
    }

    /// One request on a connection that may be kept, see [`http::get`].
    pub async fn get(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<Then>> {
        http::get(stream, &self.get, buffer).await
    }
}

fn port(authority: &str) -> &str {
    authority.rsplit_once(':').map_or("443", |(_, port)| port)
}

/// Ends a connection at once. Whoever closes first keeps the port in time-wait for a minute, and a client that
/// does so runs out of ports; a reset leaves nothing behind.
pub fn reset(stream: TcpStream) -> Result<()> {
    stream.set_zero_linger().context("setting SO_LINGER")
}

/// Reads until the peer closes, so that the time-wait socket is the peer's.
pub async fn drain(stream: &mut TcpStream) -> Result<()> {
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
