//! What a device without an operating system does when this library is wrong.

use core::panic::PanicInfo;

/// Stops here, where a debugger or the watchdog finds the program.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
