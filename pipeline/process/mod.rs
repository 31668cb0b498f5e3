//! From what arrived to rows in the lake.
//!
//! [`step`] is the synchronous heart: decode, survey, apply, rows. [`run`] feeds it files, at full speed and to their
//! end ([`chunk`] cuts them, [`history`] remembers them); [`live`] feeds it the log, for good ([`partition`] reads one
//! partition, [`group`] decodes it, [`hands`] are threads of its own, [`forward`] takes its rows to [`landing`], which commits one table, [`moments`] tells subscribers, [`lag`] how far it is, [`maintain`] keeps the lake
//! small and forgets people, [`source`] tells one log from another, [`behind`] finds tables that were put back).

mod behind;
mod chunk;
mod forward;
mod group;
mod hands;
mod history;
mod lag;
mod landing;
pub mod live;
mod maintain;
mod moments;
mod partition;
pub mod run;
mod source;
mod step;

pub use live::{Process, ProcessError};
pub use run::{RunError, Summary, run};
pub use source::look_over;
pub use step::Counts;
