//! Prints the lines that every board must print: the scores of a network that
//! comes as a file at run time or, given `--refusals`, what is said about wrong ones.
#![forbid(unsafe_code)]

use std::error::Error;
use std::{env, fs};

use bitat_format::{Aligned, FileBuffer, View};
use bitat_kernels::Kernels;
use bitat_runtime::{ARENA_LINE, Network, aligned};
use firmware::fashion_mnist::{self, model};
use firmware::{Line, refusals, vww};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("give a packed network, or --refusals")?;
    if path == "--refusals" {
        let mut memory = Box::new(Aligned(*model::FILE));
        let mut arena = Box::new(model::Arena::new());
        refusals::show(&mut memory, &mut arena, |case, what| println!("{case}: {what}"));
        return Ok(());
    }
    let file = FileBuffer::new(&fs::read(path)?);
    let network = Network::new(View::parse(&file)?, Kernels::best());
    let mut memory = vec![0; network.arena_bytes() + ARENA_LINE - 1];
    let mut scores = vec![0; network.view().class_count()];
    let mut show = |picture, pixels: &[u8], label| -> Result<(), bitat_runtime::Error> {
        network.run(pixels, aligned(&mut memory), &mut scores)?;
        println!("{}", Line { picture, label, scores: &scores });
        Ok(())
    };
    if network.view().name() == vww::model::NAME {
        let mut pictures = vww::pictures().enumerate();
        pictures.try_for_each(|(i, (pixels, label))| show(i, pixels, label))?;
    } else {
        let mut pictures = fashion_mnist::pictures().enumerate();
        pictures.try_for_each(|(i, (pixels, label))| show(i, pixels, label))?;
    }
    Ok(())
}
