//! Broken files, at least one for each rule of FORMAT.md, each with the error
//! it must give and where. A case changes a good file in one stated way; the
//! length and checksum are made right again unless the case is about them.

#[path = "../common/mod.rs"]
mod common;
mod corpus;

use std::collections::BTreeSet;

use bitat_format::{Error, ErrorKind as K, Fault, FileBuffer, View, testing};
use common::{everything, long_means};
use corpus::{BINARY, CLASSIFIER, DEPTHWISE, Edits, Good, How, POOL, POOLED, STEM, corpus};

#[test]
fn every_reject_gives_its_error() {
    let corpus = corpus();
    let mut wrong = vec![];
    for case in &corpus {
        let mut bytes = case.bytes.clone();
        if case.how == How::Sealed {
            testing::reseal(&mut bytes);
        }
        let shift = usize::from(case.how == How::Shifted);
        let buffer = FileBuffer::new(&[&vec![0; shift], &bytes[..]].concat());
        let want = Error { kind: case.kind, offset: case.offset, layer: case.layer };
        match View::parse(&buffer[shift..]) {
            Err(error) if error == want => {}
            other => wrong.push(format!(
                "{} {}: want {want:?}, have {:?}",
                case.rule,
                case.what,
                other.map(|_| "a good file")
            )),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What stands just inside a bound is good, so the bounds are where they should be.
#[test]
fn neighbours_of_the_rejects_are_good() {
    let (all, means) = (Good::of(&everything()), Good::of(&long_means(2, 127)));
    // 217 × 151 pixels of one channel: 32767.
    let longest = Good::of(&long_means(1, 217));
    let field = |layer: usize, field: usize| all.record(layer) + field;
    let multiplier = all.blob(CLASSIFIER, &[100]);
    let bias = all.blob(CLASSIFIER, &[100, 10]);
    let factor = 7770i16.to_le_bytes();
    let cases: [(&str, &Good, Edits); 21] = [
        ("T3", &all, &[(all.tensor(1) + 1, &[32])]),
        ("T3", &all, &[(all.tensor(1) + 1, &[-32i8 as u8])]),
        ("I2", &all, &[(all.input(&[3]), &f32::MIN.to_le_bytes())]),
        ("I3", &all, &[(all.input(&[3, 12]), &f32::MIN_POSITIVE.to_le_bytes())]),
        ("R6", &all, &[(field(DEPTHWISE, 13), &[2])]),
        ("R7", &all, &[(field(DEPTHWISE, 14), &[8])]),
        ("R8", &all, &[(field(BINARY, 15), &[15])]),
        ("R8", &all, &[(field(BINARY, 15), &[-16i8 as u8])]),
        ("R8", &all, &[(field(POOL, 15), &[8])]),
        ("R8", &all, &[(field(POOL, 15), &[0])]),
        ("R10", &all, &[(field(BINARY, 23), &[15])]),
        ("R10", &all, &[(field(BINARY, 23), &[-15i8 as u8])]),
        ("R10", &all, &[(field(BINARY, 22), &[1]), (field(BINARY, 23), &[0])]),
        ("S8", &all, &[(field(POOLED, 22), &[1])]),
        ("B2", &all, &[(field(STEM, 15), &[11])]),
        ("B3", &means, &[]),
        ("B4", &means, &[]),
        ("B4", &longest, &[]),
        ("B5", &all, &[(multiplier, &factor), (bias, &[0; 4])]),
        ("B5", &all, &[(multiplier, &[0; 2]), (bias, &i32::MAX.to_le_bytes())]),
        ("W4", &all, &[(all.blob(STEM, &[336]), &(-32767i16).to_le_bytes())]),
    ];
    for (rule, good, edits) in cases {
        let mut bytes = good.bytes.clone();
        for (at, with) in edits {
            bytes[*at..at + with.len()].copy_from_slice(with);
        }
        testing::reseal(&mut bytes);
        let parsed = View::parse(&FileBuffer::new(&bytes)).map(|_| ());
        assert_eq!(parsed, Ok(()), "{rule}: {edits:?}");
    }
}

/// Every `→ Kind` of FORMAT.md has a reject, and every reject a rule.
#[test]
fn every_rule_has_a_reject() {
    let document = include_str!("../../FORMAT.md");
    let mut stated = BTreeSet::new();
    let mut rule = "";
    for line in document.lines() {
        if line.starts_with('#') {
            rule = "";
        }
        if let Some((id, _)) = line.strip_prefix("**").and_then(|l| l.split_once(".**")) {
            rule = id;
        }
        for kind in line.split("→ ").skip(1) {
            let name: String = kind.chars().take_while(char::is_ascii_alphabetic).collect();
            stated.extend((!rule.is_empty()).then_some((rule.to_string(), name)));
        }
    }
    assert!(stated.len() > 50, "only {} found: is the page written otherwise?", stated.len());
    let tested: BTreeSet<_> =
        corpus().iter().map(|case| (case.rule.to_string(), format!("{:?}", case.kind))).collect();
    let missing: Vec<_> = stated.difference(&tested).collect();
    let unknown: Vec<_> = tested.difference(&stated).collect();
    assert!(missing.is_empty(), "rules without a broken file: {missing:?}");
    assert!(unknown.is_empty(), "broken files without a rule: {unknown:?}");
}

#[test]
fn errors_name_the_fault_the_place_and_the_remedy() {
    let error = Error { kind: K::Shape, offset: 176, layer: Some(3) };
    let text = "byte 176, layer 3: the shapes do not fit together; convert the network again";
    assert_eq!(error.to_string(), text);
    assert_eq!(error.fault(), Fault::File);
    assert_eq!(K::Misaligned.fault(), Fault::Caller);
    assert_eq!(K::Length.fault(), Fault::Caller);
    assert_eq!(K::Overflow.fault(), Fault::Limit);
    for case in corpus() {
        let error = Error { kind: case.kind, offset: case.offset, layer: case.layer };
        let text = error.to_string();
        let (what, to_do) = text.rsplit_once("; ").unwrap_or(("", ""));
        let says = !what.is_empty() && !to_do.is_empty();
        assert!(says, "{text}");
    }
}
