//! The counter of retired instructions.

use firmware::Counter;
use riscv::register::minstret;

/// Its lower half, on silicon as here.
pub struct Retired;

impl Counter for Retired {
    const UNIT: &'static str = "instructions";
    const UNITS_PER_TICK: u64 = 1;
    const MASK: u32 = u32::MAX;

    fn ticks(&self) -> u32 {
        minstret::read() as u32
    }
}
