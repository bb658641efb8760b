#!/bin/sh
# Builds the example firmware of runtime/examples/firmware, runs every board
# under its emulator, and compares the scores of 100 pictures byte for byte with
# those of the host; on one also what is said about wrong files and calls. Prints
# what each board takes, as a table.
#
#   .ci/firmware.sh [BOARD…]     default: all
#
# Nothing but core is built for a board: what needs std or an allocator fails.
#
# Needs qemu-system-arm, qemu-system-aarch64 and qemu-system-riscv32, and the
# toolchain of .ci/no_std.sh (BITAT_CARGO, BITAT_LLVM as there).
set -eu
cd "$(dirname "$0")/.."
root=$PWD

cargo=${BITAT_CARGO:-/usr/bin/cargo}
llvm=${BITAT_LLVM:-/usr/lib/llvm-22/bin}
[ $# -gt 0 ] || set -- cortex-m4f cortex-m33 riscv32 cortex-a53

PATH=$(dirname "$cargo"):$PATH
export PATH RUSTC_BOOTSTRAP=1
unset CARGO_BUILD_TARGET RUSTUP_TOOLCHAIN RUSTFLAGS 2>/dev/null || true
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target-firmware}"
case $CARGO_TARGET_DIR in /*) ;; *) CARGO_TARGET_DIR=$root/$CARGO_TARGET_DIR ;; esac
for target in THUMBV7EM_NONE_EABIHF THUMBV8M_MAIN_NONE_EABIHF RISCV32IMAC_UNKNOWN_NONE_ELF \
    AARCH64_UNKNOWN_NONE; do
    export "CARGO_TARGET_${target}_LINKER=$llvm/ld.lld"
done

firmware=$root/runtime/examples/firmware
lines=$CARGO_TARGET_DIR/lines
mkdir -p "$lines"

fail() {
    echo "firmware $1: FAILED: $2" >&2
    exit 1
}

cd "$firmware"
"$cargo" run --quiet --locked -p firmware-host "$root/models/fashion-mnist/mobilenet_v1_0.25.bitat" \
    >"$lines/host"
[ "$(wc -l <"$lines/host")" -eq 100 ] || fail host "it must print 100 lines: $lines/host"
"$cargo" run --quiet --locked -p firmware-host -- --refusals >"$lines/refusals"
grep -qx "its scores: the embedded network's" "$lines/refusals" || fail host "$lines/refusals"

# measure BOARD NAME: the number in the board's line "# NAME number unit".
measure() {
    sed -n "s/^# $2 \([0-9][0-9]*\) .*/\1/p" "$lines/$1" | grep . || fail "$1" "it printed no $2"
}

for board; do
    cd "$firmware/$board"
    target=$(sed -n 's/^target = "\(.*\)"/\1/p' .cargo/config.toml)
    # The command of the README; its emulator has a time limit of its own.
    status=0
    "$cargo" run --quiet --release --locked -Zbuild-std=core >"$lines/$board" || status=$?
    [ "$status" -eq 0 ] || fail "$board" "exit code $status; what it printed: $lines/$board"
    grep -v '^#' "$lines/$board" >"$lines/$board.scores" || fail "$board" "it printed no scores"
    diff "$lines/host" "$lines/$board.scores" || fail "$board" "scores differ (<: the host's)"

    if [ "$board" = cortex-m4f ]; then
        "$cargo" run --quiet --release --locked -Zbuild-std=core --bin refusals \
            >"$lines/$board.refusals" || fail "$board" "exit code $? of the program refusals"
        diff "$lines/refusals" "$lines/$board.refusals" || fail "$board" "answers differ (<: the host's)"
        echo "firmware $board: $(wc -l <"$lines/refusals") files and calls get the host's answers"
    fi

    program=$CARGO_TARGET_DIR/$target/release/firmware-$board
    "$llvm/llvm-objcopy" -O binary "$program" "$program.bin"
    flash=$(wc -c <"$program.bin")
    ram=$("$llvm/llvm-size" -A "$program" | awk '/^\.(data|bss|uninit) / { n += $2 } END { print n }')
    model=$(measure "$board" model) arena=$(measure "$board" arena)
    pictures=$(measure "$board" pictures)
    stack=$(measure "$board" stack) executed=$(measure "$board" picture)
    echo "firmware $board: 100 pictures score as on the host"
    printf '| %s | %d | %d | %d | %d | %d | %d |\n' "$board" $((flash - model - pictures)) "$model" \
        $((ram - arena)) "$arena" "$stack" "$executed" >"$lines/$board.row"
done

echo
echo '| board | code, bytes | model, bytes | static RAM, bytes | arena, bytes | stack, bytes | instructions a picture |'
echo '| --- | ---: | ---: | ---: | ---: | ---: | ---: |'
for board; do cat "$lines/$board.row"; done
