//! Training and scoring of graphs with the float engine.

pub mod budget;
pub mod cost;
pub mod evaluate;
pub mod fit;
pub mod recipe;
pub mod state;
mod step;
pub mod teacher;
