//! `bitat run FILE IMAGE…`

use std::path::PathBuf;

use bitat_data::{Crop, Fit, read_image};
use bitat_engine::{Mode, Net, PlainSte, Purpose};

use super::options::{PreprocessArgs, read_names};
use super::{Context, network};
use crate::Error;
use crate::learn::evaluate::top;
use crate::packed::kernels;
use crate::pipeline::input_fit;
use crate::ui::{Align, Json, Table};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Packed network or float ONNX
    file: PathBuf,
    /// Pictures, JPEG or PNG; resized to the network's input
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Classes shown per picture
    #[arg(long, value_name = "K", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Show the raw scores of all classes too
    #[arg(long)]
    logits: bool,
    /// Which part of a picture is used: centre, centre:0.875, stretch
    #[arg(long, value_name = "HOW", default_value = "centre")]
    fit: Crop,
    /// Class names, one a line (a packed network has its own)
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    #[command(flatten)]
    preprocess: PreprocessArgs,
}

/// A network that turns the pixels of one picture into logits.
type Classify<'a> = Box<dyn FnMut(&[u8]) -> Result<Vec<f64>, Error> + 'a>;

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Error> {
    let opened = network::open(&args.file, context.console)?;
    let classes = match &opened {
        network::Network::Packed(packed) => packed.view().class_count(),
        network::Network::Float(graph) => graph.nodes[graph.output].shape.c,
    };
    let mut names: Vec<String> = Vec::new();
    let (mut fit, mut classify): (Fit, Classify) = match &opened {
        network::Network::Packed(packed) => {
            args.preprocess.refuse("a packed network keeps its own preprocessing")?;
            let view = packed.view();
            names = (0..classes).map_while(|i| view.class_name(i).map(str::to_owned)).collect();
            let mut runner = packed.runner(kernels()?)?;
            let scale = f64::from(view.score_scale());
            let classify = move |pixels: &[u8]| {
                Ok(runner.run(pixels)?.iter().map(|s| f64::from(*s) * scale).collect())
            };
            (packed.fit(), Box::new(classify))
        }
        network::Network::Float(graph) => {
            let mut graph = graph.clone();
            let fit = input_fit(&graph);
            let preprocess = args.preprocess.resolve(fit.channels)?;
            let mut net = Net::new(&graph, 1, Purpose::Eval, &[])?;
            let mut inputs = vec![0.0; fit.bytes()];
            let classify = move |pixels: &[u8]| {
                preprocess.apply(pixels, &mut inputs);
                let logits = net.forward(&mut graph, &PlainSte::default(), &inputs, 1, Mode::Eval);
                Ok(logits.iter().map(|l| f64::from(*l)).collect())
            };
            (fit, Box::new(classify))
        }
    };
    fit.crop = args.fit;
    if let Some(path) = &args.names {
        names = read_names(path, classes)?;
    }
    let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());

    let mut results = Vec::new();
    let mut text = String::new();
    for image in &args.images {
        if context.stop.requested() {
            return Err(Error::interrupted("stopped; nothing was printed"));
        }
        let logits = classify(&read_image(image, &fit)?)?;
        let best = top(&logits, args.top.into());
        let shown = image.display().to_string();
        let mut table =
            Table::new(&[("class", Align::Right), ("name", Align::Left), ("score", Align::Right)]);
        for &class in &best {
            table.row(&[class.to_string(), name(class), format!("{:.3}", logits[class])]);
        }
        text.push_str(&format!("{shown}\n{table}"));
        let mut json = Json::object().with("file", shown.as_str()).with(
            "top",
            Json::array(best.iter().map(|&class| {
                Json::object()
                    .with("class", class as u64)
                    .with("name", name(class))
                    .with("score", logits[class])
            })),
        );
        if args.logits {
            let all: Vec<String> = logits.iter().map(|l| format!("{l:.6}")).collect();
            text.push_str(&format!("logits {}\n", all.join(" ")));
            json = json.with("logits", Json::array(logits.iter().copied()));
        }
        text.push('\n');
        results.push(json);
    }
    context.finish(Json::object().with("results", Json::array(results)), &text)
}
