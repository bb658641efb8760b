#!/bin/sh
# Builds the example firmware of runtime/examples/firmware, runs every board
# under its emulator, and compares the scores of all pictures byte for byte with
# those of the host; on one also what is said about wrong files and calls. Looks whether
# a run of the network can reach a panic. Prints what each board takes, as a table, and
# fails where code, stack or instructions, of a picture or a layer, are more than 3 % off
# what is recorded for `bitat footprint`.
#
#   .ci/firmware.sh [BOARD…]     default: all
#   .ci/firmware.sh --record     all, and writes the records anew
#
# A board is a folder; riscv32-zbb is riscv32 with the bit manipulation of the RP2350's
# cores (Zba, Zbb, Zbs), for which the kernels have code of its own. cortex-m0plus is code
# for Armv6-M; QEMU has no machine with that core and enough memory, so a Cortex-M3, which
# has these instructions too, executes it.
#
# Nothing but core is built for a board: what needs std or an allocator fails.
#
# Needs python3, qemu-system-arm, qemu-system-aarch64 and qemu-system-riscv32, and the
# toolchain of .ci/no_std.sh (BITAT_CARGO, BITAT_LLVM as there).
set -eu
cd "$(dirname "$0")/.."
root=$PWD

cargo=${BITAT_CARGO:-/usr/bin/cargo}
llvm=${BITAT_LLVM:-/usr/lib/llvm-22/bin}
networks='fashion-mnist vww'
records=$root/converter/src/footprint
record=no
if [ "${1:-}" = --record ]; then
    record=yes
    shift "$#"
fi
[ $# -gt 0 ] || set -- cortex-m4f cortex-m33 cortex-m0plus riscv32 riscv32-zbb cortex-a53

PATH=$(dirname "$cargo"):$PATH
export PATH RUSTC_BOOTSTRAP=1
unset CARGO_BUILD_TARGET RUSTUP_TOOLCHAIN RUSTFLAGS 2>/dev/null || true
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target-firmware}"
case $CARGO_TARGET_DIR in /*) ;; *) CARGO_TARGET_DIR=$root/$CARGO_TARGET_DIR ;; esac
for target in THUMBV6M_NONE_EABI THUMBV7EM_NONE_EABIHF THUMBV8M_MAIN_NONE_EABIHF \
    RISCV32IMAC_UNKNOWN_NONE_ELF AARCH64_UNKNOWN_NONE; do
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
    "$cargo" run --quiet --locked -p firmware-host "$root/models/$network/mobilenet_v1_0.25"*.bitat \
        >"$lines/host.$network"
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

# near WHAT NUMBER COLUMN: fails unless the number is near that of the records.
near() {
    then=$(awk -F '\t' -v b="$board" -v n="$network" -v c="$3" '$1 == b && $2 == n { print $c }' \
        "$records/boards.tsv")
    awk -v now="$2" -v then="${then:-0}" 'BEGIN { exit !(now >= then * 0.97 && now <= then * 1.03) }' ||
        fail "$board" "$1 of $network: $2, recorded ${then:-none}; if that is right: .ci/firmware.sh --record"
}

# The same of each layer's instructions; prints those that are not.
near_layers() {
    awk -F '[ \t]' -v board="$board" '
        NR == FNR && /^# network/ { for (i = 4; i <= NF; i++) if ($i == board) column = i - 1 }
        NR == FNR { then[$1 " " $2] = $column; next }
        { before = then[$1 " " $2] }
        before == "" || $3 > before * 1.03 || $3 < before * 0.97 { print; bad = 1 }
        END { exit bad }' "$records/layers.tsv" "$lines/$board.layers" >"$lines/far" ||
        fail "$board" "layers are not as recorded (network, layer, instructions): $(cat "$lines/far")"
}

built=$CARGO_TARGET_DIR
for board; do
    folder=${board%-zbb}
    unset RUSTFLAGS
    CARGO_TARGET_DIR=$built
    if [ "$folder" != "$board" ]; then
        export RUSTFLAGS=-Ctarget-feature=+zba,+zbb,+zbs
        CARGO_TARGET_DIR=$built/$board
    fi
    cd "$firmware/$folder"
    target=$(sed -n 's/^target = "\(.*\)"/\1/p' .cargo/config.toml)
    # All of its programs at once: each is linked on one core.
    "$cargo" build --quiet --release --locked -Zbuild-std=core || fail "$board" 'it does not build'

    for network in $networks; do
        case $network in
        fashion-mnist) program=firmware-$folder ;;
        *) program=$network-$folder ;;
        esac
        out=$lines/$board.$network
        on_board "$out" --bin "$program"
        grep -v '^#' "$out" >"$out.scores" || fail "$board" "it printed no scores"
        diff "$lines/host.$network" "$out.scores" || fail "$board" "scores differ (<: the host's)"
        echo "firmware $board: $(wc -l <"$out.scores") pictures of $network score as on the host"

        program=$CARGO_TARGET_DIR/$target/release/$program
        printf 'firmware %s: %s: ' "$board" "$network"
        "$root/.ci/no_panic.py" "$llvm" "$program" firmware::device::score
        "$llvm/llvm-objcopy" -O binary "$program" "$program.bin"
        flash=$(wc -c <"$program.bin")
        ram=$("$llvm/llvm-size" -A "$program" | awk '/^\.(data|bss|uninit) / { n += $2 } END { print n }')
        model=$(measure "$out" model) arena=$(measure "$out" arena)
        pictures=$(measure "$out" pictures)
        stack=$(measure "$out" stack) executed=$(measure "$out" picture)
        code=$((flash - model - pictures))
        printf '| %s | %s | %d | %d | %d | %d | %d | %d |\n' "$board" "$network" "$code" "$model" \
            $((ram - arena)) "$arena" "$stack" "$executed" >"$out.row"
        if [ "$record" = yes ]; then
            printf '%s\t%s\t%d\t%d\t%d\t%d\n' "$board" "$network" "$code" $((ram - arena)) \
                "$stack" "$executed" >"$out.record"
        else
            near code "$code" 3
            near stack "$stack" 5
            near instructions "$executed" 6
        fi
    done

    on_board "$lines/$board.layers" --bin "layers-$folder"
    [ "$record" = yes ] || near_layers
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

if [ "$record" = yes ]; then
    {
        printf '# By .ci/firmware.sh --record, %s, bytes.\n' "$(rustc --version)"
        printf '# board\tnetwork\tcode\tstatic RAM\tstack\tinstructions\n'
        for board; do
            for network in $networks; do cat "$lines/$board.$network.record"; done
        done
    } >"$records/boards.tsv"
    {
        printf '# By .ci/firmware.sh --record: instructions of each layer and (-) of all, mean of 5 pictures.\n'
        printf '# network\tlayer'
        printf '\t%s' "$@"
        printf '\n'
        names=$lines/$1.layers
        for board; do
            cut -d ' ' -f 3 "$lines/$board.layers" >"$lines/$board.counts"
            set -- "$@" "$lines/$board.counts"
            shift
        done
        cut -d ' ' -f 1,2 "$names" | tr ' ' '\t' | paste - "$@"
    } >"$records/layers.tsv"
fi
