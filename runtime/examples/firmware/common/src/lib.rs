//! What the example programs share. A board brings its start-up code, a linker
//! script and a counter, and calls `run` of a network; the host's program prints
//! the [`Line`]s that a board must print.
#![no_std]

#[cfg(target_os = "none")]
mod device;
pub mod fashion_mnist;
pub mod refusals;
#[cfg(target_os = "none")]
mod stack;
#[cfg(all(target_os = "none", target_arch = "arm"))]
mod systick;
pub mod vww;

use core::fmt;

#[cfg(target_os = "none")]
pub use device::{Counter, layers};
#[cfg(all(target_os = "none", target_arch = "arm"))]
pub use systick::SysTick;

/// One picture's scores, as every program prints them.
pub struct Line<'a> {
    /// Which picture.
    pub picture: usize,
    /// Its class.
    pub label: u8,
    /// By class.
    pub scores: &'a [i32],
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "picture {} label {} scores", self.picture, self.label)?;
        self.scores.iter().try_for_each(|score| write!(f, " {score}"))
    }
}
