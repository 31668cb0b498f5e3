//! Every bound in one place.

use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE};

// --- the join: how long things are remembered, and how many of each ---

/// A duplicate of an event is recognised for at least this much event time (contract, section 4, small print).
pub const DUPLICATE_WINDOW: i64 = 24 * MICROS_PER_HOUR;
/// How long after its last use a session, lease or call is kept, so that what comes late still corrects its rows.
pub const LATE_GRACE: i64 = 24 * MICROS_PER_HOUR;
/// A visitor without a session is remembered for 13 months: as long as the cookie that names them.
pub const VISITOR_MEMORY: i64 = 396 * MICROS_PER_DAY;
/// A caller who does not call is remembered for five years.
pub const CALLER_MEMORY: i64 = 1_826 * MICROS_PER_DAY;
/// Signs of life other than page views that a session keeps; beyond it every second one of the older half is let go.
pub const SIGNS_PER_SESSION: usize = 256;
/// Page views that a session keeps; beyond it those in the middle are let go, and still counted.
pub const PAGES_PER_SESSION: usize = 2_000;
/// Renewals that a lease keeps; beyond it the two oldest become one.
pub const RENEWALS_PER_LEASE: usize = 256;
/// Clicks on numbers, and callbacks asked for, that a visitor keeps: the latest count.
pub const CLICKS_PER_VISITOR: usize = 64;
/// Heartbeats kept of a visitor of whom no page view is known yet.
pub const LOOSE_HEARTBEATS_PER_VISITOR: usize = 64;
/// Visitors to whom a caller was joined before: the latest count.
pub const VISITORS_PER_CALLER: usize = 4;
/// Candidates that are weighed for a call: the latest seen count.
pub const CANDIDATES_PER_CALL: usize = 1_000;
/// A `click_to_call` corroborates a call on its number that starts this much later at most.
pub const CLICK_WINDOW: i64 = 5 * MICROS_PER_MINUTE;
