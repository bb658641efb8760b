//! The portable and AVX2 kernels compute what the best ones do. The choice is made
//! once per process, so every set runs in a process of its own: this file, started
//! again with `BITAT_ISA` set.
mod common;

use bitat_engine::{Mode, Net, PlainSte, Purpose, instruction_set};
use common::{images, mobile};
use std::process::Command;

/// Logits and all gradients of a float network, whose results do not jump.
fn pass() -> Vec<f32> {
    let mut graph = mobile(common::Style::Float, 5);
    let n = 7;
    let x = images(&graph, n, 6);
    let ste = PlainSte::default();
    let mut net = Net::new(&graph, n, Purpose::Train, &[]).unwrap();
    let mut out = net.forward(&mut graph, &ste, &x, n, Mode::Train { momentum: 0.1 }).to_vec();
    let seed: Vec<f32> = (0..n * 5).map(|i| (i as f32).sin()).collect();
    net.backward(&graph, &ste, &[(graph.output, &seed)]);
    for p in 0..graph.params.len() {
        out.extend(net.gradient(p));
    }
    out
}

#[test]
fn every_set_computes_the_same() {
    let best = pass();
    if let Ok(path) = std::env::var("BITAT_TEST_PASS") {
        let bytes: Vec<u8> = best.iter().flat_map(|x| x.to_le_bytes()).collect();
        std::fs::write(path, bytes).unwrap();
        println!("computed with {}.", instruction_set());
        return;
    }
    for isa in ["portable", "avx2", "avx512"] {
        let path = std::env::temp_dir().join(format!("bitat-pass-{}-{isa}", std::process::id()));
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["every_set_computes_the_same", "--exact", "--nocapture"])
            .env("BITAT_ISA", isa)
            .env("BITAT_TEST_PASS", &path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{isa}: {said}");
        if said.contains(&format!("computed with {isa}.")) {
            println!("trainer on {isa}: ran");
        } else {
            println!("trainer on {isa}: NOT RUN (this processor does not have it)");
        }
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (chunks, _) = bytes.as_chunks::<4>();
        let got: Vec<f32> = chunks.iter().map(|b| f32::from_le_bytes(*b)).collect();
        common::close(&got, &best, 1e-4, || isa.to_string());
    }
}
