//! How attempts to reach somebody end, and what a call that has several makes of them.

use crate::event::Outcome;

/// Why an attempt did not reach anybody, the weightiest first: what any attempt met decides the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    Busy,
    /// Somebody, or something, picked up and was never connected.
    Unbridged,
    /// Nobody took it, or the caller did not wait.
    Missed,
    Failed,
}

impl Failure {
    /// By `DialCallStatus` or `CallStatus`; nothing for what is no failure.
    pub fn of(status: &str) -> Option<Failure> {
        match status {
            "busy" => Some(Failure::Busy),
            "no-answer" | "canceled" => Some(Failure::Missed),
            "failed" => Some(Failure::Failed),
            _ => None,
        }
    }

    /// Of this attempt and those before it.
    pub fn with(self, before: Option<Failure>) -> Failure {
        before.map_or(self, |before| before.min(self))
    }

    /// The outcome that has to be told. Nothing for what the join finds out by itself: it tells calls that were missed
    /// from those that were given up in the greeting.
    pub fn told(self, is_callback: bool) -> Option<Outcome> {
        match self {
            _ if is_callback => Some(Outcome::CallbackClientMissed),
            Failure::Busy => Some(Outcome::Busy),
            Failure::Unbridged => Some(Outcome::Missed),
            Failure::Missed => None,
            Failure::Failed => Some(Outcome::Failed),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Failure::Busy => "busy",
            Failure::Unbridged => "unbridged",
            Failure::Missed => "missed",
            Failure::Failed => "failed",
        }
    }

    pub fn named(name: &str) -> Option<Failure> {
        [Failure::Busy, Failure::Unbridged, Failure::Missed, Failure::Failed].into_iter().find(|it| it.name() == name)
    }
}

/// Whether `AnsweredBy` names no person (`machine_start`, `machine_end_beep`, `fax`, …).
pub(super) fn is_machine(answered_by: &str) -> bool {
    answered_by.starts_with("machine") || answered_by == "fax"
}
