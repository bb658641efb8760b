//! Training and scoring of graphs with the float engine.

pub mod evaluate;
pub mod fit;
pub mod state;
pub mod teacher;
