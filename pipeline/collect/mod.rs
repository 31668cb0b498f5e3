//! HTTP in: events are taken, told apart, and acknowledged once the log has them.
//!
//! It keeps no state of its own, so any number of collectors can stand side by side. The way of a request:
//! [`admission`] (room, key, rate), [`body`] (size, time, decompression), [`elements`] (one, array or lines),
//! [`intake`] (decoded, put into one submission to the log), [`replies`] (what the sender is told). Browsers, which have no
//! key, come by [`web`], telephone systems by [`hooks`]; [`accounts`] knows the settings in force. What a telephone system
//! tells goes through [`outbox`]: to the log, or while it is away to the [`spool`] on disk; so does what is read from files and
//! connections that are followed ([`follow`]). Calls back are asked of the provider by [`callback`].

mod accounts;
mod admin;
mod admission;
mod body;
mod callback;
mod cookie;
mod elements;
mod events;
mod follow;
mod hooks;
mod intake;
mod io;
mod outbox;
mod pace;
mod peer;
mod providers;
mod replies;
mod script;
mod server;
mod service;
mod sites;
mod spool;
mod web;

pub use admin::{Admin, Ready, log_answers, log_takes, starting, untroubled};
pub use server::{BindError, Drained, Listener};
pub use service::{Bound, Collect, StartError};
