//! Mutated models: nothing panics, nothing takes long.
//!
//! `BITAT_FUZZ_ITERATIONS=1000000 cargo test -p bitat-onnx --release --test fuzz`
//! runs longer; `BITAT_FUZZ_SEED` replays. A failure prints its seed.

mod common;

use std::time::{Duration, Instant};

use common::{Random, features};

/// Per file; thousands of times what one takes.
const MOST: Duration = Duration::from_secs(5);

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

/// Flips, overwrites, cuts, repeats or splices.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        if bytes.is_empty() {
            return;
        }
        // Structure lies before the weights more often than not.
        let reach = if random.below(2) == 0 { bytes.len() } else { bytes.len().min(600) };
        let at = random.below(reach);
        let len = 1 + random.below(16.min(bytes.len() - at));
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, 0x0b, 0x0c][random.below(7)],
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..at + len)),
            5 => {
                let part = bytes[at..at + len].to_vec();
                bytes.splice(at..at, part);
            }
            6 => {
                let from = random.below(other.len());
                let part = &other[from..other.len().min(from + 64)];
                bytes.splice(at..at, part.iter().copied());
            }
            _ => {
                let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
                let end = bytes.len().min(at + huge.len());
                bytes[at..end].copy_from_slice(&huge[..end - at]);
            }
        }
    }
}

fn checked(bytes: &[u8], what: &str) -> bool {
    let start = Instant::now();
    let accepted = std::panic::catch_unwind(|| bitat_onnx::fuzz::parse(bytes))
        .unwrap_or_else(|_| panic!("panicked: {what}"));
    assert!(start.elapsed() < MOST, "took {:?}: {what}", start.elapsed());
    accepted
}

#[test]
fn mutated_models_are_read_or_refused() {
    let models: Vec<Vec<u8>> = features::all().iter().map(|(_, model)| model.bytes()).collect();
    for (i, model) in models.iter().enumerate() {
        assert!(checked(model, &format!("model {i} as it is")), "model {i} as it is");
    }
    let first = setting("BITAT_FUZZ_SEED", 1);
    let count = setting("BITAT_FUZZ_ITERATIONS", 20_000);
    let mut accepted = 0;
    for seed in first..first + count {
        let random = &mut Random(seed);
        let mut bytes = models[random.below(models.len())].clone();
        let other = &models[random.below(models.len())];
        mutate(&mut bytes, other, random);
        accepted += u64::from(checked(&bytes, &format!("BITAT_FUZZ_SEED={seed}")));
    }
    println!("{accepted} of {count} accepted");
    // Otherwise the mutations only test the first check.
    assert!(count < 1000 || (accepted > count / 50 && accepted < count), "{accepted} of {count}");
}

#[test]
fn noise_is_refused() {
    for seed in 0..2000 {
        let random = &mut Random(seed);
        let noise: Vec<u8> = (0..random.below(300)).map(|_| random.next() as u8).collect();
        assert!(!checked(&noise, &format!("noise {seed}")));
    }
}

/// Work that a small file could ask for many times over: one large tensor
/// behind many nodes.
#[test]
fn shared_weights_cannot_multiply_the_work() {
    let mut model = common::Builder::new(13, &[0, 512, 3, 3]).weights("w", &[512, 512, 3, 3]);
    let mut at = "x".to_string();
    for i in 0..200 {
        let next = format!("c{i}");
        model = model.node_with("Conv", &[&at, "w"], &next, vec![common::ints("pads", &[1; 4])]);
        at = next;
    }
    let start = Instant::now();
    let error = bitat_onnx::parse("m", &model.head(&at, 512, 5).bytes()).unwrap_err().to_string();
    assert!(error.contains("more than 134217728 parameters"), "{error}");
    assert!(start.elapsed() < MOST, "{:?}", start.elapsed());
}
