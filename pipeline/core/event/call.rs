//! Calls: their progress, finished records, and what is said about them later.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Text;
use crate::phone::Party;
use crate::row::Money;
use crate::time::Time;

/// One step of a call's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Call<'a> {
    #[serde(borrow)]
    pub call_id: Text<'a>,
    pub status: CallStatus,
    pub direction: Direction,
    pub from: Party,
    pub to: Party,
    /// The digits the caller dialled after the number.
    pub extension: Option<Text<'a>>,
    /// Where the call went: a number, a SIP URI, a queue.
    pub destination: Option<Text<'a>>,
    pub agent: Option<Text<'a>>,
    /// Why it ended, in the telephone system's own words.
    pub cause: Option<Text<'a>>,
    pub hangup_by: Option<HangupBy>,
    pub talk_seconds: Option<f64>,
    pub recording_url: Option<Text<'a>>,
    pub outcome: Option<Outcome>,
    /// 0 (a person) to 1 (surely a robot), as the telephone system rates it.
    pub spam_score: Option<f64>,
}

/// A finished call in one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallRecord<'a> {
    #[serde(borrow)]
    pub call_id: Text<'a>,
    pub direction: Direction,
    pub from: Party,
    pub to: Party,
    pub extension: Option<Text<'a>>,
    pub destination: Option<Text<'a>>,
    pub agent: Option<Text<'a>>,
    pub started_at: Time,
    pub answered_at: Option<Time>,
    pub ended_at: Time,
    pub outcome: Option<Outcome>,
    pub cause: Option<Text<'a>>,
    pub hangup_by: Option<HangupBy>,
    pub recording_url: Option<Text<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    Started,
    Menu,
    Ringing,
    Answered,
    Transferred,
    Voicemail,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Inbound,
    Outbound,
    Callback,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HangupBy {
    Caller,
    Agent,
    System,
}

/// How a call went (contract, section 4, "Outcome").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Answered,
    Missed,
    AbandonedGreeting,
    AbandonedMenu,
    Busy,
    Voicemail,
    Failed,
    CallbackAgentMissed,
    CallbackClientMissed,
}

/// What a call was about, told by a person, a voice menu or a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallTag<'a> {
    #[serde(borrow)]
    pub call_id: Text<'a>,
    pub category: Text<'a>,
    pub value: Option<Money>,
    /// ISO 4217.
    pub currency: Option<Text<'a>>,
    pub origin: TagOrigin,
    pub by: Option<Text<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TagOrigin {
    Manual,
    Menu,
    Rule,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallNote<'a> {
    #[serde(borrow)]
    pub call_id: Text<'a>,
    pub status: Option<Text<'a>>,
    pub comment: Option<Text<'a>>,
    pub by: Option<Text<'a>>,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transcript<'a> {
    #[serde(borrow)]
    pub call_id: Text<'a>,
    pub segments: Vec<Segment<'a>>,
    pub language: Option<Text<'a>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Segment<'a> {
    pub speaker: Speaker,
    /// From the start of the recording.
    pub start_seconds: f64,
    #[serde(borrow)]
    pub text: Text<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    Caller,
    Agent,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
            Direction::Callback => "callback",
        }
    }
}

impl HangupBy {
    pub fn name(self) -> &'static str {
        match self {
            HangupBy::Caller => "caller",
            HangupBy::Agent => "agent",
            HangupBy::System => "system",
        }
    }
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Missed => "missed",
            Outcome::AbandonedGreeting => "abandoned_greeting",
            Outcome::AbandonedMenu => "abandoned_menu",
            Outcome::Busy => "busy",
            Outcome::Voicemail => "voicemail",
            Outcome::Failed => "failed",
            Outcome::CallbackAgentMissed => "callback_agent_missed",
            Outcome::CallbackClientMissed => "callback_client_missed",
        }
    }
}

impl TagOrigin {
    pub fn name(self) -> &'static str {
        match self {
            TagOrigin::Manual => "manual",
            TagOrigin::Menu => "menu",
            TagOrigin::Rule => "rule",
        }
    }
}

impl Speaker {
    pub fn name(self) -> &'static str {
        match self {
            Speaker::Caller => "caller",
            Speaker::Agent => "agent",
        }
    }
}
