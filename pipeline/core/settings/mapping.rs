//! How the JSON (or the CSV, by its header) of any system becomes call events: which of its members is which.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::format::{Item, StrftimeItems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::shape;
use crate::event::{Id, outcomes, some_of};
use crate::limits::{LABEL_BYTES_MAX, MAPPING_VALUES_MAX};
use crate::time::shortened;

/// One system's messages. With `status` each message is a step of a call (`call`); without, a finished one (`call_record`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("name call_id from to"))]
pub struct Mapping {
    /// The last part of the hook's URL: `/v1/hooks/generic/ACCOUNT/NAME`.
    #[schemars(with = "Id")]
    pub name: String,
    /// IANA name of the zone of times that name none; the account's if absent.
    pub timezone: Option<String>,
    pub call_id: Member,
    /// What two messages of one kind differ in; if absent, a call's messages of one status are one.
    pub event_id: Option<Member>,
    pub from: Member,
    pub to: Member,
    /// `inbound`, `outbound` or `callback`; if absent, what the account's numbers tell.
    pub direction: Option<Member>,
    /// A status of the contract, `record` for a finished call, or `pass` for what says nothing of a call. A message with none of
    /// them cannot be used, and is kept in `rejected`.
    pub status: Option<Member>,
    /// When a step happened; if absent, when it was received.
    pub time: Option<Member>,
    pub started_at: Option<Member>,
    pub answered_at: Option<Member>,
    pub ended_at: Option<Member>,
    /// From start to end: in place of `ended_at`.
    pub duration_seconds: Option<Member>,
    /// From start to answer: in place of `answered_at`.
    pub ring_seconds: Option<Member>,
    pub talk_seconds: Option<Member>,
    pub outcome: Option<Member>,
    pub cause: Option<Member>,
    /// `caller`, `agent` or `system`.
    pub hangup_by: Option<Member>,
    pub extension: Option<Member>,
    pub destination: Option<Member>,
    pub agent: Option<Member>,
    pub recording_url: Option<Member>,
}

/// Where a value comes from, and what it means.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("oneOf" = some_of(&["path", "value"])))]
pub struct Member {
    /// `call.legs.0.id`, or a JSON pointer (RFC 6901) such as `/call/legs/0/id`. Of several, parted by `|`, the first that
    /// says something counts.
    #[schemars(length(min = 1, max = LABEL_BYTES_MAX))]
    pub path: Option<String>,
    /// The same for every message.
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub value: Option<String>,
    /// The system's words and what they mean here, in any case; `*` stands for all others.
    #[schemars(extend("maxProperties" = MAPPING_VALUES_MAX))]
    pub values: BTreeMap<String, String>,
    /// Of a time: `rfc3339` (if absent), `epoch`, `epoch_ms`, `epoch_us`, or a pattern of strftime such as
    /// `%d.%m.%Y %H:%M:%S`.
    #[schemars(regex(pattern = shape::TIME_FORMAT))]
    pub format: Option<String>,
}

/// In the place of a status: the message says nothing of a call.
pub(crate) const PASSED: &str = "pass";
pub(crate) const STATUSES: [&str; 8] =
    ["started", "menu", "ringing", "answered", "transferred", "voicemail", "ended", "record"];
const DIRECTIONS: [&str; 3] = ["inbound", "outbound", "callback"];
const SIDES: [&str; 3] = ["caller", "agent", "system"];

impl Mapping {
    /// Every member that is mapped, by its name; times are marked.
    fn members(&self) -> Vec<(&'static str, &Member, bool)> {
        let optional = [
            ("event_id", &self.event_id, false),
            ("direction", &self.direction, false),
            ("status", &self.status, false),
            ("time", &self.time, true),
            ("started_at", &self.started_at, true),
            ("answered_at", &self.answered_at, true),
            ("ended_at", &self.ended_at, true),
            ("duration_seconds", &self.duration_seconds, false),
            ("ring_seconds", &self.ring_seconds, false),
            ("talk_seconds", &self.talk_seconds, false),
            ("outcome", &self.outcome, false),
            ("cause", &self.cause, false),
            ("hangup_by", &self.hangup_by, false),
            ("extension", &self.extension, false),
            ("destination", &self.destination, false),
            ("agent", &self.agent, false),
            ("recording_url", &self.recording_url, false),
        ];
        let must = [("call_id", &self.call_id, false), ("from", &self.from, false), ("to", &self.to, false)];
        let told = optional.into_iter().filter_map(|(name, member, is_time)| Some((name, member.as_ref()?, is_time)));
        must.into_iter().chain(told).collect()
    }

    /// Whether a message can be a finished call.
    pub(crate) fn makes_records(&self) -> bool {
        let Some(status) = &self.status else { return true };
        status.value.iter().chain(status.values.values()).any(|word| word == "record")
    }
}

/// Says every mistake in the mapping that stands at `path`.
pub(super) fn look_over(check: &mut Check<'_>, path: &str, mapping: &Mapping) {
    check.name(format!("{path}.name"), &mapping.name);
    if let Some(zone) = &mapping.timezone
        && chrono_tz::Tz::from_str(zone).is_err()
    {
        let message = format!("{:?} is not an IANA time zone such as Europe/Berlin", shortened(zone));
        check.say(format!("{path}.timezone"), message);
    }
    for (name, member, is_time) in mapping.members() {
        look_over_member(check, &format!("{path}.{name}"), member, is_time);
        let outcomes: Vec<&str> = outcomes().collect();
        let statuses: Vec<&str> = STATUSES.into_iter().chain([PASSED]).collect();
        let allowed = match name {
            "status" => &statuses[..],
            "direction" => &DIRECTIONS[..],
            "hangup_by" => &SIDES[..],
            "outcome" => &outcomes[..],
            _ => continue,
        };
        words(check, &format!("{path}.{name}"), member, allowed);
    }
    if mapping.makes_records() && mapping.started_at.is_none() {
        check.say(format!("{path}.started_at"), "is missing: a finished call needs its start".to_owned());
    }
    if mapping.makes_records() && mapping.ended_at.is_none() && mapping.duration_seconds.is_none() {
        let message = "is missing: a finished call needs its end, or its duration_seconds".to_owned();
        check.say(format!("{path}.ended_at"), message);
    }
}

fn look_over_member(check: &mut Check<'_>, path: &str, member: &Member, is_time: bool) {
    match (&member.path, &member.value) {
        (None, None) => {
            let message = "names neither a path nor a value: say where in the message it stands, such as {\"path\": \
                           \"call.id\"}";
            check.say(path, message.to_owned());
        }
        (Some(_), Some(_)) => check.say(path, "names a path and a value; one of them".to_owned()),
        (Some(text), None) if text.split('|').any(|way| way.trim().is_empty()) => {
            check.say(format!("{path}.path"), "is empty".to_owned());
        }
        _ => {}
    }
    for text in [&member.path, &member.value].into_iter().flatten() {
        if text.len() > LABEL_BYTES_MAX {
            check.say(path, format!("has {} bytes, and may have {LABEL_BYTES_MAX} at most", text.len()));
        }
    }
    if member.values.len() > MAPPING_VALUES_MAX {
        let message = format!("has {} entries, and may have {MAPPING_VALUES_MAX} at most", member.values.len());
        check.say(format!("{path}.values"), message);
    }
    match &member.format {
        Some(_) if !is_time => check.say(format!("{path}.format"), "is for times alone; leave it out".to_owned()),
        Some(format) if !is_format(format) => {
            let message = format!(
                "{:?} is not one of rfc3339, epoch, epoch_ms, epoch_us, nor a pattern such as %Y-%m-%d %H:%M:%S",
                shortened(format)
            );
            check.say(format!("{path}.format"), message);
        }
        _ => {}
    }
}

fn is_format(format: &str) -> bool {
    let known = ["rfc3339", "epoch", "epoch_ms", "epoch_us"].contains(&format);
    let pattern = || format.contains('%') && !StrftimeItems::new(format).any(|item| matches!(item, Item::Error));
    known || pattern()
}

/// What a member may come to mean.
fn words(check: &mut Check<'_>, path: &str, member: &Member, allowed: &[&str]) {
    for word in member.value.iter().chain(member.values.values()) {
        if !allowed.contains(&word.as_str()) {
            check.say(path, format!("{:?} is not one of {}", shortened(word), allowed.join(", ")));
        }
    }
}
