//! The cycle counter of the core.

use core::arch::asm;

use firmware::Counter;

/// The lower half of PMCCNTR. The emulator executes an instruction per cycle.
pub struct Cycles(());

impl Cycles {
    /// Turns the counter on.
    pub fn start() -> Cycles {
        // SAFETY: these registers concern counting alone, and exist on every
        // core with performance monitors, which Cortex-A cores have.
        unsafe {
            asm!(
                "msr PMCR_EL0, {enable}",
                "msr PMCNTENSET_EL0, {cycles}",
                "isb",
                enable = in(reg) 1u64,
                cycles = in(reg) 1u64 << 31,
                options(nomem, nostack)
            );
        }
        Cycles(())
    }
}

impl Counter for Cycles {
    const UNIT: &'static str = "instructions";
    const UNITS_PER_TICK: u64 = 1;
    const MASK: u32 = u32::MAX;

    fn ticks(&self) -> u32 {
        let ticks: u64;
        // SAFETY: reads a register that `start` has turned on.
        unsafe { asm!("isb", "mrs {}, PMCCNTR_EL0", out(reg) ticks, options(nomem, nostack)) };
        ticks as u32
    }
}
