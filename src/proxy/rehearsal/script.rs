//! A play as bytes, for fuzzers: five bytes that say who does what, then what the client says, then the origin.

use std::time::Duration;

use crate::flow::Profile;

use super::peers::{Client, Manner, Origin, Then};
use super::{Door, Play, world};

/// Segments that are sent one by one; what is left after them comes at once.
const SEGMENTS: usize = 64;

/// Between segments: time enough for whatever they bring about, none for a deadline.
const QUICK: Duration = Duration::from_millis(1);
/// Longer than a hello may take, and shorter than a head.
const SLOW: Duration = Duration::from_secs(20);

/// Where what a client says is cut.
#[derive(Debug, Clone)]
pub(super) struct Cuts {
    sizes: Vec<usize>,
    pause: Duration,
}

impl Cuts {
    pub(super) fn none() -> Cuts {
        Cuts { sizes: Vec::new(), pause: QUICK }
    }

    /// After so many bytes, and so many more, and so on.
    #[cfg(test)]
    pub(super) fn after(sizes: &[usize]) -> Cuts {
        Cuts { sizes: sizes.to_vec(), pause: QUICK }
    }

    /// The same byte cuts alike: 0 after each byte, others in sizes that go with it.
    fn drawn(seed: u8, pause: Duration) -> Cuts {
        let most = [1, 4, 32, 512][usize::from(seed % 4)];
        let mut state = u32::from(seed) + 1;
        let next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            1 + (state >> 16) as usize % most
        };
        Cuts { sizes: std::iter::repeat_with(next).take(SEGMENTS).collect(), pause }
    }

    /// Too quick for any deadline to matter?
    pub(super) fn are_quick(&self) -> bool {
        self.pause == QUICK
    }

    /// The segments, each with the pause after it.
    pub(super) fn of<'a>(&self, mut says: &'a [u8]) -> Vec<(&'a [u8], Duration)> {
        let mut segments = Vec::new();
        for size in &self.sizes {
            let (segment, rest) = says.split_at((*size).min(says.len()));
            segments.push((segment, self.pause));
            says = rest;
        }
        segments.push((says, self.pause));
        segments.retain(|(segment, _)| !segment.is_empty());
        segments
    }
}

/// None for what is too short.
pub(super) fn script(bytes: &[u8]) -> Option<(Play, Cuts)> {
    let (&[door, traits, cuts, high, low], rest) = bytes.split_first_chunk()?;
    let answer = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
    let (says, answers) = rest.split_at(rest.len() - answer);
    let then = [Then::Waits, Then::EndsItsHalf, Then::Leaves, Then::EndsItsHalf][usize::from(traits & 3)];
    let profile = if traits & 32 == 0 { Profile::Azure } else { Profile::Strict };
    let pause = if traits & 64 == 0 { QUICK } else { SLOW };
    let play = Play {
        door: DOORS[usize::from(door) % DOORS.len()],
        profile,
        client: Client { says: says.to_vec(), then },
        origin: Origin { says: answers.to_vec(), manner: MANNERS[usize::from(traits >> 2) % MANNERS.len()] },
    };
    Some((play, Cuts::drawn(cuts, pause)))
}

const DOORS: [Door; 8] = [
    Door::Explicit,
    Door::Gateway(world::addr(world::DENIED, 443)),
    Door::Gateway(world::addr(world::DENIED, 80)),
    Door::Gateway(world::addr(world::DENIED, 1433)),
    Door::Gateway(world::addr(world::DENIED, 22)),
    Door::Gateway(world::addr([198, 51, 100, 9], 9000)),
    Door::Explicit,
    Door::Explicit,
];

const MANNERS: [Manner; 8] = [
    Manner::Answers,
    Manner::Closes,
    Manner::Trickles,
    Manner::Stays,
    Manner::SpeaksFirst,
    Manner::Silent,
    Manner::HangsUp,
    Manner::Refuses,
];
