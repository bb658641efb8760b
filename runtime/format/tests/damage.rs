//! Damaged and hostile bytes: an error or the same network, never a panic.

mod common;

use std::collections::BTreeMap;

use bitat_format::testing::{self, Random, damage};
use bitat_format::{Aligned, Error, ErrorKind, Fault, FileBuffer, View};
use common::golden;

#[test]
fn every_flip_is_noticed() {
    for name in ["bare.bitat", "everything.bitat"] {
        let good = golden(name).to_vec();
        // Within one allocation, for there are many.
        let mut file = FileBuffer::new(&good);
        for at in 0..good.len() {
            for flip in [1, 2, 4, 8, 16, 32, 64, 128, 255, 0x5A] {
                file[at] ^= flip;
                assert!(View::parse(&file).is_err(), "{name}: byte {at} ^ {flip}");
                file[at] ^= flip;
            }
        }
        assert!(View::parse(&file).is_ok());
    }
}

#[test]
fn every_truncation_is_noticed() {
    for name in ["bare.bitat", "everything.bitat"] {
        let good = golden(name);
        for length in 0..good.len() {
            let want = Error { kind: ErrorKind::Truncated, offset: length, layer: None };
            assert_eq!(View::parse(&good[..length]).unwrap_err(), want, "{name}");
            // And with length and checksum that belong to what is left.
            assert!(!testing::fuzz(&good[..length]), "{name} cut to {length}");
        }
    }
}

#[test]
fn a_misaligned_buffer_is_the_callers_fault() {
    let good = golden("everything.bitat");
    for shift in 0..16 {
        let mut buffer = Aligned([0u8; 8192]);
        let place = &mut buffer.0[shift..shift + good.len()];
        place.copy_from_slice(&good);
        let parsed = View::parse(place);
        if shift % 4 == 0 {
            assert!(parsed.is_ok(), "at {shift}");
            continue;
        }
        let error = parsed.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Misaligned);
        assert_eq!(error.fault(), Fault::Caller);
        assert!(error.to_string().contains("multiple of 4"), "{error}");
    }
}

/// Runs the fuzz body; a failure prints what replays it.
fn fuzz(seed: u64, bytes: &[u8]) -> bool {
    let outcome = std::panic::catch_unwind(|| testing::fuzz(bytes));
    outcome.unwrap_or_else(|_| panic!("Random::new({seed:#x}) gives bytes that break the reader"))
}

#[test]
fn random_bytes_never_panic() {
    let mut random = Random::new(0x9E37_79B9_7F4A_7C15);
    for _ in 0..20_000 {
        let seed = random.seed();
        let length = random.below(400);
        let bytes: Vec<u8> = (0..length).map(|_| random.number() as u8).collect();
        fuzz(seed, &bytes);
    }
}

/// Files that differ from a good one in a few bytes and have the right
/// checksum: these reach the rules behind it.
#[test]
fn mutated_files_never_panic() {
    let mut random = Random::new(0xB5AD_4ECE_DA1C_E2A9);
    let files = ["bare.bitat", "everything.bitat"].map(|name| golden(name).to_vec());
    let mut good = 0;
    let mut kinds = BTreeMap::new();
    for _ in 0..30_000 {
        let seed = random.seed();
        let mut bytes = files[random.below(2)].clone();
        // Header, tables and names are where a byte means most.
        damage(&mut random, &mut bytes, 560);
        good += usize::from(fuzz(seed, &bytes));
        testing::reseal(&mut bytes);
        if let Err(error) = View::parse(&FileBuffer::new(&bytes)) {
            *kinds.entry(format!("{:?}", error.kind)).or_insert(0) += 1;
        }
    }
    // Else the mutations are too harsh or too mild to say anything.
    assert!(good > 1000, "only {good} mutated files were good");
    assert!(kinds.len() >= 15, "only these errors: {kinds:?}");
}
