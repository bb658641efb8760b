//! Prints the lines that every board must print, from the network as a file
//! that comes at run time.
#![forbid(unsafe_code)]

use std::error::Error;
use std::{env, fs};

use bitat_format::{FileBuffer, View};
use bitat_kernels::Kernels;
use bitat_runtime::{ARENA_ALIGN, Network, aligned};
use firmware::{Line, pictures};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("give the packed network: models/fashion-mnist/…")?;
    let file = FileBuffer::new(&fs::read(path)?);
    let network = Network::new(View::parse(&file)?, Kernels::best());
    let mut memory = vec![0; network.arena_bytes() + ARENA_ALIGN - 1];
    let mut scores = vec![0; network.view().class_count()];
    for (picture, (pixels, label)) in pictures::all().enumerate() {
        network.run(pixels, aligned(&mut memory), &mut scores)?;
        println!("{}", Line { picture, label, scores: &scores });
    }
    Ok(())
}
