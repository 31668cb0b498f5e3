//! SQL over the lake: `callweave sql` and `callweave report`.
//!
//! [`session`] plans a query against a fresh snapshot of the tables it names ([`tables`]) through the views of
//! `queries/` ([`library`]); [`guard`] lets only questions through; [`format`] writes the answer; [`prompt`] asks for
//! the next one.
//!
//! What the engine would answer otherwise than PostgreSQL is put right on its way: [`reword`] and [`using`] in the words, [`dialect`],
//! [`truths`], [`reckon`], [`checked`] and [`lists`] in the plan, [`careful`] in the one that runs; [`guard`] and [`correlated`] refuse what cannot be.
//!
//! Methods of others' traits that are asynchronous and hold a plan, a session or a login are written out as `async_trait` would (a boxed
//! future, lifetimes that outlive it) and hand on to a function of ours. An asynchronous body within bounds on lifetimes has all that it holds proven
//! `Send` and `Sync` for itself, and nothing is remembered of it (rustc 1.95): with all plans, expressions and sessions of the engine that took three of the
//! four minutes of compiling this crate.

mod access;
mod as_inner;
mod attempts;
mod bounded;
mod bounds;
mod careful;
mod changes;
mod checked;
mod comments;
mod compact;
mod corrections;
mod correlated;
mod desk;
mod dialect;
mod directory;
mod distinct;
mod error;
mod few;
mod flight;
pub mod format;
mod frames;
mod guard;
mod http;
mod lacking;
pub mod library;
mod lists;
pub mod logins;
mod memory;
mod modes;
mod newest;
mod operator;
mod output;
mod partitions;
mod percentiles;
pub mod postgres;
mod prompt;
mod reckon;
mod removal;
mod renamed;
mod report;
mod reword;
mod rows;
mod run;
mod running;
mod server;
pub mod session;
mod setter;
mod spill;
mod sums;
mod sure;
mod tables;
mod traffic;
mod tries;
mod truths;
mod twins;
mod using;
mod words;
mod workers;
mod yields;

pub use error::{QueryError, SqlError};
pub use format::Format;
pub use report::{ReportOptions, checks, report, reports};
pub use rows::rows;
pub use run::{SqlOptions, sql};
pub use server::{ServeError, Server, look_over};
pub use session::QuerySession;
pub use traffic::{TrafficOptions, traffic};
pub use workers::{WorkerError, WorkerServer};

/// A thread's stack: statements of SQL are gone down by recursion ([`guard`] bounds how deep). Only what is used of it takes memory.
pub const STACK_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests;
