//! The core's timer.

/// At the emulated core's clock of 25 MHz a tick is 40 ns, and as many instructions.
pub type SysTick = firmware::SysTick<40>;
