//! callweave: see ARCHITECTURE.md for the way of an event through these modules.

pub mod lake;
pub mod query;
