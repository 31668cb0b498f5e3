//! `callweave evaluate`: how good the join's answers are, held against the truth of a simulation.
//!
//! [`case`] is one call with its truth, the join's answer and the best possible one; [`score`] counts them; [`show`] writes the
//! table and [`plot`] the picture. [`read`] joins a file of events, or takes what stands in a lake.

pub mod case;
pub mod plot;
pub mod read;
pub mod score;
pub mod show;
