//! More than one machine: a coordinator plans a statement as always, and lets workers do the parts of it that read much.
//!
//! The engine of that is datafusion-distributed; here is what it does not know. [`pinned`] gives the files of a table's
//! snapshot as plain Parquet, since the plan of a Delta scan cannot be sent; [`codec`] sends the barrier of a login;
//! [`planner`] says what is worth sending, and [`again`] answers all the same when a machine goes away; [`crew`] knows which
//! workers answer, [`badge`] who may talk to them; [`serve`] is the worker, and [`whole`] sees to it that no row is lost there.

mod again;
mod badge;
mod codec;
mod crew;
mod lake;
mod pinned;
mod planner;
mod serve;
mod whole;

pub(super) use crew::Crew;
pub(super) use datafusion::execution::object_store::ObjectStoreRegistry as Stores;
pub(super) use lake::{LAKE, of_lake};
pub(super) use pinned::Pinned;
pub(super) use planner::plan;
pub(super) use serve::refuse_open;
pub use serve::{WorkerError, WorkerServer};

#[cfg(test)]
mod tests;
