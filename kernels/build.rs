//! Says by `cfg(arm_dsp)` whether the target has the DSP instructions of Armv6 and
//! Armv7E-M (Cortex-M4, M7; an option of M33 and M55; every Cortex-A): the
//! compiler tells only its nightly about `target_feature = "dsp"`.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(arm_dsp)");
    let is = |name, wanted: fn(&str) -> bool| var(name).is_ok_and(|value| wanted(&value));
    let arm = is("CARGO_CFG_TARGET_ARCH", |arch| arch == "arm");
    let named = is("TARGET", |target| {
        ["thumbv7em-", "armv7", "thumbv7a-", "thumbv7neon-"].iter().any(|of| target.starts_with(of))
    });
    let told = is("CARGO_CFG_TARGET_FEATURE", |all| all.split(',').any(|one| one == "dsp"));
    if arm && (named || told) {
        println!("cargo::rustc-cfg=arm_dsp");
    }
}
