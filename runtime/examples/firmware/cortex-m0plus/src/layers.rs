//! What each layer takes: see the README of the folder above.
#![no_std]
#![no_main]

mod counter;

#[cortex_m_rt::entry]
fn main() -> ! {
    firmware::layers(&counter::SysTick::start())
}
