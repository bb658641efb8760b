//! The core's timer.

/// At the core's clock of 20 MHz a tick is 50 ns, and as many instructions.
pub type SysTick = firmware::SysTick<50>;
