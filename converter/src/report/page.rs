//! The page as a whole: headline, figures, cards, foot.

use super::html::Text;
use super::{Report, bars, confusion, curve, pictures};
use crate::ui::human;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");

pub(super) fn render(report: &Report) -> String {
    let join = |cards: &[Option<String>]| cards.iter().flatten().cloned().collect::<String>();
    let mut trio = join(&[bars::accuracy(report), bars::sizes(report), bars::latency(report)]);
    if !trio.is_empty() {
        trio = format!("<div class=\"trio\">\n{trio}</div>\n");
    }
    let cards = join(&[
        pictures::strip(report),
        Some(trio),
        curve::curve(report),
        confusion::confusion(report),
        bars::layers(report),
        pictures::weights(report),
    ]);
    let summary = if report.summary.is_empty() {
        String::new()
    } else {
        format!("<p class=\"lead\">{}</p>\n", Text(&report.summary))
    };
    let frame = Frame {
        title: &report.title,
        kind: "1-bit network report",
        style: "",
        head: format!("{summary}{}", figures(report)),
        cards,
        foot: foot(&report.command, &report.facts),
    };
    frame.html()
}

/// What all pages have in common.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    /// Beside the program's name.
    pub(super) kind: &'a str,
    /// Rules of this page beside those of all.
    pub(super) style: &'a str,
    /// HTML below the title.
    pub(super) head: String,
    /// HTML.
    pub(super) cards: String,
    /// HTML, from [`foot`].
    pub(super) foot: String,
}

impl Frame<'_> {
    pub(super) fn html(&self) -> String {
        let Frame { title, kind, style, head, cards, foot } = self;
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title} – bitat</title>\n<style>\n{STYLE}{style}</style>\n</head>\n<body>\n\
             <header>\n<p class=\"kicker\">bitat <span>{kind}</span></p>\n\
             <h1>{title}</h1>\n{head}</header>\n<main>\n{cards}</main>\n{foot}</body>\n</html>\n",
            title = Text(title),
        )
    }
}

/// The four headline figures, each with what it compares with.
fn figures(report: &Report) -> String {
    let float = report.networks.iter().find(|n| !n.packed);
    let packed = report.networks.iter().find(|n| n.packed);
    let mut list = Vec::new();
    let mut figure = |name, value, detail| list.push((name, value, detail));
    if let Some(packed) = packed {
        let detail = float.map_or_else(
            || "top-1 of the 1-bit network".to_owned(),
            |float| {
                let change = packed.top1 - float.top1;
                let sign = if change < 0.0 { "−" } else { "+" };
                format!("float {:.2} % ({sign}{:.2} points)", float.top1, change.abs())
            },
        );
        figure("Accuracy", human::percent(packed.top1), detail);
        let detail = float.filter(|_| packed.file_bytes > 0).map_or_else(
            || "the whole network".to_owned(),
            |float| {
                let times = float.file_bytes as f64 / packed.file_bytes as f64;
                format!("{times:.1}× smaller than {}", human::bytes(float.file_bytes))
            },
        );
        figure("File", human::bytes(packed.file_bytes), detail);
    }
    if report.arena_bytes > 0 {
        let detail = "beside the file; no heap".to_owned();
        figure("Memory", human::bytes(report.arena_bytes), detail);
    }
    let fastest = report.latencies.iter().min_by(|a, b| a.median_us.total_cmp(&b.median_us));
    if let Some(fastest) = fastest {
        let threads = match fastest.threads {
            0 | 1 => "one thread".to_owned(),
            n => format!("{n} threads"),
        };
        let detail = format!("per picture, {}, {threads}", fastest.isa);
        figure("Time", human::latency(fastest.median_us), detail);
    }
    headline(&list)
}

/// Figures with a name and a detail each. A value is `number unit`.
pub(super) fn headline(figures: &[(&str, String, String)]) -> String {
    let mut html = String::from("<div class=\"figures\">\n");
    for (name, value, detail) in figures {
        // The unit stands smaller beside the number.
        let (number, unit) = value.rsplit_once(' ').unwrap_or((value, ""));
        let _ = writeln!(
            html,
            "<div><h3>{name}</h3><p class=\"number\">{number}<small>{unit}</small></p><p>{}</p></div>",
            Text(detail)
        );
    }
    html + "</div>\n"
}

/// The command line that makes the page again, and names with values.
pub(super) fn foot(command: &str, facts: &[(String, String)]) -> String {
    let mut html = String::from("<footer>\n");
    if !command.is_empty() {
        let _ = writeln!(html, "<p>Made by</p>\n<pre><code>{}</code></pre>", Text(command));
    }
    if !facts.is_empty() {
        html += "<dl>\n";
        for (name, value) in facts {
            let _ = writeln!(html, "<div><dt>{}</dt><dd>{}</dd></div>", Text(name), Text(value));
        }
        html += "</dl>\n";
    }
    html + "</footer>\n"
}
