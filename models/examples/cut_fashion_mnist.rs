//! Cuts the shipped slice out of the full Fashion-MNIST:
//! `cargo run -p bitat-models --example cut_fashion_mnist -- FULL_DIR OUT_DIR`.

#![forbid(unsafe_code)]

use flate2::{Compression, GzBuilder, read::GzDecoder};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::path::Path;
use std::{env, fs};

/// File name, images kept from its beginning, bytes of header, bytes an image.
const FILES: [(&str, u32, usize, usize); 4] = [
    ("train-images-idx3-ubyte.gz", 6_000, 16, 28 * 28),
    ("train-labels-idx1-ubyte.gz", 6_000, 8, 1),
    ("t10k-images-idx3-ubyte.gz", 2_000, 16, 28 * 28),
    ("t10k-labels-idx1-ubyte.gz", 2_000, 8, 1),
];

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [full, out] = arguments.as_slice() else {
        return Err(Error::new(ErrorKind::InvalidInput, "give FULL_DIR and OUT_DIR"));
    };
    fs::create_dir_all(out)?;
    for (name, count, header, item) in FILES {
        let mut idx = Vec::new();
        GzDecoder::new(fs::File::open(Path::new(full).join(name))?).read_to_end(&mut idx)?;
        let len = header + count as usize * item;
        if idx.len() < len {
            return Err(Error::new(ErrorKind::InvalidData, format!("{name} is too short")));
        }
        idx.truncate(len);
        // The first extent of an IDX file, after its magic number, is the count.
        idx[4..8].copy_from_slice(&count.to_be_bytes());
        // No name and no time in the header: the same bytes on every run.
        let file = fs::File::create(Path::new(out).join(name))?;
        let mut gzip = GzBuilder::new().write(file, Compression::best());
        gzip.write_all(&idx)?;
        gzip.finish()?;
    }
    Ok(())
}
