//! Bodies in gzip, unpacked on their way through.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::GzipDecoder;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyDataStream;
use http_body_util::BodyExt;
use http_body_util::combinators::MapErr;
use hyper::body::{Body as HttpBody, Frame};
use tokio_util::io::{StreamReader, poll_read_buf};

use super::body::{BodyError, Streamed};

/// Bytes that are unpacked at once: what a bomb may claim.
const PIECE: usize = 16 * 1024;

type Packed = StreamReader<BodyDataStream<MapErr<Streamed, fn(BodyError) -> io::Error>>, Bytes>;

/// A body that was packed by its origin and is read plain.
pub(super) struct Unpacked {
    reader: GzipDecoder<Packed>,
    piece: BytesMut,
}

impl Unpacked {
    pub(super) fn new(body: Streamed) -> Unpacked {
        let body = body.map_err(io::Error::other as fn(BodyError) -> io::Error);
        let mut reader = GzipDecoder::new(StreamReader::new(body.into_data_stream()));
        reader.multiple_members(true);
        Unpacked { reader, piece: BytesMut::new() }
    }
}

impl HttpBody for Unpacked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Unpacked { reader, piece } = &mut *self;
        piece.reserve(PIECE);
        match ready!(poll_read_buf(Pin::new(reader), cx, piece)) {
            Ok(0) => Poll::Ready(None),
            Ok(_) => Poll::Ready(Some(Ok(Frame::data(piece.split().freeze())))),
            Err(error) => Poll::Ready(Some(Err(BodyError::Packed(error)))),
        }
    }
}
