//! The bit layouts, three ways: appended value by value as FORMAT.md tells it
//! (here), placed by offset (`pack`), and as golden vectors that the kernels'
//! tests read too.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;

use bitat_format::{layout, pack};
use common::{assert_golden, golden};

const HEAD: &str = "\
# Golden vectors of the packed layouts, read by the tests of the format and of
# the kernels. A case is three lines:
#   case LAYOUT KEY=NUMBER...
#   values VALUES   unpacked. Binary: one character each, + is +1, - is -1.
#                   8-bit: decimal numbers.
#   bytes HEX       packed, first byte first.
# Order of the values:
#   bits              [pixel][channel]
#   binary_depthwise  [ky][kx][channel]
#   binary_conv       [out][ky][kx][in / groups]; in, out: channels of all groups
#   int8_conv         [out][ky][kx][in]
#   int8_depthwise    [ky][kx][channel]
# Written by this crate's test `layout` when BITAT_BLESS=1.
";

/// One case: a layout, its numbers by name, and values to pack.
struct Case {
    layout: String,
    numbers: BTreeMap<String, usize>,
    values: Vec<i8>,
    bytes: Vec<u8>,
}

impl Case {
    fn get(&self, key: &str) -> usize {
        self.numbers[key]
    }

    fn taps(&self) -> usize {
        self.get("kernel_h") * self.get("kernel_w")
    }

    fn is_binary(&self) -> bool {
        !self.layout.starts_with("int8")
    }

    /// How many values there are.
    fn len(&self) -> usize {
        match &self.layout[..] {
            "bits" => self.get("pixels") * self.get("channels"),
            "binary_conv" => self.get("out") * self.taps() * self.get("in") / self.get("groups"),
            "int8_conv" => self.get("out") * self.taps() * self.get("in"),
            _ => self.taps() * self.get("channels"),
        }
    }

    /// The packed bytes, appended one after the other.
    fn pack_slowly(&self) -> Vec<u8> {
        match &self.layout[..] {
            "bits" | "binary_depthwise" => {
                let pixels = self.values.chunks(self.get("channels"));
                pixels.flat_map(|pixel| bytes_of(pixel, 64)).collect()
            }
            "binary_conv" => {
                let groups = self.get("groups");
                let weights = self.values.len() / groups;
                let per_out = weights / (self.get("out") / groups);
                let mut packed = vec![];
                for group in self.values.chunks(weights) {
                    for block in group.chunks(64 * per_out) {
                        let outputs: Vec<Vec<u8>> = block
                            .chunks(per_out)
                            .map(|out| {
                                out.chunks(self.get("in") / groups)
                                    .flat_map(|tap| bytes_of(tap, 8))
                                    .collect()
                            })
                            .collect();
                        for step in 0..outputs[0].len() {
                            packed.extend(outputs.iter().map(|bytes| bytes[step]));
                            packed
                                .extend(vec![0; outputs.len().next_multiple_of(8) - outputs.len()]);
                        }
                    }
                }
                packed
            }
            "int8_conv" => {
                let k = self.taps() * self.get("in");
                let mut packed = vec![];
                for block in self.values.chunks(16 * k) {
                    for first in (0..k).step_by(4) {
                        for out in block.chunks(k) {
                            let weight = |i| out.get(i).map_or(0, |&w| w as u8);
                            packed.extend((first..first + 4).map(weight));
                        }
                    }
                }
                packed
            }
            "int8_depthwise" => self.values.iter().map(|&v| v as u8).collect(),
            other => panic!("no layout {other}"),
        }
    }

    /// Values and bytes by the crate's own functions, each from the other.
    fn pack_and_unpack(&self) -> (Vec<u8>, Vec<i8>) {
        let int8 = |bytes: &[u8]| -> Vec<i8> { bytes.iter().map(|&b| b as i8).collect() };
        match &self.layout[..] {
            "bits" | "binary_depthwise" => {
                let channels = self.get("channels");
                let packed = pack::bits(&self.values, channels);
                if self.layout == "binary_depthwise" {
                    let size = layout::binary_depthwise_bytes(self.taps(), channels);
                    assert_eq!(packed.len(), size);
                }
                (packed, pack::unpack_bits(&self.bytes, channels))
            }
            "binary_conv" => {
                let (taps, out, groups) = (self.taps(), self.get("out"), self.get("groups"));
                let c_in = self.get("in") / groups;
                (
                    pack::binary_conv(&self.values, taps, c_in, out, groups),
                    pack::unpack_binary_conv(&self.bytes, taps, c_in, out, groups),
                )
            }
            "int8_conv" => {
                let (k, out) = (self.taps() * self.get("in"), self.get("out"));
                let packed = pack::int8_conv(&self.values, k, out);
                let size = layout::int8_conv_bytes(self.taps(), self.get("in"), out);
                assert_eq!(packed.len(), size);
                (
                    packed.iter().map(|&w| w as u8).collect(),
                    pack::unpack_int8_conv(&int8(&self.bytes), k, out),
                )
            }
            "int8_depthwise" => {
                let size = layout::int8_depthwise_bytes(self.taps(), self.get("channels"));
                assert_eq!(self.values.len(), size);
                (self.pack_slowly(), int8(&self.bytes))
            }
            other => panic!("no layout {other}"),
        }
    }
}

/// ±1 to bytes, least significant bit first, padded with 0 bits to a multiple
/// of `multiple` bits.
fn bytes_of(values: &[i8], multiple: usize) -> Vec<u8> {
    let mut values = values.to_vec();
    values.resize(values.len().next_multiple_of(multiple), 1);
    let byte = |eight: &[i8]| eight.iter().rev().fold(0, |byte, v| byte << 1 | u8::from(*v < 0));
    values.chunks(8).map(byte).collect()
}

/// The cases: sizes from the geometry of the layouts, a step below, at and
/// above each block.
fn cases() -> Vec<Case> {
    let mut cases = vec![];
    let mut add = |layout: &str, keys: &[&str], numbers: &[usize]| {
        let mut case = Case {
            layout: layout.into(),
            numbers: keys.iter().map(|k| k.to_string()).zip(numbers.iter().copied()).collect(),
            values: vec![],
            bytes: vec![],
        };
        let mut state = 0x9E37_79B9u32.wrapping_mul(1 + cases.len() as u32);
        case.values = std::iter::repeat_with(|| {
            // xorshift32
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            match case.is_binary() {
                true => 1 - 2 * (state >> 16 & 1) as i8,
                false => (state >> 16) as i8,
            }
        })
        .take(case.len())
        .map(|v| v.max(-127))
        .collect();
        case.bytes = case.pack_slowly();
        cases.push(case);
    };
    for numbers in [[1, 1], [2, 7], [1, 8], [2, 9], [1, 63], [1, 64], [2, 65], [1, 128]] {
        add("bits", &["pixels", "channels"], &numbers);
    }
    let depthwise = ["kernel_h", "kernel_w", "channels"];
    for numbers in [[1, 1, 1], [3, 3, 5], [1, 2, 64], [2, 1, 65]] {
        add("binary_depthwise", &depthwise, &numbers);
    }
    for numbers in [
        [1, 1, 1, 1, 1],
        [1, 1, 8, 8, 1],
        [1, 1, 9, 3, 1],
        [2, 1, 8, 9, 1],
        [3, 3, 5, 3, 1],
        [1, 1, 16, 63, 1],
        [1, 1, 8, 64, 1],
        [1, 1, 9, 65, 1],
        [1, 1, 3, 130, 1],
        [1, 2, 16, 6, 2],
        [2, 1, 24, 3, 3],
        [1, 1, 16, 130, 2],
        [1, 1, 32, 16, 2],
    ] {
        let keys = ["kernel_h", "kernel_w", "in", "out", "groups"];
        add("binary_conv", &keys, &numbers);
    }
    for numbers in [
        [1, 1, 1, 1],
        [1, 1, 4, 15],
        [1, 1, 8, 16],
        [1, 1, 5, 17],
        [3, 3, 1, 2],
        [1, 2, 3, 3],
        [2, 1, 1, 33],
    ] {
        add("int8_conv", &["kernel_h", "kernel_w", "in", "out"], &numbers);
    }
    for numbers in [[1, 1, 1], [2, 1, 3], [3, 3, 4]] {
        add("int8_depthwise", &depthwise, &numbers);
    }
    cases
}

fn to_text(cases: &[Case]) -> String {
    let mut text = String::from(HEAD);
    for case in cases {
        write!(text, "\ncase {}", case.layout).unwrap();
        for (key, number) in &case.numbers {
            write!(text, " {key}={number}").unwrap();
        }
        text += "\nvalues ";
        if case.is_binary() {
            text.extend(case.values.iter().map(|&v| if v < 0 { '-' } else { '+' }));
        } else {
            let numbers: Vec<String> = case.values.iter().map(i8::to_string).collect();
            text += &numbers.join(" ");
        }
        text += "\nbytes ";
        for byte in &case.bytes {
            write!(text, "{byte:02x}").unwrap();
        }
        text += "\n";
    }
    text
}

fn from_text(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = vec![];
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap();
        match word {
            "case" => {
                let mut words = rest.split(' ');
                cases.push(Case {
                    layout: words.next().unwrap().into(),
                    numbers: words
                        .map(|word| word.split_once('=').unwrap())
                        .map(|(key, number)| (key.into(), number.parse().unwrap()))
                        .collect(),
                    values: vec![],
                    bytes: vec![],
                });
            }
            "values" if rest.starts_with(['+', '-']) && !rest.contains(char::is_numeric) => {
                let value = |c| if c == '-' { -1 } else { 1 };
                cases.last_mut().unwrap().values = rest.chars().map(value).collect();
            }
            "values" => {
                let values = rest.split(' ').map(|v| v.parse().unwrap()).collect();
                cases.last_mut().unwrap().values = values;
            }
            "bytes" => {
                let byte = |i| u8::from_str_radix(&rest[i..i + 2], 16).unwrap();
                cases.last_mut().unwrap().bytes = (0..rest.len()).step_by(2).map(byte).collect();
            }
            other => panic!("no line {other}"),
        }
    }
    cases
}

#[test]
fn vectors_are_as_they_were() {
    assert_golden("layout.txt", to_text(&cases()).as_bytes());
}

#[test]
fn packing_gives_the_golden_vectors() {
    let text = golden("layout.txt");
    let cases = from_text(str::from_utf8(&text).unwrap());
    assert!(cases.len() >= 30, "only {} cases", cases.len());
    for case in cases {
        let about = format!("{} {:?}", case.layout, case.numbers);
        assert_eq!(case.values.len(), case.len(), "{about}");
        assert_eq!(case.pack_slowly(), case.bytes, "{about}: as FORMAT.md tells");
        let (packed, unpacked) = case.pack_and_unpack();
        assert_eq!(packed, case.bytes, "{about}: packed");
        assert_eq!(unpacked, case.values, "{about}: unpacked");
    }
}

/// Small enough to follow by hand.
#[test]
fn by_hand() {
    // Channels 0, 3 and 8 are negative.
    let pixel = [-1, 1, 1, -1, 1, 1, 1, 1, -1];
    assert_eq!(pack::bits(&pixel, 9), [0x09, 1, 0, 0, 0, 0, 0, 0]);

    // Two outputs of 2 taps × 1 input: 8 lanes per step, a byte per tap.
    let packed = pack::binary_conv(&[-1, 1, -1, -1], 2, 1, 2, 1);
    assert_eq!(packed, [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);

    // Two outputs of K = 5: four of each, then the fifth and three zeros of each.
    let packed = pack::int8_conv(&[1, 2, 3, 4, 5, -1, -2, -3, -4, -5], 5, 2);
    assert_eq!(packed, [1, 2, 3, 4, -1, -2, -3, -4, 5, 0, 0, 0, -5, 0, 0, 0]);
}
