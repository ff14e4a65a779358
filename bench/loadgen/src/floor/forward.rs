//! The floor of an HTTP forward proxy: hyper on both sides, one kept upstream connection per client, one name
//! compared.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

const ALLOWED: &str = "ok.test";

pub async fn serve(client: TcpStream, origin: SocketAddr) -> Result<()> {
    let upstream = TcpStream::connect(origin).await?;
    upstream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(upstream)).await?;
    let sender = Arc::new(Mutex::new(sender));
    let service = service_fn(|request| forward(request, sender.clone()));
    let server = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service);
    tokio::select! {
        served = server => served?,
        ended = connection => ended?,
    }
    Ok(())
}

async fn forward(
    mut request: Request<Incoming>,
    sender: Arc<Mutex<SendRequest<Incoming>>>,
) -> Result<Response<Incoming>> {
    ensure!(request.uri().host() == Some(ALLOWED), "the name is not allowed");
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>()?;
    let mut sender = sender.lock().await;
    sender.ready().await?;
    Ok(sender.send_request(request).await?)
}
