//! What a run costs: the processor time of its thread, where the system tells.

use std::time::{Duration, Instant};

/// A clock of the calling thread. Other work on the machine does not run into
/// it on Linux; elsewhere it is a wall clock.
pub(super) struct Clock {
    wall: Instant,
    processor: Option<Duration>,
}

impl Clock {
    /// Starts.
    pub(super) fn start() -> Clock {
        Clock { wall: Instant::now(), processor: processor() }
    }

    /// Seconds since the start, called from the thread that started it.
    pub(super) fn seconds(&self) -> f64 {
        let spent = self.processor.zip(processor()).map(|(then, now)| now.saturating_sub(then));
        spent.unwrap_or_else(|| self.wall.elapsed()).as_secs_f64()
    }
}

/// Processor time of this thread: the first number of its `schedstat`, nanoseconds.
fn processor() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn sleep_costs_nothing_and_work_does() {
        let clock = Clock::start();
        std::thread::sleep(Duration::from_millis(200));
        assert!(clock.seconds() < 0.1, "{}", clock.seconds());
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        assert!(clock.seconds() > 0.0);
    }
}
