//! Moments out: every subscriber is told of every moment, at least once, as it happens.
//!
//! [`service`] finds the subscriptions in the settings and keeps a [`worker`] for each, so that no receiver delays another. A worker
//! reads the log of moments from where it stopped; its [`queue`] says what is tried when, [`send`] asks, at addresses that [`address`]
//! permits, and [`store`] remembers. [`subscription`] is one made ready, with its [`filter`]; an [`export`] to a provider is one, too. [`routes`] lists, changes, tests and
//! sends again ([`edit`] changes the settings, [`remote`] is the command line's end); [`stream`] tells browsers and scripts.

mod address;
mod edit;
mod export;
mod filter;
#[cfg(test)]
mod outage_tests;
mod queue;
mod remote;
mod routes;
mod send;
mod service;
mod store;
mod stream;
mod subscription;
mod worker;

pub use remote::{Remote, RemoteError};
pub use service::{Notifier, Notify, NotifyError};
pub use subscription::{Kind, look_over, mistakes};
