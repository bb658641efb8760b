//! The door to C, and the only file of this crate with `unsafe` in it.
//!
//! What a function's documentation asks of the caller is what its proofs rely
//! on; what can be checked is checked first: null, alignment, length, and that
//! no buffer which is written shares bytes with another. Memory that comes
//! through this door has some content, though nobody may know which; bytes,
//! integers and structures of both are valid whatever it is.
// The documentation is for readers of bitat.h, who know no such heading.
#![allow(clippy::missing_safety_doc)]

use core::ffi::{CStr, c_char, c_void};
use core::ops::Range;
use core::{ptr, slice};

use crate::memory::{disjoint, span};
use crate::state::{self, Call, State, TAG};
use crate::status::Status;
use crate::types::{Info, Isa, Ranked, Storage, Text};

/// Validates a model in full and makes a network of it, with the best
/// instruction set of this processor. Takes one pass over the model.
///
/// - network: room for the network.
/// - model, model_bytes: the whole packed file, at a multiple of
///   BITAT_MODEL_ALIGN. It is read in place: it must stay where it is, and
///   unchanged, for as long as the network is used.
/// - arena_bytes: as many as bitat_run will be given. If they are enough, every
///   layer runs whole, which is fastest; if not, the widest layers run in bands of
///   rows, in the smallest arena found. Both give the same scores. 0 always plans
///   the smallest; bitat_query then tells both sizes. That bitat_run gets enough,
///   it checks itself.
///
/// Any bytes may be given as the model: what is wrong with them is returned.
/// After an error the network is not initialised; where the status is about
/// the pointers themselves, nothing was written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitat_init(
    network: *mut Storage,
    model: *const u8,
    model_bytes: usize,
    arena_bytes: usize,
) -> Status {
    // SAFETY: what the caller promises is what that function asks.
    unsafe { bitat_init_isa(network, model, model_bytes, arena_bytes, Isa::Best as i32) }
}

/// As bitat_init, with the kernels of one instruction set, a bitat_isa.
/// All of them give the same scores; only the time differs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitat_init_isa(
    network: *mut Storage,
    model: *const u8,
    model_bytes: usize,
    arena_bytes: usize,
    isa: i32,
) -> Status {
    let init = || {
        disjoint(&span(network, 1)?, &[&span(model, model_bytes)?])?;
        // SAFETY: the caller's memory for a `Storage`, not null and aligned
        // (`span`); its first word is one.
        unsafe { network.cast::<u64>().write(0) };
        // SAFETY: `model_bytes` bytes from a pointer that is not null, within
        // the address space (`span`), which the caller leaves as they are for
        // as long as the network, the only place that keeps the slice, is
        // used. The writes before and after are to other bytes (`disjoint`).
        let model = unsafe { slice::from_raw_parts(model, model_bytes) };
        // SAFETY: the caller's memory for a `Storage`, as for the word.
        let state = unsafe { begin(network, model, isa) }?;
        state.fit(arena_bytes)
    };
    init().into()
}

/// Makes a network, in its place, that has no plan for an arena yet. Not inlined: the
/// copy on its stack is gone before the search for that plan takes some.
///
/// # Safety
/// `network` points to memory for a `Storage`, aligned, that nobody else uses while
/// the reference is.
#[inline(never)]
unsafe fn begin<'n>(
    network: *mut Storage,
    model: &'static [u8],
    isa: i32,
) -> Result<&'n mut State, Status> {
    let state = State::new(model, isa)?;
    let place = network.cast::<State>();
    // SAFETY: the caller's memory; a `State` is neither larger nor more aligned
    // than a `Storage` (asserted beside `Storage`).
    unsafe { place.write(state) };
    // SAFETY: written above, and no other reference reaches it.
    Ok(unsafe { &mut *place })
}

/// Tells what a program must know to run the network: arena, image, classes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitat_query(network: *const Storage, info: *mut Info) -> Status {
    let query = || {
        // SAFETY: the caller gives a network that was initialised, or zeroed.
        let state = unsafe { initialised(network) }?;
        let value = state.info();
        // SAFETY: the caller's memory for an `Info`.
        unsafe { give(info, value, network, state) }
    };
    query().into()
}

/// Gives the name of the network. The text lies in the model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitat_name(network: *const Storage, name: *mut Text) -> Status {
    let find = || {
        // SAFETY: the caller gives a network that was initialised, or zeroed.
        let state = unsafe { initialised(network) }?;
        // SAFETY: the caller's memory for a `Text`.
        unsafe { give(name, text(state.view().name()), network, state) }
    };
    find().into()
}

/// Gives the name of class index, from 0. The text lies in the model.
/// BITAT_STATUS_NO_NAME if there is no such class, or the model has no names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitat_class_name(
    network: *const Storage,
    index: usize,
    name: *mut Text,
) -> Status {
    let find = || {
        // SAFETY: the caller gives a network that was initialised, or zeroed.
        let state = unsafe { initialised(network) }?;
        let found = state.view().class_name(index).ok_or(Status::NoName)?;
        // SAFETY: the caller's memory for a `Text`.
        unsafe { give(name, text(found), network, state) }
    };
    find().into()
}

/// Scores one image.
///
/// - image, image_bytes: pixels 0 to 255 in the order row, column, channel,
///   exactly one image. Preprocessing is part of the network.
/// - arena, arena_bytes: at least the bytes that bitat_query tells, at a
///   multiple of BITAT_ARENA_ALIGN. What it contains does not matter, before or
///   after.
/// - scores, scores_count: room for at least one score per class.
///
/// Nothing is written outside arena and scores, nor there beyond what is
/// needed; after an error about an argument nothing has been written at all.
/// Runs may go on at the same time, in threads or interrupts, with the same
/// network, each with an arena and scores of its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitat_run(
    network: *const Storage,
    image: *const u8,
    image_bytes: usize,
    arena: *mut c_void,
    arena_bytes: usize,
    scores: *mut i32,
    scores_count: usize,
) -> Status {
    let run = || {
        // SAFETY: the caller gives a network that was initialised, or zeroed.
        let state = unsafe { initialised(network) }?;
        let arena = arena.cast::<u8>();
        let network = span(network, 1)?;
        let call = Call { network, image, image_bytes, arena, arena_bytes, scores, scores_count };
        let needs = state.check(&call)?;
        // SAFETY: not null, aligned, as long as the caller says or shorter
        // (`State::check`); bytes that are read only, as what is written below
        // lies elsewhere.
        let image = unsafe { slice::from_raw_parts(image, needs.image_bytes) };
        // SAFETY: the same; and no other reference reaches these bytes: they
        // lie apart from network, model, image and scores (`State::check`),
        // and the caller lets no one else use them during the call.
        let arena = unsafe { slice::from_raw_parts_mut(arena, needs.arena_bytes) };
        // SAFETY: as for the arena.
        let scores = unsafe { slice::from_raw_parts_mut(scores, needs.scores_count) };
        state.run(image, arena, scores)
    };
    run().into()
}

/// Gives the best classes in falling order of score; of equal scores the lower
/// class comes first.
///
/// - scores, scores_count: what a run gave.
/// - best, best_count: room for the classes; as many as fit are written.
/// - found: how many those are, at most one per score.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitat_top_k(
    scores: *const i32,
    scores_count: usize,
    best: *mut Ranked,
    best_count: usize,
    found: *mut usize,
) -> Status {
    let rank = || {
        let (read, written) = (span(scores, scores_count)?, span(best, best_count)?);
        let count = span(found, 1)?;
        disjoint(&written, &[&read, &count])?;
        disjoint(&count, &[&read])?;
        // SAFETY: not null, aligned and within the address space (`span`), as
        // long as the caller says; what is written below lies elsewhere.
        let scores = unsafe { slice::from_raw_parts(scores, scores_count) };
        // SAFETY: the same, and no other reference reaches it (`disjoint`).
        let best = unsafe { slice::from_raw_parts_mut(best, best_count) };
        let filled = state::top_k(scores, best);
        // SAFETY: the caller's memory for one count, not null and aligned.
        unsafe { found.write(filled) };
        Ok(())
    };
    rank().into()
}

/// A sentence on a bitat_status, in English, ended by a zero, never null.
#[unsafe(no_mangle)]
pub extern "C" fn bitat_status_string(status: i32) -> *const c_char {
    let known = Status::ALL.iter().find(|known| **known as i32 == status);
    known.map_or(c"unknown status", |known| known.text()).as_ptr()
}

/// The name of a bitat_isa, ended by a zero; null if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn bitat_isa_name(isa: i32) -> *const c_char {
    Isa::from_code(isa).map_or(ptr::null(), |isa| isa.name().as_ptr())
}

/// The library's version, as "0.1.0", ended by a zero.
#[unsafe(no_mangle)]
pub extern "C" fn bitat_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a version has no zero in it"),
        };
    VERSION.as_ptr()
}

/// The inside of an initialised network.
///
/// # Safety
/// `network` is null, misaligned, or points to a `Storage` that
/// [`bitat_init_isa`] last wrote to (or a copy of it) or whose first word is
/// anything but [`TAG`], and nobody writes to it while the reference is used.
unsafe fn initialised<'n>(network: *const Storage) -> Result<&'n State, Status> {
    span(network, 1)?;
    // SAFETY: not null and aligned (`span`); a `Storage` begins with a word.
    if unsafe { network.cast::<u64>().read() } != TAG {
        return Err(Status::NotInitialised);
    }
    // SAFETY: the tag is written into a whole `State`, by `bitat_init_isa`
    // alone, which takes it away before anything can fail.
    Ok(unsafe { &*network.cast::<State>() })
}

/// Writes `value` to the caller's `out`, which must not lie in the network or
/// its model.
///
/// # Safety
/// `out` is null, misaligned, or points to memory for a `T` that nobody else
/// uses.
unsafe fn give<T>(
    out: *mut T,
    value: T,
    network: *const Storage,
    state: &State,
) -> Result<(), Status> {
    let own: Range<usize> = span(network, 1)?;
    disjoint(&span(out, 1)?, &[&own, state.model()])?;
    // SAFETY: not null and aligned (`span`), and not within what `state`
    // refers to (`disjoint`).
    unsafe { out.write(value) };
    Ok(())
}

fn text(text: &'static str) -> Text {
    Text { bytes: text.as_ptr().cast(), length: text.len() }
}
