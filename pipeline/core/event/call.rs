//! Calls: their progress, finished records, and what is said about them later.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{Currency, Extension, Id, Limited};
use super::text::some_text;
use super::{Text, object};
use crate::limits::{
    CALL_SECONDS_MAX, COMMENT_BYTES_MAX, LABEL_BYTES_MAX, LANGUAGE_BYTES_MAX, SEGMENT_TEXT_BYTES_MAX, SEGMENTS_MAX,
    URL_BYTES_MAX,
};
use crate::phone::Party;
use crate::row::Money;
use crate::time::Time;

/// One step of a call's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Call<'a> {
    #[serde(borrow)]
    #[schemars(with = "Id")]
    pub call_id: Text<'a>,
    pub status: CallStatus,
    pub direction: Direction,
    pub from: Party,
    pub to: Party,
    /// The digits the caller dialled after the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Extension>")]
    pub extension: Option<Text<'a>>,
    /// Where the call went: a number, a SIP URI, a queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub destination: Option<Text<'a>>,
    #[serde(default, deserialize_with = "some_text", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub agent: Option<Text<'a>>,
    /// Why it ended, in the telephone system's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub cause: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hangup_by: Option<HangupBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = CALL_SECONDS_MAX))]
    pub talk_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, URL_BYTES_MAX>>")]
    pub recording_url: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// 0 (a person) to 1 (surely a robot), as the telephone system rates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub spam_score: Option<f64>,
}

/// A finished call in one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallRecord<'a> {
    #[serde(borrow)]
    #[schemars(with = "Id")]
    pub call_id: Text<'a>,
    pub direction: Direction,
    pub from: Party,
    pub to: Party,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Extension>")]
    pub extension: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub destination: Option<Text<'a>>,
    #[serde(default, deserialize_with = "some_text", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub agent: Option<Text<'a>>,
    pub started_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Time>,
    pub ended_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub cause: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hangup_by: Option<HangupBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, URL_BYTES_MAX>>")]
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
    #[schemars(with = "Id")]
    pub call_id: Text<'a>,
    #[schemars(with = "Id")]
    pub category: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Money>,
    /// ISO 4217.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Currency>")]
    pub currency: Option<Text<'a>>,
    pub origin: TagOrigin,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub by: Option<Text<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TagOrigin {
    Manual,
    Menu,
    Rule,
}

/// What somebody writes down of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallNote<'a> {
    #[serde(borrow)]
    #[schemars(with = "Id")]
    pub call_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub status: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, COMMENT_BYTES_MAX>>")]
    pub comment: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub by: Option<Text<'a>>,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transcript<'a> {
    #[serde(borrow)]
    #[schemars(with = "Id")]
    pub call_id: Text<'a>,
    #[serde(borrow, deserialize_with = "object::list")]
    #[schemars(length(max = SEGMENTS_MAX))]
    pub segments: Vec<Segment<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LANGUAGE_BYTES_MAX>>")]
    pub language: Option<Text<'a>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Segment<'a> {
    pub speaker: Speaker,
    /// From the start of the recording.
    #[schemars(range(min = 0.0, max = CALL_SECONDS_MAX))]
    pub start_seconds: f64,
    #[serde(borrow)]
    #[schemars(with = "Limited<0, SEGMENT_TEXT_BYTES_MAX>")]
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

/// The names of all outcomes.
pub(crate) fn outcomes() -> impl Iterator<Item = &'static str> {
    [
        Outcome::Answered,
        Outcome::Missed,
        Outcome::AbandonedGreeting,
        Outcome::AbandonedMenu,
        Outcome::Busy,
        Outcome::Voicemail,
        Outcome::Failed,
        Outcome::CallbackAgentMissed,
        Outcome::CallbackClientMissed,
    ]
    .into_iter()
    .map(Outcome::name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_without_a_name_is_none() {
        let call = r#"{"call_id":"c","status":"answered","direction":"inbound","from":"anonymous","to":"+14155550124""#;
        let record = r#"{"call_id":"c","direction":"inbound","from":"anonymous","to":"+14155550124",
            "started_at":"2026-11-20T10:00:00Z","ended_at":"2026-11-20T10:01:00Z""#;
        for (more, expected) in [
            (r#", "agent": """#, None),
            (r#", "agent": null"#, None),
            ("", None),
            (r#", "agent": "Ada""#, Some("Ada")),
            (r#", "agent": "\u0041da""#, Some("Ada")),
        ] {
            let (call, record) = (format!("{call}{more}}}"), format!("{record}{more}}}"));
            let call: Call<'_> = serde_json::from_str(&call).unwrap();
            let record: CallRecord<'_> = serde_json::from_str(&record).unwrap();
            assert_eq!((call.agent.as_deref(), record.agent.as_deref()), (expected, expected), "{more}");
        }
        assert!(serde_json::from_str::<Call<'_>>(&format!(r#"{call}, "agent": 7}}"#)).is_err());
    }
}
