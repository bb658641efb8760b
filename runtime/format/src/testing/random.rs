//! Random numbers and damage, replayable from one number.

use alloc::vec;
use alloc::vec::Vec;

/// xorshift64. Its state is the seed that replays what follows.
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that begins with this state; 0 stands for 1.
    pub const fn new(seed: u64) -> Random {
        Random(if seed == 0 { 1 } else { seed })
    }

    /// The state: `new` with it goes on from here.
    pub const fn seed(&self) -> u64 {
        self.0
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    ///
    /// # Panics
    /// If `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.number() >> 16) % end as u64) as usize
    }
}

/// Damages a file in a few places: bytes changed, mostly in its first
/// `tables` bytes, sometimes the end cut off or zeros behind it.
///
/// # Panics
/// If `bytes` is empty or `tables` is 0.
pub fn damage(random: &mut Random, bytes: &mut Vec<u8>, tables: usize) {
    let reach = match random.below(8) {
        0 => bytes.len(),
        _ => bytes.len().min(tables),
    };
    for _ in 0..=random.below(3) {
        let at = random.below(reach);
        bytes[at] = match random.below(4) {
            0 => random.number() as u8,
            1 => bytes[at] ^ 1 << random.below(8),
            2 => bytes[at].wrapping_add(1),
            _ => [0, 1, 0x7F, 0x80, 0xFF][random.below(5)],
        };
    }
    match random.below(12) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => bytes.extend(vec![0; random.below(40)]),
        _ => {}
    }
}
