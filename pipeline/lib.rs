//! callweave: an open, self-hosted call-tracking pipeline.

pub mod config;
pub mod telemetry;

pub mod log;

pub mod collect;
