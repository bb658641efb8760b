//! How much stack is used at most: it is painted at the start, and at the end
//! one looks how far the paint has been worn off.

use core::ptr;

/// Bytes below the stack's top that are looked at. Every board has as many.
const WINDOW: usize = 16 * 1024;
/// Bytes below the painter's own frame that it leaves alone.
const MARGIN: usize = 256;
const PAINT: u32 = 0x5AFE_57AC;

unsafe extern "C" {
    /// The address above the stack, from the linker script.
    static _stack_start: u32;
}

/// A stack that has been painted.
pub(crate) struct Painted;

impl Painted {
    /// Paints what is not in use yet.
    #[inline(never)]
    pub(crate) fn new() -> Painted {
        let here = 0u32;
        let end = (&raw const here).addr() - MARGIN;
        for address in words().take_while(|&address| address < end) {
            // SAFETY: within the stack, below every frame in use; no interrupt
            // is enabled that could bring another.
            unsafe { ptr::with_exposed_provenance_mut::<u32>(address).write_volatile(PAINT) };
        }
        Painted
    }

    /// Bytes from the stack's top to the deepest word that was written; `None`
    /// if there is no paint left.
    pub(crate) fn peak(&self) -> Option<usize> {
        // SAFETY: within the stack; all of it is memory, and any value is a word.
        let read = |&address: &usize| unsafe {
            ptr::with_exposed_provenance::<u32>(address).read_volatile()
        };
        let deepest = words().find(|address| read(address) != PAINT)?;
        Some(top() - deepest).filter(|&peak| peak < WINDOW)
    }
}

fn top() -> usize {
    (&raw const _stack_start).expose_provenance()
}

/// Addresses of the words looked at, the deepest first.
fn words() -> impl Iterator<Item = usize> {
    (top() - WINDOW..top()).step_by(size_of::<u32>())
}
