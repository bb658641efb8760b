//! The page of a study: every seed of every rung as a dot, the float network as
//! a line, and what each rung adds and costs.

use super::bars::{Bar, bars};
use super::curve::scale;
use super::html::{Text, card};
use super::page::{Frame, foot, headline};
use crate::study::{Gain, Measured, Summary, spread};
use crate::ui::human;
use std::fmt::Write;

const STYLE: &str = include_str!("ladder.css");
const WIDTH: f64 = 1072.0;
/// Where the axis begins and ends.
const LEFT: f64 = 340.0;
const RIGHT: f64 = 816.0;
/// Where means end and gains begin.
const MEANS: f64 = 928.0;
const GAINS: f64 = 948.0;
const TOP: f64 = 30.0;
const ROW: f64 = 46.0;
const BOTTOM: f64 = 30.0;
/// Between the dots of two seeds, downwards, at most.
const APART: f64 = 5.0;
/// Height over which the dots of a rung may spread.
const CLOUD: f64 = 18.0;
/// Gains of more than so many standard errors are coloured.
const ERRORS: f64 = 2.0;
/// How many times the span of the rungs the float network may be away from them
/// and still stand on their axis.
const FAR: f64 = 2.0;

/// What the page shows.
#[derive(Clone, Debug)]
pub struct Ladder {
    /// The headline: network and data.
    pub title: String,
    /// The budget, in a sentence below it.
    pub budget: String,
    /// What was measured; at least one rung.
    pub summary: Summary,
    /// The command line that makes this again.
    pub command: String,
    /// Names and values for the foot of the page.
    pub facts: Vec<(String, String)>,
}

impl Ladder {
    /// The whole page.
    pub fn html(&self) -> String {
        let summary = &self.summary;
        let trio = [costs(summary), rates(summary)].into_iter().flatten().collect::<String>();
        let trio = match trio.as_str() {
            "" => trio,
            cards => format!("<div class=\"trio\">\n{cards}</div>\n"),
        };
        let frame = Frame {
            title: &self.title,
            kind: "ladder of the method",
            style: STYLE,
            head: format!("<p class=\"lead\">{}</p>\n{}", Text(&self.budget), figures(summary)),
            cards: [plot(summary), table(summary), trio].concat(),
            foot: foot(&self.command, &self.facts),
        };
        frame.html()
    }
}

/// More, less or not to be told from nothing, as a class.
fn direction(gain: Gain) -> &'static str {
    let noise = gain.error.map_or(0.0, |error| ERRORS * error);
    match gain.points {
        p if p > noise => "more",
        p if p < -noise => "less",
        _ => "same",
    }
}

fn figures(summary: &Summary) -> String {
    let first = &summary.rungs[0];
    let best = summary.rungs.iter().max_by(|a, b| a.mean().total_cmp(&b.mean())).unwrap_or(first);
    let of = |rung: &Measured| format!("rung {}: {}", rung.rung.name, rung.rung.what);
    let points = |points: f64| format!("{points:+.2} points").replace('-', "−");
    let mut list = vec![
        ("Float network", human::percent(summary.float_top1), "top-1 on the test pictures".into()),
        ("First rung", human::percent(first.mean()), of(first)),
    ];
    if !std::ptr::eq(best, first) {
        list.push(("Best rung", human::percent(best.mean()), of(best)));
        let gain = best.mean() - first.mean();
        list.push((
            "Gain",
            points(gain),
            format!("{} to the float network", points(summary.gap(best))),
        ));
    }
    headline(&list)
}

fn plot(summary: &Summary) -> String {
    let axis = Axis::of(summary);
    let end = TOP + ROW * summary.rungs.len() as f64;
    let mut svg = format!(
        "<div class=\"ladder\">\n<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" \
         aria-label=\"Top-1 by rung\">\n",
        end + BOTTOM
    );
    for i in (0..summary.rungs.len()).step_by(2) {
        let y = TOP + ROW * i as f64;
        let _ = writeln!(
            svg,
            "<rect class=\"row\" x=\"0\" y=\"{y}\" width=\"{WIDTH}\" height=\"{ROW}\" rx=\"8\"/>"
        );
    }
    axis.draw(&mut svg, end);
    axis.level(&mut svg, summary.float_top1, end);
    svg += &label(MEANS, "end", "mean ± spread");
    svg += &label(GAINS, "start", "gain");
    for (i, rung) in summary.rungs.iter().enumerate() {
        row(&mut svg, summary, rung, TOP + ROW * (i as f64 + 0.5), &axis);
    }
    let legend = "<ul class=\"legend\">\n<li><i class=\"dot\"></i>a seed</li>\n\
                  <li><i class=\"tick\"></i>mean</li>\n\
                  <li><i class=\"band\"></i>spread: one sample standard deviation</li>\n\
                  <li><i class=\"arrow\"></i>from the mean of the rung it stands over</li>\n</ul>\n";
    let html = svg + "</svg>\n</div>\n" + legend;
    card("The ladder", "Top-1 on the test pictures, rung by rung, every seed.", &html)
}

/// A word above the rows.
fn label(x: f64, anchor: &str, text: &str) -> String {
    let y = TOP - 12.0;
    format!("<text class=\"tick\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>\n")
}

/// Percent, from left to right.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// Covers all seeds and spreads, and the float network if it is not too far away.
    fn of(summary: &Summary) -> Axis {
        let spreads = |r: &Measured| {
            let spread = spread(&r.top1).unwrap_or(0.0);
            [r.mean() - spread, r.mean() + spread]
        };
        let values = || summary.rungs.iter().flat_map(|r| r.top1.iter().copied().chain(spreads(r)));
        let least = values().fold(f64::INFINITY, f64::min);
        let most = values().fold(f64::NEG_INFINITY, f64::max);
        let float = summary.float_top1;
        let away = (float - most).max(least - float);
        let (low, high, step) = match most > least && away > FAR * (most - least) {
            true => scale(least, most),
            false => scale(least.min(float), most.max(float)),
        };
        Axis { low, high, step }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.low) / (self.high - self.low) * (RIGHT - LEFT)
    }

    /// The grid down to `end`, and its numbers.
    fn draw(&self, svg: &mut String, end: f64) {
        let Axis { low, high, step } = *self;
        let decimals = if step < 1.0 { (-step.log10()).ceil() as usize } else { 0 };
        for i in 0..=((high - low) / step).round() as usize {
            let value = low + i as f64 * step;
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{end}\"/>\
                 <text class=\"tick\" x=\"{0:.1}\" y=\"{1}\" text-anchor=\"middle\">{value:.decimals$} %</text>",
                self.x(value),
                end + 19.0
            );
        }
    }

    /// The float network: a line down to `end`, or where it would stand.
    fn level(&self, svg: &mut String, float: f64, end: f64) {
        if float > self.high {
            *svg += &label(RIGHT, "end", &format!("float {float:.2} % →"));
        } else if float < self.low {
            *svg += &label(LEFT, "start", &format!("← float {float:.2} %"));
        } else {
            let (x, y) = (self.x(float), TOP - 6.0);
            let _ = writeln!(
                svg,
                "<line class=\"level\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y}\" y2=\"{end}\"/>"
            );
            *svg += &label(x, "middle", &format!("float {float:.2} %"));
        }
    }
}

/// One rung at height `y`.
fn row(svg: &mut String, summary: &Summary, rung: &Measured, y: f64, axis: &Axis) {
    let x = |value| axis.x(value);
    let mean = x(rung.mean());
    let _ = writeln!(
        svg,
        "<text class=\"name\" x=\"14\" y=\"{0:.1}\">{1}</text><text x=\"62\" y=\"{0:.1}\">{2}</text>",
        y + 4.5,
        Text(rung.rung.name),
        Text(rung.rung.what)
    );
    if let Some(spread) = spread(&rung.top1) {
        let (from, to) = (x(rung.mean() - spread), x(rung.mean() + spread));
        let _ = writeln!(
            svg,
            "<rect class=\"spread\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"24\" rx=\"5\"/>",
            y - 12.0,
            to - from
        );
    }
    let gain = summary.gain(rung);
    if let Some(gain) = gain {
        let from = x(rung.mean() - gain.points);
        if (mean - from).abs() > 6.0 {
            let head = 4.0 * (mean - from).signum();
            let _ = writeln!(
                svg,
                "<path class=\"step {0}\" d=\"M{from:.1} {1:.1}v6M{from:.1} {2:.1}H{mean:.1}\
                 m{3:.1} -3.5l{head:.1} 3.5l{3:.1} 3.5\"/>",
                direction(gain),
                y + 14.0,
                y + 17.0,
                -head
            );
        }
    }
    let _ = writeln!(
        svg,
        "<rect class=\"mean\" x=\"{:.1}\" y=\"{:.1}\" width=\"3\" height=\"28\" rx=\"1.5\"/>",
        mean - 1.5,
        y - 14.0
    );
    let count = rung.top1.len() as f64;
    let apart = APART.min(CLOUD / count);
    for (i, &top1) in rung.top1.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<circle class=\"seed\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\"><title>{top1:.2} %</title></circle>",
            x(top1),
            y + (i as f64 - (count - 1.0) / 2.0) * apart
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"number\" x=\"{MEANS}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        y + 4.5,
        rung.top1_text()
    );
    if let Some(gain) = gain {
        let _ = writeln!(
            svg,
            "<text class=\"{}\" x=\"{GAINS}\" y=\"{:.1}\">{}</text>",
            direction(gain),
            y + 4.5,
            gain.text()
        );
    }
}

fn table(summary: &Summary) -> String {
    let mut html = String::from(
        "<div class=\"wide\">\n<table>\n<tr><th>Rung</th><th>Adds</th><th class=\"n\">Learning rate</th>\
         <th class=\"n\">Seeds, %</th><th class=\"n\">Mean ± spread, %</th>\
         <th class=\"n\">To float</th><th class=\"n\">Gain ± error</th><th class=\"n\">Per run</th></tr>\n",
    );
    for rung in &summary.rungs {
        let seeds: Vec<String> = rung.top1.iter().map(|v| format!("{v:.2}")).collect();
        let gain = summary.gain(rung);
        let over = rung.over.map_or(String::new(), |over| format!(" <small>over {over}</small>"));
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\"><b>{}</b></td><td class=\"n\">{}</td><td class=\"n {}\">{}{over}</td>\
             <td class=\"n\">{}</td></tr>",
            Text(rung.rung.name),
            Text(rung.rung.what),
            rung.learning_rate,
            seeds.join(" · "),
            rung.top1_text(),
            summary.gap_text(rung),
            gain.map_or("same", direction),
            gain.map_or(String::new(), Gain::text),
            rung.seconds_text()
        );
    }
    let note = "Spread: sample standard deviation over the seeds. The error of a gain is the \
                standard error of the difference of two means; gains of more than two of \
                them are coloured.";
    card("In numbers", note, &(html + "</table>\n</div>\n"))
}

/// Time per run.
fn costs(summary: &Summary) -> Option<String> {
    let most = summary.rungs.iter().filter_map(|r| r.seconds).fold(0.0, f64::max);
    let bar = |rung: &'static str, seconds: f64, value: String| Bar {
        label: rung,
        share: seconds / most * 100.0,
        color: "binary",
        value,
    };
    let list: Vec<Bar> = summary
        .rungs
        .iter()
        .filter_map(|r| Some(bar(r.rung.name, r.seconds?, r.seconds_text())))
        .collect();
    let note = "Processor time of one run's training, mean over the seeds.";
    (most > 0.0).then(|| card("What it costs", note, &bars(&list)))
}

/// Held-out accuracy at each learning rate.
fn rates(summary: &Summary) -> Option<String> {
    let head = &summary.rungs[0].tuning;
    if head.is_empty() {
        return None;
    }
    let mut html = String::from("<div class=\"wide\">\n<table>\n<tr><th>Rung</th>");
    for (rate, _) in head {
        let _ = write!(html, "<th class=\"n\">{rate}</th>");
    }
    html += "</tr>\n";
    for rung in &summary.rungs {
        let _ = write!(html, "<tr><td>{}</td>", Text(rung.rung.name));
        for (rate, top1) in &rung.tuning {
            let class = if *rate == rung.learning_rate { "n best" } else { "n" };
            let text = top1.map_or("diverged".to_owned(), |v| format!("{v:.2}"));
            let _ = write!(html, "<td class=\"{class}\">{text}</td>");
        }
        html += "</tr>\n";
    }
    let note = "Percent of training pictures held out, by learning rate; the best is taken.";
    Some(card("Learning rates", note, &(html + "</table>\n</div>\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::tests::sample;

    fn page() -> Ladder {
        Ladder {
            title: "A <small> network".into(),
            budget: "10 steps of 32 pictures".into(),
            summary: sample(),
            command: "bitat study --rungs 'a,c,g'".into(),
            facts: vec![("processor".into(), "none & nowhere".into())],
        }
    }

    #[test]
    fn every_seed_is_a_dot_and_every_rung_a_bar() {
        let html = page().html();
        assert_eq!(html.matches("class=\"seed\"").count(), 9);
        assert_eq!(html.matches("class=\"mean\"").count(), 3);
        assert_eq!(html.matches("class=\"level\"").count(), 1);
        assert!(html.contains("float 91.50 %") && html.contains("82.00 ± 2.00"));
        // c gains 2.00 ± 1.29 over a: no more than two errors.
        assert_eq!(html.matches("class=\"step same\"").count(), 2);
        assert!(html.contains("diverged"));
        assert!(html.contains("A &lt;small&gt; network") && html.contains("none &amp; nowhere"));
    }

    #[test]
    fn a_gain_is_coloured_beyond_its_noise() {
        let class = |points, error| direction(Gain { points, error });
        assert_eq!(class(2.0, Some(0.9)), "more");
        assert_eq!(class(-2.0, Some(0.9)), "less");
        assert_eq!(class(-2.0, Some(1.1)), "same");
        assert_eq!(class(0.1, None), "more");
    }

    #[test]
    fn a_float_network_far_away_does_not_squeeze_the_rungs() {
        let mut page = page();
        page.summary.float_top1 = 99.0;
        let html = page.html();
        assert!(html.contains("float 99.00 % →") && !html.contains("class=\"level\""));
        page.summary.float_top1 = 40.0;
        assert!(page.html().contains("← float 40.00 %"));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut page = page();
        page.summary.rungs.truncate(1);
        page.summary.rungs[0].top1.truncate(1);
        page.summary.rungs[0].tuning.clear();
        page.summary.rungs[0].seconds = None;
        let html = page.html();
        let body = &html[html.find("<body>").unwrap()..];
        for absent in ["class=\"spread\"", "class=\"step", "What it costs", "Learning rates", "NaN"]
        {
            assert!(!body.contains(absent), "{absent}");
        }
    }
}
