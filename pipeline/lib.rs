//! callweave: an open, self-hosted call-tracking pipeline. ARCHITECTURE.md shows the way of an event through these
//! modules, in reading order here.

// `eprintln!` panics where stderr cannot be written: `telemetry::say!` does not.
#![deny(clippy::print_stderr)]

pub mod config;
pub mod telemetry;

pub mod lake;
pub mod log;

pub mod lease;

pub mod collect;
pub mod evaluate;
pub mod import;
pub mod notify;
pub mod plan;
pub mod process;
pub mod query;
pub mod simulate;

pub mod files;
pub mod line;
pub mod problem;

pub mod app;
pub mod cli;
