//! The configuration: one TOML file, overridden by `CALLWEAVE_…` variables, overridden by flags, checked whole.
//!
//! [`load`] gives a [`Config`] or every [`Mistake`] at once; [`check()`] is the same, told as a report. Everything that
//! can be said in it stands in the table of `members.rs`, from which `docs/configuration.md` is made.

mod accounts;
mod check;
mod entries;
mod first_run;
mod given;
mod keys;
mod members;
mod network;
mod telephony;
mod values;
mod verifier;

#[cfg(test)]
mod tests;

pub use accounts::{Account, DEFAULT_ACCOUNT, strange_in};
pub use check::{Mistake, Mistakes, Report, check, load};
pub use entries::{Flags, environment};
pub use first_run::{FirstRun, FirstRunError, is_in_the_way, mask_key};
pub use keys::{Caller, Keys, Secret};
pub use members::page;
pub use network::{Network, NetworkError};
pub use telephony::{Follow, How, Telephony};
pub use values::{Commit, Config, Door, Limits, Listen, Log, Nats, Notify, Query, Retention, Snapshot};
pub use verifier::{ITERATIONS, PasswordError, Verifier, VerifierError};
