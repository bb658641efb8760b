//! A packed network as a part of the program, checked and planned while the
//! program is compiled. See [`include_model!`].
#![forbid(unsafe_code)]

mod expand;

use std::env;
use std::path::Path;

use proc_macro::TokenStream;
use syn::parse::{Parse, ParseStream, Result};
use syn::{Error, Ident, LitStr, Token, parse_macro_input};

/// Makes a module's contents out of a packed network: `include_model!("net.bitat")`.
///
/// The path starts from the folder of the crate's `Cargo.toml`. (Not from the
/// source file, as `include_bytes!` has it: a macro is not always told where
/// that is, in an editor or in a documentation test.)
///
/// A file that is not a whole and valid packed network is a compile error which
/// says what is wrong with it, and where. The crate is compiled again whenever
/// the file changes. It must depend on `bitat-runtime` under that name.
///
/// ```
/// mod model {
///     bitat_embed::include_model!("../../models/fashion-mnist/mobilenet_v1_0.25.bitat");
/// }
///
/// let network = model::network();
/// let mut arena = model::Arena::new(); // 26.0 KiB: in a static, on a device
/// let pixels = [0; model::INPUT_BYTES]; // 0–255, row, column, channel
/// let scores: [i32; model::CLASSES] = network.run(&pixels, &mut arena);
/// # assert_eq!(scores.len(), 10);
/// ```
///
/// # Less memory or less time
/// The widest layers run by rows where that needs less memory
/// ([`Network::by_rows`](bitat_runtime::Network::by_rows)), often less than half. A
/// device that has more runs each layer as a whole, which is faster and gives the same
/// scores:
///
/// ```
/// mod model {
///     bitat_embed::include_model!(
///         "../../models/fashion-mnist/mobilenet_v1_0.25.bitat",
///         whole
///     );
/// }
/// # mod by_rows { bitat_embed::include_model!("../../models/fashion-mnist/mobilenet_v1_0.25.bitat"); }
/// # assert!(by_rows::ARENA_BYTES < model::ARENA_BYTES);
/// ```
///
/// `bitat inspect` says what either needs.
///
/// # Lengths
/// An image, an arena or scores of another length do not compile:
///
/// ```compile_fail,E0308
/// # mod model { bitat_embed::include_model!("../../models/fashion-mnist/mobilenet_v1_0.25.bitat"); }
/// model::network().run(&[0; model::INPUT_BYTES - 1], &mut model::Arena::new());
/// ```
///
/// ```compile_fail,E0308
/// # mod model { bitat_embed::include_model!("../../models/fashion-mnist/mobilenet_v1_0.25.bitat"); }
/// let mut arena = bitat_runtime::Arena::<{ model::ARENA_BYTES - 16 }>::new();
/// model::network().run(&[0; model::INPUT_BYTES], &mut arena);
/// ```
///
/// ```compile_fail,E0308
/// # mod model { bitat_embed::include_model!("../../models/fashion-mnist/mobilenet_v1_0.25.bitat"); }
/// let scores: [i32; 11] = model::network().run(&[0; model::INPUT_BYTES], &mut model::Arena::new());
/// ```
///
/// # No panic
/// `run` gives scores and nothing else, and panics on a bug of the runtime. `try_run`
/// gives that bug as an error, so that it has no path to a panic:
///
/// ```
/// # mod model { bitat_embed::include_model!("../../models/fashion-mnist/mobilenet_v1_0.25.bitat"); }
/// # let (network, mut arena) = (model::network(), model::Arena::new());
/// # let pixels = [0; model::INPUT_BYTES];
/// match network.try_run(&pixels, &mut arena) {
///     Ok(scores) => assert_eq!(scores.len(), model::CLASSES),
///     Err(_) => { /* the device's safe state */ }
/// }
/// ```
///
/// That is looked up in the machine code of the example firmware for Cortex-M, RISC-V
/// and Cortex-A53, in each run of CI: no function that `try_run` reaches, kernels
/// included, refers to a panic. It is shown of release builds of the scalar and NEON
/// kernels, without feature `std`, by the compiler that CI names. It is not shown of
/// `network()`, which reads the file's header once at the start, of debug builds, which
/// check sums for overflow, nor of NEON's dot products and the kernels for x86.
///
/// # What the module has
/// | item | what it is |
/// | --- | --- |
/// | `network() -> Network` | the network, on the best kernels of the processor |
/// | `Network` | the [`Embedded`](bitat_runtime::Embedded) of these lengths |
/// | `Arena` | the [`Arena`](bitat_runtime::Arena) of `ARENA_BYTES` |
/// | `FILE` | the file's bytes, once, in constant memory (flash) |
/// | `NAME` | the network's name |
/// | `INPUT_HEIGHT`, `INPUT_WIDTH`, `INPUT_CHANNELS` | shape of the image |
/// | `INPUT_BYTES` | their product |
/// | `CLASSES` | scores of the network |
/// | `ARENA_BYTES` | working memory of a run, by rows or `whole` |
/// | `LAYERS`, `TENSORS` | how many there are |
#[proc_macro]
pub fn include_model(argument: TokenStream) -> TokenStream {
    let Argument { path, whole } = parse_macro_input!(argument);
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    expand::file(&Path::new(&folder).join(path.value()), whole)
        .unwrap_or_else(|what| Error::new(path.span(), what).into_compile_error())
        .into()
}

/// A path, and whether `whole` stands behind it.
struct Argument {
    path: LitStr,
    whole: bool,
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Argument> {
        let path = input.parse()?;
        let mut whole = false;
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
        if !input.is_empty() {
            let option: Ident = input.parse()?;
            if option != "whole" {
                let what = format!(
                    "there is no option `{option}`; say `whole` for whole layers in a larger \
                     arena, nothing for the smallest arena"
                );
                return Err(Error::new(option.span(), what));
            }
            whole = true;
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(Argument { path, whole })
    }
}
