//! The larger network: see the README of the folder above.
#![no_std]
#![no_main]

mod counter;
mod start;

use aarch64_rt::entry;

entry!(main);
fn main(_: u64, _: u64, _: u64, _: u64) -> ! {
    firmware::vww::run(&counter::Cycles::start())
}
