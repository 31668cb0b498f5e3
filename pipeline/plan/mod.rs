//! `callweave pool plan`: how many numbers a pool needs, from files of events or from a rate.
//!
//! The reckoning is core's (`callweave_core::plan`); here [`read`] takes visits from files and [`show`] writes the plan.

mod read;
mod show;

pub use read::{ReadError, Source, visits};
pub use show::{Asked, Format, write};
