#!/bin/sh
# Builds the example firmware of runtime/examples/firmware, runs every board
# under its emulator, and compares the scores of all pictures byte for byte with
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
networks='fashion-mnist vww'
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
for network in $networks; do
    "$cargo" run --quiet --locked -p firmware-host "$root/models/$network/"*.bitat >"$lines/host.$network"
    [ "$(wc -l <"$lines/host.$network")" -ge 5 ] || fail host "too few lines: $lines/host.$network"
done
"$cargo" run --quiet --locked -p firmware-host -- --refusals >"$lines/refusals"
grep -qx "its scores: the embedded network's" "$lines/refusals" || fail host "$lines/refusals"

# on_board FILE [ARG…]: the board's program, built and run; its lines to FILE. Its
# emulator has a time limit of its own.
on_board() {
    to=$1
    shift
    "$cargo" run --quiet --release --locked -Zbuild-std=core "$@" >"$to" ||
        fail "$board" "exit code $?; what it printed: $to"
}

# measure FILE NAME: the number in the line "# NAME number unit".
measure() {
    sed -n "s/^# $2 \([0-9][0-9]*\) .*/\1/p" "$1" | grep . || fail "$1" "it printed no $2"
}

for board; do
    cd "$firmware/$board"
    target=$(sed -n 's/^target = "\(.*\)"/\1/p' .cargo/config.toml)

    for network in $networks; do
        case $network in
        fashion-mnist) program=firmware-$board ;;
        *) program=$network-$board ;;
        esac
        out=$lines/$board.$network
        on_board "$out" --bin "$program"
        grep -v '^#' "$out" >"$out.scores" || fail "$board" "it printed no scores"
        diff "$lines/host.$network" "$out.scores" || fail "$board" "scores differ (<: the host's)"
        echo "firmware $board: $(wc -l <"$out.scores") pictures of $network score as on the host"

        program=$CARGO_TARGET_DIR/$target/release/$program
        "$llvm/llvm-objcopy" -O binary "$program" "$program.bin"
        flash=$(wc -c <"$program.bin")
        ram=$("$llvm/llvm-size" -A "$program" | awk '/^\.(data|bss|uninit) / { n += $2 } END { print n }')
        model=$(measure "$out" model) arena=$(measure "$out" arena)
        pictures=$(measure "$out" pictures)
        stack=$(measure "$out" stack) executed=$(measure "$out" picture)
        printf '| %s | %s | %d | %d | %d | %d | %d | %d |\n' "$board" "$network" \
            $((flash - model - pictures)) "$model" $((ram - arena)) "$arena" "$stack" "$executed" \
            >"$out.row"
    done

    if [ "$board" = cortex-m4f ]; then
        on_board "$lines/$board.refusals" --bin refusals
        diff "$lines/refusals" "$lines/$board.refusals" || fail "$board" "answers differ (<: the host's)"
        echo "firmware $board: $(wc -l <"$lines/refusals") files and calls get the host's answers"
    fi
done

echo
echo '| board | network | code, bytes | model, bytes | static RAM, bytes | arena, bytes | stack, bytes | instructions a picture |'
echo '| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |'
for board; do
    for network in $networks; do cat "$lines/$board.$network.row"; done
done
