//! What subscribers are told, and when (contract, section 6).

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::event::{CallTag, Deal, Event, Segment, Transcript};
use crate::id::Key;
use crate::limits::TRANSCRIPT_TOLD_BYTES_MAX;
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
    /// What is told beside the call's row.
    pub beside: Option<Box<Beside>>,
}

/// Members of a moment's `data` beside the columns of `calls`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
pub struct Beside {
    /// Of `call.tagged`: the tag, as it was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<CallTag<'static>>")]
    pub tag: Option<Value>,
    /// Of `call.transcribed`: what was said. Of a long one the beginning; then `is_cut` stands in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Transcript<'static>>")]
    pub transcript: Option<Value>,
    /// Of `deal.changed`: the deal, as it was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Deal<'static>>")]
    pub deal: Option<Value>,
    /// Of moments of a call that a visit led to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visit: Option<VisitTold>,
    /// Of `call.attributed`: that it was told of this call before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub correction: bool,
}

/// What the pages of a visit told last, for those who know the visitor by it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
pub struct VisitTold {
    /// As in `page_view`.
    pub client_id: Option<Str>,
    /// As in `page_view`, where the latest page that told it is of the call's session.
    pub client_session_id: Option<Str>,
    /// As in `page_view`: what the visitor consented to.
    pub consent: Option<Value>,
}

impl Beside {
    /// The names of its members.
    pub const NAMES: [&str; 5] = ["tag", "transcript", "deal", "visit", "correction"];

    pub fn of_tag(tag: &CallTag<'_>) -> Beside {
        Beside { tag: Some(json!(tag)), ..Beside::default() }
    }

    pub fn of_deal(deal: &Deal<'_>) -> Beside {
        Beside { deal: Some(json!(deal)), ..Beside::default() }
    }

    pub fn of_transcript(transcript: &Transcript<'_>) -> Beside {
        let mut left = TRANSCRIPT_TOLD_BYTES_MAX;
        let fits = |segment: &&Segment<'_>| {
            let bytes = segment.text.len() + 64;
            let fits = bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        };
        let segments: Vec<&Segment<'_>> = transcript.segments.iter().take_while(fits).collect();
        let is_cut = segments.len() < transcript.segments.len();
        let mut told = json!({"call_id": transcript.call_id, "segments": segments, "language": transcript.language});
        if is_cut {
            told["is_cut"] = json!(true);
        }
        Beside { transcript: Some(told), ..Beside::default() }
    }
}

/// The name of a thing without the sign that parts of an id are told apart by: `7:1` is another than `7` with something behind it.
fn of_one_part(of: &str) -> Cow<'_, str> {
    if of.contains([':', '%']) { of.replace('%', "%25").replace(':', "%3A").into() } else { of.into() }
}

impl Moment {
    /// A moment of `kind` of the thing `of`, told by `which`: an event, or a revision. It is of no call and no deal yet.
    pub fn new(kind: MomentKind, account: &Str, at: Time, of: &str, which: &str) -> Moment {
        Moment {
            moment_id: format!("{}:{}:{which}", kind.name(), of_one_part(of)).into(),
            kind,
            account: account.clone(),
            at,
            call: None,
            call_id: None,
            deal_id: None,
            pool: None,
            beside: None,
        }
    }

    /// One that an event told. Its id alone would not do: another source may have one of that id.
    pub fn told_by(event: &Event<'_>, kind: MomentKind, account: &Str, of: &str) -> Moment {
        Moment::new(kind, account, event.time, of, &format!("{}:{}", event.id, event.source))
    }

    pub fn beside(&mut self) -> &mut Beside {
        self.beside.get_or_insert_default()
    }

    /// What the moment is recognised by among those of all accounts.
    pub fn key(&self) -> Key {
        Key::of(&[&self.account, &self.moment_id])
    }

    pub fn of_call(self, call_id: Option<Str>, call: Option<Arc<CallRow>>) -> Moment {
        Moment { call_id, call, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_things_have_a_moment_of_one_id() {
        let id =
            |of: &str, which: &str| Moment::new(MomentKind::CallStarted, &"acme".into(), Time(0), of, which).moment_id;
        assert_eq!(&*id("c1", "c1-started:pbx"), "call.started:c1:c1-started:pbx");
        assert_ne!(id("7", "1:started:pbx"), id("7:1", "started:pbx"));
        assert_ne!(id("7%3A1", "x"), id("7:1", "x"));
    }
}
