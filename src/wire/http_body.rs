//! Where the body of an HTTP/1 request ends.
//!
//! RFC 9112 section 7.1, without what it lets a recipient tolerate: no blanks around a chunk size, CRLF at
//! every line end. Bodies pass through unread and unchanged; this only counts.

use super::http_head::{Framing, is_control, is_token};
use crate::flow::Reason;

/// The longest chunk-size line in bytes, with its extensions and without its CRLF.
pub const MAX_CHUNK_LINE: usize = 256;

/// The longest trailer section in bytes, without its last CRLF.
pub const MAX_TRAILERS: usize = 8 * 1024;

/// Follows a message body through however many pieces it arrives in. An error is final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyTracker(State);

/// How far a body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All of the bytes belong to the body, and there is more to come.
    More,
    /// The body ends after so many of the bytes, perhaps none; the rest belongs to the next message.
    Done(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("a chunk size is not one to sixteen hexadecimal digits")]
    ChunkSize,
    #[error("a chunk extension holds a control character")]
    ChunkExtension,
    #[error("a chunk-size line is longer than 256 bytes")]
    ChunkLineTooLong,
    #[error("a line of a chunked body does not end with CRLF")]
    LineEnd,
    #[error("a trailer line is malformed or folded")]
    TrailerLine,
    #[error("the trailers are longer than 8 KiB")]
    TrailersTooLong,
}

impl BodyError {
    pub fn reason(self) -> Reason {
        match self {
            BodyError::TrailersTooLong => Reason::LimitHead,
            BodyError::ChunkSize
            | BodyError::ChunkExtension
            | BodyError::ChunkLineTooLong
            | BodyError::LineEnd
            | BodyError::TrailerLine => Reason::BadFraming,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes of a body with a known length are left.
    Length(u64),
    ChunkLine(ChunkLine),
    /// So many bytes of a chunk are left.
    ChunkData(u64),
    ChunkDataCr,
    ChunkDataLf,
    Trailers {
        part: Trailer,
        /// Bytes of the section so far.
        seen: usize,
    },
    Done,
    Failed(BodyError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ChunkLine {
    part: ChunkPart,
    size: u64,
    /// Bytes of the line so far.
    seen: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkPart {
    Size,
    Extension,
    Lf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trailer {
    LineStart,
    Name,
    Value,
    Lf,
    LastLf,
}

/// Sixteen digits are what a `u64` holds.
const MAX_SIZE_DIGITS: usize = 16;

const CHUNK_START: State = State::ChunkLine(ChunkLine { part: ChunkPart::Size, size: 0, seen: 0 });

impl BodyTracker {
    pub fn new(framing: Framing) -> Self {
        BodyTracker(match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => CHUNK_START,
        })
    }

    /// Takes the next bytes of the connection. A body without bytes is done at once: ask with an empty slice.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Progress, BodyError> {
        let mut at = 0;
        loop {
            match (&mut self.0, bytes.get(at..).unwrap_or_default()) {
                (State::Done, _) => return Ok(Progress::Done(at)),
                (State::Failed(error), _) => return Err(*error),
                (_, []) => return Ok(Progress::More),
                (State::Length(left), rest) => {
                    at += take(left, rest.len());
                    if *left == 0 {
                        self.0 = State::Done;
                    }
                }
                (State::ChunkData(left), rest) => {
                    at += take(left, rest.len());
                    if *left == 0 {
                        self.0 = State::ChunkDataCr;
                    }
                }
                (state, [byte, ..]) => {
                    self.0 = state.step(*byte).unwrap_or_else(State::Failed);
                    at += 1;
                }
            }
        }
    }
}

/// Takes what is left, or as much of it as is there.
fn take(left: &mut u64, available: usize) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left -= taken as u64;
    taken
}

impl State {
    fn step(self, byte: u8) -> Result<State, BodyError> {
        match self {
            State::ChunkLine(line) => line.step(byte),
            State::ChunkDataCr if byte == b'\r' => Ok(State::ChunkDataLf),
            State::ChunkDataLf if byte == b'\n' => Ok(CHUNK_START),
            State::ChunkDataCr | State::ChunkDataLf => Err(BodyError::LineEnd),
            State::Trailers { part, seen } => part.step(byte, seen),
            State::Length(_) | State::ChunkData(_) | State::Done | State::Failed(_) => Ok(self),
        }
    }
}

impl ChunkLine {
    fn step(self, byte: u8) -> Result<State, BodyError> {
        let ChunkLine { part, size, seen } = self;
        let next = |part, size| Ok(State::ChunkLine(ChunkLine { part, size, seen: seen + 1 }));
        match (part, byte) {
            (ChunkPart::Lf, b'\n') if size == 0 => Ok(State::Trailers { part: Trailer::LineStart, seen: 0 }),
            (ChunkPart::Lf, b'\n') => Ok(State::ChunkData(size)),
            (ChunkPart::Lf, _) => Err(BodyError::LineEnd),
            (ChunkPart::Size, b'\r' | b';') if seen == 0 => Err(BodyError::ChunkSize),
            (_, b'\r') => next(ChunkPart::Lf, size),
            (_, b'\n') => Err(BodyError::LineEnd),
            _ if seen == MAX_CHUNK_LINE => Err(BodyError::ChunkLineTooLong),
            (ChunkPart::Size, b';') => next(ChunkPart::Extension, size),
            (ChunkPart::Size, _) => match char::from(byte).to_digit(16) {
                Some(digit) if seen < MAX_SIZE_DIGITS => next(ChunkPart::Size, size << 4 | u64::from(digit)),
                _ => Err(BodyError::ChunkSize),
            },
            (ChunkPart::Extension, _) if is_control(byte) => Err(BodyError::ChunkExtension),
            (ChunkPart::Extension, _) => next(ChunkPart::Extension, size),
        }
    }
}

impl Trailer {
    /// Names are checked as tokens, values for control characters; what they say is not read.
    fn step(self, byte: u8, seen: usize) -> Result<State, BodyError> {
        let part = match (self, byte) {
            (Trailer::LastLf, b'\n') => return Ok(State::Done),
            (Trailer::Lf, b'\n') => Trailer::LineStart,
            (Trailer::Lf | Trailer::LastLf, _) | (_, b'\n') => return Err(BodyError::LineEnd),
            (Trailer::LineStart, b'\r') => return Ok(State::Trailers { part: Trailer::LastLf, seen }),
            (Trailer::LineStart | Trailer::Name, _) if is_token(byte) => Trailer::Name,
            (Trailer::Name, b':') => Trailer::Value,
            (Trailer::Value, b'\r') => Trailer::Lf,
            (Trailer::Value, _) if !is_control(byte) => Trailer::Value,
            _ => return Err(BodyError::TrailerLine),
        };
        if seen == MAX_TRAILERS {
            return Err(BodyError::TrailersTooLong);
        }
        Ok(State::Trailers { part, seen: seen + 1 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::BodyError::*;
    use super::Progress::{Done, More};
    use super::*;

    fn check(framing: Framing, bytes: &[u8], expected: Result<Progress, BodyError>) {
        assert_eq!(BodyTracker::new(framing).advance(bytes), expected, "{framing:?} {}", bytes.escape_ascii());
    }

    fn check_chunked(text: &str, expected: Result<Progress, BodyError>) {
        check(Framing::Chunked, text.as_bytes(), expected);
    }

    #[test]
    fn lengths() {
        check(Framing::None, b"", Ok(Done(0)));
        check(Framing::None, b"GET", Ok(Done(0)));
        check(Framing::Length(0), b"GET", Ok(Done(0)));
        check(Framing::Length(5), b"", Ok(More));
        check(Framing::Length(5), b"1234", Ok(More));
        check(Framing::Length(5), b"12345", Ok(Done(5)));
        check(Framing::Length(5), b"12345GET", Ok(Done(5)));
        check(Framing::Length(u64::MAX), b"12345", Ok(More));
    }

    #[test]
    fn chunks() {
        check_chunked("", Ok(More));
        check_chunked("0\r\n\r\n", Ok(Done(5)));
        check_chunked("0\r\n\r\nGET", Ok(Done(5)));
        check_chunked("5\r\nhello\r\n0\r\n\r\n", Ok(Done(15)));
        check_chunked("9\r\n0\r\n\r\n0\r\n\r\r\n00\r\n\r\n", Ok(Done(20)));
        check_chunked("5;name=\"a b\"\r\nhello\r\n0;x\r\n\r\n", Ok(Done(28)));
        check_chunked("0\r\nDigest: \tabc\r\nX-Y:\r\n\r\n", Ok(Done(25)));
        check_chunked("ffffffffffffffff\r\nhello", Ok(More));
        check_chunked("0000000000000000\r\n\r\n", Ok(Done(20)));
    }

    #[test]
    fn bad_chunks() {
        check_chunked("\r\n", Err(ChunkSize));
        check_chunked(";x\r\n", Err(ChunkSize));
        check_chunked("+5\r\n", Err(ChunkSize));
        check_chunked("-1\r\n", Err(ChunkSize));
        check_chunked("0x5\r\n", Err(ChunkSize));
        check_chunked("5 \r\n", Err(ChunkSize));
        check_chunked(" 5\r\n", Err(ChunkSize));
        check_chunked("5_0\r\n", Err(ChunkSize));
        check_chunked("5\0\r\n", Err(ChunkSize));
        check_chunked("g\r\n", Err(ChunkSize));
        check_chunked("10000000000000000\r\n", Err(ChunkSize));
        check_chunked("00000000000000005\r\n", Err(ChunkSize));
        check_chunked("5\nhello", Err(LineEnd));
        check_chunked("5\rhello", Err(LineEnd));
        check_chunked("5;x\nhello", Err(LineEnd));
        check_chunked("5;x\0\r\n", Err(ChunkExtension));
        check_chunked("5\r\nhello0\r\n\r\n", Err(LineEnd));
        check_chunked("5\r\nhello\n0\r\n\r\n", Err(LineEnd));
        check_chunked("5\r\nhello\rX", Err(LineEnd));
    }

    #[test]
    fn bad_trailers() {
        check_chunked("0\r\n\n", Err(LineEnd));
        check_chunked("0\r\n\rX", Err(LineEnd));
        check_chunked("0\r\nX: y\n\r\n", Err(LineEnd));
        check_chunked("0\r\nX: y\rz", Err(LineEnd));
        check_chunked("0\r\nX\r\n\r\n", Err(TrailerLine));
        check_chunked("0\r\nX : y\r\n\r\n", Err(TrailerLine));
        check_chunked("0\r\n: y\r\n\r\n", Err(TrailerLine));
        check_chunked("0\r\nX: y\r\n folded\r\n\r\n", Err(TrailerLine));
        check_chunked("0\r\nX: \0\r\n\r\n", Err(TrailerLine));
    }

    #[test]
    fn limits() {
        let extended = |length: usize| format!("5;{}\r\nhello", "x".repeat(length - 2));
        check_chunked(&extended(MAX_CHUNK_LINE), Ok(More));
        check_chunked(&extended(MAX_CHUNK_LINE + 1), Err(ChunkLineTooLong));
        let trailed = |length: usize| format!("0\r\nX:{}\r\n\r\n", "y".repeat(length - 4));
        check_chunked(&trailed(MAX_TRAILERS), Ok(Done(MAX_TRAILERS + 5)));
        check_chunked(&trailed(MAX_TRAILERS + 1), Err(TrailersTooLong));
    }

    #[test]
    fn an_error_is_final() {
        let mut body = BodyTracker::new(Framing::Chunked);
        assert_eq!(body.advance(b"x"), Err(ChunkSize));
        assert_eq!(body.advance(b"0\r\n\r\n"), Err(ChunkSize));
        assert_eq!(ChunkSize.reason(), Reason::BadFraming);
    }

    /// Feeds pieces until the body ends; counts as if they had been one.
    fn advance_all(framing: Framing, pieces: &[&[u8]]) -> Result<Progress, BodyError> {
        let mut body = BodyTracker::new(framing);
        let mut before = 0;
        for piece in pieces {
            match body.advance(piece)? {
                More => before += piece.len(),
                Done(length) => return Ok(Done(before + length)),
            }
        }
        Ok(More)
    }

    proptest! {
        #[test]
        fn any_split_counts_the_same(
            text in "([1-3](;[a-z]{0,3})?\r\n[a-z]{1,3}\r\n){0,3}0\r\n([A-Z]: [a-z]{0,3}\r\n){0,2}\r\nGET",
            at in any::<prop::sample::Index>(),
            byte in prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), any::<u8>()],
            size in 1usize..9,
            length in 0u64..40,
        ) {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            for framing in [Framing::Chunked, Framing::Length(length)] {
                let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
                prop_assert_eq!(advance_all(framing, &pieces), BodyTracker::new(framing).advance(&bytes));
            }
        }
    }
}
