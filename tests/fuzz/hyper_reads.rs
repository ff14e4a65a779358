//! What hyper makes of a client's bytes, to hold our own reader of HTTP against.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One request, whoever read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub method: String,
    pub target: String,
    pub host: Option<String>,
    /// None where it is cut off or broken.
    pub body: Option<Vec<u8>>,
}

type Requests = Rc<RefCell<Vec<Read>>>;

/// The requests that hyper hands to a service, in order, until it has enough of it.
pub fn hyper_reads(bytes: &[u8]) -> Vec<Read> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without a driver");
    let requests = Requests::default();
    runtime.block_on(serve(bytes, requests.clone()));
    requests.take()
}

async fn serve(bytes: &[u8], requests: Requests) {
    let (server, client) = tokio::io::duplex(1 << 16);
    let service = service_fn(move |request| take(request, requests.clone()));
    let served =
        http1::Builder::new().half_close(true).max_headers(128).serve_connection(TokioIo::new(server), service);
    let (mut from, mut to) = tokio::io::split(client);
    let says = async {
        // hyper may have closed by then.
        let _ = to.write_all(bytes).await;
        let _ = to.shutdown().await;
    };
    let hears = async {
        let mut heard = Vec::new();
        let _ = from.read_to_end(&mut heard).await;
    };
    let (_, (), ()) = tokio::join!(served, says, hears);
}

async fn take(request: Request<Incoming>, requests: Requests) -> Result<Response<Empty<Bytes>>, Infallible> {
    let host = request.headers().get("host").map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    let (method, target) = (request.method().to_string(), request.uri().to_string());
    let at = requests.borrow().len();
    requests.borrow_mut().push(Read { method, target, host, body: None });
    let body = request.into_body().collect().await.ok().map(|body| body.to_bytes().to_vec());
    requests.borrow_mut()[at].body = body;
    Ok(Response::new(Empty::new()))
}
