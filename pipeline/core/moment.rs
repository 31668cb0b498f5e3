//! What subscribers are told, and when (contract, section 6).

use std::sync::Arc;

use crate::id::Key;
use crate::row::{CallRow, Str};
use crate::time::Time;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MomentKind {
    CallStarted,
    CallAnswered,
    CallTransferred,
    CallEnded,
    CallMissed,
    CallAttributed,
    CallRecorded,
    CallTagged,
    CallTranscribed,
    DealChanged,
    PoolExhausted,
}

impl MomentKind {
    pub const ALL: [MomentKind; 11] = [
        MomentKind::CallStarted,
        MomentKind::CallAnswered,
        MomentKind::CallTransferred,
        MomentKind::CallEnded,
        MomentKind::CallMissed,
        MomentKind::CallAttributed,
        MomentKind::CallRecorded,
        MomentKind::CallTagged,
        MomentKind::CallTranscribed,
        MomentKind::DealChanged,
        MomentKind::PoolExhausted,
    ];

    pub fn name(self) -> &'static str {
        match self {
            MomentKind::CallStarted => "call.started",
            MomentKind::CallAnswered => "call.answered",
            MomentKind::CallTransferred => "call.transferred",
            MomentKind::CallEnded => "call.ended",
            MomentKind::CallMissed => "call.missed",
            MomentKind::CallAttributed => "call.attributed",
            MomentKind::CallRecorded => "call.recorded",
            MomentKind::CallTagged => "call.tagged",
            MomentKind::CallTranscribed => "call.transcribed",
            MomentKind::DealChanged => "deal.changed",
            MomentKind::PoolExhausted => "pool.exhausted",
        }
    }
}

/// One moment. `moment_id` is the same whenever the same log is read again.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    pub moment_id: Str,
    pub kind: MomentKind,
    pub account: Str,
    /// When it happened, by the event that told it.
    pub at: Time,
    /// The call as far as it is known; nothing for moments of deals without a call, and of pools.
    pub call: Option<Arc<CallRow>>,
    pub call_id: Option<Str>,
    pub deal_id: Option<Str>,
    pub pool: Option<Str>,
}

impl Moment {
    /// A moment of `kind` of the thing `of`, told by `which`: an event's id, or a revision. It is of no call and no deal yet.
    pub fn new(kind: MomentKind, account: &Str, at: Time, of: &str, which: &str) -> Moment {
        Moment {
            moment_id: format!("{}:{of}:{which}", kind.name()).into(),
            kind,
            account: account.clone(),
            at,
            call: None,
            call_id: None,
            deal_id: None,
            pool: None,
        }
    }

    /// What the moment is recognised by among those of all accounts.
    pub fn key(&self) -> Key {
        Key::of(&[&self.account, &self.moment_id])
    }

    pub fn of_call(self, call_id: Option<Str>, call: Option<Arc<CallRow>>) -> Moment {
        Moment { call_id, call, ..self }
    }
}
