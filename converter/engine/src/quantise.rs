//! Rounding of weights to 8 bits, exactly as training sees it and as the
//! lowering must write it.

/// Rounds each of the `out.len() / scales` rows to −127..=127 times the row's own
/// scale `max |w| / 127`; `rows` rows of equal length. An all-zero row has scale 0.
pub fn int8_per_channel(weights: &[f32], rows: usize) -> (Vec<i8>, Vec<f32>) {
    let mut levels = Vec::with_capacity(weights.len());
    let mut scales = Vec::with_capacity(rows);
    for row in weights.chunks_exact((weights.len() / rows.max(1)).max(1)) {
        let scale = scale(row);
        scales.push(scale);
        levels.extend(row.iter().map(|&w| level(w, scale) as i8));
    }
    (levels, scales)
}

/// As [`int8_per_channel`] with one scale for all.
pub fn int8_per_tensor(weights: &[f32]) -> (Vec<i8>, f32) {
    let scale = scale(weights);
    (weights.iter().map(|&w| level(w, scale) as i8).collect(), scale)
}

/// `levels · scale` without leaving `f32`: what the forward pass multiplies by.
pub(crate) fn fake(weights: &[f32], out: &mut [f32]) {
    let scale = scale(weights);
    for (out, &w) in out.iter_mut().zip(weights) {
        *out = level(w, scale) * scale;
    }
}

fn scale(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0f32, |m, w| m.max(w.abs())) / 127.0
}

fn level(w: f32, scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { (w / scale).round().clamp(-127.0, 127.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_scales() {
        let weights = [1.27, -0.014, 0.0, -2.54, 2.0, 0.03, 0.0, 0.0, 0.0];
        let (levels, scales) = int8_per_channel(&weights, 3);
        assert_eq!(levels, [127, -1, 0, -127, 100, 2, 0, 0, 0]);
        assert_eq!(scales, [1.27 / 127.0, 2.54 / 127.0, 0.0]);
        let (levels, scale) = int8_per_tensor(&weights);
        assert_eq!(levels[3], -127);
        let mut faked = [0.0; 9];
        fake(&weights, &mut faked);
        for (fake, level) in faked.iter().zip(levels) {
            assert_eq!(*fake, level as f32 * scale);
        }
    }
}
