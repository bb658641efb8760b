//! The timer of Cortex-M cores.

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

use crate::Counter;

/// It counts down, at the core's clock. The emulator executes an instruction per
/// nanosecond, `INSTRUCTIONS` a tick; on silicon a tick is a clock cycle.
pub struct SysTick<const INSTRUCTIONS: u64>(());

impl<const INSTRUCTIONS: u64> SysTick<INSTRUCTIONS> {
    /// Turns the timer on.
    ///
    /// # Panics
    /// In a second call.
    pub fn start() -> Self {
        let mut timer = Peripherals::take().expect("nobody took them before").SYST;
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(Self::MASK);
        timer.clear_current();
        timer.enable_counter();
        SysTick(())
    }
}

impl<const INSTRUCTIONS: u64> Counter for SysTick<INSTRUCTIONS> {
    const UNIT: &'static str = "instructions";
    const UNITS_PER_TICK: u64 = INSTRUCTIONS;
    const MASK: u32 = 0x00FF_FFFF;

    fn ticks(&self) -> u32 {
        Self::MASK - SYST::get_current()
    }
}
