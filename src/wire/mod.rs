//! Network bytes into structs: `&[u8]` → a value, *incomplete*, or *invalid*.
//!
//! The bytes are hostile. No parser here panics, and none holds more than a small multiple of its input; most
//! hold nothing. There is no I/O, no clock and no log: a caller reads bytes into a buffer with a bound, calls
//! the parser again as the buffer grows, and keeps its own deadline.
//!
//! A verdict depends on the bytes alone, never on how they arrived: for every prefix of some input, a parser
//! says *incomplete* or what it says of the whole input.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unreachable, clippy::expect_used))]

pub mod client_hello;
pub mod dns;
pub mod greeting;
pub mod http_body;
pub mod http_head;
pub mod socks5;
pub mod tds;

/// Why there is no value (yet).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError<E> {
    /// More bytes may make it valid.
    #[error("more bytes are needed")]
    Incomplete,
    /// No further bytes can mend it.
    #[error("{0}")]
    Invalid(E),
}

impl<E> From<E> for ParseError<E> {
    fn from(error: E) -> Self {
        ParseError::Invalid(error)
    }
}
