//! The core's timer.

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use firmware::Counter;

/// It counts down, at the core's clock of 25 MHz; the emulator executes an
/// instruction per nanosecond, which is 40 a tick. On silicon a tick is a
/// clock cycle.
pub struct SysTick(());

impl SysTick {
    /// Turns the timer on.
    ///
    /// # Panics
    /// In a second call.
    pub fn start() -> SysTick {
        let mut timer = Peripherals::take().expect("nobody took them before").SYST;
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(SysTick::MASK);
        timer.clear_current();
        timer.enable_counter();
        SysTick(())
    }
}

impl Counter for SysTick {
    const UNIT: &'static str = "instructions";
    const UNITS_PER_TICK: u64 = 40;
    const MASK: u32 = 0x00FF_FFFF;

    fn ticks(&self) -> u32 {
        Self::MASK - SYST::get_current()
    }
}
