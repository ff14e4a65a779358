//! The client's half of HTTP, in bytes.

use std::io::ErrorKind;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{drain, reset};

const MAX_HEAD: usize = 16 * 1024;
const MAX_BODY: usize = 1024 * 1024;
const MAX_HEADERS: usize = 64;

pub fn connect_request(authority: &str) -> Vec<u8> {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").into_bytes()
}

/// In absolute form, as proxies are asked.
pub fn proxy_request(authority: &str) -> Vec<u8> {
    let authority = authority.strip_suffix(":80").unwrap_or(authority);
    get_request(&format!("http://{authority}/"), authority)
}

/// As origins are asked.
pub fn origin_request(authority: &str) -> Vec<u8> {
    get_request("/", authority)
}

fn get_request(target: &str, host: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: egret-bench\r\nAccept: */*\r\n\r\n").into_bytes()
}

/// Asks for a tunnel and reads the consent.
pub async fn open_tunnel(stream: &mut TcpStream, request: &[u8]) -> Result<()> {
    stream.write_all(request).await?;
    let mut buffer = Vec::with_capacity(512);
    let head = read_head(stream, &mut buffer).await?;
    ensure!(head.status == 200, "CONNECT was answered with {}", head.status);
    ensure!(buffer.len() == head.size, "the proxy sent bytes after its 200");
    Ok(())
}

/// Asks for what is not allowed, and reads the whole refusal.
pub async fn be_refused(mut stream: TcpStream, request: &[u8]) -> Result<()> {
    stream.write_all(request).await?;
    let mut buffer = Vec::with_capacity(4096);
    let answer = read_answer(&mut stream, &mut buffer).await?;
    ensure!(answer.status >= 400, "a denied name was answered with {}", answer.status);
    match answer.then {
        Then::Keep => reset(stream),
        Then::Close => drain(&mut stream).await,
    }
}

/// One request on a connection that may be kept; `buffer` is only room to work in. `None` if the proxy closed the
/// connection without a byte of answer, as it may between requests.
pub async fn get(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Result<Option<Then>> {
    buffer.clear();
    let exchange = async {
        stream.write_all(request).await?;
        read_answer(stream, buffer).await
    };
    match exchange.await {
        Ok(answer) => {
            ensure!(answer.status == 200, "GET was answered with {}", answer.status);
            Ok(Some(answer.then))
        }
        Err(error) if buffer.is_empty() && is_close(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_close(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

/// What becomes of a connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Keep,
    Close,
}

struct Answer {
    status: u16,
    then: Then,
}

#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    /// Bytes of body, where the answer says so; until the close otherwise.
    length: Option<usize>,
    then: Then,
    /// Bytes of the head itself.
    size: usize,
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Head> {
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(anyhow::Error::new(std::io::Error::from(ErrorKind::UnexpectedEof)))
                .context("closed before the end of the answer's head");
        }
        if let Some(head) = parse_head(buffer)? {
            return Ok(head);
        }
        ensure!(buffer.len() < MAX_HEAD, "the answer's head is longer than {MAX_HEAD} bytes");
    }
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Answer> {
    let head = read_head(stream, buffer).await?;
    let end = head.length.map(|length| head.size + length.min(MAX_BODY));
    while end.is_none_or(|end| buffer.len() < end) && buffer.len() < MAX_BODY {
        if stream.read_buf(buffer).await? == 0 {
            ensure!(end.is_none(), "closed before the end of the answer's body");
            break;
        }
    }
    Ok(Answer { status: head.status, then: head.then })
}

fn parse_head(bytes: &[u8]) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(size) = response.parse(bytes).context("the answer is not HTTP")? else {
        return Ok(None);
    };
    let mut length = None;
    let mut then = if response.version == Some(1) { Then::Keep } else { Then::Close };
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse().context("content-length is not a number")?),
            "connection" if value.eq_ignore_ascii_case("close") => then = Then::Close,
            "connection" if value.eq_ignore_ascii_case("keep-alive") => then = Then::Keep,
            "transfer-encoding" => bail!("a chunked answer is not expected here"),
            _ => {}
        }
    }
    if length.is_none() {
        then = Then::Close;
    }
    Ok(Some(Head { status: response.code.unwrap_or_default(), length, then, size }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(u16, Option<usize>, Then)>) {
        let head = parse_head(text.as_bytes()).unwrap();
        assert_eq!(head.map(|head| (head.status, head.length, head.then)), expected, "{text:?}");
    }

    #[test]
    fn heads() {
        check("HTTP/1.1 200 OK\r\nContent-Le", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Some((200, Some(5), Then::Keep)));
        check("HTTP/1.0 403 No\r\nContent-Length: 5\r\n\r\n", Some((403, Some(5), Then::Close)));
        check(
            "HTTP/1.1 470 Denied\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n",
            Some((470, Some(0), Then::Close)),
        );
        check("HTTP/1.1 200 OK\r\n\r\n", Some((200, None, Then::Close)));
    }
}
