//! The whole path, from a trained float network to a packed file that is
//! proven: what `bitat convert` and `bitat demo` both run.

use std::sync::Arc;

use bitat_data::{Dataset, Fit, Preprocess};
use bitat_engine::{Mode, PlainSte};
use bitat_format::FileBuffer;
use bitat_graph::{Graph, take_input_affine};

use crate::Error;
use crate::bitat;
use crate::learn::budget::{Open, Plan, Unsettled};
use crate::learn::evaluate::{Scores, evaluate};
use crate::learn::fit::{Material, Point, Surroundings, calibration_images, fit};
use crate::learn::recipe::Recipe;
use crate::learn::teacher::Teacher;
use crate::lower::{Facts, lower};
use crate::prove::{Proof, prove};
use crate::qat::calibrate::{self, Images};
use crate::qat::rewrite::{self, INPUT_SCALE, LayerNote, Rewritten, rewrite};
use crate::ui::human;

/// A float network with its data.
pub struct Task<'a> {
    /// The trained float network.
    pub float: &'a Graph,
    /// Its preprocessing.
    pub preprocess: &'a Preprocess,
    /// Training images.
    pub train: &'a Arc<Dataset>,
    /// Images that measure, never train.
    pub test: &'a Arc<Dataset>,
    /// Class names, where they are better known than the data knows them.
    pub classes: Option<&'a [String]>,
    /// What stays in 8 bits.
    pub options: &'a rewrite::Options,
    /// How the 1-bit network is trained.
    pub recipe: &'a Recipe,
    /// What of the recipe is settled by the budget.
    pub open: Open,
}

/// A packed network and what is known about it.
pub struct Converted {
    /// The file's bytes.
    pub file: FileBuffer,
    /// The float network on the test images.
    pub float: Scores,
    /// The proof, with the packed network's scores on the same images.
    pub proof: Proof,
    /// The training curve.
    pub curve: Vec<Point>,
    /// What was planned before the training.
    pub plan: Plan,
}

/// The input size of a float network.
pub fn input_fit(graph: &Graph) -> Fit {
    let shape = graph.nodes[0].shape;
    Fit::new(shape.h, shape.w, shape.c)
}

/// Moves a scale and offset at the network's input into its preprocessing.
///
/// # Errors
/// If a channel's scale is not positive: pixels would have to be negated.
pub fn merge_input_affine(
    graph: &Graph,
    preprocess: Preprocess,
) -> Result<(Graph, Preprocess), Error> {
    let (graph, Some(affine)) = take_input_affine(graph) else {
        return Ok((graph.clone(), preprocess));
    };
    if affine.scale.iter().any(|s| !(*s > 0.0 && s.is_finite())) {
        return Err(Error::model(
            "the network scales its input by a number that is not positive; fold that into its \
             first convolution before exporting it",
        ));
    }
    // ((p − mean)/std)·scale + offset = (p − (mean − offset·std/scale)) / (std/scale)
    let std: Vec<f32> = preprocess.std.iter().zip(&affine.scale).map(|(d, s)| d / s).collect();
    let mean = preprocess
        .mean
        .iter()
        .zip(&affine.offset)
        .zip(&std)
        .map(|((m, offset), d)| m - offset * d)
        .collect();
    Ok((graph, Preprocess::new(mean, std)?))
}

/// Checks that a network and a data set speak of the same classes.
///
/// # Errors
/// If they do not.
pub fn check_classes(graph: &Graph, data: &Dataset) -> Result<(), Error> {
    let outputs = graph.nodes[graph.output].shape.c;
    let classes = data.classes().len();
    if outputs != classes {
        return Err(Error::model(format!(
            "the network has {outputs} outputs but the data has {classes} classes; \
             give --data with the classes that it was trained on"
        )));
    }
    Ok(())
}

/// Converts a float network: scores it, rewrites it, trains it to one bit,
/// lowers it to integers, and proves the file.
///
/// # Errors
/// A network or data that cannot be converted, an interruption, or a packed
/// network that does not do what the trained one does.
pub fn convert(task: &Task, surroundings: &Surroundings) -> Result<Converted, Error> {
    check_classes(task.float, task.train)?;
    check_classes(task.float, task.test)?;
    let binarizer = bitat::method(task.recipe.method);
    let binarizer = binarizer.as_ref();
    let teacher = Teacher { graph: task.float, preprocess: task.preprocess };
    let float = score_float(task, surroundings)?;
    surroundings.console.say(&format!(
        "float network: {} of {} test images",
        human::percent(float.top(1)),
        human::grouped(float.images() as u64)
    ));

    let (Rewritten { mut graph, zero, layers }, preprocess) = untrained(task)?;
    let material = Material {
        train: task.train,
        test: task.test,
        fit: input_fit(task.float),
        preprocess,
        binarizer,
        teacher: Some(&teacher),
    };
    surroundings.console.say(&network(task, &layers));
    let plan = Unsettled {
        graph: &graph,
        material: &material,
        recipe: task.recipe,
        open: task.open,
        teacher: beats_a_guess(&float),
        ending: &|graph, material, surroundings| {
            deploy(task, &zero, graph, material, surroundings).map(drop)
        },
    }
    .settle(surroundings)?;
    let curve = fit(&mut graph, &material, &plan.recipe, surroundings)?;
    let (file, proof) = deploy(task, &zero, &mut graph, &material, surroundings)?;
    Ok(Converted { file, float, proof, curve, plan })
}

/// The network in a line: what comes in and out, and what becomes of its layers.
fn network(task: &Task, layers: &[LayerNote]) -> String {
    let shape = task.float.nodes[0].shape;
    let binary = layers.iter().filter(|layer| layer.bits == 1).count();
    format!(
        "network: {}, {}x{}x{}, {} classes; {binary} of {} layers in 1 bit, depthwise in {}",
        task.float.name,
        shape.h,
        shape.w,
        shape.c,
        task.test.classes().len(),
        layers.len(),
        task.options.depthwise.name()
    )
}

/// True if a network is right more often than guesses are by luck: above their mean
/// by more than three of their standard deviations.
fn beats_a_guess(scores: &Scores) -> bool {
    let (images, guess) = (scores.images() as f64, 1.0 / scores.classes as f64);
    scores.top(1) / 100.0 > guess + 3.0 * (guess * (1.0 - guess) / images).sqrt()
}

/// Lowers a trained network to a file and proves it on the material's test images.
fn deploy(
    task: &Task,
    zero: &[u8],
    graph: &mut Graph,
    material: &Material,
    surroundings: &Surroundings,
) -> Result<(FileBuffer, Proof), Error> {
    let (pixels, count) = calibration_images(material)?;
    let images = Images { pixels: &pixels, count };
    let ranges = calibrate::ranges(graph, material.binarizer, &images, Mode::Eval)?;
    let facts = Facts {
        name: &task.float.name,
        classes: task.classes.unwrap_or(task.test.classes()),
        zero,
        mean: &task.preprocess.mean,
        std: &task.preprocess.std,
        input_scale: INPUT_SCALE,
        ranges: &ranges,
    };
    let lowered = lower(graph, material.binarizer, &facts)?;
    let bytes = bitat_format::write(&lowered.model)
        .map_err(|e| Error::model(format!("the network does not fit the file format: {e}")))?;
    let file = FileBuffer::new(&bytes);
    let proof = prove(&file, &lowered, graph, material, surroundings)?;
    Ok((file, proof))
}

/// The 1-bit network of a task as its training finds it, and its preprocessing.
///
/// # Errors
/// A network without a 1-bit counterpart, unreadable images.
pub fn untrained(task: &Task) -> Result<(Rewritten, Preprocess), Error> {
    let float = task.preprocess;
    let mut rewritten = rewrite(task.float, &float.mean, &float.std, task.options)?;
    let zero: Vec<f32> = rewritten.zero.iter().map(|z| f32::from(*z)).collect();
    let scale = vec![INPUT_SCALE; zero.len()];
    unfold(task, &mut rewritten)?;
    Ok((rewritten, Preprocess::new(zero, scale)?))
}

/// The float network on the test images.
pub(crate) fn score_float(task: &Task, surroundings: &Surroundings) -> Result<Scores, Error> {
    let mut bar =
        surroundings.console.progress("float network", "images", 0, task.test.len() as u64);
    let scores = evaluate(
        &mut task.float.clone(),
        &PlainSte::default(),
        task.test,
        input_fit(task.float),
        task.preprocess,
        usize::MAX,
        |done| {
            bar.set(done as u64, "");
            !surroundings.stop.requested()
        },
    )?;
    bar.finish("");
    Ok(scores)
}

/// Scale and shift of batch norms that the float network had folded away.
fn unfold(task: &Task, rewritten: &mut Rewritten) -> Result<(), Error> {
    if rewritten.layers.iter().all(|l| l.folded_norm.is_none()) {
        return Ok(());
    }
    // Float layers have no 1-bit weights: the method is never asked.
    let binarizer = PlainSte::default();
    let material = Material {
        train: task.train,
        test: task.test,
        fit: input_fit(task.float),
        preprocess: task.preprocess.clone(),
        binarizer: &binarizer,
        teacher: None,
    };
    let (pixels, count) = calibration_images(&material)?;
    calibrate::unfold_norms(
        &mut rewritten.graph,
        &rewritten.layers,
        &mut task.float.clone(),
        material.binarizer,
        &Images { pixels: &pixels, count },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitat_graph::{Op, Role, Shape};

    #[test]
    fn a_few_lucky_answers_teach_nothing() {
        let scores = |images: usize, right: usize| {
            let mut scores = Scores::new(10);
            (0..images).for_each(|i| scores.push(usize::from(i >= right), &[1, 0]));
            scores
        };
        assert!(!beats_a_guess(&scores(40, 9)) && beats_a_guess(&scores(40, 10)));
        assert!(!beats_a_guess(&scores(10_000, 1089)) && beats_a_guess(&scores(10_000, 1091)));
        assert!(!beats_a_guess(&scores(0, 0)));
    }

    #[test]
    fn an_input_scale_moves_into_the_preprocessing() {
        let mut graph = Graph::default();
        let shape = Shape { h: 1, w: 1, c: 1 };
        let input = graph.push("in", Op::Input, &[], Some(shape)).unwrap();
        let mut one = |name: &str, value: f32| graph.param(name, &[1], vec![value], Role::Gain);
        let (gamma, beta, mean, var) =
            (one("g", 0.5), one("b", 0.25), one("m", 0.0), one("v", 1.0));
        let weight = graph.param("w", &[1, 1], vec![1.0], Role::Weight);
        let norm = Op::BatchNorm { gamma, beta, mean, var, eps: 0.0 };
        let norm = graph.push("scale", norm, &[input], None).unwrap();
        let dense = Op::Dense { weight, bias: None, precision: bitat_graph::Precision::Float };
        graph.output = graph.push("out", dense, &[norm], None).unwrap();

        let before = Preprocess::new(vec![100.0], vec![50.0]).unwrap();
        let (merged, after) = merge_input_affine(&graph, before.clone()).unwrap();
        assert_eq!(merged.nodes.len(), graph.nodes.len() - 1);
        for pixel in [0u8, 77, 255] {
            let value = |graph: &Graph, preprocess: &Preprocess| {
                let mut x = [0.0];
                preprocess.apply(&[pixel], &mut x);
                bitat_graph::evaluate(graph, &x)[graph.output][0]
            };
            assert!((value(&graph, &before) - value(&merged, &after)).abs() < 1e-5);
        }
    }
}
