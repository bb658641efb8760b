//! A network that comes at run time, and what is said about a wrong one: see
//! the README of the folder above.
#![no_std]
#![no_main]

#[cortex_m_rt::entry]
fn main() -> ! {
    firmware::fashion_mnist::refuse()
}
