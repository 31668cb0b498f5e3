//! How many numbers a pool needs: [`erlang`] from the traffic's rate alone, [`replay`] from the traffic itself, and
//! [`table`] which puts both beside each other for pools of several sizes.
//!
//! A number is taken for as long as its visit lasts, and for hold and cooldown after it. Two things go wrong in a pool
//! that is too small: a visit finds no number (exhaustion), and a number comes to its next visitor while the last one
//! may still dial it (ambiguity). The latter never ends, however large the pool: it only becomes rare.

mod erlang;
mod replay;
mod table;

pub use erlang::{engset, erlang_b, lines_for};
pub use replay::{Demand, Replayed, Terms, Visit, demand, replay, visits_of};
pub use table::{Load, Plan, Row, plan};
