//! Writes a network of standard shape with random weights, as `bitat bench --network`
//! times it, for what takes a file:
//! `cargo run --release -p bitat-converter --example standard -- NETWORK DEPTHWISE FILE`,
//! such as `mobilenet-v1-1.0-224 8 net.bitat`.

#![forbid(unsafe_code)]

use std::error::Error;

use bitat_converter::qat::rewrite::Depthwise;
use bitat_converter::standard::Standard;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [network, depthwise, file] = arguments.as_slice() else {
        return Err("give NETWORK DEPTHWISE FILE".into());
    };
    let Some(depthwise) = Depthwise::ALL.into_iter().find(|d| d.name() == depthwise) else {
        return Err(format!("{depthwise} is none of 8, 8-signs, 1").into());
    };
    let packed = network.parse::<Standard>()?.packed(Some(depthwise))?;
    std::fs::write(file, packed.bytes())?;
    Ok(())
}
