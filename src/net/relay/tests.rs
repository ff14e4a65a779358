//! Relays between real sockets on loopback, each on a thread and a runtime of its own. What arrives has to be what
//! was sent, whichever way it moved.

use std::future::pending;
use std::io::ErrorKind;
use std::pin::pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;

const MIB: usize = 1 << 20;
const IDLE: Duration = Duration::from_secs(60);
/// Nothing was taken for so long: every buffer on the way is full.
const STALL: Duration = Duration::from_millis(300);

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// Two ends of one connection.
fn connection() -> (TcpStream, TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    let ready = |stream: std::net::TcpStream| {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        TcpStream::from_std(stream).unwrap()
    };
    (ready(near), ready(far))
}

/// A relay between the inner ends of two connections, and their outer ends.
struct Lab {
    client: TcpStream,
    origin: TcpStream,
    inner: [TcpStream; 2],
}

impl Lab {
    fn new() -> Lab {
        let (client, near) = connection();
        let (far, origin) = connection();
        for inner in [&near, &far] {
            // So that there is bulk to be read at once from the start.
            SockRef::from(inner).set_recv_buffer_size(MIB).unwrap();
        }
        Lab { client, origin, inner: [near, far] }
    }
}

async fn relayed(inner: [TcpStream; 2], early: [Vec<u8>; 2]) -> Relayed<()> {
    let timer = Timer::default();
    relay(&inner[0], &inner[1], Idle { limit: IDLE, timer: &timer }, early, None, pin!(pending())).await
}

struct Random(u64);

impl Random {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(len).collect()
    }
}

/// Writes in pieces, small ones and large ones, gives the others a turn now and then, and half-closes.
async fn write_all(mut to: OwnedWriteHalf, bytes: &[u8], mut random: Random) {
    let mut left = bytes;
    while !left.is_empty() {
        let most = [100, 10_000, MIB][random.below(3)];
        let (piece, rest) = left.split_at(left.len().min(1 + random.below(most)));
        to.write_all(piece).await.unwrap();
        for _ in 0..random.below(4) {
            yield_now().await;
        }
        left = rest;
    }
    to.shutdown().await.unwrap();
}

async fn read_all(mut from: OwnedReadHalf, mut random: Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let most = 1 + random.below(buffer.len());
        match from.read(&mut buffer[..most]).await.unwrap() {
            0 => return bytes,
            read => bytes.extend_from_slice(&buffer[..read]),
        }
        for _ in 0..random.below(4) {
            yield_now().await;
        }
    }
}

/// Moves these both ways at once, the first of them as if they had been read before, and compares.
async fn exchange(up: &[u8], down: &[u8], early: usize, seed: u64) {
    let Lab { client, origin, inner } = Lab::new();
    let ((from_client, to_client), (from_origin, to_origin)) = (client.into_split(), origin.into_split());
    let (early_up, rest_up) = up.split_at(early.min(up.len()));
    let (early_down, rest_down) = down.split_at(early.min(down.len()));
    let ((), (), arrived_up, arrived_down, relayed) = tokio::join!(
        write_all(to_client, rest_up, Random(seed)),
        write_all(to_origin, rest_down, Random(seed + 1)),
        read_all(from_origin, Random(seed + 2)),
        read_all(from_client, Random(seed + 3)),
        relayed(inner, [early_up.to_vec(), early_down.to_vec()]),
    );
    assert!(arrived_up == up, "seed {seed}: {} bytes up became {}", up.len(), arrived_up.len());
    assert!(arrived_down == down, "seed {seed}: {} bytes down became {}", down.len(), arrived_down.len());
    assert_eq!((relayed.up, relayed.down), (up.len() as u64, down.len() as u64), "seed {seed}");
    assert!(matches!(relayed.end, End::Eof(_)), "seed {seed}: {:?}", relayed.end);
}

async fn exchange_at_random(rounds: u64) {
    for seed in 0..rounds {
        let mut random = Random(seed * 1000);
        let mut some = || {
            let most = [1, 1000, 100_000, 8 * MIB][random.below(4)];
            let len = random.below(most);
            random.bytes(len)
        };
        exchange(&some(), &some(), 500, seed).await;
    }
}

#[test]
fn whatever_is_sent_arrives_copied() {
    Pipe::allow(0);
    run(exchange_at_random(40));
    assert_eq!(Pipe::count_kept(), 0, "no pipe was to be had");
}

#[test]
fn whatever_is_sent_arrives_piped() {
    Pipe::allow(8);
    run(exchange_at_random(40));
    assert_eq!(Pipe::count_out(), 0, "nothing is under way any more");
    assert!(Pipe::count_kept() > 0, "nothing moved through a pipe");
}

#[test]
fn bulk_both_ways_at_once() {
    Pipe::allow(8);
    let (up, down) = (Random(1).bytes(24 * MIB), Random(2).bytes(24 * MIB));
    run(exchange(&up, &down, 0, 3));
    assert!(Pipe::count_kept() > 0, "nothing moved through a pipe");
}

/// Writes until nobody takes any more; how much it was.
async fn fill_up(client: &TcpStream, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while timeout(STALL, client.writable()).await.is_ok() {
        match client.try_write(&bytes[sent..]) {
            Ok(written) => sent += written,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert!(sent < bytes.len(), "a relay has to stop reading when the other side does");
    }
    sent
}

#[test]
fn a_reader_that_stands_still_holds_up_the_writer_and_loses_nothing() {
    Pipe::allow(8);
    // Far more than all buffers of four sockets and a pipe.
    let bytes = Random(4).bytes(64 * MIB);
    run(async {
        let Lab { client, origin, inner } = Lab::new();
        let mut relaying = pin!(relayed(inner, Default::default()));
        let sent = tokio::select! {
            sent = fill_up(&client, &bytes) => sent,
            _ = &mut relaying => panic!("nobody closed"),
        };
        assert_eq!(Pipe::count_out(), 1, "what the reader left is in a pipe");
        let (from_origin, to_origin) = origin.into_split();
        let (_from_client, mut to_client) = client.into_split();
        drop(to_origin);
        to_client.shutdown().await.unwrap();
        let (arrived, relayed) = tokio::join!(read_all(from_origin, Random(5)), relaying);
        assert!(arrived == bytes[..sent], "{sent} bytes became {}", arrived.len());
        assert_eq!(relayed.up, sent as u64);
    });
    assert_eq!((Pipe::count_out(), Pipe::count_kept()), (0, 1));
}

#[test]
fn more_bulk_than_pipes_is_copied() {
    Pipe::allow(2);
    let bytes = Random(6).bytes(64 * MIB);
    run(tokio::task::LocalSet::new().run_until(async {
        let mut outer = Vec::new();
        let mut relaying = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let Lab { client, origin, inner } = Lab::new();
            outer.push((client, origin));
            relaying.spawn_local(relayed(inner, Default::default()));
        }
        let mut sent = Vec::new();
        for (client, _) in &outer {
            sent.push(fill_up(client, &bytes).await);
        }
        assert_eq!(Pipe::count_out(), 2, "all are lent");
        for ((mut client, origin), sent) in outer.into_iter().zip(sent) {
            client.shutdown().await.unwrap();
            let (from_origin, to_origin) = origin.into_split();
            drop(to_origin);
            let arrived = read_all(from_origin, Random(7)).await;
            assert!(arrived == bytes[..sent], "{sent} bytes became {}", arrived.len());
        }
        while relaying.join_next().await.is_some() {}
    }));
    assert_eq!((Pipe::count_out(), Pipe::count_kept()), (0, 2));
}

#[test]
fn a_pipe_with_bytes_in_it_is_never_lent_again() {
    Pipe::allow(8);
    let bytes = Random(8).bytes(64 * MIB);
    run(async {
        let Lab { client, origin, inner } = Lab::new();
        let mut relaying = Box::pin(relayed(inner, Default::default()));
        tokio::select! {
            _ = fill_up(&client, &bytes) => {}
            _ = &mut relaying => panic!("nobody closed"),
        }
        assert_eq!(Pipe::count_out(), 1);
        reset_when_dropped(&origin);
        drop(origin);
        assert_eq!(relaying.await.end, End::Reset(Side::Origin));
    });
    assert_eq!((Pipe::count_out(), Pipe::count_kept()), (0, 0));
}

#[test]
fn a_source_that_resets_amid_bulk_is_named() {
    Pipe::allow(8);
    let bytes = Random(9).bytes(8 * MIB);
    run(async {
        let Lab { mut client, origin, inner } = Lab::new();
        let (mut from_origin, _to_origin) = origin.into_split();
        let sending = async {
            client.write_all(&bytes).await.unwrap();
            reset_when_dropped(&client);
            drop(client);
        };
        let receiving = async {
            let mut buffer = vec![0; MIB];
            while from_origin.read(&mut buffer).await.unwrap() > 0 {}
        };
        let ((), relayed, ()) = tokio::join!(sending, relayed(inner, Default::default()), receiving);
        assert_eq!(relayed.end, End::Reset(Side::Client));
    });
    assert_eq!(Pipe::count_out(), 0);
}

/// splice(2) never gets past the mark of urgent data.
#[test]
fn urgent_data_does_not_hold_up_what_follows() {
    Pipe::allow(8);
    let bytes = Random(10).bytes(8 * MIB);
    run(async {
        let Lab { mut client, mut origin, inner } = Lab::new();
        let relaying = relayed(inner, Default::default());
        let sending = async {
            for _ in 0..2 {
                client.write_all(&bytes).await.unwrap();
                while SockRef::from(&client).send_out_of_band(b"!").is_err() {
                    yield_now().await;
                }
            }
            client.write_all(&bytes[..1000]).await.unwrap();
        };
        let receiving = async {
            let mut arrived = vec![0; 2 * bytes.len() + 1000];
            origin.read_exact(&mut arrived).await.unwrap();
            arrived
        };
        let arrived = tokio::select! {
            ((), arrived) = async { tokio::join!(sending, receiving) } => arrived,
            _ = relaying => panic!("nobody closed"),
        };
        assert!(arrived == [&bytes[..], &bytes, &bytes[..1000]].concat());
    });
    assert!(Pipe::count_kept() > 0, "nothing moved through a pipe");
}
