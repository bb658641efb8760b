//! Which layers run by rows, and in how many bands: the group for which the most
//! bytes that any layer needs at once are fewest.
//!
//! What tensors need while the group runs is added up for each group and number of
//! bands; where they lie is only planned for the best. Of equally good ones, that of
//! the fewest bands, then of the fewest layers.

use bitat_format::View;

use crate::bands::{Bands, Reaches};
use crate::geometry;
use crate::plan::{Lives, Plan, rooms, round_up};

/// Layers of a group, at most.
const LAYERS: usize = 32;
/// Bands, at most: more are many calls of kernels for few rows.
const BANDS: u16 = 128;

/// The best group for `plan`'s scratch; `None` if none needs less memory than the
/// layers one by one.
#[inline(never)]
pub(crate) fn bands<const CAPACITY: usize>(
    view: &View<'_>,
    plan: &Plan<CAPACITY>,
) -> Option<Bands> {
    let lives = Lives::<CAPACITY>::new(view);
    // By layer: what its scratch needs, and what it needs in all.
    let mut scratch = [0; CAPACITY];
    let mut loads = [0usize; CAPACITY];
    for (i, layer) in view.layers().enumerate() {
        let convolution = geometry::convolution(view, &layer);
        let bytes = plan.scratch_bytes(view, i, &layer, convolution);
        *scratch.get_mut(i)? = round_up(bytes);
        let alive = lives.0.iter().filter(|life| life.meets(&(i..i + 1)));
        let tensors = alive.map(|life| round_up(life.bytes as usize));
        *loads.get_mut(i)? = tensors.fold(round_up(bytes), usize::saturating_add);
    }
    let loads = loads.get(..view.layer_count())?;
    let most = |loads: &[usize]| loads.iter().copied().max().unwrap_or(0);

    let mut best = (most(loads), 0, 0);
    let mut found = None;
    for first in 0..loads.len() {
        let before = most(&loads[..first]);
        if before >= best.0 {
            break;
        }
        let mut layers = [None; LAYERS];
        for (i, at) in (first..loads.len()).zip(0..LAYERS) {
            layers[at] = Reaches::new(view, &view.get_layer(i)?);
            let Some(last) = layers[at] else { break };
            let outside = before.max(most(&loads[i + 1..]));
            let layers = &layers[..=at];
            let mut rows = last.output_rows().next_power_of_two() / 2;
            while rows > 0 && outside < best.0 {
                let count = last.output_rows().div_ceil(rows);
                rows /= 2;
                if count > BANDS {
                    break;
                }
                let bands = Bands { first: first as u16, end: i as u16 + 1, count };
                let inside = load(&lives, &scratch, bands, layers)?;
                let this = (outside.max(inside), count, layers.len());
                if this < best {
                    (best, found) = (this, Some(bands));
                }
                if inside <= outside {
                    break;
                }
            }
        }
    }
    found
}

/// Bytes that a group of layers needs.
fn load<const CAPACITY: usize>(
    lives: &Lives<CAPACITY>,
    scratch: &[usize],
    bands: Bands,
    reaches: &[Option<Reaches>],
) -> Option<usize> {
    let mut of = [0; CAPACITY];
    rooms(bands, reaches.iter().copied(), &mut of)?;
    let layers = bands.layers();
    let mut heights = [1; CAPACITY];
    for reach in reaches.iter().flatten() {
        for id in reach.writes() {
            *heights.get_mut(id)? = reach.output_rows();
        }
    }
    let mut all = scratch.get(layers.clone())?.iter().copied().max()?;
    for (life, (room, height)) in lives.0.iter().zip(of.into_iter().zip(heights)) {
        if life.meets(&layers) {
            let bytes = match life.is_held(&layers) {
                true => life.bytes / u32::from(height) * u32::from(room),
                false => life.bytes,
            };
            all = round_up(bytes as usize).saturating_add(all);
        }
    }
    Some(all)
}
