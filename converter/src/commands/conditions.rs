//! What a timing was made on, what makes it doubtful, and what to do about it.

use std::fs;

use super::bench::median;

/// A slow-down of the last quarter of the runs against the first that is no noise.
const SLOWER: f64 = 1.05;

/// Doubts about `times`, one run after the other.
pub(super) fn doubts(times: &[f64]) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(governor) = governor().filter(|name| name != "performance") {
        doubts.push(format!(
            "the frequency governor is '{governor}': for times that repeat, write 'performance' \
             to /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        ));
    }
    if let Some(ratio) = slowing(times) {
        doubts.push(format!(
            "the last quarter of the runs took {:.0} % longer than the first: the processor is \
             throttled (cool it, or leave pauses) or something else ran",
            100.0 * (ratio - 1.0)
        ));
    }
    if let Some((load, cores)) = load().filter(|(load, cores)| load > cores) {
        doubts.push(format!(
            "the load is {load:.1} on {cores:.0} cores: others ran too; take the minimum, or pin \
             the benchmark with 'taskset -c CORE' to a core of its own"
        ));
    }
    doubts
}

/// The processor's name and how many cores there are: `AMD EPYC 9654, 8 cores`;
/// the architecture's name where the system does not say more.
pub(super) fn machine() -> String {
    let named = |text: String| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let name = fs::read_to_string("/proc/cpuinfo").ok().and_then(named);
    let name = name.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    format!("{name}, {cores} {}", if cores == 1 { "core" } else { "cores" })
}

/// How much longer the last quarter took, if it is much.
fn slowing(times: &[f64]) -> Option<f64> {
    let quarter = times.len() / 4;
    let first = median(&mut times[..quarter].to_vec());
    let last = median(&mut times[times.len() - quarter..].to_vec());
    (quarter >= 5 && last > SLOWER * first).then_some(last / first)
}

/// The first core's, where the system has one and says so.
fn governor() -> Option<String> {
    let path = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// The load of the last minute, and the cores there are.
fn load() -> Option<(f64, f64)> {
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    let load = load.split(' ').next()?.parse().ok()?;
    Some((load, std::thread::available_parallelism().ok()?.get() as f64))
}

#[cfg(test)]
mod tests {
    use super::slowing;

    #[test]
    fn a_steady_run_is_not_slowing() {
        let steady: Vec<f64> = (0..100).map(|i| 10.0 + f64::from(i % 7)).collect();
        assert_eq!(slowing(&steady), None);
        assert_eq!(slowing(&[1.0, 1.0, 9.0, 9.0]), None, "too few to say");
        assert_eq!(slowing(&[]), None);
    }

    #[test]
    fn a_run_that_heats_up_is() {
        let slower: Vec<f64> = (0..100).map(|i| if i < 60 { 10.0 } else { 12.0 }).collect();
        assert!((slowing(&slower).unwrap() - 1.2).abs() < 1e-9);
    }
}
