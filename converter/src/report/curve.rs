//! The training curve: loss and accuracy over epochs.

use super::Report;
use super::html::{Text, card};
use std::fmt::Write;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 80.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 38.0;
/// Up to this many points are marked one by one.
const DOTTED: usize = 12;
/// More points than pixels help nobody.
const POINTS: usize = 400;

/// Both panels, or what there is of them.
pub(super) fn curve(report: &Report) -> Option<String> {
    let points = |value: fn(&super::Point) -> Option<f64>| {
        let finite = |p: &super::Point| {
            value(p).filter(|v| v.is_finite() && p.epoch.is_finite()).map(|v| (p.epoch, v))
        };
        report.curve.iter().filter_map(finite).collect::<Vec<_>>()
    };
    let stages = stages(report);
    let float = report.networks.iter().find(|n| !n.packed).map(|n| n.top1);
    let loss = Panel {
        title: "Training loss",
        points: points(|p| p.loss),
        line: None,
        unit: "",
        class: "loss",
    };
    let accuracy = Panel {
        title: "Accuracy, %",
        points: points(|p| p.accuracy),
        line: float.map(|top1| (top1, "float")),
        unit: " %",
        class: "accuracy",
    };
    let panels: Vec<String> =
        [loss, accuracy].iter().filter(|p| p.points.len() > 1).map(|p| p.draw(&stages)).collect();
    let html = format!("<div class=\"panels\">\n{}</div>\n", panels.concat());
    (!panels.is_empty()).then(|| card("Training", "", &html))
}

/// Where each stage begins, and its name; nothing if there is only one.
fn stages(report: &Report) -> Vec<(f64, &str)> {
    let mut list: Vec<(f64, &str)> = Vec::new();
    let mut before = 0.0;
    for point in &report.curve {
        if list.last().is_none_or(|&(_, name)| name != point.stage) {
            list.push((before, &point.stage));
        }
        before = point.epoch;
    }
    if list.len() > 1 { list } else { Vec::new() }
}

struct Panel {
    title: &'static str,
    points: Vec<(f64, f64)>,
    /// A level to compare with, and its name.
    line: Option<(f64, &'static str)>,
    unit: &'static str,
    class: &'static str,
}

impl Panel {
    fn draw(&self, stages: &[(f64, &str)]) -> String {
        let every = self.points.len().div_ceil(POINTS);
        let last = *self.points.last().expect("a panel has points");
        let values = || self.points.iter().map(|p| p.1).chain(self.line.map(|l| l.0));
        let (low, high, step) = scale(
            values().fold(f64::INFINITY, f64::min),
            values().fold(f64::NEG_INFINITY, f64::max),
        );
        let end = self.points.iter().map(|p| p.0).fold(0.0, f64::max).max(1e-9);
        let x = |epoch: f64| LEFT + epoch / end * (WIDTH - LEFT - RIGHT);
        let y =
            |value: f64| HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{0}\">\n\
             <text class=\"title\" x=\"{LEFT}\" y=\"12\">{0}</text>\n",
            self.title
        );
        self.stages(&mut svg, stages, &x);
        let decimals = if step < 1.0 { (-step.log10()).ceil() as usize } else { 0 };
        for i in 0..=((high - low) / step).round() as usize {
            let value = low + i as f64 * step;
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/>\
                 <text class=\"tick\" x=\"{2:.1}\" y=\"{3:.1}\" text-anchor=\"end\">{value:.decimals$}</text>",
                WIDTH - RIGHT,
                y(value),
                LEFT - 8.0,
                y(value) + 4.0
            );
        }
        let epochs = step_of(end / 6.0).max(if end >= 2.0 { 1.0 } else { 0.0 });
        let decimals = if epochs < 1.0 { (-epochs.log10()).ceil() as usize } else { 0 };
        for i in 0..=(end / epochs + 1e-9) as usize {
            let epoch = i as f64 * epochs;
            let _ = writeln!(
                svg,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{epoch:.decimals$}</text>",
                x(epoch),
                HEIGHT - BOTTOM + 16.0
            );
        }
        let _ = writeln!(
            svg,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">epoch</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 4.0
        );
        let end_label = self.line(&mut svg, y(last.1), &y);
        let mut path = String::new();
        for (i, (epoch, value)) in self.points.iter().enumerate() {
            if i % every == 0 || i + 1 == self.points.len() {
                let command = if path.is_empty() { 'M' } else { 'L' };
                let _ = write!(path, "{command}{:.1} {:.1}", x(*epoch), y(*value));
            }
        }
        // A line alone would not say how few measurements it joins.
        for (epoch, value) in self.points.iter().filter(|_| self.points.len() <= DOTTED) {
            let _ = writeln!(
                svg,
                "<circle class=\"{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>",
                self.class,
                x(*epoch),
                y(*value)
            );
        }
        let _ = writeln!(
            svg,
            "<path class=\"curve {0}\" d=\"{path}\"/><circle class=\"{0}\" cx=\"{1:.1}\" cy=\"{2:.1}\" r=\"4\"/>\
             <text class=\"end {0}\" x=\"{3:.1}\" y=\"{4:.1}\">{5:.6$}{7}</text>",
            self.class,
            x(last.0),
            y(last.1),
            WIDTH - RIGHT + 9.0,
            end_label + 4.0,
            last.1,
            if self.unit.is_empty() { 3 } else { 1 },
            self.unit
        );
        svg + "</svg>\n"
    }

    /// Borders and names of the stages. Names without room are left to the tooltip.
    fn stages(&self, svg: &mut String, stages: &[(f64, &str)], x: &dyn Fn(f64) -> f64) {
        for (i, &(start, name)) in stages.iter().enumerate() {
            let right = stages.get(i + 1).map_or(WIDTH - RIGHT, |next| x(next.0));
            let left = x(start);
            let _ = writeln!(
                svg,
                "<rect class=\"stage\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" \
                 opacity=\"{}\"><title>{}</title></rect>",
                (right - left).max(0.0),
                HEIGHT - TOP - BOTTOM,
                i % 2,
                Text(name)
            );
            if right - left > name.chars().count() as f64 * 6.2 + 8.0 {
                let _ = writeln!(
                    svg,
                    "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                    (left + right) / 2.0,
                    TOP + 12.0,
                    Text(name)
                );
            }
        }
    }

    /// The level to compare with. Returns where the curve's last value is to be
    /// written so that the two labels stay apart.
    fn line(&self, svg: &mut String, end: f64, y: &dyn Fn(f64) -> f64) -> f64 {
        let Some((level, name)) = self.line else { return end };
        let at = y(level);
        const APART: f64 = 15.0;
        let (label, end) = match (end - at).abs() < APART {
            true if end < at => (at + (APART - (at - end)) / 2.0, end - (APART - (at - end)) / 2.0),
            true => (at - (APART - (end - at)) / 2.0, end + (APART - (end - at)) / 2.0),
            false => (at, end),
        };
        let _ = writeln!(
            svg,
            "<line class=\"level\" x1=\"{LEFT}\" x2=\"{0:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" x=\"{1:.1}\" y=\"{2:.1}\">{name} {level:.1}</text>",
            WIDTH - RIGHT,
            WIDTH - RIGHT + 9.0,
            label + 4.0
        );
        end
    }
}

/// Round borders and step for an axis that covers `low..=high` in about five steps.
pub(super) fn scale(low: f64, high: f64) -> (f64, f64, f64) {
    let span = if high > low { high - low } else { high.abs().max(1.0) * 0.1 };
    let step = step_of(span / 4.0);
    let (bottom, top) = ((low / step).floor() * step, (high / step).ceil() * step);
    (bottom, if top > bottom { top } else { bottom + step }, step)
}

/// The 1, 2 or 5 times a power of ten that is not below `value`.
fn step_of(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let times = [1.0, 2.0, 5.0].into_iter().find(|t| t * power >= value * (1.0 - 1e-9));
    times.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_round() {
        let close = |got: (f64, f64, f64), want: (f64, f64, f64)| {
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
            assert!(near(got.0, want.0) && near(got.1, want.1) && near(got.2, want.2), "{got:?}");
        };
        close(scale(0.31, 2.3), (0.0, 2.5, 0.5));
        close(scale(71.0, 91.2), (70.0, 100.0, 10.0));
        close(scale(5.0, 5.0), (5.0, 5.2, 0.2));
        close(scale(0.0, 0.0), (0.0, 0.05, 0.05));
    }
}
