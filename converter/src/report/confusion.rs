//! The confusion matrix as a heat map, and its worst entries in words.

use super::Report;
use super::html::{Text, card};
use std::fmt::Write;

/// More classes than this get no names and no numbers in the drawing.
const NAMED: usize = 24;
/// More classes than this get no drawing: a square would be below three pixels.
const DRAWN: usize = 200;
/// Mistakes told in words.
const TOLD: usize = 8;
/// Depth of colour, 0 to 1, from which a number is light on it instead of dark.
const ON_DEEP: f64 = 0.75;
/// Letters of a class name in the drawing.
const LETTERS: usize = 16;

/// Heat map and list, if there is a square matrix with something in it.
pub(super) fn confusion(report: &Report) -> Option<String> {
    let matrix = &report.confusion;
    let square = matrix.iter().all(|row| row.len() == matrix.len());
    let sum: u64 = matrix.iter().flatten().sum();
    if !square || sum == 0 {
        return None;
    }
    let map = if matrix.len() <= DRAWN { heat_map(report) } else { String::new() };
    let html = format!("<div class=\"confusion\">\n{map}{}</div>\n", mistakes(report));
    let note =
        "Rows are what a picture shows, columns what the 1-bit network says; percent of the row.";
    Some(card("Right and wrong", note, &html))
}

/// The share of `count` in its row, percent.
fn percent(row: &[u64], count: u64) -> f64 {
    let sum: u64 = row.iter().sum();
    if sum == 0 { 0.0 } else { count as f64 / sum as f64 * 100.0 }
}

fn heat_map(report: &Report) -> String {
    let matrix = &report.confusion;
    let count = matrix.len();
    let named = count <= NAMED;
    let names: Vec<String> = (0..count).map(|i| shorten(&report.class(i))).collect();
    let cell = if named { 38.0 } else { (600.0 / count as f64).max(3.0) };
    // Room for the longest name, level at the left and at 45 degrees above.
    let longest = names.iter().map(|n| n.chars().count()).max().unwrap_or(0) as f64 * 7.4;
    let (left, top) = if named { (longest + 12.0, longest * 0.71 + 18.0) } else { (1.0, 1.0) };
    let right = if named { (longest * 0.71 - cell / 2.0 + 8.0).max(1.0) } else { 1.0 };
    let side = cell * count as f64;
    let (width, height) = (left + side + right, top + side + 1.0);
    let mut svg = format!(
        "<svg class=\"heat\" viewBox=\"0 0 {width:.0} {height:.0}\" style=\"max-width:{width:.0}px\" \
         role=\"img\" aria-label=\"Confusion matrix\">\n"
    );
    // Mistakes are few: they have their own scale, or nobody would see them.
    let worst = off_diagonal(matrix).map(|(t, p)| percent(&matrix[t], matrix[t][p]));
    let worst = worst.fold(0.0, f64::max);
    for (truth, row) in matrix.iter().enumerate() {
        let y = top + truth as f64 * cell;
        if named {
            let name = Text(&names[truth]);
            let across = left + (truth as f64 + 0.5) * cell;
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>\
                 <text transform=\"translate({:.1} {:.1}) rotate(-45)\">{name}</text>",
                left - 8.0,
                y + cell / 2.0 + 4.0,
                across + 3.0,
                top - 6.0
            );
        }
        for (said, &pictures) in row.iter().enumerate() {
            let percent = percent(row, pictures);
            let right = truth == said;
            let depth = if right { percent / 100.0 } else { percent / worst.max(1e-9) };
            if pictures == 0 && !named {
                continue;
            }
            let x = left + said as f64 * cell;
            let _ = write!(
                svg,
                "<rect class=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{1:.1}\" height=\"{1:.1}\"",
                match pictures {
                    0 => "none",
                    _ if right => "right",
                    _ => "wrong",
                },
                if named { cell - 2.0 } else { cell - 0.3 },
            );
            let _ = write!(
                svg,
                " fill-opacity=\"{:.2}\"",
                if pictures > 0 { 0.07 + 0.83 * depth } else { 0.6 }
            );
            let title = match report.class(truth) {
                name if right => format!("{name} recognised"),
                name => format!("{name} taken for {}", report.class(said)),
            };
            let _ = write!(svg, "><title>{}: {pictures}</title></rect>", Text(&title));
            // Formatting alone would round a half to even, and show a 0.
            let shown = percent.round();
            if named && shown > 0.0 {
                let class = if depth > ON_DEEP { "on" } else { "off" };
                let _ = write!(
                    svg,
                    "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{shown}</text>",
                    x + cell / 2.0 - 1.0,
                    y + cell / 2.0 + 3.0
                );
            }
        }
        svg.push('\n');
    }
    svg + "</svg>\n"
}

fn off_diagonal(matrix: &[Vec<u64>]) -> impl Iterator<Item = (usize, usize)> {
    let count = matrix.len();
    (0..count).flat_map(move |t| (0..count).map(move |p| (t, p))).filter(|(t, p)| t != p)
}

fn shorten(name: &str) -> String {
    if name.chars().count() <= LETTERS {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(LETTERS - 1).collect();
    short.push('…');
    short
}

/// The most frequent mistakes and the weakest classes, in words.
fn mistakes(report: &Report) -> String {
    let matrix = &report.confusion;
    let mut list: Vec<(f64, usize, usize)> = off_diagonal(matrix)
        .filter(|&(t, p)| matrix[t][p] > 0)
        .map(|(t, p)| (percent(&matrix[t], matrix[t][p]), t, p))
        .collect();
    list.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    if list.is_empty() {
        return "<p class=\"note\">No mistakes at all.</p>\n".to_owned();
    }
    let mut html = String::from("<div class=\"mistakes\">\n<h3>Most often mistaken</h3>\n<ol>\n");
    for (percent, truth, said) in list.into_iter().take(TOLD) {
        let _ = writeln!(
            html,
            "<li><b>{percent:.1} %</b><span>of <em>{}</em> taken for <em>{}</em></span></li>",
            Text(&report.class(truth)),
            Text(&report.class(said))
        );
    }
    html += "</ol>\n<h3>Recognised best and worst</h3>\n<ol>\n";
    let mut classes: Vec<(f64, usize)> = (0..matrix.len())
        .filter(|&i| matrix[i].iter().sum::<u64>() > 0)
        .map(|i| (percent(&matrix[i], matrix[i][i]), i))
        .collect();
    classes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let ends =
        if classes.len() > 1 { vec![classes[0], classes[classes.len() - 1]] } else { classes };
    for (percent, class) in ends {
        let name = report.class(class);
        let _ = writeln!(
            html,
            "<li><b>{percent:.1} %</b><span>of <em>{}</em></span></li>",
            Text(&name)
        );
    }
    html + "</ol>\n</div>\n"
}
