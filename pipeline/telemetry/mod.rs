//! What the program tells about itself: [`logs`] for people, [`metrics`] for machines.

pub mod logs;
pub mod metrics;
pub mod progress;

mod exposition;
