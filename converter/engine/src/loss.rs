//! Losses over a batch, with the gradient that seeds the backward pass.

/// Distillation from a teacher's logits, mixed with the labels' cross-entropy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distil {
    /// Share of the teacher, 0..=1.
    pub alpha: f32,
    /// Both distributions are softened by this, > 0.
    pub temperature: f32,
    /// Label smoothing of the cross-entropy, 0..1.
    pub smoothing: f32,
}

/// Mean cross-entropy of `logits` `[n][classes]` against `labels`, whose true
/// class has probability `1 − smoothing` and all share `smoothing` evenly. Writes
/// the gradient of that mean to `d_logits`.
///
/// # Panics
/// If the lengths do not fit or a label is not below `classes`.
pub fn cross_entropy(
    logits: &[f32],
    labels: &[usize],
    classes: usize,
    smoothing: f32,
    d_logits: &mut [f32],
) -> f64 {
    check(logits, labels, classes, d_logits);
    let scale = 1.0 / labels.len() as f64;
    let smoothing = f64::from(smoothing);
    let mut loss = 0.0;
    let rows = logits.chunks_exact(classes).zip(d_logits.chunks_exact_mut(classes));
    for ((x, d), &label) in rows.zip(labels) {
        let norm = log_sum_exp(x, 1.0);
        for (class, (&x, d)) in x.iter().zip(d).enumerate() {
            let log_p = f64::from(x) - norm;
            let target = target(class, label, classes, smoothing);
            loss -= target * log_p;
            *d = ((log_p.exp() - target) * scale) as f32;
        }
    }
    loss * scale
}

/// `(1 − alpha)·cross-entropy + alpha·T²·KL(teacher ‖ student)`, both softened by
/// `T`, meaned over the batch; gradient as [`cross_entropy`].
///
/// # Panics
/// As [`cross_entropy`].
pub fn distil(
    logits: &[f32],
    teacher: &[f32],
    labels: &[usize],
    classes: usize,
    how: Distil,
    d_logits: &mut [f32],
) -> f64 {
    assert_eq!(logits.len(), teacher.len(), "teacher's logits");
    let hard = cross_entropy(logits, labels, classes, how.smoothing, d_logits);
    let (alpha, t) = (f64::from(how.alpha), f64::from(how.temperature));
    let scale = 1.0 / labels.len() as f64;
    let mut soft = 0.0;
    let rows = logits.chunks_exact(classes).zip(teacher.chunks_exact(classes));
    for ((x, y), d) in rows.zip(d_logits.chunks_exact_mut(classes)) {
        let (norm_x, norm_y) = (log_sum_exp(x, t), log_sum_exp(y, t));
        for ((&x, &y), d) in x.iter().zip(y).zip(d) {
            let (log_q, log_p) = (f64::from(x) / t - norm_x, f64::from(y) / t - norm_y);
            let (q, p) = (log_q.exp(), log_p.exp());
            soft += p * (log_p - log_q);
            let gradient = t * (q - p) * scale;
            *d = ((1.0 - alpha) * f64::from(*d) + alpha * gradient) as f32;
        }
    }
    (1.0 - alpha) * hard + alpha * t * t * soft * scale
}

/// How many of the rows have their largest logit (the first, if several) at the label.
pub fn correct(logits: &[f32], labels: &[usize], classes: usize) -> usize {
    let best = |x: &[f32]| (0..x.len()).fold(0, |b, i| if x[i] > x[b] { i } else { b });
    logits.chunks_exact(classes).zip(labels).filter(|(x, label)| best(x) == **label).count()
}

fn check(logits: &[f32], labels: &[usize], classes: usize, d_logits: &[f32]) {
    assert_eq!(logits.len(), labels.len() * classes, "logits are [n][classes]");
    assert_eq!(d_logits.len(), logits.len(), "gradient of the logits");
    assert!(labels.iter().all(|&l| l < classes), "a label is not below {classes}");
}

fn target(class: usize, label: usize, classes: usize, smoothing: f64) -> f64 {
    smoothing / classes as f64 + if class == label { 1.0 - smoothing } else { 0.0 }
}

/// `ln Σ exp(x / t)`.
fn log_sum_exp(x: &[f32], t: f64) -> f64 {
    let max = x.iter().fold(f32::NEG_INFINITY, |m, &x| m.max(x));
    let max = f64::from(max) / t;
    max + x.iter().map(|&x| (f64::from(x) / t - max).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 6] = [0.5, -1.0, 2.0, 0.1, 0.2, -0.3];
    const TEACHER: [f32; 6] = [1.5, 0.0, 1.0, -0.4, 2.2, 0.3];

    fn check_gradient(loss: impl Fn(&[f32], &mut [f32]) -> f64) {
        let mut d = [0.0; 6];
        loss(&LOGITS, &mut d);
        for i in 0..6 {
            let at = |delta: f32| {
                let mut x = LOGITS;
                x[i] += delta;
                loss(&x, &mut [0.0; 6])
            };
            // A power of two: exact to add to f32 logits of this size.
            let step = 2.0f32.powi(-10);
            let slope = (at(step) - at(-step)) / (2.0 * f64::from(step));
            assert!((slope - f64::from(d[i])).abs() < 1e-6, "{i}: {slope} {}", d[i]);
        }
    }

    #[test]
    fn gradients_match_differences() {
        for smoothing in [0.0, 0.1] {
            check_gradient(|x, d| cross_entropy(x, &[2, 0], 3, smoothing, d));
            let how = Distil { alpha: 0.7, temperature: 4.0, smoothing };
            check_gradient(|x, d| distil(x, &TEACHER, &[2, 0], 3, how, d));
        }
    }

    #[test]
    fn known_values() {
        let mut d = [0.0; 2];
        let loss = cross_entropy(&[0.0, 0.0], &[1], 2, 0.0, &mut d);
        assert!((loss - 2f64.ln()).abs() < 1e-12);
        assert_eq!(d, [0.5, -0.5]);
        let how = Distil { alpha: 1.0, temperature: 2.0, smoothing: 0.0 };
        assert!(distil(&LOGITS, &LOGITS, &[0, 0], 3, how, &mut [0.0; 6]).abs() < 1e-12);
        // Far logits neither overflow nor give NaN.
        assert!(cross_entropy(&[1e4, -1e4], &[1], 2, 0.0, &mut d) == 2e4);
        assert_eq!(correct(&LOGITS, &[2, 0], 3), 1);
    }
}
