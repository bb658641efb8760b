#!/bin/sh
# MicroFlow's int8 person detector beside our 1-bit network of the same MobileNet, both
# on the emulated Cortex-M4F of runtime/examples/firmware.
#
#   benches/compare/microflow.sh
#
# Makes a program under target/compare/microflow of the crate `microflow` from crates.io,
# which holds the model, builds and runs it as .ci/firmware.sh does ours, and then runs
# ours. Instructions are counted by the same timer, the stack is painted by the same
# code. MicroFlow's answer must be the one that its own test expects. Its picture is
# grey and a value on its stack; ours is in colour and may stay in flash.
#
# Needs what .ci/firmware.sh needs.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
version=0.1.3 macros=0.1.1
board=cortex-m4f target=thumbv7em-none-eabihf
cargo=${BITAT_CARGO:-/usr/bin/cargo}
llvm=${BITAT_LLVM:-/usr/lib/llvm-22/bin}
firmware=$root/runtime/examples/firmware
scratch=$root/target/compare/microflow

CARGO_TARGET_DIR=$root/target/firmware "$root/.ci/firmware.sh" $board
ours=$(sed 's/ //g' "$root/target/firmware/lines/$board.vww.row")

mkdir -p "$scratch/src" "$scratch/.cargo"
cd "$scratch"
cp "$firmware/$board/memory.x" "$firmware/$board/build.rs" .
cp "$firmware/$board/.cargo/config.toml" .cargo/config.toml
cp "$firmware/$board/src/counter.rs" src/counter.rs
# Its tensors are values, which lie on the stack: there is more to look at.
sed 's/^const WINDOW: usize = .*/const WINDOW: usize = 1024 * 1024;/' \
    "$firmware/common/src/stack.rs" >src/stack.rs

# The kernels of ours are built for speed, the rest for size; here, all for speed.
cat >Cargo.toml <<EOF
[workspace]

[package]
name = "microflow-$board"
version = "0.0.0"
edition = "2024"

[dependencies]
cortex-m-rt = "0.7"
firmware = { path = "$firmware/common" }
microflow = "=$version"
microflow-macros = "=$macros"
nalgebra = { version = "0.32", default-features = false }
libm = "0.2"
simba = { version = "0.8", default-features = false }
semihosting = { version = "0.1", features = ["stdio", "panic-handler"] }

[profile.release]
opt-level = 3
lto = true
codegen-units = 1
panic = "abort"
EOF
cat >src/main.rs <<'EOF'
#![no_std]
#![no_main]

mod counter;
mod stack;

use core::hint::black_box;

use firmware::Counter;
use microflow::buffer::Buffer2D;
use microflow_macros::model;
use semihosting::{println, process};

#[model("models/person_detect.tflite")]
struct PersonDetect;

#[cortex_m_rt::entry]
fn main() -> ! {
    let counter = counter::SysTick::start();
    let stack = stack::Painted::new();
    let before = counter.ticks();
    // The grey of its own test: 0.5 / 0.007843138 - 1, rounded.
    let scores = PersonDetect::predict_quantized(black_box([Buffer2D::from_element([63])]));
    let units = counter.since(before);
    println!("scores {} {}", scores[0], scores[1]);
    println!("# stack {} bytes", stack.peak().expect("some of the painted stack is left"));
    println!("# picture {units} {}", counter::SysTick::UNIT);
    process::exit(0)
}
EOF

PATH=$(dirname "$cargo"):$PATH
export PATH RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$scratch/target"
export CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER="$llvm/ld.lld"
unset CARGO_BUILD_TARGET RUSTUP_TOOLCHAIN RUSTFLAGS 2>/dev/null || true
mkdir -p models
"$cargo" fetch --quiet
crate=$("$cargo" metadata --format-version 1 |
    grep -o '"manifest_path":"[^"]*/microflow-[0-9][^"]*/Cargo.toml"' | head -n 1 | cut -d '"' -f 4)
cp "$(dirname "$crate")/models/person_detect.tflite" models/
"$cargo" run --quiet --release -Zbuild-std=core >printed
grep -qx 'scores 0.8046875 0.1953125' printed || {
    echo "microflow.sh: MicroFlow's answer is not that of its own test:" >&2
    cat printed >&2
    exit 1
}

program=$CARGO_TARGET_DIR/$target/release/microflow-$board
"$llvm/llvm-objcopy" -O binary "$program" "$program.bin"
flash=$(wc -c <"$program.bin")
static=$("$llvm/llvm-size" -A "$program" | awk '/^\.(data|bss|uninit) / { n += $2 } END { print n }')
number() { sed -n "s/^# $1 \([0-9][0-9]*\) .*/\1/p" printed; }
model=$(wc -c <models/person_detect.tflite)

echo
"$cargo" --version
echo "$ours" | awk -F '|' -v flash="$flash" -v model="$model" -v static="$static" \
    -v stack="$(number stack)" -v executed="$(number picture)" '
    function row(name, theirs, mine) {
        printf "| %s | %d | %d | %.2f |\n", name, theirs, mine, theirs / mine
    }
    BEGIN {
        print "| | MicroFlow, int8 | bitat, 1 bit | ratio |"
        print "| --- | ---: | ---: | ---: |"
    }
    {
        row("model file, bytes", model, $5)
        row("flash, code and weights, bytes", flash, $4 + $5)
        row("RAM, our picture in flash, bytes", static + stack, $6 + $7 + $8)
        row("RAM, our picture in RAM, bytes", static + stack, $6 + $7 + $8 + 96 * 96 * 3)
        row("instructions a picture", executed, $9)
    }'
