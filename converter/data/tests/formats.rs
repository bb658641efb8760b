//! Every format is opened, and every way to break one is named.

mod common;

use bitat_data::{Dataset, Error, Fit, Options, Split};
use common::{Folder, flat, gzip, idx};

fn open(folder: &Folder, split: Split) -> Result<Dataset, Error> {
    Dataset::open(folder.path(), split, &Options::default())
}

/// Opening fails with a message that holds all `parts`.
fn refused(folder: &Folder, split: Split, parts: &[&str]) {
    let message = open(folder, split).expect_err("should be refused").to_string();
    for part in parts {
        assert!(message.contains(part), "'{part}' is not in: {message}");
    }
}

fn labels(set: &Dataset) -> Vec<usize> {
    (0..set.len()).map(|i| set.label(i)).collect()
}

/// Two pictures of 2x3, classes 0 and 2; and one test picture.
fn idx_folder() -> Folder {
    let folder = Folder::new();
    let pixels: Vec<u8> = (0..12).collect();
    folder.write("train-images-idx3-ubyte", &idx(&[2, 2, 3], &pixels));
    folder.write("train-labels-idx1-ubyte", &idx(&[2], &[0, 2]));
    folder.write("t10k-images.idx3-ubyte.gz", &gzip(&idx(&[1, 2, 3], &[9; 6])));
    folder.write("t10k-labels.idx1-ubyte.gz", &gzip(&idx(&[1], &[3])));
    folder
}

#[test]
fn idx_plain_and_packed() {
    let folder = idx_folder();
    let train = open(&folder, Split::Train).unwrap();
    assert_eq!(labels(&train), [0, 2]);
    assert_eq!(train.shape(), Some([2, 3, 1]));
    assert_eq!(train.image(1).unwrap().pixels, [6, 7, 8, 9, 10, 11]);
    // The test split knows of class 3, so the training split does too.
    assert_eq!(train.classes(), ["0", "1", "2", "3"]);
    let test = open(&folder, Split::Test).unwrap();
    assert_eq!((labels(&test), test.classes().len()), (vec![3], 4));
    assert_eq!(test.image(0).unwrap().pixels, [9; 6]);

    folder.write("classes.txt", b"cat\r\ndog\nemu\nfox\n\n");
    let named = open(&folder, Split::Test).unwrap();
    assert_eq!(named.classes(), ["cat", "dog", "emu", "fox"]);
    // The plain file is preferred to its packed twin, which may even be broken.
    folder.write("train-images-idx3-ubyte.gz", b"not gzip");
    assert_eq!(open(&folder, Split::Train).unwrap().len(), 2);
}

#[test]
fn idx_colour() {
    let folder = Folder::new();
    folder.write("train-images-idx4-ubyte", &idx(&[1, 1, 2, 3], &[1, 2, 3, 4, 5, 6]));
    folder.write("train-labels-idx1-ubyte", &idx(&[1], &[0]));
    let set = open(&folder, Split::Train).unwrap();
    assert_eq!(set.shape(), Some([1, 2, 3]));
    assert_eq!(set.image(0).unwrap().pixels, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn idx_broken() {
    let pictures = "train-images-idx3-ubyte";
    let whole = idx(&[2, 2, 3], &[0; 12]);
    let cases: [(&str, &[u8], &str); 9] = [
        ("short", &whole[..whole.len() - 1], "ends 1 bytes early"),
        ("no pixels", &whole[..16], "ends 12 bytes early"),
        ("header cut", &whole[..10], "ends 2 bytes early"),
        ("empty", &[], "ends 4 bytes early"),
        ("long", &[whole.as_slice(), &[1]].concat(), "longer than the 12 bytes announced"),
        ("foreign", b"hello world, hello", "not an IDX file"),
        ("floats", &[0, 0, 13, 3, 0, 0], "not an IDX file of bytes"),
        ("bomb", &idx(&[u32::MAX, u32::MAX, u32::MAX], &[]), "the limit is"),
        ("none", &idx(&[0, 2, 3], &[]), "holds no pictures"),
    ];
    for (case, bytes, want) in cases {
        let folder = idx_folder();
        folder.write(pictures, bytes);
        eprintln!("{case}");
        refused(&folder, Split::Train, &[pictures, want]);
        // The same, packed.
        std::fs::remove_file(folder.path().join(pictures)).unwrap();
        folder.write("train-images-idx3-ubyte.gz", &gzip(bytes));
        refused(&folder, Split::Train, &[pictures, want]);
    }

    let folder = idx_folder();
    folder.write("t10k-images.idx3-ubyte.gz", &gzip(&idx(&[1, 2, 3], &[9; 6]))[..20]);
    refused(&folder, Split::Test, &["t10k-images", "gzip", "download"]);

    let folder = idx_folder();
    folder.write("train-labels-idx1-ubyte", &idx(&[3], &[0, 1, 2]));
    refused(&folder, Split::Train, &["train-labels", "3 labels for 2 pictures"]);

    let folder = idx_folder();
    folder.write("classes.txt", b"cat\ndog\n");
    refused(
        &folder,
        Split::Train,
        &["train-labels", "label 2 of picture 1", "classes.txt names 2"],
    );
    folder.write("classes.txt", b"cat\n\ndog\n");
    refused(&folder, Split::Train, &["classes.txt", "an empty line"]);
    folder.write("classes.txt", &[0xff, 0xfe]);
    refused(&folder, Split::Train, &["classes.txt", "not UTF-8"]);

    let folder = idx_folder();
    std::fs::remove_file(folder.path().join("train-labels-idx1-ubyte")).unwrap();
    refused(&folder, Split::Train, &["no label file", "add train-labels-idx1-ubyte"]);

    let folder = Folder::new();
    folder.write(pictures, &whole);
    refused(&folder, Split::Test, &["no test pictures", pictures, "add t10k-images"]);
    folder.write("other-train-images-idx3-ubyte", &whole);
    refused(&folder, Split::Train, &["could both be the training pictures"]);
}

/// One CIFAR record; the red plane counts up, green is 7, blue is 9.
fn cifar_record(labels: &[u8]) -> Vec<u8> {
    let mut record = labels.to_vec();
    record.extend((0..1024).map(|i| (i % 256) as u8));
    record.extend([7; 1024]);
    record.extend([9; 1024]);
    record
}

#[test]
fn cifar_10() {
    let folder = Folder::new();
    folder.write("cifar-10-batches-bin/data_batch_1.bin", &cifar_record(&[3]));
    let second = [cifar_record(&[9]), cifar_record(&[0])].concat();
    folder.write("cifar-10-batches-bin/data_batch_2.bin", &second);
    refused(&folder, Split::Test, &["no test records", "add test_batch.bin"]);
    folder.write("cifar-10-batches-bin/test_batch.bin", &cifar_record(&[5]));
    let train = open(&folder, Split::Train).unwrap();
    assert_eq!((labels(&train), train.classes().len()), (vec![3, 9, 0], 10));
    let image = train.image(1).unwrap();
    assert_eq!((image.height, image.width, image.channels), (32, 32, 3));
    assert_eq!(image.pixels[..9], [0, 7, 9, 1, 7, 9, 2, 7, 9]);
    assert_eq!(labels(&open(&folder, Split::Test).unwrap()), [5]);

    let names: String = (0..10).map(|i| format!("class {i}\n")).collect();
    folder.write("cifar-10-batches-bin/batches.meta.txt", names.as_bytes());
    assert_eq!(open(&folder, Split::Train).unwrap().classes()[9], "class 9");
    folder.write("cifar-10-batches-bin/batches.meta.txt", b"one\ntwo\n");
    refused(&folder, Split::Train, &["batches.meta.txt", "2 names for 10 classes"]);
}

#[test]
fn cifar_100_takes_fine_labels() {
    let folder = Folder::new();
    folder.write("train.bin", &[cifar_record(&[19, 99]), cifar_record(&[0, 1])].concat());
    folder.write("cifar100_test.bin.gz", &gzip(&cifar_record(&[1, 42])));
    assert_eq!(labels(&open(&folder, Split::Train).unwrap()), [99, 1]);
    let test = open(&folder, Split::Test).unwrap();
    assert_eq!((labels(&test), test.classes().len()), (vec![42], 100));
}

#[test]
fn cifar_broken() {
    let folder = Folder::new();
    let whole = [cifar_record(&[0]), cifar_record(&[1])].concat();
    folder.write("data_batch_1.bin", &whole[..whole.len() - 1]);
    refused(&folder, Split::Train, &["data_batch_1.bin", "ends inside record 1 of 3073 bytes"]);
    folder.write("data_batch_1.bin", &cifar_record(&[10]));
    refused(&folder, Split::Train, &["label 10 in record 0 is not below 10"]);
    folder.write("data_batch_1.bin", &[]);
    refused(&folder, Split::Train, &["data_batch_1.bin", "holds no records"]);
}

#[test]
fn folders_with_splits() {
    let folder = Folder::new();
    folder.write("train/zebra/b.png", &flat(4, 4, 1)).write("train/zebra/a.PNG", &flat(4, 4, 2));
    folder.write("train/ant/deep/images/c.png", &flat(4, 4, 3));
    folder.write("train/ant/notes.txt", b"no picture").write("train/.hidden/x.png", b"");
    folder.write("val/zebra/d.png", &flat(8, 8, 4));
    // An unlabelled test folder does not hide the labelled one.
    folder.write("test/e.png", &flat(4, 4, 5));
    let train = open(&folder, Split::Train).unwrap();
    assert_eq!(train.classes(), ["ant", "zebra"]);
    assert_eq!(labels(&train), [0, 1, 1]);
    assert_eq!(train.shape(), None);
    let mut pixel = [0];
    for (i, want) in [3, 2, 1].into_iter().enumerate() {
        train.read(i, &Fit::new(1, 1, 1), &mut pixel).unwrap();
        assert_eq!(pixel, [want], "{}", train.name(i));
    }
    let test = open(&folder, Split::Test).unwrap();
    assert_eq!((labels(&test), test.classes().len()), (vec![1], 2));

    folder.write("val/yak/f.png", &flat(4, 4, 6));
    refused(&folder, Split::Test, &["yak", "training pictures do not have"]);
    folder.write("train/yak/notes.txt", b"");
    refused(&folder, Split::Train, &["yak", "without JPEG or PNG", "remove the folder"]);
}

#[test]
fn folders_without_splits_hold_some_out() {
    let folder = Folder::new();
    for i in 0..20 {
        folder.write(&format!("cat/{i}.png"), &flat(2, 2, i));
        // Class names that could be split names do not confuse.
        folder.write(&format!("train/{i}.png"), &flat(2, 2, 100 + i));
    }
    folder.write("dog/1.png", &flat(2, 2, 50)).write("dog/2.png", &flat(2, 2, 51));
    let names = |split, seed| {
        let options = Options { hold_out: 0.25, seed };
        let set = Dataset::open(folder.path(), split, &options).unwrap();
        assert_eq!(set.classes(), ["cat", "dog", "train"]);
        let counts = labels(&set).into_iter().fold([0; 3], |mut n, l| {
            n[l] += 1;
            n
        });
        assert_eq!(counts, if split == Split::Test { [5, 1, 5] } else { [15, 1, 15] });
        (0..set.len()).map(|i| set.name(i)).collect::<Vec<_>>()
    };
    let (train, test) = (names(Split::Train, 1), names(Split::Test, 1));
    let mut all = [train.clone(), test.clone()].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 42, "each picture is in one split");
    assert_eq!(names(Split::Test, 1), test);
    assert_ne!(names(Split::Test, 2), test);
    // A new picture moves at most one picture of its class in or out.
    folder.write("cat/new.png", &flat(2, 2, 0));
    let options = Options { hold_out: 0.25, seed: 1 };
    let grown = Dataset::open(folder.path(), Split::Test, &options).unwrap();
    let grown: Vec<String> = (0..grown.len()).map(|i| grown.name(i)).collect();
    assert!(test.iter().filter(|name| !grown.contains(name)).count() <= 1);
}

#[test]
fn folders_broken() {
    let folder = Folder::new();
    refused(&folder, Split::Train, &["the folder is empty", "one folder of pictures per class"]);
    folder.write("readme.md", b"");
    refused(&folder, Split::Train, &["no data set recognised"]);
    folder.write("cifar100_train.bin.xz", b"");
    refused(&folder, Split::Train, &["cifar100_train.bin.xz", "unpack it first"]);
    folder.write("test/cat/1.png", &flat(2, 2, 50));
    assert_eq!(open(&folder, Split::Test).unwrap().len(), 1, "scoring needs no training data");
    refused(&folder, Split::Train, &["has no folder named train", "add train/CLASS"]);

    let missing = folder.path().join("nowhere");
    let error = Dataset::open(&missing, Split::Train, &Options::default()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }));
    assert!(error.to_string().contains("nowhere"), "{error}");

    let options = Options { hold_out: 1.0, seed: 0 };
    let error = Dataset::open(folder.path(), Split::Train, &options).unwrap_err();
    assert!(matches!(error, Error::Usage { .. }), "{error}");
}

#[test]
fn an_unreadable_picture_is_named_when_it_is_read() {
    let folder = Folder::new();
    folder
        .write("train/cat/good.png", &flat(2, 2, 1))
        .write("train/cat/bad.png", b"\x89PNG garbage");
    let set = open(&folder, Split::Train).unwrap();
    let error = set.image(0).unwrap_err().to_string();
    assert!(error.contains("bad.png") && error.contains("replace or remove it"), "{error}");
    assert!(set.image(1).is_ok());
}

#[test]
fn a_limited_set_is_a_seeded_choice() {
    let folder = Folder::new();
    let pixels: Vec<u8> = (0..100).collect();
    folder.write("train-images-idx3-ubyte", &idx(&[100, 1, 1], &pixels));
    folder.write("train-labels-idx1-ubyte", &idx(&[100], &pixels));
    let pick = |count, seed| {
        let mut set = open(&folder, Split::Train).unwrap();
        set.limit(count, seed);
        let chosen: Vec<u8> = (0..set.len()).map(|i| set.image(i).unwrap().pixels[0]).collect();
        assert!(chosen.is_sorted());
        assert_eq!(labels(&set), chosen.iter().map(|&p| usize::from(p)).collect::<Vec<_>>());
        chosen
    };
    assert_eq!(pick(10, 1).len(), 10);
    assert_eq!(pick(10, 1), pick(10, 1));
    assert_ne!(pick(10, 1), pick(10, 2));
    assert_eq!(pick(1000, 1), pixels);
}

#[test]
fn what_is_held_out_and_what_is_left_are_the_whole() {
    let pixels: Vec<u8> = (0..100).collect();
    let names = (0..100).map(|i| i.to_string()).collect();
    let labels = pixels.iter().map(|&p| p.into()).collect();
    let mut whole = Dataset::from_memory(pixels, [1, 1, 1], labels, names);
    whole.limit(90, 4);
    let numbers = |set: &Dataset| -> Vec<u8> {
        let read = |i| {
            let pixel = set.image(i).unwrap().pixels[0];
            assert_eq!(set.label(i), usize::from(pixel));
            pixel
        };
        (0..set.len()).map(read).collect()
    };
    let (rest, held) = whole.hold_out(20, 1);
    let (rest, held) = (numbers(&rest), numbers(&held));
    assert_eq!((rest.len(), held.len()), (70, 20));
    assert!(rest.is_sorted() && held.is_sorted());
    let mut both = [rest, held.clone()].concat();
    both.sort_unstable();
    assert_eq!(both, numbers(&whole));
    assert_eq!(numbers(&whole.hold_out(20, 1).1), held);
    assert_ne!(numbers(&whole.hold_out(20, 2).1), held);
}
