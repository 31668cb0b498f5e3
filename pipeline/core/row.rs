//! What lands in tables, as the join knows it. Rows of page views, web events, tags, notes, transcripts, deals and ad
//! costs are made from their events as they are; sessions, leases, calls and their moments are the join's own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::{Direction, HangupBy, Outcome};
pub use crate::money::Money;
use crate::phone::{Party, Phone};
use crate::source::{Agent, Channel, ClickIdType, Place};
use crate::time::{Date, Time};

/// A string that many rows and much of the state share.
pub type Str = Arc<str>;

/// Where a session came from. Everything here is of one touch: its first page view.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceRow {
    pub channel: Channel,
    pub source: Str,
    pub medium: Str,
    pub campaign: Option<Str>,
    pub term: Option<Str>,
    pub content: Option<Str>,
}

impl SourceRow {
    /// Whether only keywords and contents differ.
    pub fn is_campaign_of(&self, other: &SourceRow) -> bool {
        (self.channel, &self.source, &self.medium, &self.campaign)
            == (other.channel, &other.source, &other.medium, &other.campaign)
    }
}

/// One visit of a visitor. The highest `revision` of an account's `session_id` counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionRow {
    pub account: Str,
    pub session_id: Str,
    pub revision: u32,
    /// The session turned out not to exist: a late event joined two runs, or split one elsewhere.
    pub retracted: bool,
    pub visitor_id: Str,
    pub visit_number: u32,
    pub started_at: Time,
    pub ended_at: Time,
    pub pages: u32,
    /// Nothing for a session of which no page view is known.
    pub source: Option<Arc<SourceRow>>,
    pub click_id_type: Option<ClickIdType>,
    pub click_id: Option<Str>,
    pub referrer: Option<Str>,
    pub landing_page: Option<Str>,
    pub exit_page: Option<Str>,
    pub experiment_id: Option<Str>,
    pub experiment_variant: Option<Str>,
    pub agent: Arc<Agent>,
    pub language: Option<Str>,
    pub place: Arc<Place>,
}

/// One number held for one session. The highest `revision` of an account's `lease_id` counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeaseRow {
    pub account: Str,
    pub lease_id: Str,
    pub revision: u32,
    pub pool: Str,
    pub number: Phone,
    pub extension: Option<Str>,
    pub visitor_id: Str,
    pub session_id: Option<Str>,
    pub granted_at: Time,
    /// The latest end that was told.
    pub expires_at: Time,
    pub released_at: Option<Time>,
    pub renewals: u32,
}

/// How a call was joined to a session (contract, section 4, "Choice").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    Static,
    Lease,
    Window,
    Extension,
    Click,
    Caller,
    None,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Static => "static",
            Method::Lease => "lease",
            Method::Window => "window",
            Method::Extension => "extension",
            Method::Click => "click",
            Method::Caller => "caller",
            Method::None => "none",
        }
    }
}

/// The kinds of a call among its caller's calls (contract, section 4, "Kinds of call").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Kinds {
    /// How many calls from this caller so far, this one included; nothing for anonymous and outbound calls.
    pub caller_calls: Option<u32>,
    pub is_unique: bool,
    pub is_target: bool,
    pub is_repeated: bool,
    pub is_first_target: bool,
    pub is_unique_target: bool,
}

/// One call. The highest `revision` of an account's `call_id` counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallRow {
    pub account: Str,
    pub call_id: Str,
    pub revision: u32,
    pub direction: Direction,
    pub started_at: Time,
    pub answered_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub caller: Party,
    /// ISO 3166-1 alpha-2.
    pub caller_country: Option<Str>,
    pub tracking_number: Party,
    pub extension: Option<Str>,
    pub destination: Option<Str>,
    pub agent: Option<Str>,
    pub outcome: Option<Outcome>,
    pub cause: Option<Str>,
    pub hangup_by: Option<HangupBy>,
    pub ring_seconds: Option<f64>,
    pub talk_seconds: f64,
    pub total_seconds: Option<f64>,
    pub in_business_hours: bool,
    pub recording_url: Option<Str>,
    pub spam_score: Option<f64>,

    pub attribution_method: Method,
    /// The probability that the named session's visitor is the caller; nothing where no session is named.
    pub attribution_confidence: Option<f64>,
    /// The probability that the named source is the call's; nothing where no source is named.
    pub source_confidence: Option<f64>,
    pub candidates: u32,
    pub lease_id: Option<Str>,
    pub session_id: Option<Str>,
    pub visitor_id: Option<Str>,
    pub pool: Option<Str>,
    pub site: Option<Str>,

    pub source: Option<Arc<SourceRow>>,
    pub click_id_type: Option<ClickIdType>,
    pub click_id: Option<Str>,
    pub referrer: Option<Str>,
    pub landing_page: Option<Str>,
    pub call_page: Option<Str>,
    pub experiment_id: Option<Str>,
    pub experiment_variant: Option<Str>,
    pub device: Option<Arc<Agent>>,
    pub language: Option<Str>,
    pub place: Option<Arc<Place>>,

    pub visit_number: Option<u32>,
    pub session_started_at: Option<Time>,
    pub session_pages: Option<u32>,
    pub seconds_to_call: Option<f64>,
    pub first_source: Option<Arc<SourceRow>>,

    pub kinds: Kinds,
}

/// One session that could be a call's, or "none of them" (rank 0, and nothing else known).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CandidateRow {
    pub account: Str,
    pub call_id: Str,
    /// The call's.
    pub revision: u32,
    pub started_at: Time,
    /// From 1 by probability.
    pub rank: u32,
    pub probability: f64,
    pub chosen: bool,
    pub session_id: Option<Str>,
    pub visitor_id: Option<Str>,
    pub lease_id: Option<Str>,
    pub granted_at: Option<Time>,
    pub last_seen_at: Option<Time>,
    /// Since the last sign of life, or since the lease was given back.
    pub delay_seconds: Option<f64>,
    pub lease_active: Option<bool>,
    pub released: Option<bool>,
    /// From a click on the number to the call.
    pub clicked_seconds: Option<f64>,
    /// The visitor asked to be called at the caller's number.
    pub asked: Option<bool>,
    /// How likely the caller's telephone is the visitor's, by other calls.
    pub known_caller: Option<f64>,
    /// How likely an earlier call was the session's.
    pub called_already: Option<f64>,
    pub moved: Option<bool>,
    pub same_country: Option<bool>,
    pub pages: Option<u32>,
    pub shown_seconds: Option<f64>,
    pub source: Option<Arc<SourceRow>>,
}

impl CandidateRow {
    pub fn date(&self) -> Date {
        self.started_at.date()
    }
}

impl CallRow {
    pub fn date(&self) -> Date {
        self.started_at.date()
    }
}
