#!/bin/sh
# Proves that what runs on a device needs neither std nor an allocator: checks
# each crate by itself for bare targets, then links a program from them.
#
#   .ci/no_std.sh [TARGET…]     default: every bare target that is supported
#
# Two or more targets are built side by side, each in a folder of its own: most of what
# is compiled is one crate on one core.
#
# Needs a Rust toolchain with the sources of core in its sysroot (BITAT_CARGO,
# default /usr/bin/cargo: Debian's rustc-web, cargo-web and rust-web-src) and
# lld (BITAT_LLVM, default /usr/lib/llvm-22/bin).
set -eu
cd "$(dirname "$0")/.."

cargo=${BITAT_CARGO:-/usr/bin/cargo}
llvm=${BITAT_LLVM:-/usr/lib/llvm-22/bin}
[ $# -gt 0 ] || set -- thumbv6m-none-eabi thumbv7m-none-eabi thumbv7em-none-eabi \
    thumbv7em-none-eabihf thumbv8m.main-none-eabihf riscv32imc-unknown-none-elf \
    riscv32imac-unknown-none-elf aarch64-unknown-none wasm32-unknown-unknown

# rustc must be the one beside that cargo, and a stable one may build core.
PATH=$(dirname "$cargo"):$PATH
export PATH RUSTC_BOOTSTRAP=1
unset CARGO_BUILD_TARGET RUSTUP_TOOLCHAIN 2>/dev/null || true
# As a device would be built, and the same for all, so that core is built once.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=s CARGO_PROFILE_RELEASE_LTO=true
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
out=${CARGO_TARGET_DIR:-$PWD/target-no-std}

if [ $# -gt 1 ]; then
    printf '%s\n' "$@" | CARGO_TARGET_DIR=$out xargs -P "$(nproc)" -n 1 .ci/no_std.sh
    exit
fi
target=$1
out=$out/$target

# No entry point: the program is linked, not run.
program=$out/$target/release/bitat-nostd-check
case $target in
wasm*)
    program=$program.wasm
    RUSTFLAGS="-Clinker=$llvm/wasm-ld -Clinker-flavor=wasm-ld -Clink-arg=--no-entry"
    ;;
*) RUSTFLAGS="-Clinker=$llvm/ld.lld -Clinker-flavor=ld.lld -Clink-arg=--entry=0" ;;
esac
export RUSTFLAGS
for_target() { # check or build, what
    command=$1
    shift
    "$cargo" "$command" --quiet --release --locked --target "$target" -Zbuild-std=core \
        --target-dir "$out" "$@"
}
for crate in kernels format runtime; do
    for_target check -p "bitat-$crate" --no-default-features
    echo "no_std $target: bitat-$crate compiles alone"
done
for_target build --manifest-path runtime/nostd-check/Cargo.toml

# The linker accepts what is not there if nothing asks for it, so ask: the
# program must hold the kernels' code, no unresolved name, no allocator.
undefined=$("$llvm/llvm-nm" --undefined-only "$program")
allocator=$("$llvm/llvm-nm" --defined-only "$program" | grep -E 'rust_alloc|rdl_alloc|__rg_alloc|malloc' || true)
code=$("$llvm/llvm-size" "$program" | awk 'NR == 2 { print $1 }')
if [ -n "$undefined$allocator" ] || [ "$code" -lt 10000 ]; then
    echo "no_std $target: FAILED: $code bytes of code; undefined: $undefined; allocator: $allocator" >&2
    exit 1
fi
echo "no_std $target: links without std and without an allocator, $code bytes of code and constants"
