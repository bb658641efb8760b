//! Says of the target, for the scalar kernels:
//!
//! - `cfg(arm_dsp)`: it has the DSP instructions of Armv6 and Armv7E-M (Cortex-M4, M7; an
//!   option of M33 and M55; every Cortex-A). The compiler tells only its nightly about
//!   `target_feature = "dsp"`.
//! - `cfg(word_popcount)`: an instruction counts the bits of a general register (RISC-V's
//!   Zbb, x86's popcnt, any WebAssembly).
//! - `cfg(no_multiplier)`: a multiplication is a call (RISC-V without M and Zmmul).

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(arm_dsp, no_multiplier, word_popcount)");
    let is = |name, wanted: fn(&str) -> bool| var(name).is_ok_and(|value| wanted(&value));
    let told = |feature| {
        var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|all| all.split(',').any(|one| one == feature))
    };
    let arm = is("CARGO_CFG_TARGET_ARCH", |arch| arch == "arm");
    let named = is("TARGET", |target| {
        ["thumbv7em-", "armv7", "thumbv7a-", "thumbv7neon-"].iter().any(|of| target.starts_with(of))
    });
    if arm && (named || told("dsp")) {
        println!("cargo::rustc-cfg=arm_dsp");
    }
    let riscv = is("CARGO_CFG_TARGET_ARCH", |arch| arch.starts_with("riscv"));
    if riscv && !told("m") && !told("zmmul") {
        println!("cargo::rustc-cfg=no_multiplier");
    }
    let wasm = is("CARGO_CFG_TARGET_ARCH", |arch| arch.starts_with("wasm"));
    if wasm || told("zbb") || told("popcnt") {
        println!("cargo::rustc-cfg=word_popcount");
    }
}
