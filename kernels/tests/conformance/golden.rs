//! The layouts, against the vectors that the packed format keeps.

use std::collections::BTreeMap;

use crate::buffers::{pack_binary, pack_bits, pack_int8};

const VECTORS: &str = include_str!("../../../runtime/format/tests/golden/layout.txt");

#[test]
fn layouts_are_those_of_the_format() {
    let mut seen = BTreeMap::<&str, usize>::new();
    let mut lines = VECTORS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    while let Some(head) = lines.next() {
        let mut words = head.split(' ');
        assert_eq!(words.next(), Some("case"), "{head}");
        let layout = words.next().expect("a layout");
        let numbers: BTreeMap<&str, usize> = words
            .map(|word| word.split_once('=').expect("KEY=NUMBER"))
            .map(|(key, number)| (key, number.parse().expect("a number")))
            .collect();
        let values = lines.next().and_then(|line| line.strip_prefix("values ")).expect("values");
        let bytes = lines.next().and_then(|line| line.strip_prefix("bytes ")).expect("bytes");

        let values: Vec<i8> = if layout.starts_with("int8") {
            values.split_whitespace().map(|value| value.parse().expect("a weight")).collect()
        } else {
            values.chars().map(|sign| if sign == '-' { -1 } else { 1 }).collect()
        };
        let number = |key: &str| numbers[key];
        let kernel = || (number("kernel_h"), number("kernel_w"));
        let packed: Vec<u8> = match layout {
            "bits" | "binary_depthwise" => pack_bits(&values, number("channels")).into(),
            "binary_conv" => {
                let groups = number("groups");
                let channels = (number("in") / groups, number("out") / groups);
                pack_binary(&values, kernel(), channels, groups).into()
            }
            "int8_conv" => {
                let packed = pack_int8(&values, kernel(), (number("in"), number("out")));
                packed.iter().map(|&weight| weight as u8).collect()
            }
            "int8_depthwise" => values.iter().map(|&weight| weight as u8).collect(),
            other => panic!("a layout the kernels do not know: {other}"),
        };
        let hex: String = packed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, bytes, "{head}");
        *seen.entry(layout).or_default() += 1;
    }
    assert_eq!(seen.len(), 5, "layouts seen: {seen:?}");
}
