//! `bitat eval FILE --data DIR`

use std::path::PathBuf;

use bitat_engine::PlainSte;

use super::options::{DataArgs, PreprocessArgs};
use super::{Context, network};
use crate::Error;
use crate::learn::evaluate::{Scores, evaluate};
use crate::packed::kernels;
use crate::pipeline::{check_classes, input_fit};
use crate::ui::{Align, Json, Table};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Packed network or float ONNX
    file: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    preprocess: PreprocessArgs,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Error> {
    let data = args.data.test()?;
    let network = network::open(&args.file, context.console)?;
    let mut bar = context.console.progress("scoring", "images", 0, data.len() as u64);
    let each = |done: usize| {
        bar.set(done as u64, "");
        !context.stop.requested()
    };
    let scores = match network {
        network::Network::Packed(packed) => {
            args.preprocess.refuse("a packed network keeps its own preprocessing")?;
            packed.check_classes(&data)?;
            packed.score(&data, kernels()?, each)?
        }
        network::Network::Float(mut graph) => {
            check_classes(&graph, &data).map_err(|e| Error::file(&args.file, e))?;
            let fit = input_fit(&graph);
            let preprocess = args.preprocess.resolve(fit.channels)?;
            evaluate(&mut graph, &PlainSte::default(), &data, fit, &preprocess, usize::MAX, each)?
        }
    };
    bar.finish("");
    let confusion = scores.confusion();
    let json = Json::object()
        .with("images", scores.images() as u64)
        .with("top1", scores.top(1))
        .with("top5", scores.top(5))
        .with("classes", Json::array(data.classes().iter().map(String::as_str)))
        .with(
            "confusion",
            Json::array(
                confusion
                    .chunks(scores.classes)
                    .map(|row| Json::array(row.iter().map(|&n| u64::from(n)))),
            ),
        );
    let text = format!(
        "{} images: top-1 {:.2} %, top-5 {:.2} %\n\n{}",
        scores.images(),
        scores.top(1),
        scores.top(5),
        confusion_table(&scores, data.classes())
    );
    context.finish(json, &text)
}

/// Up to this many classes the whole matrix is shown, beyond it the worst confusions.
const WHOLE: usize = 12;

fn confusion_table(scores: &Scores, names: &[String]) -> String {
    let confusion = scores.confusion();
    let at = |t: usize, p: usize| confusion[t * scores.classes + p];
    if scores.classes <= WHOLE {
        let columns: Vec<String> = (0..scores.classes).map(|p| p.to_string()).collect();
        let mut header = vec![("true \\ given", Align::Left)];
        header.extend(columns.iter().map(|c| (c.as_str(), Align::Right)));
        let mut table = Table::new(&header);
        for (t, name) in names.iter().enumerate() {
            let mut row = vec![format!("{t} {name}")];
            row.extend((0..scores.classes).map(|p| at(t, p).to_string()));
            table.row(&row);
        }
        return table.to_string();
    }
    let mut worst: Vec<(u32, usize, usize)> = (0..scores.classes)
        .flat_map(|t| (0..scores.classes).map(move |p| (t, p)))
        .filter(|(t, p)| t != p)
        .map(|(t, p)| (at(t, p), t, p))
        .collect();
    worst.sort_by_key(|&(n, t, p)| (std::cmp::Reverse(n), t, p));
    let mut table =
        Table::new(&[("true", Align::Left), ("given", Align::Left), ("images", Align::Right)]);
    for (n, t, p) in worst.into_iter().take(WHOLE).filter(|w| w.0 > 0) {
        table.row(&[names[t].clone(), names[p].clone(), n.to_string()]);
    }
    format!("most frequent confusions\n\n{table}")
}
