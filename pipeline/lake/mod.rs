//! The lake: Delta tables on a local disk or in an object store.

pub mod batch;
pub mod column;
pub mod durable;
pub mod limits;
pub mod location;
pub mod store;
pub mod table;
