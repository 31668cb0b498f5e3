//! callweave's decisions, as pure code: no I/O, no clock, no randomness.
//!
//! The way of an event through this crate: [`event`] decodes bytes into an [`event::Event`] (or a [`event::Rejected`]),
//! [`source`] says where a page view came from, [`settings`] hold what the account has decided, and [`join`] keeps
//! the state that turns events into [`row`]s and [`moment`]s. [`webhook`] and [`export`] say how others are told of them.

// A table's order is not the same on every machine. For hashbrown's tables, which clippy does not know, tests/house.rs looks.
#![deny(clippy::iter_over_hash_type)]

pub mod event;
pub mod export;
pub mod id;
pub mod join;
pub mod limits;
pub mod moment;
pub mod money;
pub mod phone;
pub mod plan;
pub mod row;
pub mod settings;
pub mod source;
pub mod telephony;
pub mod time;
pub mod webhook;
