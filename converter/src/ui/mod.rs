//! What a person or a script sees of a command: progress on standard error,
//! tables and one JSON object on standard output, and Ctrl-C.
//!
//! Knows nothing of networks; commands pass in text and numbers.

pub mod human;
pub mod json;
pub mod progress;
pub mod stop;
pub mod table;

pub use json::Json;
pub use progress::{Console, Progress};
pub use stop::Stop;
pub use table::{Align, Table};
