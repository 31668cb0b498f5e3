//! HTTP in: events are taken, told apart, and acknowledged once the log has them.
//!
//! It keeps no state of its own, so any number of collectors can stand side by side. The way of a request:
//! [`admission`] (room, key, rate), [`body`] (size, time, decompression), [`elements`] (one, array or lines),
//! [`intake`] (decoded, put into one submission to the log), [`replies`] (what the sender is told). Browsers, which have no
//! key, come by [`web`]; [`accounts`] knows the settings in force.

mod accounts;
mod admin;
mod admission;
mod body;
mod cookie;
mod elements;
mod events;
mod intake;
mod io;
mod pace;
mod peer;
mod replies;
mod script;
mod server;
mod service;
mod sites;
mod web;

pub use admin::{Admin, Ready, log_answers};
pub use server::{BindError, Drained};
pub use service::{Bound, Collect};
