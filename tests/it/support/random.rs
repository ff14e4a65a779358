//! Numbers without a pattern, the same in every run: what fails once fails again.

pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    /// SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("it is below a usize")
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Replaces, removes or inserts a byte, up to three times. `spice` are bytes that are known to hurt.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>, spice: &[u8]) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            let byte = if self.below(4) == 0 { self.next().to_le_bytes()[0] } else { *self.pick(spice) };
            match self.below(3) {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
    }
}
