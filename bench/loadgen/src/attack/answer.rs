//! Answers of HTTP as a client reads them, in what has come so far.

const MAX_HEADERS: usize = 100;

/// What has no length of its own ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    Open,
    Ended,
}

/// Status of the head at the beginning, and its size.
pub fn head(bytes: &[u8]) -> Option<(u16, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(size)) => Some((response.code?, size)),
        _ => None,
    }
}

/// The head says where its body ends.
pub fn is_framed(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.contains("\r\ncontent-length:") || head.contains("\r\ntransfer-encoding:")
}

/// Status of the whole answer at the beginning, and its size.
pub fn answer(bytes: &[u8], connection: Connection) -> Option<(u16, usize)> {
    let (status, head) = head(bytes)?;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let body = &bytes[head..];
    let size = if status < 200 || status == 204 || status == 304 {
        0
    } else if field("transfer-encoding:").is_some() {
        body.windows(5).position(|window| window == b"0\r\n\r\n")? + 5
    } else if let Some(length) = field("content-length:") {
        length.parse().ok()?
    } else if connection == Connection::Ended || status >= 400 {
        body.len()
    } else {
        return None;
    };
    (body.len() >= size).then_some((status, head + size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let check = |text: &str, expected| assert_eq!(answer(text.as_bytes(), Connection::Open), expected, "{text}");
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Some((200, 40)));
        check("HTTP/1.1 100 Continue\r\n\r\n", Some((100, 25)));
        check("HTTP/1.1 403 No\r\n\r\n", Some((403, 19)));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Some((200, 59)));
    }
}
