//! See the README of the folder above.
#![no_std]
#![no_main]

mod counter;

#[riscv_rt::entry]
fn main() -> ! {
    firmware::fashion_mnist::run(&counter::Retired)
}
