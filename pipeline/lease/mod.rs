//! Leasing: a tracking number (and a code, where the pool has extensions) is held for a session.
//!
//! The log is the lock. Every line has a subject of its own, and each of its events is appended with the expectation
//! that the line's last event is still the one that was read: of several collectors that want one line, one gets it, and
//! the others are told. The last event of a line tells all there is to know of it (its `holders`), so a desk that
//! begins anew reads one entry a line.
//!
//! - [`line`] is what is held, and how it stands in the log; [`plan`] which lines a pool has;
//! - [`book`] is the pure choice: which line is free, whose is it, who goes next;
//! - [`pool`] is one pool's desk: reading, appending, trying the next; [`desk`] holds all of them.
//!
//! What this asks of its surroundings: the clocks of collectors agree to within a pool's cooldown, and the log keeps
//! entries for longer than hold and cooldown together.

use std::sync::Arc;
use std::time::Duration;

use callweave_core::phone::Phone;
use callweave_core::settings::Rules;
use callweave_core::time::Time;

use crate::log::{AppendError, ReadError};

mod book;
mod desk;
mod line;
mod meters;
mod plan;
mod pool;

pub use desk::Desk;
pub use line::ORIGIN;

/// Who wants a number of which pool.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub account: &'a str,
    /// The account's settings in force.
    pub rules: &'a Arc<Rules>,
    pub pool: &'a str,
    pub visitor_id: &'a str,
    pub session_id: Option<&'a str>,
    /// What the browser says that it holds. It is believed only where the log says so, too.
    pub held: Option<Held<'a>>,
    pub now: Time,
}

/// A lease as the browser remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held<'a> {
    pub lease_id: &'a str,
    pub number: Phone,
    pub extension: Option<&'a str>,
}

/// The number for the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub number: Phone,
    /// What the caller dials after it.
    pub extension: Option<String>,
    /// Nothing where nothing is leased.
    pub lease_id: Option<String>,
    /// The lease ends then, unless there is a sign of life before.
    pub expires_at: Option<Time>,
    pub how: How,
}

/// How a page came by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// A line that was free.
    Leased,
    /// The visitor's own of before.
    Kept,
    /// A line that others hold, too: all are held.
    Shared,
    /// The pool's overflow number: all lines are held.
    Overflow,
    /// A number that is everybody's. The desk never says so; those who answer by routes do.
    Static,
}

impl How {
    pub fn name(self) -> &'static str {
        match self {
            How::Leased => "leased",
            How::Kept => "kept",
            How::Shared => "shared",
            How::Overflow => "overflow",
            How::Static => "static",
        }
    }
}

/// Why there is no number. The page shows its own then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    #[error("the account has no pool called {0:?}")]
    NoSuchPool(String),
    #[error("no number belongs to the pool {0:?}; list some with kind pool")]
    NoLines(String),
    #[error("all {lines} lines of the pool {pool:?} are held, and it has no overflow_number; add numbers, or name one")]
    Exhausted { pool: String, lines: usize },
    #[error("the log did not answer within {0:?}")]
    Slow(Duration),
    #[error("the log did not answer a moment ago, and is left alone for {0:?}")]
    Away(Duration),
    #[error("others were faster {0} times in a row; ask again")]
    Contended(usize),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("reading the pool's lines failed: {0}")]
    Fault(String),
}
