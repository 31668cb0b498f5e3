//! SQL over the lake: `callweave sql` and `callweave report`.
//!
//! [`session`] plans a query against a fresh snapshot of the tables it names ([`tables`]) through the views of
//! `queries/` ([`library`]); [`guard`] lets only questions through; [`format`] writes the answer; [`prompt`] asks for
//! the next one.

mod error;
pub mod format;
mod guard;
pub mod library;
mod output;
mod prompt;
mod report;
mod run;
pub mod session;
mod tables;
mod traffic;

pub use error::{QueryError, SqlError};
pub use format::Format;
pub use report::{ReportOptions, checks, report, reports};
pub use run::{SqlOptions, sql};
pub use session::QuerySession;
pub use traffic::{TrafficOptions, traffic};

#[cfg(test)]
mod tests;
