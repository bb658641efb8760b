//! The broken files themselves.

use bitat_format::model::Model;
use bitat_format::{ErrorKind as K, write};

use crate::common::{bare, everything, long_means};

/// What is done to the changed bytes before they are read.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum How {
    /// Length and checksum are made right.
    Sealed,
    /// Nothing.
    Raw,
    /// They start at a multiple of 4 plus 1.
    Shifted,
}

/// Where to write which bytes.
pub(crate) type Edits<'a> = &'a [(usize, &'a [u8])];

pub(crate) struct Reject {
    pub(crate) rule: &'static str,
    pub(crate) kind: K,
    pub(crate) what: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) how: How,
    pub(crate) offset: usize,
    pub(crate) layer: Option<u16>,
}

/// A good file and where its parts are, from FORMAT.md and not from the crate.
pub(crate) struct Good {
    pub(crate) bytes: Vec<u8>,
}

impl Good {
    pub(crate) fn of(model: &Model) -> Good {
        Good { bytes: write(model).unwrap() }
    }

    fn u16(&self, at: usize) -> usize {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]).into()
    }

    fn u32(&self, at: usize) -> usize {
        self.u16(at) + (self.u16(at + 2) << 16)
    }

    pub(crate) fn tensor(&self, id: usize) -> usize {
        48 + 8 * id
    }

    pub(crate) fn record(&self, layer: usize) -> usize {
        self.tensor(self.u16(20)).next_multiple_of(16) + 32 * layer
    }

    fn end_of_name(&self, name: usize) -> usize {
        self.record(self.u16(22)) + 4 * name
    }

    fn text(&self) -> usize {
        let names = 1 + self.u16(22) + self.u16(24);
        self.end_of_name(names).next_multiple_of(16)
    }

    /// The blob of a layer that stands behind blobs of these sizes.
    pub(crate) fn blob(&self, layer: usize, before: &[usize]) -> usize {
        let first = self.u32(self.record(layer) + 24);
        let next = |at: usize, size: &usize| (at + size).next_multiple_of(16);
        before.iter().fold(first, next)
    }

    /// The input array behind arrays of these sizes.
    pub(crate) fn input(&self, before: &[usize]) -> usize {
        let names = 1 + self.u16(22) + self.u16(24);
        let text_end = self.text() + self.u32(self.end_of_name(names - 1));
        let next = |at: usize, size: &usize| (at + size).next_multiple_of(16);
        before.iter().fold(text_end.next_multiple_of(16), next)
    }
}

#[derive(Default)]
struct Corpus {
    rejects: Vec<Reject>,
}

impl Corpus {
    /// Overwrites bytes at some offsets; the error is at `offset`.
    fn put(&mut self, rule: &'static str, kind: K, good: &Good, edits: Edits, offset: usize) {
        let mut bytes = good.bytes.clone();
        for (at, with) in edits {
            assert_ne!(&bytes[*at..at + with.len()], *with, "{rule}: no change at {at}");
            bytes[*at..at + with.len()].copy_from_slice(with);
        }
        let what = format!("{edits:?}");
        self.add(rule, kind, what, bytes, How::Sealed, offset);
    }

    /// Overwrites fields of a layer's record; the error is in that layer, at
    /// `field` of its record.
    fn layer(
        &mut self,
        rule: &'static str,
        kind: K,
        (good, layer): (&Good, usize),
        edits: Edits,
        field: usize,
    ) {
        let record = good.record(layer);
        let edits: Vec<_> = edits.iter().map(|(at, with)| (record + at, *with)).collect();
        self.put(rule, kind, good, &edits, record + field);
        self.in_layer(layer);
    }

    fn in_layer(&mut self, layer: usize) {
        self.rejects.last_mut().unwrap().layer = Some(layer as u16);
    }

    fn add(
        &mut self,
        rule: &'static str,
        kind: K,
        what: String,
        bytes: Vec<u8>,
        how: How,
        offset: usize,
    ) {
        self.rejects.push(Reject { rule, kind, what, bytes, how, offset, layer: None });
    }
}

pub(crate) fn corpus() -> Vec<Reject> {
    let (all, bare) = (Good::of(&everything()), Good::of(&bare()));
    let means = Good::of(&long_means(2, 127));
    let mut c = Corpus::default();
    file_and_header(&mut c, &all, &bare);
    tables_before_the_layers(&mut c, &all, &bare);
    records(&mut c, &all);
    meaning(&mut c, &all);
    bounds(&mut c, &all, &means);
    blobs(&mut c, &all);
    c.rejects
}

fn file_and_header(c: &mut Corpus, all: &Good, bare: &Good) {
    let length = all.bytes.len();
    let cut = |to: usize| all.bytes[..to].to_vec();
    let longer = |by: usize| [&all.bytes[..], &vec![0; by]].concat();
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = all.bytes.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };

    c.add("F2", K::Misaligned, "starts at 1".into(), cut(length), How::Shifted, 0);
    c.put("F3", K::Reserved, all, &[(152, &[1])], 152);
    c.put("F3", K::Reserved, all, &[(159, &[1])], 159);
    let gap = all.blob(9, &[100]) + 10;
    c.put("F3", K::Reserved, all, &[(gap + 5, &[1])], gap + 5);
    c.in_layer(9);
    let gap = all.blob(9, &[]) - 1;
    c.put("F3", K::Reserved, all, &[(gap, &[1])], gap);
    c.in_layer(9);
    let gap = all.input(&[]) + 3;
    c.put("F3", K::Reserved, all, &[(gap, &[1])], gap);
    // The text of the second name would end behind the file.
    c.put("F3", K::Truncated, bare, &[(100, &500u32.to_le_bytes())], 112);
    let bias = all.blob(9, &[100, 10]);
    c.add("F3", K::Truncated, "no last byte".into(), cut(length - 1), How::Sealed, bias);
    c.in_layer(9);
    c.add("F3", K::Truncated, "tensor table cut".into(), cut(148), How::Sealed, 148);
    c.add("F4", K::Trailing, "16 zeros behind".into(), longer(16), How::Sealed, length);
    c.add("F4", K::Trailing, "a zero behind".into(), longer(1), How::Sealed, length);

    c.add("H1", K::Magic, "first byte".into(), with(0, &[0]), How::Raw, 0);
    c.add("H1", K::Magic, "line end changed".into(), with(6, b"\n"), How::Raw, 0);
    c.add("H1", K::Magic, "a few foreign bytes".into(), b"PK".into(), How::Raw, 0);
    c.add("H2", K::Version, "version 2".into(), with(8, &[2]), How::Raw, 8);
    c.add("H2", K::Version, "version 0".into(), with(8, &[0]), How::Raw, 8);
    c.add("H3", K::Reserved, "a flag".into(), with(11, &[0x80]), How::Raw, 10);
    let too_long = ((1u32 << 30) + 1).to_le_bytes();
    c.add("H4", K::Limit, "2^30 + 1 bytes".into(), with(12, &too_long), How::Raw, 12);
    let longest = (1u32 << 30).to_le_bytes();
    c.add("H4", K::Truncated, "2^30 bytes".into(), with(12, &longest), How::Raw, length);
    c.add("H4", K::Truncated, "no bytes".into(), vec![], How::Raw, 0);
    c.add("H4", K::Truncated, "half a header".into(), cut(47), How::Raw, 47);
    c.add("H4", K::Truncated, "header alone".into(), cut(48), How::Raw, 48);
    c.add("H4", K::Truncated, "one byte less".into(), cut(length - 1), How::Raw, length - 1);
    c.add("H4", K::Trailing, "one byte more".into(), longer(1), How::Raw, length);
    c.add("H5", K::Checksum, "a name changed".into(), with(544, b"E"), How::Raw, 16);
    c.add(
        "H5",
        K::Checksum,
        "checksum changed".into(),
        {
            let byte = all.bytes[19] ^ 0x10;
            with(19, &[byte])
        },
        How::Raw,
        16,
    );
    for (at, most) in [(20, 1024u16), (22, 1023)] {
        c.put("H6", K::Range, all, &[(at, &[0, 0])], at);
        c.put("H6", K::Limit, all, &[(at, &(most + 1).to_le_bytes())], at);
    }
    // Two scores and one (empty) class name.
    c.put("H7", K::ClassNames, bare, &[(24, &[1])], 24);
    c.put("H8", K::Reserved, all, &[(26, &[1])], 26);
    c.put("H8", K::Reserved, all, &[(47, &[1])], 47);
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        c.put("H9", K::Float, all, &[(28, &scale.to_le_bytes())], 28);
    }
}

fn tables_before_the_layers(c: &mut Corpus, all: &Good, bare: &Good) {
    for code in [0, 5, 255] {
        c.put("T1", K::Code, all, &[(all.tensor(3), &[code])], all.tensor(3));
    }
    c.put("T2", K::Kind, all, &[(all.tensor(0), &[2])], all.tensor(0));
    c.put("T2", K::Kind, all, &[(all.tensor(1), &[1])], all.tensor(1));
    for frac in [33, -33i8 as u8, 0x80] {
        c.put("T3", K::Range, all, &[(all.tensor(1) + 1, &[frac])], all.tensor(1) + 1);
    }
    for id in [0, 2, 12] {
        c.put("T3", K::Reserved, all, &[(all.tensor(id) + 1, &[1])], all.tensor(id) + 1);
    }
    for (field, most) in [(2, 4096u16), (4, 4096), (6, 32768)] {
        let at = all.tensor(5) + field;
        c.put("T4", K::Range, all, &[(at, &[0, 0])], at);
        c.put("T4", K::Limit, all, &[(at, &(most + 1).to_le_bytes())], at);
    }
    let scores = all.tensor(12);
    c.put("T5", K::Shape, all, &[(scores + 2, &[2])], scores + 2);
    c.put("T5", K::Shape, all, &[(scores + 4, &[2])], scores + 2);
    // 4096 × 4096 × 9 streams of two bytes; bits of 1088 channels.
    let side = &4096u16.to_le_bytes()[..];
    let sides = (all.tensor(1) + 2, &[side, side].concat()[..]);
    c.put("T6", K::Limit, all, &[sides, (all.tensor(1) + 6, &[9])], all.tensor(1));
    let sides = (all.tensor(2) + 2, &[side, side].concat()[..]);
    let channels = (all.tensor(2) + 6, &129u16.to_le_bytes()[..]);
    c.put("T6", K::Limit, all, &[sides, channels], all.tensor(2));

    let end = all.end_of_name(1);
    c.put("N1", K::Text, all, &[(end, &[1])], end);
    let end = all.end_of_name(0);
    c.put("N2", K::Limit, all, &[(end, &1025u32.to_le_bytes())], end);
    c.put("N2", K::Limit, all, &[(end, &[0xFF; 4])], end);
    let text = all.text();
    c.put("N3", K::Text, all, &[(text + 4, &[0xFF])], text + 4);
    c.put("N3", K::Text, all, &[(text, &[0x1B])], text);
    c.put("N3", K::Text, all, &[(text + 9, &[0x7F])], text + 9);
    // U+0085, a control character of two bytes.
    c.put("N3", K::Text, all, &[(text + 2, &[0xC2, 0x85])], text + 2);
    // A name that ends within a character: "vier €" without its last byte.
    let (before, last) = (all.end_of_name(14), all.end_of_name(15));
    let end = (all.u32(last) - 1) as u32;
    let euro = text + all.u32(before) + 5;
    c.put("N3", K::Text, all, &[(last, &end.to_le_bytes())], euro);

    let mean = all.input(&[3]);
    for value in [f32::NAN, f32::NEG_INFINITY, -0.0] {
        c.put("I2", K::Float, all, &[(mean + 4, &value.to_le_bytes())], mean + 4);
    }
    let std = all.input(&[3, 12]);
    for value in [f32::NAN, f32::INFINITY, 0.0, -0.0, -1.0] {
        c.put("I3", K::Float, all, &[(std + 8, &value.to_le_bytes())], std + 8);
    }
    assert_eq!(bare.input(&[1, 4]), 144);
}

/// Layers of `everything` by what they have.
pub(crate) const STEM: usize = 0;
pub(crate) const BINARY: usize = 1;
pub(crate) const GROUPED: usize = 2;
pub(crate) const POOLED: usize = 3;
pub(crate) const DEPTHWISE: usize = 4;
pub(crate) const THRESHOLD: usize = 5;
pub(crate) const POINTWISE: usize = 6;
pub(crate) const POOL: usize = 7;
pub(crate) const DENSE: usize = 8;
pub(crate) const CLASSIFIER: usize = 9;

fn records(c: &mut Corpus, all: &Good) {
    // What a layer does not have: (layer, field).
    for (layer, field) in [
        (POOL, 1),
        (STEM, 2),
        (POOL, 2),
        (THRESHOLD, 3),
        (POOL, 3),
        (CLASSIFIER, 3),
        (STEM, 6),
        (DEPTHWISE, 6),
        (POOLED, 6),
        (POOL, 6),
        (POOL, 8),
        (POOL, 9),
        (POOL, 10),
        (POOL, 11),
        (POOL, 12),
        (POOL, 13),
        (STEM, 14),
        (BINARY, 14),
        (POOLED, 14),
        (POOL, 14),
        (THRESHOLD, 15),
        (CLASSIFIER, 15),
        (THRESHOLD, 16),
        (CLASSIFIER, 18),
        (POOL, 18),
        (THRESHOLD, 20),
        (CLASSIFIER, 20),
        (POOL, 20),
        (STEM, 22),
        (STEM, 23),
        (POOL, 22),
        (POOL, 24),
        (STEM, 28),
        (POOL, 31),
    ] {
        let reported = if field == 31 { 28 } else { field };
        c.layer("R1", K::Reserved, (all, layer), &[(field, &[1])], reported);
    }
    for code in [0, 6] {
        c.layer("R2", K::Code, (all, STEM), &[(0, &[code])], 0);
    }
    for code in [0, 4] {
        c.layer("R3", K::Code, (all, STEM), &[(1, &[code])], 1);
    }
    c.layer("R4", K::Code, (all, BINARY), &[(2, &[2])], 2);
    c.layer("R4", K::Code, (all, BINARY), &[(3, &[2])], 3);
    c.layer("R5", K::Range, (all, BINARY), &[(6, &[0])], 6);
    for field in 8..12 {
        c.layer("R6", K::Range, (all, DEPTHWISE), &[(field, &[0])], field);
    }
    c.layer("R6", K::Range, (all, DEPTHWISE), &[(12, &[2])], 12);
    c.layer("R6", K::Range, (all, DEPTHWISE), &[(13, &[3])], 13);
    c.layer("R7", K::Range, (all, POINTWISE), &[(14, &[9])], 14);
    for shift in [16, -17i8 as u8, 0x80] {
        c.layer("R8", K::Range, (all, BINARY), &[(15, &[shift])], 15);
    }
    for shift in [9, -1i8 as u8] {
        c.layer("R8", K::Range, (all, POOL), &[(15, &[shift])], 15);
    }
    c.layer("R9", K::NoOutput, (all, POOLED), &[(16, &[0])], 16);
    c.layer("R10", K::Range, (all, BINARY), &[(22, &[0])], 22);
    for shift in [16, -16i8 as u8, 0x80] {
        c.layer("R10", K::Range, (all, BINARY), &[(23, &[shift])], 23);
    }
    let first = all.blob(BINARY, &[]) as u32;
    for blobs in [0, first - 16, first + 4, first + 16, u32::MAX] {
        c.layer("R11", K::Placement, (all, BINARY), &[(24, &blobs.to_le_bytes())], 24);
    }
}

fn meaning(c: &mut Corpus, all: &Good) {
    for (layer, field) in [(BINARY, 4), (BINARY, 16), (BINARY, 18), (BINARY, 20), (POOL, 16)] {
        c.layer("S1", K::Tensor, (all, layer), &[(field, &[13])], field);
        c.layer("S1", K::Tensor, (all, layer), &[(field, &[0xFF; 2])], field);
    }
    // (layer, field, a tensor of the wrong kind)
    for (layer, field, tensor) in [
        (BINARY, 4, 1),
        (POOLED, 4, 0),
        (POINTWISE, 4, 5),
        (DEPTHWISE, 4, 0),
        (POOL, 4, 0),
        (BINARY, 16, 4),
        (POOL, 16, 12),
        (CLASSIFIER, 16, 11),
        (CLASSIFIER, 16, 0),
        (THRESHOLD, 18, 0),
        (BINARY, 18, 3),
        (BINARY, 20, 2),
    ] {
        c.layer("S2", K::Kind, (all, layer), &[(field, &[tensor])], field);
    }
    let field_of = |layer: usize, field: usize| all.record(layer) + field;
    c.put("S3", K::Shape, all, &[(all.tensor(2) + 2, &[3])], field_of(STEM, 18));
    c.in_layer(STEM);
    c.put("S4", K::Shape, all, &[(all.tensor(6) + 6, &[69])], field_of(POOLED, 16));
    c.in_layer(POOLED);
    c.put("S4", K::Shape, all, &[(all.tensor(10) + 6, &[17])], field_of(POOL, 16));
    c.in_layer(POOL);
    // 3 divides neither, 4 not the 70 written, 2 leaves 6 of 12 read.
    c.layer("S5", K::Shape, (all, GROUPED), &[(6, &[3])], 6);
    c.layer("S5", K::Shape, (all, GROUPED), &[(6, &[4])], 6);
    c.layer("S5", K::Shape, (all, BINARY), &[(6, &[2])], 6);
    // Two groups leave 8 of the 16 read each, but 69 are written.
    c.put("S5", K::Shape, all, &[(all.tensor(5) + 6, &[69])], field_of(GROUPED, 6));
    c.in_layer(GROUPED);
    c.layer("S6", K::Shape, (all, STEM), &[(10, &[3])], 16);
    c.layer("S6", K::Shape, (all, GROUPED), &[(11, &[2])], 18);
    c.put("S7", K::Shape, all, &[(all.tensor(10) + 2, &[2])], field_of(POOL, 16));
    c.in_layer(POOL);
    // From 4 × 3 to 2 × 2: one row too many, one column too many.
    c.layer("S8", K::Shape, (all, POOLED), &[(22, &[4])], 20);
    c.layer("S8", K::Shape, (all, POOLED), &[(22, &[3])], 20);

    // Reads what it writes itself; bits and shortcut.
    c.layer("S10", K::Order, (all, BINARY), &[(4, &[4])], 4);
    c.layer("S10", K::Order, (all, BINARY), &[(20, &[3])], 20);
    // Writes what the layer before has written.
    c.layer("S10", K::Order, (all, THRESHOLD), &[(18, &[7])], 18);
    // No longer writes the stream that the shortcut of another layer reads.
    c.put("S10", K::Order, all, &[(field_of(BINARY, 16), &[0])], field_of(POOLED, 20));
    c.in_layer(POOLED);
    // A 14th tensor, which nobody writes, where the gap was.
    let row = &[2, 0, 1, 0, 1, 0, 1, 0][..];
    c.put("S10", K::Order, all, &[(20, &[14]), (152, row)], 152);

    // The last layer writes a stream.
    let edits = [(all.tensor(12), &[2][..]), (field_of(CLASSIFIER, 1), &[2])];
    c.put("S11", K::Scores, all, &edits, field_of(CLASSIFIER, 1));
    c.in_layer(CLASSIFIER);
    // The last layer but one writes scores.
    let edits = [
        (all.tensor(11), &[4, 0][..]),
        (field_of(DENSE, 1), &[3]),
        (field_of(DENSE, 3), &[0]),
        (field_of(DENSE, 15), &[0]),
        (field_of(DENSE, 20), &[0, 0, 0, 0]),
    ];
    c.put("S11", K::Scores, all, &edits, field_of(DENSE, 1));
    c.in_layer(DENSE);
}

fn bounds(c: &mut Corpus, all: &Good, means: &Good) {
    // 255 × 255 taps: binary over 12 channels, binary depthwise, int8 over 70.
    for layer in [BINARY, POOLED, THRESHOLD, POINTWISE] {
        c.layer("B1", K::Overflow, (all, layer), &[(8, &[255, 255])], 8);
    }
    // 27 products of 127 · 255, times 2^12.
    c.layer("B2", K::Overflow, (all, STEM), &[(15, &[12])], 15);
    // 217 × 151 = 32767 pixels, times 2.
    c.layer("B3", K::Overflow, (means, 1), &[(15, &[1])], 15);
    // 128 × 128 pixels of two channels that become one.
    c.layer("B4", K::Overflow, (means, 2), &[(22, &[128])], 22);

    // 17 products of 127 · 128, times 7771, is just above 2^31.
    let multiplier = all.blob(CLASSIFIER, &[100]);
    let bias = all.blob(CLASSIFIER, &[100, 10]);
    let factor = 7771u16.to_le_bytes();
    c.put("B5", K::Overflow, all, &[(multiplier + 4, &factor)], multiplier + 4);
    c.in_layer(CLASSIFIER);
    let edits = [(multiplier, &[0, 0][..]), (bias, &i32::MIN.to_le_bytes())];
    c.put("B5", K::Overflow, all, &edits, multiplier);
    c.in_layer(CLASSIFIER);
}

fn blobs(c: &mut Corpus, all: &Good) {
    for (layer, place) in [(STEM, 0), (STEM, 335), (DEPTHWISE, 419), (CLASSIFIER, 7)] {
        let at = all.blob(layer, &[]) + place;
        c.put("W2", K::Weight, all, &[(at, &[0x80])], at);
        c.in_layer(layer);
    }
    for (layer, place, byte) in [
        // K = 27: the 28th weight of channels 0 and 11.
        (STEM, 6 * 48 + 3, 1),
        (STEM, 6 * 48 + 47, 0xFF),
        // 12 channels read: bit 4 of the second byte of the first and last tap.
        (BINARY, 16, 0x10),
        (BINARY, 17 * 16 + 15, 0x80),
        // 35 of 40 lanes, in both groups.
        (GROUPED, 35, 1),
        (GROUPED, 80 + 40 + 39, 1),
        // 70 channels: bit 6 of byte 8, and a byte without any channel.
        (POOLED, 8, 0x40),
        (POOLED, 8 * 16 + 15, 1),
        // 70 channels read by 17 of 24 lanes.
        (DENSE, 8 * 24, 0x40),
        (DENSE, 35 * 24 + 17, 0x01),
    ] {
        let at = all.blob(layer, &[]) + place;
        let byte = byte | all.bytes[at];
        c.put("W3", K::Weight, all, &[(at, &[byte])], at);
        c.in_layer(layer);
    }
    let minimum = i16::MIN.to_le_bytes();
    let slope = all.blob(STEM, &[336, 24, 24, 24]) + 22;
    for (layer, at) in [
        (STEM, all.blob(STEM, &[336]) + 2),
        (STEM, slope),
        (CLASSIFIER, all.blob(CLASSIFIER, &[100]) + 8),
    ] {
        c.put("W4", K::Range, all, &[(at, &minimum)], at);
        c.in_layer(layer);
    }
}
