//! See the README of the folder above.
#![no_std]
#![no_main]

use firmware::Counter;
use riscv::register::minstret;

/// The lower half of the counter of retired instructions, on silicon as here.
struct Retired;

impl Counter for Retired {
    const UNIT: &'static str = "instructions";
    const UNITS_PER_TICK: u64 = 1;
    const MASK: u32 = u32::MAX;

    fn ticks(&self) -> u32 {
        minstret::read() as u32
    }
}

#[riscv_rt::entry]
fn main() -> ! {
    firmware::run(&Retired)
}
