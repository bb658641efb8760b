//! `bitat bench FILE` and `bitat bench --network NAME`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::conditions::doubts;
use super::options::DepthwiseArg;
use super::{Context, network};
use crate::Error;
use crate::packed::summary::layers;
use crate::packed::{Packed, Runner, kernels, kernels_named, threads};
use crate::qat::rewrite;
use crate::standard::Standard;
use crate::ui::{Align, Json, Stop, Table, human};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Packed network
    #[arg(required_unless_present = "network", conflicts_with = "network")]
    file: Option<PathBuf>,
    /// Instead of a file, a standard shape with random weights: mobilenet-v1-WIDTH-SIDE
    /// or mobilenet-v2-WIDTH-SIDE, such as mobilenet-v1-1.0-224
    #[arg(long, value_name = "NAME")]
    network: Option<Standard>,
    /// Bits of that network's depthwise layers
    #[arg(long, value_name = "BITS", value_enum, default_value = "8", conflicts_with = "file")]
    depthwise: DepthwiseArg,
    /// Kernel set: portable, avx2, avx512, neon [default: the best this machine has]
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
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Error> {
    let packed = match (&args.network, &args.file) {
        (Some(standard), _) => {
            let options = rewrite::Options { depthwise: args.depthwise.0, keep: Vec::new() };
            standard.packed(&options)?
        }
        (None, Some(file)) => network::packed(file)?,
        (None, None) => unreachable!("clap requires one of the two"),
    };
    let kernels = match &args.isa {
        Some(name) => kernels_named(name, "--isa")?,
        None => kernels()?,
    };
    let runs = args.runs as usize;
    let pool = Arc::new(threads(args.threads as usize)?);
    let mut runner = packed.runner_on(kernels, pool)?;
    let Timing { isa, median_us, min_us, doubts } =
        time(&packed, &mut runner, runs, &context.stop)?;
    let image = image(&packed);
    let summaries = layers(&packed.view());
    let mut per_layer = vec![Vec::new(); summaries.len()];
    for _ in 0..runs {
        go_on(&context.stop)?;
        let mut last = Instant::now();
        runner.run_with(&image, |step| {
            let now = Instant::now();
            per_layer[step.layer].push((now - last).as_secs_f64() * 1e6);
            last = Instant::now();
        })?;
    }
    let medians: Vec<f64> = per_layer.iter_mut().map(|times| median(times)).collect();

    let json = Json::object()
        .with("isa", isa)
        .with("threads", args.threads)
        .with("median_us", median_us)
        .with("min_us", min_us)
        .with("arena_bytes", runner.arena_bytes() as u64)
        .with("doubts", Json::array(doubts.iter().map(String::as_str)))
        .with(
            "layers",
            Json::array(summaries.iter().zip(&medians).map(|(l, &us)| {
                Json::object()
                    .with("name", l.name.as_str())
                    .with("op", l.op)
                    .with("bits", u64::from(l.bits))
                    .with("median_us", us)
                    .with("mac", l.mac)
            })),
        );
    let mut table = Table::new(&[
        ("layer", Align::Left),
        ("operation", Align::Left),
        ("output", Align::Left),
        ("MAC", Align::Right),
        ("median", Align::Right),
        ("GMAC/s", Align::Right),
    ]);
    for (l, &us) in summaries.iter().zip(&medians) {
        let [h, w, c] = l.output;
        table.row(&[
            l.name.clone(),
            l.op.to_owned(),
            format!("{h}x{w}x{c}"),
            human::count(l.mac),
            human::latency(us),
            if l.mac > 0 { format!("{:.1}", l.mac as f64 / us / 1e3) } else { String::new() },
        ]);
    }
    let mut text = format!(
        "{} on {isa}, {}, {runs} runs: median {}, minimum {}\n\n{table}",
        packed.view().name(),
        match args.threads {
            1 => "one thread".to_owned(),
            threads => format!("{threads} threads"),
        },
        human::latency(median_us),
        human::latency(min_us),
    );
    for doubt in &doubts {
        text.push_str(&format!("\nnote: {doubt}\n"));
    }
    context.finish(json, &text)
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
