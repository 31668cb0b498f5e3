//! What the program tells about itself: [`logs`] for people, [`metrics`] for machines, [`troubles`] for whoever sends it work.

pub mod logs;
pub mod metrics;
pub mod progress;
pub mod troubles;

mod exposition;
