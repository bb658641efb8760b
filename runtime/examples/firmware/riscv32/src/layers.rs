//! What each layer takes: see the README of the folder above.
#![no_std]
#![no_main]

mod counter;

#[riscv_rt::entry]
fn main() -> ! {
    firmware::layers(&counter::Retired)
}
