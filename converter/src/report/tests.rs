//! A made-up report, its blessed page, and what must hold for any report.

use super::*;

/// Pictures, signs and counts drawn by rule, so that every card has something
/// to show and the page is the same on every machine.
pub(crate) fn sample() -> Report {
    let classes = ["circle", "cross", "ring", "square", "<b>stripes & \"dots\"</b>"];
    let network = |name: &str, packed, top1, file_bytes| Network {
        name: name.into(),
        packed,
        top1,
        file_bytes,
    };
    let latency = |isa: &str, median_us| Latency {
        isa: isa.into(),
        threads: 1,
        median_us,
        min_us: median_us * 0.9,
    };
    let mut layers = vec![Layer {
        name: "stem".into(),
        operation: "conv 3x3, 8 bits".into(),
        int8_bytes: 144,
        scale_bytes: 128,
        other_bytes: 64,
        mac: 28_224,
        ..Layer::default()
    }];
    for i in 1..5u64 {
        layers.push(Layer {
            name: format!("block_{i}.depthwise"),
            operation: "depthwise 3x3, 8 bits".into(),
            int8_bytes: 144 << i,
            scale_bytes: 64 << i,
            other_bytes: 48,
            mac: 28_224,
            ..Layer::default()
        });
        layers.push(Layer {
            name: format!("block_{i}.pointwise"),
            operation: "conv 1x1, 1 bit".into(),
            binary_bytes: 64 << (2 * i),
            scale_bytes: 160 << i,
            other_bytes: 48,
            mac: 100_352,
            ..Layer::default()
        });
    }
    let point = |i: u32| Point {
        epoch: f64::from(i) / 4.0,
        loss: (i > 0).then(|| 0.35 + 1.9 * (-f64::from(i) / 6.0).exp()),
        accuracy: i.is_multiple_of(4).then(|| 88.5 - 30.0 * (-f64::from(i) / 7.0).exp()),
        stage: if i <= 8 { "activations" } else { "everything" }.into(),
    };
    let confusion = |truth: u64, said: u64| match truth.abs_diff(said) {
        0 => 180 - 7 * truth,
        1 => 4 * truth + said,
        _ => (truth * said) % 3,
    };
    Report {
        title: "A sample network on shapes".into(),
        summary: "Four 1-bit blocks between an 8-bit stem and an 8-bit classifier.".into(),
        networks: vec![
            network("float", false, 91.42, 431_220),
            network("1-bit", true, 88.5, 23_456),
            network("1-bit, shipped", true, 89.75, 23_456),
        ],
        test_images: 1000,
        arena_bytes: 18_816,
        latencies: vec![latency("portable", 912.0), latency("avx2", 143.5)],
        layers,
        other_bytes: 320,
        weights: (1..5usize).map(weights).collect(),
        curve: (0..=16).map(point).collect(),
        classes: classes.map(String::from).to_vec(),
        confusion: (0..5).map(|t| (0..5).map(|s| confusion(t, s)).collect()).collect(),
        pictures: (0..7).map(picture).collect(),
        command: "bitat demo --report report.html --seed '<1>'".into(),
        facts: vec![
            ("bitat".into(), "0.1.0".into()),
            ("processor".into(), "none & nowhere".into()),
        ],
    }
}

fn weights(block: usize) -> Weights {
    let (outputs, inputs) = (8 << block, 8 << block);
    let sign =
        |i: usize| if (i / inputs * 5 + i % inputs * 3 + i * i / 7) % 8 < 4 { -1 } else { 1 };
    Weights {
        name: format!("block_{block}.pointwise"),
        outputs,
        signs: (0..outputs * inputs).map(sign).collect(),
    }
}

fn picture(i: usize) -> Picture {
    const SIDE: usize = 28;
    let class = i % 5;
    let pixel = |at: usize| {
        let (y, x) = ((at / SIDE) as i32 - 14, (at % SIDE) as i32 - 14);
        let inside = match class {
            0 => x * x + y * y < 100,
            1 => x.abs() < 4 || y.abs() < 4,
            2 => (64..150).contains(&(x * x + y * y)),
            3 => x.abs().max(y.abs()) < 10,
            _ => (x + 14) / 4 % 2 == 0,
        };
        if inside { 230 - (at / 8) as u8 } else { 20 }
    };
    let pixels = (0..SIDE * SIDE).map(pixel).collect();
    let said = if i == 5 { 2 } else { class };
    Picture {
        image: Image { height: SIDE, width: SIDE, channels: 1, pixels },
        truth: (i != 6).then_some(class),
        top: vec![(said, 0.91 - 0.08 * i as f64), ((said + 1) % 5, 0.06), ((said + 2) % 5, 0.02)],
    }
}

/// `BITAT_BLESS=1 cargo test -p bitat-converter report` writes the page anew.
#[test]
fn the_page_is_as_blessed() {
    let html = sample().html();
    if std::env::var_os("BITAT_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/blessed.html");
        std::fs::write(path, &html).unwrap();
        return;
    }
    let blessed = include_str!("blessed.html");
    if html != blessed {
        let line = html.lines().zip(blessed.lines()).position(|(a, b)| a != b);
        panic!(
            "the page differs from blessed.html, first in line {line:?} (0 is the first); look at it, then bless it"
        );
    }
}

#[test]
fn names_cannot_break_the_page() {
    let html = sample().html();
    assert!(!html.contains("<b>stripes") && html.contains("&lt;b&gt;stripes &amp; &quot;dots"));
    assert!(html.contains("--seed &#39;&lt;1&gt;&#39;"));
}

#[test]
fn nothing_is_fetched_and_nothing_runs() {
    let html = sample().html();
    for word in ["<script", "http:", "https:", "@import", "url(", "onload", "<link"] {
        assert!(!html.contains(word), "{word}");
    }
}

/// Every opened element is closed, in order.
#[test]
fn elements_nest() {
    let mut report = sample();
    for html in [report.html(), {
        report.latencies.clear();
        report.pictures.clear();
        report.html()
    }] {
        let body = &html[html.find("<body>").unwrap()..];
        let mut open: Vec<&str> = Vec::new();
        for tag in body.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("a tag ends");
            if let Some(name) = tag.strip_prefix('/') {
                if name != "html" {
                    assert_eq!(open.pop(), Some(name));
                }
            } else if !tag.ends_with('/') && !tag.starts_with("img ") {
                open.push(tag.split(' ').next().unwrap());
            }
        }
        assert_eq!(open, [""; 0]);
    }
}

#[test]
fn what_is_unknown_is_left_out() {
    let html = Report { title: "nothing".into(), ..Report::default() }.html();
    for word in ["NaN", "inf", "<section", "<svg"] {
        assert!(!html.contains(word), "{word}");
    }
}

#[test]
fn odd_values_stay_out_of_the_drawings() {
    let mut report = sample();
    report.curve.iter_mut().for_each(|p| p.loss = Some(f64::NAN));
    report.curve[4].accuracy = Some(f64::INFINITY);
    report.latencies.iter_mut().for_each(|l| l.median_us = 0.0);
    report.networks.iter_mut().for_each(|n| n.file_bytes = 0);
    report.confusion = vec![vec![0; 5]; 5];
    report.pictures[0].truth = Some(77);
    let html = report.html();
    for word in ["NaN", ">inf", "\"inf", "Training loss"] {
        assert!(!html.contains(word), "{word}");
    }
}

/// A hundred classes and a thousand points: the page stays a page.
#[test]
fn large_reports_stay_small() {
    let mut report = sample();
    report.classes = (0..100).map(|i| format!("class {i}")).collect();
    report.confusion =
        (0..100).map(|t| (0..100).map(|p| u64::from(t == p) + (t * p) % 2).collect()).collect();
    report.curve = (0..20_000)
        .map(|i| Point { epoch: f64::from(i) / 1e3, loss: Some(1.0), ..Point::default() })
        .collect();
    let html = report.html();
    assert!(html.len() < 1_000_000, "{}", html.len());
    assert!(!html.contains("NaN"));
}
