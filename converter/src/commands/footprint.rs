//! `bitat footprint FILE --target NAME`

use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::{Context, network};
use crate::Error;
use crate::footprint::{Estimate, Measured, Target};
use crate::packed::summary::layers;
use crate::ui::{Align, Json, Table, human};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Packed network
    file: PathBuf,
    /// Kind of processor
    #[arg(long, value_name = "NAME", value_enum)]
    target: Target,
}

impl ValueEnum for Target {
    fn value_variants<'a>() -> &'a [Target] {
        &Target::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Target::Thumbv7em => "Cortex-M4F",
            Target::Thumbv8m => "Cortex-M33, without its DSP instructions",
            Target::Thumbv6m => "Cortex-M0+",
            Target::Riscv32 => "RV32IMAC",
            Target::Riscv32Zbb => "RV32IMAC with Zba, Zbb and Zbs, as in the RP2350",
            Target::Aarch64 => "Cortex-A53, NEON",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Error> {
    let packed = network::packed(&args.file)?;
    let target = args.target;
    let measured = Measured::on(target);
    let estimate = Estimate::new(&packed, target)?;
    let view = packed.view();
    let summaries = layers(&view);
    let (model, arena) = (view.file_bytes() as u64, packed.arena_bytes() as u64);
    let whole = packed.whole_arena_bytes() as u64;
    let flash = measured.code + model;
    let ram = arena + measured.stack + measured.static_ram;
    let mac = summaries.iter().map(|layer| layer.mac).sum();
    // Unknown as a whole if one layer is.
    let instructions: Option<u64> = estimate.layers.iter().copied().sum();

    let each = summaries.iter().zip(&estimate.layers).map(|(layer, instructions)| {
        Json::object()
            .with("name", layer.name.as_str())
            .with("op", layer.op)
            .with("mac", layer.mac)
            .with("instructions", *instructions)
            .with("cycles", instructions.and_then(|count| estimate.cycles_of(count)))
    });
    let cycles = instructions.and_then(|count| estimate.cycles_of(count));
    let json = Json::object()
        .with("network", view.name())
        .with("target", target.name())
        .with("board", target.board())
        .with("code_bytes", measured.code)
        .with("model_bytes", model)
        .with("flash_bytes", flash)
        .with("arena_bytes", arena)
        .with("whole_arena_bytes", whole)
        .with("stack_bytes", measured.stack)
        .with("static_bytes", measured.static_ram)
        .with("ram_bytes", ram)
        .with("whole_ram_bytes", whole + ram - arena)
        .with("mac", mac)
        .with("instructions", instructions)
        .with("cycles", cycles)
        .with("cycles_per_instruction", estimate.cycles.map(Json::array))
        .with("mean_error", estimate.mean_error)
        .with("largest_error", estimate.largest_error)
        .with("network_error", estimate.network_error)
        .with("by_rows", estimate.by_rows)
        .with("layers", Json::array(each));

    let columns = [
        ("layer", Align::Left),
        ("operation", Align::Left),
        ("output", Align::Left),
        ("MAC", Align::Right),
        ("instructions", Align::Right),
        ("cycles", Align::Right),
    ];
    // None of them known for a processor that was not modelled.
    let shown = columns.len() - usize::from(estimate.cycles.is_none());
    let mut table = Table::new(&columns[..shown]);
    let number = |count: Option<u64>| count.map_or("not known".to_owned(), human::grouped);
    let cost = |count: Option<u64>| {
        [number(count), number(count.and_then(|count| estimate.cycles_of(count)))]
    };
    for (layer, instructions) in summaries.iter().zip(&estimate.layers) {
        let [h, w, c] = layer.output;
        let of = [
            layer.name.clone(),
            layer.op.to_owned(),
            format!("{h}x{w}x{c}"),
            human::grouped(layer.mac),
        ];
        table.row(&[&of[..], &cost(*instructions)].concat()[..shown]);
    }
    let all = ["all layers", "", ""].map(str::to_owned);
    let sums = [&all[..], &[human::grouped(mac)], &cost(instructions)].concat();
    table.rule().row(&sums[..shown]);
    let rates = estimate.cycles.map(|rates| rates.map(|rate| format!("{rate:.2}")));
    let speed = match rates {
        // A core whose table has no ranges.
        Some([fewest, most]) if fewest == most => format!(
            "modelled: cycles, {fewest} for an instruction by the core's table;\n\
             memory that does not answer at once takes more"
        ),
        Some([fewest, most]) => format!(
            "modelled: cycles, {fewest} to {most} for an instruction by the core's table, here the \
             middle;\nmemory that does not answer at once takes more"
        ),
        None => {
            "a core takes a cycle for each instruction or more, as its memory lets it".to_owned()
        }
    };
    let text = format!(
        "{name} on {target} ({board})\n\n{table}\n{sizes}\n\
         measured: the example firmware for {board}, printing included, under an emulator;\n\
         code and stack hardly depend on the network\n\
         estimated: instructions, by prices fitted to the measured layers of two networks, of\n\
         which a layer is {mean:.0} % off on average and {largest:.0} % at most, a whole network {whole:.1} %;\n\
         they are of whole layers, in the larger arena: running by rows added {rows:.0} % at most;\n\
         {speed}\n",
        name = view.name(),
        board = target.board(),
        sizes = sizes(&measured, model, [arena, whole]),
        mean = estimate.mean_error,
        largest = estimate.largest_error,
        whole = estimate.network_error,
        rows = estimate.by_rows,
    );
    context.finish(json, &text)
}

/// Flash and RAM, and what each is made of: the latter with the arena for layers by
/// rows, and in all with that for whole layers.
fn sizes(measured: &Measured, model: u64, [arena, whole]: [u64; 2]) -> Table {
    let mut table =
        Table::new(&[("", Align::Left), ("", Align::Left), ("", Align::Right), ("", Align::Left)]);
    let mut row = |what: &str, of: &str, bytes, from: &str| {
        table.row(&[what.to_owned(), of.to_owned(), human::grouped(bytes) + " B", from.to_owned()]);
    };
    row("flash", "code", measured.code, "measured");
    row("", "model", model, "the file");
    row("", "all", measured.code + model, "");
    let rest = measured.stack + measured.static_ram;
    row("RAM", "arena", arena, "the file, layers by rows");
    row("", "stack", measured.stack, "measured");
    row("", "static", measured.static_ram, "measured");
    row("", "all", arena + rest, "");
    row("RAM, faster", "arena", whole, "the file, layers whole");
    row("", "all", whole + rest, "with the same stack and statics");
    table
}
