#!/bin/sh
# Builds libbitat.a for bare targets and links every function of bitat.h from
# it, as a program in C would: nothing may be missing, and no allocator there. For
# a Cortex-M looks how deep into the stack the two large functions go.
#
#   .ci/c_archive.sh [TARGET…]     default: one Cortex-M, one AArch64
#
# Needs python3 and the toolchain of .ci/no_std.sh (BITAT_CARGO, BITAT_LLVM as there).
set -eu
cd "$(dirname "$0")/.."

cargo=${BITAT_CARGO:-/usr/bin/cargo}
llvm=${BITAT_LLVM:-/usr/lib/llvm-22/bin}
[ $# -gt 0 ] || set -- thumbv7em-none-eabihf aarch64-unknown-none

PATH=$(dirname "$cargo"):$PATH
export PATH RUSTC_BOOTSTRAP=1
unset CARGO_BUILD_TARGET RUSTUP_TOOLCHAIN 2>/dev/null || true
export RUSTFLAGS="-Clinker=$llvm/ld.lld -Clinker-flavor=ld.lld -Clink-arg=--entry=0 -Zemit-stack-sizes"
export CARGO_PROFILE_RELEASE_OPT_LEVEL=s CARGO_PROFILE_RELEASE_LTO=true
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
out=${CARGO_TARGET_DIR:-$PWD/target-no-std}
# Bytes that a function may go deep.
stack=9216

functions=$(sed -n 's/^\(const \)\?[a-z_]* \**\(bitat_[a-z_]*\)(.*/\2/p' runtime/c/include/bitat.h)

for target; do
    "$cargo" build --quiet --release --locked --target "$target" -Zbuild-std=core \
        --target-dir "$out" -p bitat-c --no-default-features
    linked=$out/$target/release/libbitat.elf
    # shellcheck disable=SC2046 # one option per function
    "$llvm/ld.lld" --gc-sections --entry=0 $(printf ' --undefined=%s' $functions) \
        "$out/$target/release/libbitat.a" -o "$linked"

    defined=$("$llvm/llvm-nm" --defined-only "$linked")
    missing=$(for name in $functions; do echo "$defined" | grep -q " T $name\$" || echo "$name"; done)
    undefined=$("$llvm/llvm-nm" --undefined-only "$linked")
    allocator=$(echo "$defined" | grep -E 'rust_alloc|rdl_alloc|__rg_alloc|malloc' || true)
    code=$("$llvm/llvm-size" "$linked" | awk 'NR == 2 { print $1 }')
    if [ -n "$missing$undefined$allocator" ] || [ "$code" -lt 10000 ]; then
        echo "c_archive $target: FAILED: $code bytes of code; missing: $missing; undefined: $undefined; allocator: $allocator" >&2
        exit 1
    fi
    case $target in
    thumb*)
        for name in bitat_init bitat_run; do .ci/stack.py "$llvm" "$linked" "$name" "$stack"; done
        ;;
    esac
    echo "c_archive $target: $(echo "$functions" | wc -l) functions link without std and without an allocator, $code bytes of code and constants"
done
