//! Numbers as people read them.

use std::time::Duration;

/// `512 B`, `43.2 KiB`, `1.25 MiB`: three digits, binary units.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    // 1023.5 would print as a fourth digit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", if unit == 0 { count.to_string() } else { three(value) }, UNITS[unit])
}

/// `950`, `13.2 k`, `569 M`, `1.20 G`: three digits, decimal units.
pub fn count(count: u64) -> String {
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit < 4 {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        count.to_string()
    } else {
        format!("{} {}", three(value), ["", "k", "M", "G", "T"][unit])
    }
}

/// `1,234,567`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.3 µs`, `4.56 ms`, `1.23 s`.
pub fn latency(microseconds: f64) -> String {
    match microseconds {
        us if us < 999.5 => format!("{} µs", three(us)),
        us if us < 999_500.0 => format!("{} ms", three(us / 1e3)),
        us => format!("{} s", three(us / 1e6)),
    }
}

/// `8s`, `2m13s`, `1h05m`: for elapsed and remaining time.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        s if s < 60 => format!("{s}s"),
        s if s < 3600 => format!("{}m{:02}s", s / 60, s % 60),
        s => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
    }
}

/// `91.25 %`.
pub fn percent(value: f64) -> String {
    format!("{value:.2} %")
}

/// Three significant digits, for values below 1000.
fn three(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_at_every_border() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "0.98 KiB");
        assert_eq!(bytes(1024), "1.00 KiB");
        assert_eq!(bytes(44_237), "43.2 KiB");
        assert_eq!(bytes(1_310_720), "1.25 MiB");
        assert_eq!(bytes(u64::MAX), "16777216 TiB");
        assert_eq!(count(999), "999");
        assert_eq!(count(999_499), "999 k");
        assert_eq!(count(999_500), "1.00 M");
        assert_eq!(count(568_740_352), "569 M");
        assert_eq!(latency(9.999), "10.0 µs");
        assert_eq!(latency(999.6), "1.00 ms");
        assert_eq!(latency(4_560.0), "4.56 ms");
        assert_eq!(latency(1_234_567.0), "1.23 s");
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(123), "123");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(percent(91.254), "91.25 %");
    }

    #[test]
    fn times() {
        let text = |s| duration(Duration::from_secs_f64(s));
        assert_eq!(text(0.4), "0s");
        assert_eq!(text(59.6), "1m00s");
        assert_eq!(text(133.0), "2m13s");
        assert_eq!(text(3900.0), "1h05m");
    }
}
