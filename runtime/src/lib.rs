//! Runs a packed 1-bit network: no standard library, no heap, no `unsafe`.
//!
//! ```
//! # use bitat_format::model::*;
//! # let window = Window { kernel_h: 1, kernel_w: 1, stride_h: 1, stride_w: 1, pad_top: 0, pad_left: 0 };
//! # let epilogue = Epilogue::Scores { multiplier: vec![1; 2], bias: vec![0; 2], scores: 1 };
//! # let operation = Operation::Int8Conv { window, narrow: 0, weights: vec![1, 2], epilogue };
//! # let shape = |kind, channels| Tensor { kind, height: 1, width: 1, channels, frac: 0 };
//! # let model = Model {
//! #     name: "doc".into(), classes: vec![], score_scale: 1.0,
//! #     input: Input { zero: vec![0], mean: vec![0.0], std: vec![1.0] },
//! #     tensors: vec![shape(Kind::Image, 1), shape(Kind::Scores, 2)],
//! #     layers: vec![Layer { name: "only".into(), input: 0, operation }],
//! # };
//! # let file = bitat_format::FileBuffer::new(&bitat_format::write(&model).unwrap());
//! # let file: &[u8] = &file;
//! use bitat_format::View;
//! use bitat_kernels::Kernels;
//! use bitat_runtime::{Network, aligned, top_k};
//!
//! let view = View::parse(file)?; // every fault of the file shows here
//! let network = Network::new(view, Kernels::best());
//! let mut memory = vec![0; network.arena_bytes() + bitat_runtime::ARENA_LINE - 1];
//! let mut scores = vec![0; view.class_count()];
//! network.run(&[7], aligned(&mut memory), &mut scores)?;
//!
//! let mut best = [(0, 0); 1];
//! top_k(&scores, &mut best);
//! assert_eq!(best, [(1, 14)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! That is for a file which comes at run time. One that is a part of the
//! program is better checked and planned by the compiler: the macro
//! `include_model!` of the crate `bitat-embed` makes an [`Embedded`] network,
//! whose lengths are types and whose run cannot fail.
//!
//! A run needs the room of the tensors of its widest layer;
//! [`Network::by_rows`] plans for less, often for less than half, and
//! [`Network::fit`] for the memory that there is.
//!
//! On a device the file lies in flash and the memory is an [`Arena`] of a size
//! known when the network was converted; see [`Network`] for what the plan
//! itself costs. All arithmetic is integer, and the result is the same on
//! every machine; the rules are those of the crate `bitat-reference`.
//!
//! With feature `threads`, which needs the standard library, several threads
//! share the work of one image; see [`Network`] and the feature's `Pool`.
//!
//! Inside: `geometry.rs` and `layouts.rs` are where the file and the kernels
//! meet; `plan.rs` places the tensors; `execute.rs` runs the layers, `part.rs`
//! calls the kernels; `bands.rs` has a group of layers run by rows, `choose.rs`
//! picks the group; `split.rs` and `pool.rs` share a layer over threads, `homes.rs`
//! places tensors for them; `embedded.rs` is the door of programs that contain their network.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "threads")]
extern crate std;

mod arena;
mod bands;
mod choose;
pub mod embedded;
mod error;
mod execute;
mod geometry;
#[cfg(feature = "threads")]
mod homes;
mod layouts;
mod part;
mod plan;
#[cfg(feature = "threads")]
mod pool;
mod rank;
#[cfg(feature = "threads")]
mod split;

pub use arena::{ARENA_ALIGN, ARENA_LINE, Arena, aligned};
pub use bands::Bands;
pub use embedded::Embedded;
pub use error::{Error, Fault};
pub use execute::{Network, Step, Values};
pub use plan::{Plan, arena_bytes};
#[cfg(feature = "threads")]
pub use pool::Pool;
pub use rank::{top_k, top_k_as};
#[cfg(feature = "threads")]
pub use split::Threads;
