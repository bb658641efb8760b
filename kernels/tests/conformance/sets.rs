//! The instruction sets of this machine, and which of them are demanded.

use std::io::Write;

use bitat_kernels::{Isa, Kernels};

/// Says something whether or not the test harness keeps output to itself.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn demanded() -> Vec<Isa> {
    let list = std::env::var("BITAT_REQUIRE_ISA").unwrap_or_default();
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| name.parse().unwrap_or_else(|e| panic!("BITAT_REQUIRE_ISA: {name}: {e}")))
        .collect()
}

/// Runs a test on every set, says which ran, and fails for a demanded one that
/// did not.
pub(crate) fn on_every_set(test: &str, body: impl Fn(Kernels) -> usize) {
    for isa in Isa::ALL {
        match Kernels::new(isa) {
            Some(kernels) => {
                assert_eq!(kernels.isa(), isa);
                let cases = body(kernels);
                say(&format!("ran {isa}: {test}, {cases} cases"));
            }
            None => {
                let foreign = match isa {
                    Isa::Avx2 | Isa::Avx2Vnni | Isa::Avx512 => !cfg!(target_arch = "x86_64"),
                    Isa::Neon | Isa::NeonDotprod => !cfg!(target_arch = "aarch64"),
                    Isa::Scalar | Isa::Portable => false,
                };
                let why = if foreign { "another architecture" } else { "this CPU lacks it" };
                say(&format!("NOT RUN {isa}: {test} ({why})"));
                assert!(!demanded().contains(&isa), "{isa} is demanded and did not run: {why}");
            }
        }
    }
}

#[test]
fn the_best_set_is_one_that_runs() {
    let best = Kernels::best();
    assert!(Kernels::new(best.isa()).is_some());
    let better = Isa::ALL.iter().skip_while(|isa| **isa != best.isa()).skip(1);
    assert!(better.into_iter().all(|isa| Kernels::new(*isa).is_none()));
}

#[test]
fn names_read_back() {
    for isa in Isa::ALL {
        assert_eq!(isa.to_string().parse(), Ok(isa));
    }
    assert!("mmx".parse::<Isa>().is_err());
}
