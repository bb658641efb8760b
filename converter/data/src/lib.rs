//! Image data sets, streamed: opening, decoding, resizing, preprocessing,
//! augmenting and batching.
//!
//! ```text
//! Dataset::open ─ IDX · CIFAR · folders ─→ image(i, fit) → u8 NHWC ─┐
//! read_image(file, fit) ────────────────→ u8 NHWC                   │
//! Batches: shuffle → decode → augment → preprocess → f32 NHWC ◄─────┘
//! ```
//!
//! Everything is a function of the data and the seeds: the order of an epoch,
//! each picture's augmentation and the hold-out split do not depend on the
//! number of threads, on the machine or on where a run was resumed.
//! Pixels are `u8`, row-major, channels last; "0–255 scale" means exactly those.

#![forbid(unsafe_code)]

mod augment;
mod batches;
mod cifar;
mod dataset;
mod error;
mod fit;
mod folder;
mod idx;
mod image;
mod limits;
mod orientation;
mod preprocess;
mod random;
mod read;
mod records;
mod resize;

pub use augment::Augment;
pub use batches::{Batch, Batches, Order, Plan, Position};
pub use dataset::{Dataset, Options, Split};
pub use error::Error;
pub use fit::{Crop, Fit};
pub use image::{Image, decode_image, read_image};
pub use preprocess::Preprocess;
pub use random::{Random, hash};
pub use read::names as read_names;
