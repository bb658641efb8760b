//! Long fuzzing of the reader, without any tool but cargo:
//!
//! ```text
//! cargo run --release -p bitat-format --features testing --example fuzz -- [SECONDS [SEED]]
//! ```
//!
//! Damages files of generated models and runs the fuzz body on each. On a
//! failure it prints the seed that replays it as the first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bitat_format::testing::{Random, damage, fuzz, model};
use bitat_format::write;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let (seconds, seed) = match (arguments.next(), arguments.next()) {
        (None, None) => (60, 1),
        (Some(Ok(seconds)), None) => (seconds, 1),
        (Some(Ok(seconds)), Some(Ok(seed))) => (seconds, seed),
        _ => {
            eprintln!("usage: fuzz [SECONDS [SEED]]");
            return ExitCode::from(2);
        }
    };
    let mut random = Random::new(seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut files, mut good) = (0u64, 0u64);
    while Instant::now() < end {
        let seed = random.seed();
        let tape: Vec<u32> = (0..random.below(160)).map(|_| random.number() as u32).collect();
        let step = catch_unwind(AssertUnwindSafe(|| {
            let file = write(&model(&tape)).expect("a generated model is valid");
            let damaged = |_| {
                let mut bytes = file.clone();
                damage(&mut random, &mut bytes, 48 + file.len() / 4);
                u64::from(fuzz(&bytes))
            };
            (0..64).map(damaged).sum::<u64>()
        }));
        match step {
            Ok(still_good) => good += still_good,
            Err(_) => {
                eprintln!("failed; replay with: fuzz 1 {seed}");
                return ExitCode::FAILURE;
            }
        }
        files += 64;
    }
    println!("{files} damaged files, {good} of them good files still; no fault");
    ExitCode::SUCCESS
}
