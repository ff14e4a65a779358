//! Answers as they went out, for whoever asks again in the same words: what is asked all the time is looked up, written
//! and described once a second.
//!
//! Nothing is kept beyond that second, for times to live run down by seconds, nor under another policy. Clients have
//! answers of their own, since what one of them may know another may not.

use std::cell::RefCell;
use std::net::IpAddr;

use hashbrown::HashMap;
use tokio::time::Instant;

use crate::telemetry::DnsRecord;
use crate::wire::dns::WrittenReply;

/// Answers kept; when it is full, it *starts anew*.
const KEPT: usize = 4096;

/// Bytes of a question that is remembered, at most. What is longer is *looked up each time*.
const LONGEST: usize = 512;

/// What stands before what a client asks for, and differs each time.
const ID: usize = 2;

#[derive(Default)]
pub(super) struct Ready(RefCell<HashMap<Box<[u8]>, Kept, foldhash::fast::RandomState>>);

/// An answer to the same question of the same client.
pub(super) struct Kept {
    pub(super) written: WrittenReply,
    /// Of the question that was answered first.
    pub(super) record: DnsRecord,
    pub(super) holds: Holds,
}

/// For how long an answer may be given again without another look at anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holds {
    pub(super) until: Instant,
    /// Of the policy.
    pub(super) generation: u64,
}

impl Ready {
    /// Has `give` send the answer, with the id of this question, where there is one. What `give` returns is handed on.
    pub(super) fn give<T>(
        &self,
        client: IpAddr,
        message: &[u8],
        generation: u64,
        now: Instant,
        give: impl FnOnce(u16, &[u8], &Kept) -> T,
    ) -> Option<T> {
        let (id, key) = (message.first_chunk::<ID>()?, Key::new(client, message)?);
        let mut all = self.0.borrow_mut();
        let kept = all.get_mut(key.as_bytes())?;
        if now >= kept.holds.until || generation != kept.holds.generation {
            return None;
        }
        kept.written.bytes.first_chunk_mut::<ID>()?.copy_from_slice(id);
        Some(give(u16::from_be_bytes(*id), &kept.written.bytes, kept))
    }

    pub(super) fn keep(&self, client: IpAddr, message: &[u8], kept: Kept) {
        let Some(key) = Key::new(client, message) else { return };
        let mut all = self.0.borrow_mut();
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(key.as_bytes().into(), kept);
    }
}

/// A client's address and all that it asks, put together without asking for memory.
struct Key {
    bytes: [u8; Key::ADDR + LONGEST],
    length: usize,
}

impl Key {
    const ADDR: usize = 16;

    fn new(client: IpAddr, message: &[u8]) -> Option<Key> {
        let client = match client {
            IpAddr::V4(addr) => addr.to_ipv6_mapped(),
            IpAddr::V6(addr) => addr,
        };
        let asked = message.get(ID..)?;
        let length = Key::ADDR + asked.len();
        let mut bytes = [0; Key::ADDR + LONGEST];
        *bytes.first_chunk_mut()? = client.octets();
        bytes.get_mut(Key::ADDR..length)?.copy_from_slice(asked);
        Some(Key { bytes, length })
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::telemetry::tests::asked;
    use crate::wire::dns::ResponseCode;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn kept(bytes: &[u8], until: Instant) -> Kept {
        let written = WrittenReply { bytes: bytes.to_vec(), code: ResponseCode::NoError, flags: "qr".into() };
        Kept { written, record: asked(), holds: Holds { until, generation: 7 } }
    }

    #[test]
    fn the_same_client_is_given_the_same_under_its_own_id() {
        let (ready, start) = (Ready::default(), Instant::now());
        let later = start + Duration::from_secs(1);
        ready.keep(CLIENT, b"\x00\x01question", kept(b"\x00\x01answer", later));
        let give = |client, message: &[u8], generation, now| {
            ready.give(client, message, generation, now, |id, bytes, _| (id, bytes.to_vec()))
        };
        let given = |id, bytes: &[u8]| Some((id, bytes.to_vec()));
        assert_eq!(give(CLIENT, b"\xbe\xefquestion", 7, start), given(0xbeef, b"\xbe\xefanswer"));
        assert_eq!(give(CLIENT, b"\x00\x02question", 7, start), given(2, b"\x00\x02answer"));
        assert_eq!(give(OTHER, b"\x00\x02question", 7, start), None);
        assert_eq!(give(CLIENT, b"\x00\x02Question", 7, start), None);
        assert_eq!(give(CLIENT, b"\x00\x02question", 8, start), None, "under another policy");
        assert_eq!(give(CLIENT, b"\x00\x02question", 7, later), None, "it is older by a second");
        assert_eq!((give(CLIENT, b"\x00", 7, start), give(CLIENT, b"", 7, start)), (None, None));
    }

    #[test]
    fn so_many_are_kept_and_none_that_is_too_long() {
        let (ready, now) = (Ready::default(), Instant::now());
        ready.keep(CLIENT, &[0; LONGEST + ID + 1], kept(b"\x00\x01", now));
        assert_eq!(ready.0.borrow().len(), 0);
        ready.keep(CLIENT, &[0; LONGEST + ID], kept(b"\x00\x01", now));
        for number in 0..KEPT as u64 {
            ready.keep(CLIENT, &[&[0; ID], &number.to_be_bytes()[..]].concat(), kept(b"\x00\x01", now));
        }
        assert_eq!(ready.0.borrow().len(), 1, "it began anew");
    }
}
