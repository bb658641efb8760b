//! `bitat bench FILE` and `bitat bench --network NAME`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::compare::{self, Before};
use super::conditions::{doubts, machine};
use super::limits::Limits;
use super::options::DepthwiseArg;
use super::{Context, network};
use crate::Error;
use crate::packed::summary::{LayerSummary, layers};
use crate::packed::traffic::{Traffic, traffic};
use crate::packed::{Packed, Runner, available, kernels, kernels_named, threads};
use crate::standard::Standard;
use crate::ui::{Align, Json, Stop, Table, human};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Packed network
    #[arg(required_unless_present = "network", conflicts_with = "network")]
    file: Option<PathBuf>,
    /// Instead of a file, a standard shape with random weights: mobilenet-v1-WIDTH-SIDE
    /// or mobilenet-v2-WIDTH-SIDE, such as mobilenet-v1-1.0-224; or a published 1-bit
    /// network: quicknet-small, quicknet, quicknet-large, bi-real-net-18, reactnet-a
    #[arg(long, value_name = "NAME")]
    network: Option<Standard>,
    /// Bits of that MobileNet's depthwise layers [default: 8]
    #[arg(long, value_name = "BITS", value_enum, conflicts_with = "file")]
    depthwise: Option<DepthwiseArg>,
    /// Kernel set: scalar, portable, avx2, avx2+vnni, avx512, neon, neon+dotprod [default: the best this machine has]
    #[arg(long, value_name = "NAME")]
    isa: Option<String>,
    /// Images timed, after a tenth of that to warm up
    #[arg(long, value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Threads that share the work of one image
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// Print the times beside those of an earlier bench --json
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Error> {
    let before = args.compare.as_deref().map(Before::read).transpose()?;
    let packed = match (&args.network, &args.file) {
        (Some(standard), _) => standard.packed(args.depthwise.map(|bits| bits.0))?,
        (None, Some(file)) => network::packed(file)?,
        (None, None) => unreachable!("clap requires one of the two"),
    };
    let kernels = match &args.isa {
        Some(name) => kernels_named(name, "--isa")?,
        None => kernels()?,
    };
    let runs = args.runs as usize;
    let mut runner = packed.runner_on(kernels, Arc::new(threads(args.threads as usize)?))?;
    let agrees_with = agreement(&packed, &mut runner)?;
    let timing = time(&packed, &mut runner, runs, &context.stop)?;
    let per_layer = time_layers(&packed, &mut runner, runs, &context.stop)?;
    let limits = Limits::measure(kernels);

    let summaries = layers(&packed.view());
    let moved = traffic(&packed.view(), &summaries);
    let layers = summaries.into_iter().zip(moved).zip(per_layer);
    let layers = layers.map(|((summary, moved), median_us)| Layer { summary, moved, median_us });
    let measured = Measured {
        network: packed.view().name().to_owned(),
        machine: machine(),
        threads: args.threads,
        arena_bytes: runner.arena_bytes(),
        agrees_with,
        timing,
        limits,
        layers: layers.collect(),
    };
    let (json, text) = match &before {
        Some(before) => (
            measured.json().with("compared", compare::json(before, &measured)),
            compare::text(before, &measured),
        ),
        None => (measured.json(), measured.text(runs)),
    };
    context.finish(json, &text)
}

/// A layer, and how long it takes.
pub(super) struct Layer {
    pub(super) summary: LayerSummary,
    moved: Traffic,
    pub(super) median_us: f64,
}

/// All that was measured.
pub(super) struct Measured {
    pub(super) network: String,
    pub(super) machine: String,
    pub(super) threads: u32,
    arena_bytes: usize,
    agrees_with: Option<&'static str>,
    pub(super) timing: Timing,
    limits: Limits,
    pub(super) layers: Vec<Layer>,
}

impl Measured {
    fn json(&self) -> Json {
        let Measured { timing, limits, .. } = self;
        let layers = self.layers.iter().map(|layer| {
            let Layer { summary, moved, median_us } = layer;
            let rate = self.rate(summary.mac, *median_us);
            Json::object()
                .with("name", summary.name.as_str())
                .with("op", summary.op)
                .with("bits", u64::from(summary.bits))
                .with("median_us", *median_us)
                .with("mac", summary.mac)
                .with("mac_per_cycle", rate)
                .with("of_limit", rate.map(|_| self.of_limit([layer], *median_us)))
                .with("moved", moved_json(moved))
        });
        let mac = self.layers.iter().map(|layer| layer.summary.mac).sum();
        Json::object()
            .with("network", self.network.as_str())
            .with("machine", self.machine.as_str())
            .with("isa", timing.isa)
            .with("threads", self.threads)
            .with("median_us", timing.median_us)
            .with("min_us", timing.min_us)
            .with("arena_bytes", self.arena_bytes as u64)
            .with("agrees_with", self.agrees_with)
            .with("doubts", Json::array(timing.doubts.iter().map(String::as_str)))
            .with("clock_mhz", limits.clock)
            .with("limit_1_bit", limits.binary)
            .with("limit_8_bit", limits.int8)
            .with("mac", mac)
            .with("mac_per_cycle", self.rate(mac, timing.median_us))
            .with("of_limit", self.of_limit(&self.layers, timing.median_us))
            .with("moved_bytes", self.moved())
            .with("layers", Json::array(layers))
    }

    fn text(&self, runs: usize) -> String {
        let Measured { timing, limits, .. } = self;
        let mut table = Table::new(&[
            ("layer", Align::Left),
            ("operation", Align::Left),
            ("output", Align::Left),
            ("MAC", Align::Right),
            ("moved", Align::Right),
            ("median", Align::Right),
            ("MAC/cycle", Align::Right),
            ("limit", Align::Right),
        ]);
        let numbers = |mac, moved, us, share| {
            let rate = self.rate(mac, us);
            [
                human::count(mac),
                human::bytes(moved),
                human::latency(us),
                rate.map_or(String::new(), |rate| format!("{rate:.1}")),
                rate.map_or(String::new(), |_| format!("{share:.0} %")),
            ]
        };
        for layer in &self.layers {
            let Layer { summary, moved, median_us } = layer;
            let share = self.of_limit([layer], *median_us);
            let [h, w, c] = summary.output;
            let names = [summary.name.clone(), summary.op.to_owned(), format!("{h}x{w}x{c}")];
            table.row(
                &[&names[..], &numbers(summary.mac, moved.total(), *median_us, share)].concat(),
            );
        }
        let mac = self.layers.iter().map(|layer| layer.summary.mac).sum();
        let share = self.of_limit(&self.layers, timing.median_us);
        let names = ["one image".to_owned(), String::new(), String::new()];
        let numbers = numbers(mac, self.moved(), timing.median_us, share);
        table.rule().row(&[&names[..], &numbers].concat());
        let mut text = format!(
            "{} on {}, {}, {runs} runs: median {}, minimum {}\n\n{table}\n\
             limit: {:.0} MAC/cycle in 1 bit and {:.0} in 8, with everything in registers,{}\n\
             at {:.2} GHz by a chain of additions; all three measured just now\n\
             moved: tensors, weights and parameters, each counted once\n",
            self.network,
            timing.isa,
            threads_text(self.threads),
            human::latency(timing.median_us),
            human::latency(timing.min_us),
            limits.binary,
            limits.int8,
            if self.threads > 1 { " per thread," } else { "" },
            limits.clock / 1e3,
        );
        for doubt in &timing.doubts {
            text.push_str(&format!("\nnote: {doubt}\n"));
        }
        text
    }

    /// Multiply-accumulates per cycle, if there are any.
    fn rate(&self, mac: u64, us: f64) -> Option<f64> {
        (mac > 0).then(|| mac as f64 / us / self.limits.clock)
    }

    /// Percent of the machine's limit that `layers` reach in `us` microseconds.
    fn of_limit<'a>(&self, layers: impl IntoIterator<Item = &'a Layer>, us: f64) -> f64 {
        let least = |layer: &Layer| self.limits.least_us(layer.summary.bits, layer.summary.mac);
        let least: f64 = layers.into_iter().map(least).sum();
        100.0 * least / us / f64::from(self.threads)
    }

    /// Bytes that all layers move.
    fn moved(&self) -> u64 {
        self.layers.iter().map(|layer| layer.moved.total()).sum()
    }
}

fn moved_json(moved: &Traffic) -> Json {
    Json::object()
        .with("image", moved.image)
        .with("stream_read", moved.stream_read)
        .with("bits_read", moved.bits_read)
        .with("weights", moved.weights)
        .with("stream_written", moved.stream_written)
        .with("bits_written", moved.bits_written)
        .with("scores", moved.scores)
}

/// `one thread`, `2 threads`.
pub(super) fn threads_text(threads: u32) -> String {
    match threads {
        1 => "one thread".to_owned(),
        threads => format!("{threads} threads"),
    }
}

/// The kernel set with which `runner` was found to agree on the image that is
/// timed: the plainest other one that runs here, if there is one.
///
/// # Errors
/// If they differ: then there is nothing to time.
fn agreement(packed: &Packed, runner: &mut Runner<'_>) -> Result<Option<&'static str>, Error> {
    let isa = runner.kernels().isa();
    let Some(other) = available().into_iter().find(|other| other.isa() != isa) else {
        return Ok(None);
    };
    let image = image(packed);
    if runner.run(&image)? != packed.runner(other)?.run(&image)? {
        return Err(Error::model(format!(
            "the {isa} and the {} kernels give different scores; this is a fault of the runtime, \
             please report it; nothing was timed",
            other.isa()
        )));
    }
    Ok(Some(other.isa().name()))
}

/// How long one image takes.
pub(super) struct Timing {
    /// Name of the kernel set.
    pub(super) isa: &'static str,
    /// Median, microseconds.
    pub(super) median_us: f64,
    /// Fastest, microseconds.
    pub(super) min_us: f64,
    /// What makes it doubtful.
    pub(super) doubts: Vec<String>,
}

/// Times whole runs of `runner`, after a tenth of them to warm up.
///
/// # Errors
/// Ctrl-C.
pub(super) fn time(
    packed: &Packed,
    runner: &mut Runner<'_>,
    runs: usize,
    stop: &Stop,
) -> Result<Timing, Error> {
    let image = image(packed);
    for _ in 0..runs / 10 + 1 {
        go_on(stop)?;
        runner.run(&image)?;
    }
    let mut times = Vec::new();
    for _ in 0..runs {
        go_on(stop)?;
        let start = Instant::now();
        runner.run(&image)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    let min_us = times.iter().copied().fold(f64::INFINITY, f64::min);
    let doubts = doubts(&times);
    let isa = runner.kernels().isa().name();
    Ok(Timing { isa, median_us: median(&mut times), min_us, doubts })
}

/// The median of each layer, microseconds.
fn time_layers(
    packed: &Packed,
    runner: &mut Runner<'_>,
    runs: usize,
    stop: &Stop,
) -> Result<Vec<f64>, Error> {
    let image = image(packed);
    let mut per_layer = vec![Vec::new(); packed.view().layer_count()];
    for _ in 0..runs {
        go_on(stop)?;
        let mut last = Instant::now();
        runner.run_with(&image, |step| {
            let now = Instant::now();
            per_layer[step.layer].push((now - last).as_secs_f64() * 1e6);
            last = Instant::now();
        })?;
    }
    Ok(per_layer.iter_mut().map(|times| median(times)).collect())
}

fn go_on(stop: &Stop) -> Result<(), Error> {
    match stop.requested() {
        true => Err(Error::interrupted("stopped; nothing was printed")),
        false => Ok(()),
    }
}

/// Neither constant nor random: pixels of every size, the same every time.
fn image(packed: &Packed) -> Vec<u8> {
    (0..packed.fit().bytes()).map(|i| (i * 37 % 251) as u8).collect()
}

/// The median; sorts `values`. 0 for none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
