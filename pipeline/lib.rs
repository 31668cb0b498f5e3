//! callweave: see ARCHITECTURE.md for the way of an event through these modules.

pub mod query;
