//! Batches for training and scoring, prepared ahead by background threads.
//!
//! Worker `w` of `n` makes batches `w, w + n, …` and puts them into its own
//! bounded channel; the reader takes from the channels in turn. So batches
//! arrive in order, memory is bounded, and nothing depends on timing.

use crate::Error;
use crate::augment::Augment;
use crate::dataset::Dataset;
use crate::fit::Fit;
use crate::preprocess::{Preprocess, Table};
use crate::random::Random;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// In which order the pictures come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As stored, once, the last batch possibly shorter.
    Once,
    /// Epoch after epoch without end, each a permutation of its own drawn from
    /// the seed; what does not fill a batch at the end of an epoch is left out.
    Shuffled {
        /// Seed of the order and of the augmentation.
        seed: u64,
    },
}

/// What to make of a data set.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Pictures in a batch, ≥ 1.
    pub batch: usize,
    /// In which order.
    pub order: Order,
    /// The network's size; its channels must be the preprocessing's.
    pub fit: Fit,
    /// From pixels to inputs; also gives the padding of shifted pictures.
    pub preprocess: Preprocess,
    /// Only for [`Order::Shuffled`].
    pub augment: Augment,
    /// Threads that prepare batches, ≥ 1. One is enough unless large pictures
    /// are decoded for a small network. Changes no byte of what comes out.
    pub workers: usize,
}

/// A place in the sequence of batches. Ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Passes over the data completed.
    pub epoch: u64,
    /// Batches completed in this pass.
    pub batch: u64,
}

/// Pictures with their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Where it stands in the sequence.
    pub position: Position,
    /// Numbers of its pictures in the data set.
    pub pictures: Vec<usize>,
    /// Their classes.
    pub labels: Vec<usize>,
    /// `u8`, NHWC: after fitting and augmentation.
    pub pixels: Vec<u8>,
    /// The same preprocessed: NHWC.
    pub inputs: Vec<f32>,
}

impl Batch {
    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Never true of a batch that [`Batches`] made.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// The batches of a data set, from a given position on. An iterator: endless for
/// [`Order::Shuffled`]. After an error it ends.
pub struct Batches {
    channels: Vec<Receiver<Result<Batch, Error>>>,
    workers: Vec<JoinHandle<()>>,
    /// Channel to read next.
    turn: usize,
    per_epoch: u64,
}

/// Batches each worker prepares ahead, beside the one it is working on.
const AHEAD: usize = 2;

impl Batches {
    /// Starts preparing batches.
    pub fn new(dataset: Arc<Dataset>, plan: Plan, start: Position) -> Result<Batches, Error> {
        let fit = plan.fit;
        if fit.channels != plan.preprocess.channels() || !matches!(fit.channels, 1 | 3) {
            let have = plan.preprocess.channels();
            let problem = format!("{have} channels for a network with {} (1 or 3)", fit.channels);
            return Err(Error::usage("preprocessing", problem));
        }
        if plan.batch == 0 || plan.workers == 0 || fit.bytes() == 0 {
            let problem = "batch, number of workers and picture size must not be 0";
            return Err(Error::usage("batch", problem));
        }
        let per_epoch = match plan.order {
            Order::Once => dataset.len().div_ceil(plan.batch),
            Order::Shuffled { .. } => dataset.len() / plan.batch,
        } as u64;
        if per_epoch == 0 && plan.order != Order::Once {
            let problem = format!("{} pictures do not fill one batch", dataset.len());
            return Err(Error::usage(format!("batch of {}", plan.batch), problem));
        }
        let first = match plan.order {
            Order::Once if start.epoch > 0 => per_epoch,
            _ => start.epoch.saturating_mul(per_epoch).saturating_add(start.batch),
        };
        let end = if plan.order == Order::Once { per_epoch } else { u64::MAX };
        let maker = Arc::new(Maker { table: plan.preprocess.table(), dataset, plan, per_epoch });
        let mut batches = Batches { channels: Vec::new(), workers: Vec::new(), turn: 0, per_epoch };
        let count = maker.plan.workers;
        for worker in 0..count as u64 {
            let (sender, receiver) = sync_channel(AHEAD);
            let maker = Arc::clone(&maker);
            let spawned = std::thread::Builder::new()
                .name("bitat-batches".into())
                .spawn(move || maker.run(first + worker..end, count, &sender));
            let thread = spawned.map_err(|e| Error::io("background thread".as_ref(), e))?;
            batches.channels.push(receiver);
            batches.workers.push(thread);
        }
        Ok(batches)
    }

    /// Batches in one pass over the data.
    pub fn per_epoch(&self) -> u64 {
        self.per_epoch
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Result<Batch, Error>> {
        let batch = self.channels.get(self.turn)?.recv();
        self.turn = (self.turn + 1) % self.channels.len();
        match batch {
            Ok(Ok(batch)) => Some(Ok(batch)),
            // Without their receivers the workers stop by themselves.
            Ok(Err(error)) => {
                self.channels.clear();
                Some(Err(error))
            }
            Err(_) => {
                self.channels.clear();
                for worker in self.workers.drain(..) {
                    if let Err(panic) = worker.join() {
                        std::panic::resume_unwind(panic);
                    }
                }
                None
            }
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.channels.clear();
        for worker in self.workers.drain(..) {
            // A worker's panic was reported by `next`, or nobody asked.
            let _ = worker.join();
        }
    }
}

/// Makes any batch of the sequence from its number alone.
struct Maker {
    dataset: Arc<Dataset>,
    plan: Plan,
    table: Table,
    per_epoch: u64,
}

impl Maker {
    fn run(
        &self,
        numbers: std::ops::Range<u64>,
        step: usize,
        sender: &SyncSender<Result<Batch, Error>>,
    ) {
        let mut order = (u64::MAX, Vec::new());
        for number in numbers.step_by(step) {
            let epoch = number / self.per_epoch;
            if order.0 != epoch {
                order = (epoch, self.order(epoch));
            }
            let batch = self.batch(epoch, number % self.per_epoch, &order.1);
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    }

    fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.dataset.len()).collect();
        if let Order::Shuffled { seed } = self.plan.order {
            Random::new(&[seed, epoch, 0x006f_7264_6572]).shuffle(&mut order);
        }
        order
    }

    fn batch(&self, epoch: u64, number: u64, order: &[usize]) -> Result<Batch, Error> {
        let Plan { batch, fit, augment, .. } = &self.plan;
        let start = number as usize * batch;
        let pictures = order[start..order.len().min(start + batch)].to_vec();
        let size = fit.bytes();
        let zero = self.plan.preprocess.zero();
        let mut pixels = vec![0; pictures.len() * size];
        let mut plain = vec![0; size];
        for (&picture, pixels) in pictures.iter().zip(pixels.chunks_exact_mut(size)) {
            match self.plan.order {
                Order::Shuffled { seed } if !augment.is_none() => {
                    self.dataset.read(picture, fit, &mut plain)?;
                    let mut random = Random::new(&[seed, epoch, picture as u64, 0x6175_676d]);
                    augment.apply(&mut random, &plain, pixels, fit.width, &zero);
                }
                _ => self.dataset.read(picture, fit, pixels)?,
            }
        }
        let mut inputs = vec![0.0; pixels.len()];
        self.table.apply(&pixels, &mut inputs);
        let labels = pictures.iter().map(|&i| self.dataset.label(i)).collect();
        Ok(Batch { position: Position { epoch, batch: number }, pictures, labels, pixels, inputs })
    }
}
