//! Headers that an application rule adds to requests (azure-docs, configure-http-header-insertion.md, 2026-07-20).

/// One of `httpHeadersToInsert`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeaderInsertion {
    pub name: String,
    pub value: String,
}

/// Why Azure takes no such header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InsertionError {
    #[error("`{0}` is reserved")]
    Reserved(String),
    #[error("`{0}` is no header name")]
    NotAName(String),
    #[error("the value of `{0}` holds what no header may")]
    NotAValue(String),
    #[error("`{0}` is longer than {MAX_NAME} characters")]
    LongName(String),
    #[error("the value of `{0}` is longer than {MAX_VALUE} characters")]
    LongValue(String),
}

const MAX_NAME: usize = 100;
const MAX_VALUE: usize = 16_000;

/// Sorted; in lower case.
const RESERVED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "content-security-policy",
    "cookie",
    "expect-ct",
    "forwarded",
    "host",
    "metadata",
    "proxy-authenticate",
    "proxy-authorization",
    "public-key-pins",
    "referrer-policy",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-content-type-options",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-frame-options",
    "x-xsrf-token",
    "x-xss-protection",
];

impl HeaderInsertion {
    /// Bytes of all of a rule's headers together, at most.
    pub const MAX_OF_RULE: usize = 16_384;

    /// Why Azure would not take it; None where it would.
    pub fn refusal(&self) -> Option<InsertionError> {
        let HeaderInsertion { name, value } = self;
        let own = || name.chars().take(MAX_NAME).collect();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let visible = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        if name.is_empty() || !name.bytes().all(token) {
            Some(InsertionError::NotAName(own()))
        } else if name.len() > MAX_NAME {
            Some(InsertionError::LongName(own()))
        } else if RESERVED.binary_search(&&*name.to_ascii_lowercase()).is_ok() {
            Some(InsertionError::Reserved(own()))
        } else if !value.bytes().all(visible) {
            Some(InsertionError::NotAValue(own()))
        } else if value.chars().count() > MAX_VALUE {
            Some(InsertionError::LongValue(own()))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_azure_refuses() {
        assert!(RESERVED.is_sorted());
        let refusal = |name: &str, value: &str| {
            let refusal = HeaderInsertion { name: name.to_owned(), value: value.to_owned() }.refusal();
            refusal.map(|error| error.to_string())
        };
        assert_eq!(refusal("Restrict-Access-To-Tenants", "contoso.com"), None);
        assert_eq!(refusal("HOST", "x").unwrap(), "`HOST` is reserved");
        assert_eq!(refusal("a b", "x").unwrap(), "`a b` is no header name");
        assert_eq!(refusal("", "x").unwrap(), "`` is no header name");
        assert_eq!(refusal("x-a", "a\r\nb").unwrap(), "the value of `x-a` holds what no header may");
        assert!(refusal(&"a".repeat(101), "x").unwrap().ends_with("is longer than 100 characters"));
        assert!(refusal("x-a", &"a".repeat(16_001)).unwrap().ends_with("is longer than 16000 characters"));
    }
}
