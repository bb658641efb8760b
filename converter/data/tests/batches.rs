//! Batches: complete, in order, and the same bytes whatever makes them.

mod common;

use bitat_data::{
    Augment, Batch, Batches, Dataset, Error, Fit, Options, Order, Plan, Position, Preprocess, Split,
};
use common::{Folder, flat};
use std::sync::Arc;

const SEED: u64 = 42;

/// `count` pictures of 4x4, picture `i` full of `10 + i`, class `i % 3`.
fn set(count: usize) -> Arc<Dataset> {
    let pixels = (0..count * 16).map(|i| (10 + i / 16) as u8).collect();
    let labels = (0..count as u32).map(|i| i % 3).collect();
    let classes = ["a", "b", "c"].map(String::from).to_vec();
    Arc::new(Dataset::from_memory(pixels, [4, 4, 1], labels, classes))
}

fn plan(order: Order) -> Plan {
    Plan {
        batch: 4,
        order,
        fit: Fit::new(4, 4, 1),
        preprocess: Preprocess::preset("tf", 1).unwrap(),
        augment: Augment::default(),
        workers: 1,
    }
}

fn take(set: &Arc<Dataset>, plan: &Plan, start: Position, count: usize) -> Vec<Batch> {
    let batches = Batches::new(Arc::clone(set), plan.clone(), start).unwrap();
    batches.take(count).map(Result::unwrap).collect()
}

#[test]
fn once_is_everything_in_order() {
    let batches = take(&set(10), &plan(Order::Once), Position::default(), 100);
    let pictures: Vec<Vec<usize>> = batches.iter().map(|b| b.pictures.clone()).collect();
    assert_eq!(pictures, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
    assert_eq!(batches[2].labels, [2, 0]);
    assert_eq!(batches[2].len(), 2);
    assert_eq!(batches[1].pixels[16], 15);
    assert_eq!(batches[1].inputs[16], (15.0 - 127.5) / 127.5);
    let from = Position { epoch: 0, batch: 2 };
    assert_eq!(take(&set(10), &plan(Order::Once), from, 100), batches[2..]);
    let past = Position { epoch: 1, batch: 0 };
    assert_eq!(take(&set(10), &plan(Order::Once), past, 100), []);
}

#[test]
fn every_epoch_is_another_permutation() {
    let plan = plan(Order::Shuffled { seed: SEED });
    let batches = take(&set(10), &plan, Position::default(), 6);
    let epochs: Vec<Vec<usize>> =
        batches.chunks(2).map(|e| e.iter().flat_map(|b| b.pictures.clone()).collect()).collect();
    for (epoch, pictures) in epochs.iter().enumerate() {
        let mut distinct = pictures.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 8, "epoch {epoch}: {pictures:?}");
    }
    assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2]);
    assert_eq!(batches[5].position, Position { epoch: 2, batch: 1 });
    for batch in &batches {
        for (i, picture) in batch.pictures.iter().enumerate() {
            assert_eq!(batch.labels[i], picture % 3);
            assert_eq!(batch.pixels[i * 16], 10 + *picture as u8);
        }
    }
}

#[test]
fn the_same_for_any_number_of_workers_and_from_any_position() {
    let mut plan = plan(Order::Shuffled { seed: SEED });
    plan.augment = Augment { flip: true, shift: 2, erase: 5 };
    let all = take(&set(30), &plan, Position::default(), 25);
    for workers in [1, 2, 3, 7] {
        plan.workers = workers;
        for skip in [0, 1, 6, 7, 8, 20] {
            let start = Position { epoch: skip as u64 / 7, batch: skip as u64 % 7 };
            let some = take(&set(30), &plan, start, 25 - skip);
            assert!(some == all[skip..], "{workers} workers from {start:?}, seed {SEED}");
        }
    }
    plan.order = Order::Shuffled { seed: SEED + 1 };
    assert_ne!(take(&set(30), &plan, Position::default(), 1), all[..1]);
}

#[test]
fn a_picture_is_augmented_anew_in_every_epoch() {
    let mut plan = plan(Order::Shuffled { seed: SEED });
    plan.augment = Augment { shift: 3, ..Augment::default() };
    let looks: Vec<Vec<u8>> = take(&set(4), &plan, Position::default(), 10)
        .iter()
        .map(|b| {
            let at = b.pictures.iter().position(|&p| p == 2).unwrap();
            b.pixels[at * 16..(at + 1) * 16].to_vec()
        })
        .collect();
    let distinct: std::collections::BTreeSet<_> = looks.iter().collect();
    assert!(distinct.len() > 5, "{} of 10 differ, seed {SEED}", distinct.len());
    // What is shifted in is the pixel nearest to the mean.
    assert!(looks.iter().flatten().all(|&p| p == 12 || p == 128), "{looks:?}");
}

#[test]
fn an_unreadable_picture_ends_the_batches_with_its_name() {
    let folder = Folder::new();
    for i in 0..8 {
        folder.write(&format!("train/x/{i}.png"), &flat(4, 4, i));
    }
    folder.write("train/x/6.png", b"\x89PNG broken");
    let set = Dataset::open(folder.path(), Split::Train, &Options::default()).unwrap();
    for workers in [1, 2] {
        let plan = Plan { batch: 2, workers, ..plan(Order::Once) };
        let set = Dataset::open(folder.path(), Split::Train, &Options::default()).map(Arc::new);
        let mut batches = Batches::new(set.unwrap(), plan, Position::default()).unwrap();
        for _ in 0..3 {
            assert!(batches.next().unwrap().is_ok());
        }
        let error = batches.next().unwrap().unwrap_err().to_string();
        assert!(error.contains("6.png"), "{error}");
        assert!(batches.next().is_none());
    }
    assert_eq!(set.len(), 8);
}

#[test]
fn nonsense_is_a_usage_error() {
    let shuffled = plan(Order::Shuffled { seed: 0 });
    let three = Preprocess::preset("torch", 3).unwrap();
    let cases = [
        (Plan { batch: 11, ..shuffled.clone() }, "batch of 11: 10 pictures do not fill one batch"),
        (Plan { batch: 0, ..shuffled.clone() }, "must not be 0"),
        (Plan { workers: 0, ..shuffled.clone() }, "must not be 0"),
        (Plan { preprocess: three, ..shuffled }, "3 channels for a network with 1"),
    ];
    for (plan, want) in cases {
        let error = Batches::new(set(10), plan, Position::default()).err().unwrap();
        assert!(matches!(error, Error::Usage { .. }));
        assert!(error.to_string().contains(want), "{error}");
    }
}

#[test]
fn dropping_unread_batches_stops_the_workers() {
    let plan = Plan { workers: 3, ..plan(Order::Shuffled { seed: SEED }) };
    let mut batches = Batches::new(set(30), plan, Position::default()).unwrap();
    assert_eq!(batches.per_epoch(), 7);
    batches.next();
}
