//! What the start-up code wants of a program.

use aarch64_rt::{ExceptionHandlers, InitialPagetable, exception_handlers, initial_pagetable};

/// Descriptor bits of a block of 1 GiB: valid, accessed; memory type 0, which
/// is for devices, and not executable.
const DEVICE: usize = 1 | 1 << 10 | 1 << 54;
/// The same of memory type 1, which is cached, and inner shareable.
const CACHED: usize = 1 | 1 << 2 | 3 << 8 | 1 << 10;

// Where a program is loaded at another address, as it is seen by the core: the
// first GiB holds devices, the second memory. Without such a table all memory
// is a device's: slow, and closed to loads across a word's boundary.
initial_pagetable!({
    let mut gibibytes = [0; 512];
    gibibytes[0] = DEVICE;
    gibibytes[1] = CACHED | 0x4000_0000;
    InitialPagetable(gibibytes)
});

/// Every exception is a panic, which is printed.
struct Exceptions;
impl ExceptionHandlers for Exceptions {}
exception_handlers!(Exceptions);
