//! Progress on standard error: a bar with the time left on a terminal, a plain
//! line now and then elsewhere.
//!
//! Our own, because what is needed of a progress crate is a carriage return and
//! a clock: one bar at a time, drawn by the thread that works.

use super::human;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Where progress goes and what it may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// A bar that is drawn over itself.
    Terminal {
        /// Bars of block characters instead of ASCII.
        unicode: bool,
        /// Colours.
        color: bool,
    },
    /// Lines for a log.
    Plain,
    /// Nothing.
    Quiet,
}

impl Console {
    /// What standard error is. `TERM=dumb` counts as a log; `NO_COLOR` is honoured.
    pub fn detect() -> Console {
        let variable = |name| std::env::var(name).unwrap_or_default();
        if !std::io::stderr().is_terminal() || variable("TERM") == "dumb" {
            return Console::Plain;
        }
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(variable);
        let locale = locale.iter().find(|value| !value.is_empty());
        let unicode =
            cfg!(windows) || locale.is_some_and(|l| l.to_ascii_lowercase().contains("utf"));
        Console::Terminal { unicode, color: variable("NO_COLOR").is_empty() }
    }

    /// Says one thing, between bars. Failing to say it is no error.
    pub fn say(self, text: &str) {
        if self != Console::Quiet {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// Starts a bar of `total` units ("steps", "pictures") of which `done` are
    /// done already (a resumed run).
    pub fn progress(self, title: &str, unit: &str, done: u64, total: u64) -> Progress {
        Progress { clock: Instant::now(), bar: Bar::new(self, title, unit, done, total) }
    }
}

/// A running bar. Dropped without [`Progress::finish`], it leaves its last state behind.
#[derive(Debug)]
pub struct Progress {
    clock: Instant,
    bar: Bar,
}

impl Progress {
    /// `done` units are done; `note` is the latest news (loss, accuracy). Cheap:
    /// most calls draw nothing.
    pub fn set(&mut self, done: u64, note: &str) {
        let now = self.clock.elapsed();
        if let Some(text) = self.bar.step(now, done, note) {
            show(&text);
        }
    }

    /// Says one thing above the bar.
    pub fn say(&mut self, text: &str) {
        show(&self.bar.interrupt(text));
    }

    /// Ends with a line that says how long it took, and `note`.
    pub fn finish(mut self, note: &str) {
        let now = self.clock.elapsed();
        show(&self.bar.end(now, note));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.bar.drawn {
            show("\n");
        }
    }
}

/// Progress that cannot be shown is not worth failing for.
fn show(text: &str) {
    let mut error = std::io::stderr().lock();
    let _ = error.write_all(text.as_bytes()).and_then(|()| error.flush());
}

/// Between two drawings of a bar.
const REDRAW: Duration = Duration::from_millis(100);
/// Between two lines in a log.
const RELINE: Duration = Duration::from_secs(10);
/// Seconds over which the speed is averaged: an evaluation between two steps
/// weighs as what it is, a small part of an epoch.
const MEMORY: f64 = 60.0;
/// Columns of the bar itself.
const WIDTH: usize = 24;

/// A bar without clock or output: says what to write, when told the time.
#[derive(Debug)]
struct Bar {
    console: Console,
    title: String,
    unit: String,
    first: u64,
    done: u64,
    total: u64,
    /// When something was last written.
    written: Option<Duration>,
    /// Time and steps of the last measurement.
    measured: (Duration, u64),
    /// Seconds and steps behind it, the older the less.
    recent: (f64, f64),
    drawn: bool,
}

impl Bar {
    fn new(console: Console, title: &str, unit: &str, done: u64, total: u64) -> Bar {
        Bar {
            console,
            title: title.to_owned(),
            unit: unit.to_owned(),
            first: done,
            done,
            total,
            written: None,
            measured: (Duration::ZERO, done),
            recent: (0.0, 0.0),
            drawn: false,
        }
    }

    fn step(&mut self, now: Duration, done: u64, note: &str) -> Option<String> {
        self.done = done.min(self.total);
        self.measure(now);
        let pause = match self.console {
            Console::Terminal { .. } => REDRAW,
            Console::Plain => RELINE,
            Console::Quiet => return None,
        };
        // A log says nothing of what is over within the first pause.
        let last = match self.console {
            Console::Plain => Some(self.written.unwrap_or_default()),
            _ => self.written,
        };
        if last.is_some_and(|last| now.saturating_sub(last) < pause) {
            return None;
        }
        self.written = Some(now);
        Some(match self.console {
            Console::Terminal { unicode, color } => self.line(note, unicode, color),
            _ => self.log(note),
        })
    }

    fn measure(&mut self, now: Duration) {
        let (then, before) = self.measured;
        let time = now.saturating_sub(then).as_secs_f64();
        if self.done <= before || time < 0.05 {
            return;
        }
        let keep = (-time / MEMORY).exp();
        let (seconds, steps) = self.recent;
        self.recent = (seconds * keep + time, steps * keep + (self.done - before) as f64);
        self.measured = (now, self.done);
    }

    fn seconds_left(&self) -> f64 {
        let (seconds, steps) = self.recent;
        (self.total - self.done) as f64 * seconds / steps
    }

    fn left(&self) -> Option<String> {
        let left = self.seconds_left();
        // Not before there is something to go by.
        let known = (0.0..1e9).contains(&left);
        known.then(|| format!("{} left", human::duration(Duration::from_secs_f64(left))))
    }

    fn percent(&self) -> u64 {
        (self.done * 100).checked_div(self.total).unwrap_or(100)
    }

    /// The bar, drawn over the one before. Automatic line wrap is off meanwhile,
    /// so that a narrow terminal cuts the line instead of scrolling.
    fn line(&mut self, note: &str, unicode: bool, color: bool) -> String {
        self.drawn = true;
        let full = self.done as f64 / self.total.max(1) as f64 * WIDTH as f64;
        let (mut bar, rest) = if unicode {
            let halves = (full * 2.0) as usize;
            let mut bar = "━".repeat(halves / 2);
            bar.push_str(if halves % 2 == 1 { "╸" } else { "" });
            (bar, "─")
        } else {
            ("#".repeat(full as usize), ".")
        };
        let rest = rest.repeat(WIDTH - bar.chars().count());
        let dim = if color { format!("\x1b[2m{rest}\x1b[0m") } else { rest };
        if color {
            bar = format!("\x1b[36m{bar}\x1b[0m");
        }
        let mut line = format!("{} {bar}{dim} {:3} %", self.title, self.percent());
        for part in [Some(note.to_owned()), self.left()].into_iter().flatten() {
            if !part.is_empty() {
                line += &format!("  {part}");
            }
        }
        format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h")
    }

    fn log(&self, note: &str) -> String {
        let parts = [note.to_owned(), self.left().unwrap_or_default()];
        let parts: String =
            parts.iter().filter(|p| !p.is_empty()).map(|part| format!(", {part}")).collect();
        let percent = self.percent();
        let steps = format!("{} of {} {}", self.done, self.total, self.unit);
        format!("{}: {percent} % ({steps}){parts}\n", self.title)
    }

    /// `text` on a line of its own; the bar comes back with the next step.
    fn interrupt(&mut self, text: &str) -> String {
        self.drawn = false;
        match self.console {
            Console::Terminal { .. } => {
                self.written = None;
                format!("\r\x1b[K{text}\n")
            }
            Console::Plain => format!("{text}\n"),
            Console::Quiet => String::new(),
        }
    }

    fn end(&mut self, now: Duration, note: &str) -> String {
        self.drawn = false;
        let steps = self.done - self.first;
        let time = human::duration(now);
        let mut text = format!("{}: {steps} {} in {time}", self.title, self.unit);
        if !note.is_empty() {
            text += &format!(", {note}");
        }
        match self.console {
            Console::Terminal { .. } => format!("\r\x1b[K{text}\n"),
            Console::Plain => format!("{text}\n"),
            Console::Quiet => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNICODE: Console = Console::Terminal { unicode: true, color: false };

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_terminal_sees_a_bar() {
        let mut bar = Bar::new(UNICODE, "Training", "steps", 0, 96);
        let line = |text: &str| format!("\r\x1b[?7l{text}\x1b[K\x1b[?7h");
        assert_eq!(
            bar.step(at(0.0), 0, "").unwrap(),
            line("Training ────────────────────────   0 %")
        );
        assert_eq!(bar.step(at(0.09), 3, ""), None);
        assert_eq!(
            bar.step(at(10.0), 50, "loss 0.5").unwrap(),
            line("Training ━━━━━━━━━━━━╸───────────  52 %  loss 0.5  9s left")
        );
        assert_eq!(
            bar.step(at(20.0), 96, "").unwrap(),
            line("Training ━━━━━━━━━━━━━━━━━━━━━━━━ 100 %  0s left")
        );
        assert_eq!(bar.interrupt("saved"), "\r\x1b[Ksaved\n");
        assert_eq!(
            bar.end(at(20.0), "top-1 80 %"),
            "\r\x1b[KTraining: 96 steps in 20s, top-1 80 %\n"
        );
    }

    #[test]
    fn an_ascii_terminal() {
        let mut bar =
            Bar::new(Console::Terminal { unicode: false, color: false }, "x", "steps", 0, 2);
        assert!(bar.step(at(1.0), 1, "").unwrap().contains("x ############............  50 %"));
    }

    #[test]
    fn a_log_sees_few_lines() {
        let mut bar = Bar::new(Console::Plain, "Training", "steps", 0, 300);
        let lines: Vec<String> =
            (1..=300).filter_map(|i| bar.step(at(i as f64 / 10.0), i, "loss 0.5")).collect();
        assert_eq!(
            lines,
            [
                "Training: 33 % (100 of 300 steps), loss 0.5, 20s left\n",
                "Training: 66 % (200 of 300 steps), loss 0.5, 10s left\n",
                "Training: 100 % (300 of 300 steps), loss 0.5, 0s left\n",
            ]
        );
        assert_eq!(bar.end(at(30.0), ""), "Training: 300 steps in 30s\n");
    }

    #[test]
    fn quiet_is_quiet() {
        let mut bar = Bar::new(Console::Quiet, "x", "steps", 0, 1);
        assert_eq!(bar.step(at(100.0), 1, "note"), None);
        assert_eq!(bar.interrupt("text") + &bar.end(at(100.0), ""), "");
    }

    #[test]
    fn time_left_follows_a_change_of_speed_and_a_resumed_start() {
        let mut bar = Bar::new(UNICODE, "x", "steps", 1000, 2000);
        for i in 1..=100 {
            bar.step(at(i as f64), 1000 + i, "");
        }
        assert_eq!(bar.left().unwrap(), "15m00s left");
        // Ten times as fast from here on.
        for i in 1..=60 {
            bar.step(at(100.0 + i as f64), 1100 + 10 * i, "");
        }
        let left = bar.seconds_left();
        assert!((30.0..45.0).contains(&left), "{left}");
    }

    #[test]
    fn a_pause_between_steps_is_not_taken_for_the_speed() {
        let mut bar = Bar::new(UNICODE, "x", "steps", 0, 2000);
        for i in 1..=1000 {
            bar.step(at(i as f64 * 0.1), i, "");
        }
        bar.step(at(105.0), 1001, "");
        // 99.9 s at the old speed; one step of five seconds in a minute is 8 % of it.
        let left = bar.seconds_left();
        assert!((99.0..115.0).contains(&left), "{left}");
    }

    #[test]
    fn nothing_to_do_divides_by_nothing() {
        let mut bar = Bar::new(UNICODE, "x", "steps", 0, 0);
        assert!(bar.step(at(0.0), 0, "").unwrap().contains("100 %"));
        assert_eq!(bar.end(at(0.0), ""), "\r\x1b[Kx: 0 steps in 0s\n");
    }
}
