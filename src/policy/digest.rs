//! Digests through the same `Hash` that compares: what is equal has the same.

use std::hash::{Hash, Hasher};

use sha2::{Digest as _, Sha256};

pub(super) type Digest = [u8; 32];

struct Sink(Sha256);

impl Hasher for Sink {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not asked for: the digest is longer.
    fn finish(&self) -> u64 {
        0
    }
}

pub(super) fn digest(value: &impl Hash) -> Digest {
    let mut sink = Sink(Sha256::new());
    value.hash(&mut sink);
    sink.0.finalize().into()
}
