//! Events as they come in (contract, section 2): one file per type, and how bytes become an event or a rejection.

mod ad_cost;
mod call;
mod check;
mod deal;
mod decode;
mod envelope;
mod erase;
mod explain;
mod kind;
mod lease;
pub(crate) mod object;
mod plain;
mod schema;
mod text;
mod visit;
pub(crate) mod whole;
mod write;

pub use ad_cost::AdCost;
pub use call::{
    Call, CallNote, CallRecord, CallStatus, CallTag, Direction, HangupBy, Outcome, Segment, Speaker, TagOrigin,
    Transcript,
};
pub use check::is_account;
pub use deal::Deal;
pub use decode::{Rejected, decode, nests_deeper_than};
pub use erase::Erase;
pub use kind::TYPES;
pub use lease::{LeaseGranted, LeaseReleased, LeaseRenewed, PoolExhausted};
pub use schema::schema;
pub use text::Text;
pub use visit::{Heartbeat, PageView, WebEvent};

pub(crate) use call::outcomes;
pub(crate) use check::{has_controls, is_currency};
pub(crate) use explain::{known_variant, mistake_of_shape};
pub(crate) use schema::{Currency, Id, Limited, inline_schema, some_of};

use crate::settings::Settings;
use crate::time::Time;

/// One event: a CloudEvents 1.0 envelope and its data. `account` + `source` + `id` name it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    pub account: Text<'a>,
    pub source: Text<'a>,
    pub id: Text<'a>,
    /// When it happened.
    pub time: Time,
    /// When the collector took it in; `time` where the event does not say.
    pub recorded: Time,
    pub body: Body<'a>,
}

/// What happened: one variant per event type.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "page views are most of what comes: a box would cost each an allocation")]
pub enum Body<'a> {
    PageView(PageView<'a>),
    WebEvent(WebEvent<'a>),
    Heartbeat(Heartbeat<'a>),
    LeaseGranted(LeaseGranted<'a>),
    LeaseRenewed(LeaseRenewed<'a>),
    LeaseReleased(LeaseReleased<'a>),
    PoolExhausted(PoolExhausted<'a>),
    Call(Call<'a>),
    CallRecord(CallRecord<'a>),
    CallTag(CallTag<'a>),
    CallNote(CallNote<'a>),
    Transcript(Transcript<'a>),
    Deal(Deal<'a>),
    AdCost(AdCost<'a>),
    AccountSettings(Box<Settings>),
    Erase(Erase<'a>),
}

impl Body<'_> {
    /// The event's `type`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Body::PageView(_) => "page_view",
            Body::WebEvent(_) => "web_event",
            Body::Heartbeat(_) => "heartbeat",
            Body::LeaseGranted(_) => "lease_granted",
            Body::LeaseRenewed(_) => "lease_renewed",
            Body::LeaseReleased(_) => "lease_released",
            Body::PoolExhausted(_) => "pool_exhausted",
            Body::Call(_) => "call",
            Body::CallRecord(_) => "call_record",
            Body::CallTag(_) => "call_tag",
            Body::CallNote(_) => "call_note",
            Body::Transcript(_) => "transcript",
            Body::Deal(_) => "deal",
            Body::AdCost(_) => "ad_cost",
            Body::AccountSettings(_) => "account_settings",
            Body::Erase(_) => "erase",
        }
    }
}
