//! Runs a packed network some number of times on one image, and prints its best
//! class: a program in which little happens but inference, for counting what a
//! run executes under an emulator, a profiler or a debugger.
//!
//! `cargo run --release -p bitat-runtime --example repeat -- FILE RUNS`

#![forbid(unsafe_code)]

use std::error::Error;

use bitat_format::{FileBuffer, View};
use bitat_kernels::Kernels;
use bitat_runtime::{ARENA_LINE, Network, aligned, top_k};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [file, runs] = arguments.as_slice() else {
        return Err("give FILE RUNS".into());
    };
    let runs: u64 = runs.parse()?;
    let file = FileBuffer::new(&std::fs::read(file)?);
    let view = View::parse(&file)?;
    let network = Network::new(view, Kernels::best());
    let input = view.input();
    let pixels = input.height * input.width * input.channels;
    // Pixels of every size, the same every time.
    let image: Vec<u8> = (0..pixels).map(|i| (i * 37 % 251) as u8).collect();
    let mut arena = vec![0; network.arena_bytes() + ARENA_LINE];
    let mut scores = vec![0; view.class_count()];
    for _ in 0..runs {
        network.run(&image, aligned(&mut arena), &mut scores)?;
    }
    let mut best = [(0, 0)];
    top_k(&scores, &mut best);
    let [(class, score)] = best;
    println!("{}: class {class}, score {score}", network.kernels().isa());
    Ok(())
}
