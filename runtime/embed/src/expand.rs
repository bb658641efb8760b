//! From a file to the items of a module.

use std::ops::Range;
use std::path::Path;
use std::{fs, path};

use bitat_format::View;
use bitat_runtime::{ARENA_LINE, Plan, aligned};
use proc_macro2::TokenStream;
use quote::quote;

/// The items of `include_model!` for the file at `path`, planned for the smallest
/// arena, or for whole layers; or what is wrong with the file and what to do.
pub(crate) fn file(path: &Path, whole: bool) -> Result<TokenStream, String> {
    let fault = |what: String| format!("{}: {what}", path.display());
    let bytes = fs::read(path).map_err(|e| {
        fault(format!("{e}; the path starts from the folder of the crate's Cargo.toml"))
    })?;
    let mut memory = vec![0; bytes.len() + ARENA_LINE - 1];
    let copy = &mut aligned(&mut memory)[..bytes.len()];
    copy.copy_from_slice(&bytes);
    let view = View::parse(copy).map_err(|e| fault(e.to_string()))?;
    items(path, &view, whole).map_err(fault)
}

fn items(path: &Path, view: &View<'_>, whole: bool) -> Result<TokenStream, String> {
    // include_bytes! would start from the source file.
    let path = path::absolute(path).map_err(|e| e.to_string())?;
    let path = path.to_str().ok_or("the path must be UTF-8; move the file")?;
    let mut plan = Plan::new(view);
    plan.fit(view, if whole { usize::MAX } else { 0 });
    // What a 32-bit device can address at all.
    let arena_bytes = plan.arena_bytes();
    if i32::try_from(arena_bytes).is_err() {
        return Err("a run needs more than 2 GiB of arena; use a smaller network".into());
    }

    let (tensor_count, layer_count) = (view.tensor_count(), view.layer_count());
    let offset = |place: Option<Range<usize>>| place.map_or(0, |p| p.start as u32);
    let tensors = (0..tensor_count).map(|id| plan.marked(id as u16));
    let scratch = (0..tensor_count).map(|layer| offset(plan.scratch(view, layer)));

    let bands = plan.bands().map_or([0; 3], |bands| [bands.first, bands.end, bands.count]);

    let (name, file_bytes, classes) = (view.name(), view.file_bytes(), view.class_count());
    let input = view.input();
    let (height, width, channels) = (input.height, input.width, input.channels);
    Ok(quote! {
        /// The packed network.
        pub static FILE: &[u8; #file_bytes] = {
            static ALIGNED: ::bitat_runtime::embedded::Aligned<[u8; #file_bytes]> =
                ::bitat_runtime::embedded::Aligned(*::core::include_bytes!(#path));
            &ALIGNED.0
        };
        /// The network's name.
        pub const NAME: &str = #name;
        /// Rows of the image.
        pub const INPUT_HEIGHT: usize = #height;
        /// Columns of the image.
        pub const INPUT_WIDTH: usize = #width;
        /// Channels of the image.
        pub const INPUT_CHANNELS: usize = #channels;
        /// Bytes of the image: rows × columns × channels.
        pub const INPUT_BYTES: usize = #height * #width * #channels;
        /// Scores of the network.
        pub const CLASSES: usize = #classes;
        /// Bytes of working memory that a run needs.
        pub const ARENA_BYTES: usize = #arena_bytes;
        /// Layers of the network.
        pub const LAYERS: usize = #layer_count;
        /// Tensors of the network, the image and the scores included.
        pub const TENSORS: usize = #tensor_count;
        /// The working memory of a run.
        pub type Arena = ::bitat_runtime::Arena<ARENA_BYTES>;
        /// The network, with its lengths in the type.
        pub type Network =
            ::bitat_runtime::Embedded<INPUT_BYTES, CLASSES, ARENA_BYTES, TENSORS>;
        /// The network, on the best kernels of the processor.
        pub fn network() -> Network {
            Network::checked(FILE, [#(#tensors),*], [#(#scratch),*], [#(#bands),*])
        }
    })
}
