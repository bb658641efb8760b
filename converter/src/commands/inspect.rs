//! `bitat inspect FILE`

use std::path::PathBuf;

use super::{Context, network};
use crate::Error;
use crate::packed::summary::{LayerSummary, frame_bytes, layers};
use crate::ui::{Align, Json, Table, human};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Packed network
    file: PathBuf,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Error> {
    let packed = network::packed(&args.file)?;
    let view = packed.view();
    let layers = layers(&view);
    let frame = frame_bytes(&view, &layers);
    let input = view.input();
    let json = Json::object()
        .with("file_bytes", view.file_bytes() as u64)
        .with("arena_bytes", packed.arena_bytes() as u64)
        .with("whole_arena_bytes", packed.whole_arena_bytes() as u64)
        .with("name", view.name())
        .with("input", Json::array([input.height, input.width, input.channels].map(|n| n as u64)))
        .with("mean", Json::array(input.mean.iter().map(|m| f64::from(*m))))
        .with("std", Json::array(input.std.iter().map(|s| f64::from(*s))))
        .with("classes", view.class_count() as u64)
        .with("frame_bytes", frame)
        .with("layers", Json::array(layers.iter().map(layer_json)));

    let mut table = Table::new(&[
        ("layer", Align::Left),
        ("operation", Align::Left),
        ("window", Align::Left),
        ("output", Align::Left),
        ("bits", Align::Right),
        ("weights", Align::Right),
        ("weight bytes", Align::Right),
        ("other bytes", Align::Right),
        ("MAC", Align::Right),
    ]);
    for l in &layers {
        table.row(&[
            l.name.clone(),
            l.op.to_owned(),
            l.window.clone(),
            format!("{}x{}x{}", l.output[0], l.output[1], l.output[2]),
            if l.bits == 0 { String::new() } else { l.bits.to_string() },
            human::grouped(l.weights),
            human::grouped(l.weight_bytes),
            human::grouped(l.epilogue_bytes),
            human::grouped(l.mac),
        ]);
    }
    table.rule();
    let sum = |f: fn(&LayerSummary) -> u64| human::grouped(layers.iter().map(f).sum());
    table.row(&[
        "all layers".to_owned(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        sum(|l| l.weights),
        sum(|l| l.weight_bytes),
        sum(|l| l.epilogue_bytes),
        sum(|l| l.mac),
    ]);
    let text = format!(
        "{name}: {h}x{w}x{c} → {classes} classes\n\n{table}\n\
         header, records, names, alignment  {frame} B\n\
         file                               {file} B\n\
         arena, layers by rows              {arena} B\n\
         arena, layers whole: faster        {whole} B\n",
        name = view.name(),
        h = input.height,
        w = input.width,
        c = input.channels,
        classes = view.class_count(),
        frame = human::grouped(frame),
        file = human::grouped(view.file_bytes() as u64),
        arena = human::grouped(packed.arena_bytes() as u64),
        whole = human::grouped(packed.whole_arena_bytes() as u64),
    );
    context.finish(json, &text)
}

fn layer_json(l: &LayerSummary) -> Json {
    let shape = |s: [usize; 3]| Json::array(s.map(|n| n as u64));
    Json::object()
        .with("name", l.name.as_str())
        .with("op", l.op)
        .with("window", l.window.as_str())
        .with("input", shape(l.input))
        .with("output", shape(l.output))
        .with("bits", u64::from(l.bits))
        .with("weights", l.weights)
        .with("weight_bytes", l.weight_bytes)
        .with("epilogue_bytes", l.epilogue_bytes)
        .with("mac", l.mac)
}
