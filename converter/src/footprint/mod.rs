//! What a packed network takes on a microcontroller: flash, memory, instructions.
//!
//! Code, stack and static memory were measured on the boards of the example firmware
//! (`boards.tsv`), what each layer of its networks executes too (`layers.tsv`);
//! `.ci/firmware.sh --record` writes both files, and `.ci/firmware.sh` holds what it
//! measures against the first. Model and arena are the file's own. What an instruction
//! takes on a Cortex-M4, a Cortex-M0+ and the RP2350's RISC-V cores is modelled by
//! `benches/mcu/cycles.py` (`cycles.tsv`).

mod cost;

use std::fmt;
use std::path::Path;

use bitat_format::FileBuffer;
use bitat_models::artefacts;

use self::cost::{Counts, Prices};
use crate::Error;
use crate::packed::Packed;
use crate::packed::summary::layers;

/// Board, network, bytes of code, static memory and stack, instructions a picture.
const BOARDS: &str = include_str!("boards.tsv");

/// Network, layer or [`ALL`], instructions by board in the order of [`Target::ALL`].
const LAYERS: &str = include_str!("layers.tsv");

/// Board, network, cycles for an instruction: fewest, most.
const CYCLES: &str = include_str!("cycles.tsv");

/// Stands for all layers, run one after the other.
const ALL: &str = "-";

/// A kind of processor that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Cortex-M4F.
    Thumbv7em,
    /// Cortex-M33 without its DSP instructions.
    Thumbv8m,
    /// Cortex-M0+.
    Thumbv6m,
    /// RV32IMAC.
    Riscv32,
    /// RV32IMAC with Zba, Zbb and Zbs, as the RP2350's cores have them.
    Riscv32Zbb,
    /// Cortex-A53, NEON.
    Aarch64,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 6] = [
        Target::Thumbv7em,
        Target::Thumbv8m,
        Target::Thumbv6m,
        Target::Riscv32,
        Target::Riscv32Zbb,
        Target::Aarch64,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Target::Thumbv7em => "thumbv7em",
            Target::Thumbv8m => "thumbv8m",
            Target::Thumbv6m => "thumbv6m",
            Target::Riscv32 => "riscv32",
            Target::Riscv32Zbb => "riscv32-zbb",
            Target::Aarch64 => "aarch64",
        }
    }

    /// The board of the example firmware that stands for it.
    pub fn board(self) -> &'static str {
        match self {
            Target::Thumbv7em => "cortex-m4f",
            Target::Thumbv8m => "cortex-m33",
            Target::Thumbv6m => "cortex-m0plus",
            Target::Riscv32 => "riscv32",
            Target::Riscv32Zbb => "riscv32-zbb",
            Target::Aarch64 => "cortex-a53",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What does not depend on the network, or hardly: the largest of the networks measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Bytes of code and constants, without the model.
    pub code: u64,
    /// Bytes of `.data` and `.bss`, without the arena.
    pub static_ram: u64,
    /// Bytes of stack at most.
    pub stack: u64,
}

impl Measured {
    /// What was recorded for a target.
    pub fn on(target: Target) -> Measured {
        let mut most = Measured::default();
        for row in rows(BOARDS).filter(|row| row[0] == target.board()) {
            most.code = most.code.max(number(row[2]));
            most.static_ram = most.static_ram.max(number(row[3]));
            most.stack = most.stack.max(number(row[4]));
        }
        most
    }
}

/// Instructions of a network's layers, and how far such estimates are off where the
/// truth is known.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// By layer; `None` for a kind of layer that was not measured.
    pub layers: Vec<Option<u64>>,
    /// Mean size of the relative error over all measured layers, percent.
    pub mean_error: f64,
    /// The largest of them, percent.
    pub largest_error: f64,
    /// The largest over whole networks, percent.
    pub network_error: f64,
    /// What running by rows, which no estimate has, adds to a network at most, percent.
    pub by_rows: f64,
    /// Cycles that an instruction takes, in the mean of all that a network executes:
    /// fewest and most; `None` for a processor that was not modelled.
    pub cycles: Option<[f64; 2]>,
}

impl Estimate {
    /// Estimates the layers of `packed` on a target.
    ///
    /// # Errors
    /// If the shipped networks do not go with the records: a fault of this build.
    pub fn new(packed: &Packed, target: Target) -> Result<Estimate, Error> {
        let mut known = Vec::new();
        // Where the next network's layers begin in `known`.
        let mut ends = Vec::new();
        for (name, file) in networks() {
            known.extend(known_layers(name, file, target)?);
            ends.push(known.len());
        }
        let prices = Prices::fit(&known);

        let off = |(counts, measured): &(Counts, f64)| 100.0 * (prices.of(counts) / measured - 1.0);
        let errors = known.iter().map(|layer| off(layer).abs());
        let (mut network_error, mut by_rows) = (0.0f64, 0.0f64);
        for (name, _) in networks() {
            let added = by_rows_of(name, target) / whole(name, target) - 1.0;
            by_rows = by_rows.max(100.0 * added);
        }
        let mut start = 0;
        for end in ends {
            let of = &known[start..end];
            let estimated: f64 = of.iter().map(|(counts, _)| prices.of(counts)).sum();
            let measured: f64 = of.iter().map(|(_, measured)| measured).sum();
            network_error = network_error.max(100.0 * (estimated / measured - 1.0).abs());
            start = end;
        }
        Ok(Estimate {
            layers: counts(packed)
                .iter()
                .map(|c| c.as_ref().map(|c| rounded(&prices, c)))
                .collect(),
            mean_error: errors.clone().sum::<f64>() / known.len() as f64,
            largest_error: errors.fold(0.0, f64::max),
            network_error,
            by_rows,
            cycles: cycles(target),
        })
    }

    /// Cycles of so many instructions: the middle of fewest and most.
    pub fn cycles_of(&self, instructions: u64) -> Option<u64> {
        let [fewest, most] = self.cycles?;
        Some((instructions as f64 * (fewest + most) / 2.0).round() as u64)
    }
}

fn rounded(prices: &Prices, counts: &Counts) -> u64 {
    prices.of(counts).round() as u64
}

/// The networks whose layers were measured, under their names in the records.
fn networks() -> [(&'static str, &'static [u8]); 2] {
    [("fashion-mnist", artefacts::fashion_mnist_packed()), ("vww", artefacts::vww_packed())]
}

/// The counts of a measured network's layers, and what they executed.
fn known_layers(name: &str, file: &[u8], target: Target) -> Result<Vec<(Counts, f64)>, Error> {
    let packed = Packed::new(FileBuffer::new(file), Path::new(name))?;
    let fault = || Error::model(format!("{name}: the records are of another network"));
    let column = column(target);
    let measured: Vec<_> = rows(LAYERS).filter(|row| row[0] == name && row[1] != ALL).collect();
    let view = packed.view();
    let names = view.layers().map(|layer| layer.name);
    if !names.eq(measured.iter().map(|row| row[1])) {
        return Err(fault());
    }
    let counts = counts(&packed).into_iter().zip(measured);
    counts.map(|(c, row)| Ok((c.ok_or_else(fault)?, number(row[column]) as f64))).collect()
}

/// What a measured network executes for a picture, layer by layer.
fn whole(name: &str, target: Target) -> f64 {
    let mut recorded = rows(LAYERS).filter(|row| row[0] == name && row[1] == ALL);
    recorded.next().map_or(f64::NAN, |row| number(row[column(target)]) as f64)
}

/// The same in firmware, which runs by rows.
fn by_rows_of(name: &str, target: Target) -> f64 {
    let mut recorded = rows(BOARDS).filter(|row| row[0] == target.board() && row[1] == name);
    recorded.next().map_or(f64::NAN, |row| number(row[5]) as f64)
}

/// What an instruction takes, over the networks measured: fewest cycles, most.
fn cycles(target: Target) -> Option<[f64; 2]> {
    let of = rows(CYCLES).filter(|row| row[0] == target.board());
    let rates = of.map(|row| [&row[2], &row[3]].map(|cell| cell.parse().unwrap_or(f64::NAN)));
    rates.reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])])
}

/// The cell of [`LAYERS`] that is a target's.
fn column(target: Target) -> usize {
    2 + target as usize
}

/// The counts of every layer.
fn counts(packed: &Packed) -> Vec<Option<Counts>> {
    let view = packed.view();
    let layers = layers(&view);
    view.layers().zip(&layers).map(|(layer, summary)| Counts::new(&view, &layer, summary)).collect()
}

/// The cells of a record's lines; those that begin with `#` are for people.
fn rows(record: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = record.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').collect())
}

fn number(cell: &str) -> u64 {
    cell.parse().expect("a test has read every number of the records")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_are_whole() {
        for row in rows(BOARDS) {
            assert_eq!(row.len(), 6, "{row:?}");
            assert!(row[2..].iter().all(|cell| number(cell) > 0), "{row:?}");
        }
        for target in Target::ALL {
            let of = rows(BOARDS).filter(|row| row[0] == target.board()).map(|row| row[1]);
            assert!(of.eq(networks().map(|(name, _)| name)), "{target}");
            let Measured { code, static_ram, stack } = Measured::on(target);
            assert!(code > stack && stack > static_ram && static_ram > 0, "{target}");
        }
        let mut layers = 0;
        for (name, file) in networks() {
            for target in Target::ALL {
                let known = known_layers(name, file, target).unwrap();
                layers += known.len();
                assert!(known.iter().all(|(_, instructions)| *instructions > 0.0));
            }
        }
        let lines = rows(LAYERS).filter(|row| row[1] != ALL).count();
        assert_eq!(layers, Target::ALL.len() * lines, "no line is of another network");
        // The cores take no two instructions at once; the Cortex-M0+'s table has no ranges.
        for target in [Target::Thumbv7em, Target::Thumbv6m, Target::Riscv32Zbb] {
            let [fewest, most] = cycles(target).unwrap();
            assert!(1.0 < fewest && fewest <= most && most < 2.0, "{fewest}, {most}");
        }
    }

    /// What layers take one by one, added up, is what a picture was measured to take;
    /// and the estimates are as good as the documentation says.
    #[test]
    fn layers_add_up_and_estimates_are_near() {
        for (name, file) in networks() {
            let packed = Packed::new(FileBuffer::new(file), Path::new(name)).unwrap();
            for target in Target::ALL {
                let layers = known_layers(name, file, target).unwrap();
                let sum: f64 = layers.iter().map(|(_, measured)| measured).sum();
                let picture = whole(name, target);
                assert!((sum / picture - 1.0).abs() < 0.02, "{name}, {target}: {sum}, {picture}");
                assert!(by_rows_of(name, target).is_finite(), "{name}, {target}");

                let estimate = Estimate::new(&packed, target).unwrap();
                let Estimate { mean_error, largest_error, network_error, .. } = estimate;
                let text = format!("{target}: {mean_error}, {largest_error}, {network_error}");
                assert!(mean_error < 8.0 && largest_error < 40.0 && network_error < 5.0, "{text}");
                let sum: u64 = estimate.layers.iter().map(|l| l.unwrap()).sum();
                assert!((sum as f64 / picture - 1.0).abs() < 0.05, "{name}, {target}: {sum}");
            }
        }
    }
}
