//! Bars: accuracy, file sizes, latency, bytes per layer. Plain boxes, so that
//! they follow the width of the window.

use super::html::{Text, card};
use super::{Layer, Report};
use crate::ui::human;
use std::fmt::Write;

/// One bar: label, share of the full width in percent, class of its colour, value.
pub(super) struct Bar<'a> {
    pub(super) label: &'a str,
    pub(super) share: f64,
    pub(super) color: &'a str,
    pub(super) value: String,
}

pub(super) fn bars(list: &[Bar]) -> String {
    let mut html = String::from("<div class=\"bars\">\n");
    for Bar { label, share, color, value } in list {
        let _ = writeln!(
            html,
            "<span class=\"label\">{}</span><span class=\"track\"><i class=\"{color}\" \
             style=\"width:{share:.2}%\"></i></span><span class=\"value\">{}</span>",
            Text(label),
            Text(value)
        );
    }
    html + "</div>\n"
}

fn color(packed: bool) -> &'static str {
    if packed { "binary" } else { "float" }
}

pub(super) fn accuracy(report: &Report) -> Option<String> {
    let list: Vec<Bar> = report
        .networks
        .iter()
        .map(|n| Bar {
            label: &n.name,
            share: n.top1.clamp(0.0, 100.0),
            color: color(n.packed),
            value: human::percent(n.top1),
        })
        .collect();
    let note = match report.test_images {
        0 => "Top-1.".to_owned(),
        n => format!("Top-1 on {} test pictures.", human::grouped(n)),
    };
    (!list.is_empty()).then(|| card("Accuracy", &note, &bars(&list)))
}

pub(super) fn sizes(report: &Report) -> Option<String> {
    let largest = report.networks.iter().map(|n| n.file_bytes).max().filter(|&b| b > 0)?;
    let list: Vec<Bar> = report
        .networks
        .iter()
        .map(|n| Bar {
            label: &n.name,
            share: n.file_bytes as f64 / largest as f64 * 100.0,
            color: color(n.packed),
            value: human::bytes(n.file_bytes),
        })
        .collect();
    Some(card("File size", "Drawn to scale.", &bars(&list)))
}

pub(super) fn latency(report: &Report) -> Option<String> {
    let slowest = report.latencies.iter().map(|l| l.median_us).fold(0.0, f64::max);
    let label = |l: &super::Latency| match l.threads {
        0 | 1 => l.isa.clone(),
        n => format!("{}, {n} threads", l.isa),
    };
    let labels: Vec<String> = report.latencies.iter().map(label).collect();
    let list: Vec<Bar> = report
        .latencies
        .iter()
        .zip(&labels)
        .map(|(l, label)| Bar {
            label,
            share: l.median_us / slowest * 100.0,
            color: "binary",
            value: human::latency(l.median_us),
        })
        .collect();
    let note = "Median per picture, by instruction set.";
    (slowest > 0.0).then(|| card("Time", note, &bars(&list)))
}

/// What the bytes of a packed file are: class of the colour, words, which field.
type Kind = (&'static str, &'static str, fn(&Layer) -> u64);

const KINDS: [Kind; 4] = [
    ("binary", "1-bit weights", |l| l.binary_bytes),
    ("int8", "8-bit weights", |l| l.int8_bytes),
    ("scale", "scales and thresholds", |l| l.scale_bytes),
    ("other", "names and structure", |l| l.other_bytes),
];

fn total(layer: &Layer) -> u64 {
    KINDS.iter().map(|(_, _, bytes)| bytes(layer)).sum()
}

/// The packed file as one bar by kind, then a bar per layer.
pub(super) fn layers(report: &Report) -> Option<String> {
    let most = report.layers.iter().map(total).max().filter(|&most| most > 0)?;
    let head = Layer { other_bytes: report.other_bytes, ..Layer::default() };
    let all = || report.layers.iter().chain([&head]);
    let file: u64 = all().map(total).sum();
    let share = |part: u64, whole: u64| part as f64 / whole as f64 * 100.0;

    let mut whole = String::from("<div class=\"track whole\">");
    let mut legend = String::from("<ul class=\"legend\">\n");
    for (class, words, bytes) in KINDS {
        let sum: u64 = all().map(bytes).sum();
        if sum == 0 {
            continue;
        }
        let percent = share(sum, file);
        let _ = write!(whole, "<i class=\"{class}\" style=\"width:{percent:.2}%\"></i>");
        let _ = writeln!(
            legend,
            "<li><i class=\"{class}\"></i>{words} <b>{}</b> {percent:.1} %</li>",
            human::bytes(sum)
        );
    }
    let mut html = whole + "</div>\n" + &legend + "</ul>\n<div class=\"bars layers\">\n";
    for layer in &report.layers {
        let bytes = total(layer);
        let mut parts = String::new();
        for (class, words, part) in KINDS {
            if part(layer) > 0 {
                let _ = write!(
                    parts,
                    "<i class=\"{class}\" style=\"width:{:.2}%\" title=\"{words}: {} bytes\"></i>",
                    share(part(layer), most),
                    human::grouped(part(layer))
                );
            }
        }
        let _ = writeln!(
            html,
            "<span class=\"label\">{}</span><span class=\"what\">{}</span>\
             <span class=\"track\">{parts}</span><span class=\"value\">{}</span>\
             <span class=\"value mac\">{} MAC</span>",
            Text(&layer.name),
            Text(&layer.operation),
            human::bytes(bytes),
            human::count(layer.mac)
        );
    }
    html += "</div>\n";
    let mac: u64 = report.layers.iter().map(|l| l.mac).sum();
    let note = format!(
        "{} bytes in all, {} multiply-accumulates per picture.",
        human::grouped(file),
        human::count(mac)
    );
    Some(card("Where the bytes are", &note, &html))
}
