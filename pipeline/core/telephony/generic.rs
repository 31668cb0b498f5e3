//! Any system that sends JSON or a form, or writes CSV with a header, by a mapping in the account's settings.
//!
//! There is no signature here: such a hook is authenticated by the account's key.

use std::str::FromStr;

use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::body::{json, members, text};
use super::draft::{Draft, label, record, source_is, step};
use super::number::{Book, Digits, Parties, Side};
use super::{Hook, Pass, Refused, Taken, Terms, when};
use crate::event::{CallStatus, Direction, HangupBy, Outcome, Text};
use crate::settings::{Mapping, Member, PASSED, Rules, STATUSES};
use crate::time::{MICROS_PER_SECOND, Time};

/// Mappings that come with callweave: CallRail's and CallTrackingMetrics' webhooks.
const SHIPPED: [&str; 2] = [include_str!("mappings/callrail.json"), include_str!("mappings/ctm.json")];

/// The mapping of this name: the account's own, else one that comes with callweave.
pub fn mapping(rules: &Rules, name: &str) -> Option<Mapping> {
    let own = rules.settings().mappings.iter().find(|mapping| mapping.name == name).cloned();
    own.or_else(|| {
        SHIPPED.iter().filter_map(|json| serde_json::from_str(json).ok()).find(|it: &Mapping| it.name == name)
    })
}

/// Takes a message: one JSON object, an array of them, or a form; where the body is empty, the form that the URL's query is. The
/// hook's step names the mapping.
///
/// # Errors
/// Where there is no such mapping.
pub fn take(hook: &Hook<'_>, terms: &Terms<'_>) -> Result<Taken, Refused> {
    let mapping = mapping(terms.rules, hook.step).ok_or_else(|| Refused::NoSuchStep(hook.step.to_owned()))?;
    let source = source_is("generic", &mapping.name);
    let asked = hook.url.split_once('?').map_or("", |(_, query)| query);
    let asked = asked.split('#').next().unwrap_or(asked);
    let raw = if hook.body.is_empty() { asked.as_bytes() } else { hook.body };
    let mut draft = Draft::line(raw, Some(hook.received), terms, &source);
    let messages = match hook.body.trim_ascii_start().first() {
        Some(b'[') => json(hook.body),
        Some(b'{') => members(hook.body).map(Value::Object),
        None => members(asked.as_bytes()).map(Value::Object),
        // Any bytes can be read as a form, of one name and no value.
        Some(_) if hook.body.contains(&b'=') && std::str::from_utf8(hook.body).is_ok() => {
            members(hook.body).map(Value::Object)
        }
        Some(_) => Err("is neither a JSON object, nor an array of them, nor a form".to_owned()),
    };
    match messages {
        Err(reason) => draft.reject("", format!("the body {reason}")),
        Ok(Value::Array(all)) if all.is_empty() => draft.reject("", "the body is an empty array".to_owned()),
        Ok(Value::Array(all)) => all.iter().for_each(|one| message(&mut draft, &mapping, one, terms)),
        Ok(one) => message(&mut draft, &mapping, &one, terms),
    }
    Ok(draft.accepted())
}

/// Takes a row of a CSV by its header. `received` is nothing where the file may be old; `raw` is kept where the row cannot
/// be used.
pub fn row(
    mapping: &Mapping,
    header: &[&str],
    cells: &[&str],
    raw: &[u8],
    terms: &Terms<'_>,
    received: Option<Time>,
) -> Taken {
    let source = source_is("generic", &mapping.name);
    let mut draft = Draft::line(raw, received, terms, &source);
    let pairs = header.iter().zip(cells).map(|(name, cell)| (name.trim().to_owned(), Value::from(*cell)));
    message(&mut draft, mapping, &Value::Object(pairs.collect::<Map<String, Value>>()), terms);
    draft.taken()
}

/// One message, read by a mapping.
struct Reader<'m> {
    mapping: &'m Mapping,
    message: &'m Value,
    zone: Tz,
}

impl Reader<'_> {
    fn get(&self, member: &Member) -> Option<String> {
        let found = match &member.value {
            Some(value) => Some(value.clone()),
            None => member.path.as_deref()?.split('|').find_map(|way| text(at(self.message, way.trim())?)),
        };
        if member.values.is_empty() || member.value.is_some() {
            return found;
        }
        let word = found.unwrap_or_default();
        let meant = member.values.iter().find(|(known, _)| known.eq_ignore_ascii_case(&word));
        meant.map(|(_, meaning)| meaning.clone()).or_else(|| member.values.get("*").cloned())
    }

    fn text(&self, member: &Option<Member>) -> Option<String> {
        self.get(member.as_ref()?)
    }

    fn seconds(&self, member: &Option<Member>) -> Option<i64> {
        let told = self.text(member)?;
        // `00:01:05` is what exports for people have.
        let seconds = told.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.trim().parse::<f64>().ok()?))?;
        let known = (0.0..=crate::limits::CALL_SECONDS_MAX).contains(&seconds);
        known.then_some((seconds * MICROS_PER_SECOND as f64) as i64)
    }

    fn time(&self, member: &Option<Member>) -> Option<Time> {
        let told = self.text(member)?;
        match member.as_ref()?.format.as_deref() {
            None | Some("rfc3339") => when::stamp(&told).or_else(|| when::local(&told, self.zone)),
            Some("epoch") => when::epoch(&told),
            Some("epoch_ms") => when::from_micros(told.parse::<i64>().ok()?.checked_mul(1000)?),
            Some("epoch_us") => when::epoch_micros(&told),
            Some(pattern) => when::pattern(&told, pattern, self.zone),
        }
    }
}

/// What stands at `call.legs.0.id` or `/call/legs/0/id`. A member whose own name has points in it comes first: headers of
/// CSV do.
fn at<'v>(message: &'v Value, path: &str) -> Option<&'v Value> {
    if path.starts_with('/') {
        return message.pointer(path);
    }
    if let Some(found) = message.get(path) {
        return Some(found);
    }
    path.split('.').try_fold(message, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => other.get(part),
    })
}

fn message(draft: &mut Draft<'_>, mapping: &Mapping, message: &Value, terms: &Terms<'_>) {
    let zone = mapping.timezone.as_ref().unwrap_or(&terms.rules.settings().timezone);
    let read = Reader { mapping, message, zone: Tz::from_str(zone).unwrap_or(Tz::UTC) };
    let status = match &mapping.status {
        None => "record".to_owned(),
        Some(member) => match read.get(member) {
            Some(word) if word == PASSED => return draft.pass(Pass::Other),
            Some(word) if STATUSES.contains(&word.as_str()) => word,
            _ => {
                let path = member.path.as_deref().unwrap_or("status");
                let reason = "the status is missing, or none that the mapping's values name: add it there, as \
                              \"pass\" where it says nothing of a call";
                return draft.reject(path, reason.to_owned());
            }
        },
    };
    let Some(call_id) = read.get(&mapping.call_id) else {
        return draft.missing(mapping.call_id.path.as_deref().unwrap_or("call_id"));
    };
    let book = Book::new(terms.rules);
    let side = |member: &Member| book.side(&read.get(member).unwrap_or_default(), Digits::National);
    let (from, to) = (side(&mapping.from), side(&mapping.to));
    let direction = read.text(&mapping.direction);
    let told = match direction.as_deref() {
        Some("inbound") => Some(Direction::Inbound),
        Some("outbound") => Some(Direction::Outbound),
        Some("callback") => Some(Direction::Callback),
        _ => None,
    };
    let parties = match told {
        Some(Direction::Callback) => {
            Some(Parties { direction: Direction::Callback, from: from.party(), to: to.party(), extension: None })
        }
        // Many systems name the client first, whoever called: an outbound call is from the account's number.
        Some(Direction::Outbound) if matches!((&from, &to), (Side::Outside(_), Side::Own(_))) => {
            book.parties(to, from, told)
        }
        told => book.parties(from, to, told),
    };
    let Some(parties) = parties else { return draft.pass(Pass::Internal) };
    let id = read.text(&mapping.event_id).unwrap_or_else(|| format!("{call_id}/{status}"));
    if status == "record" {
        finished(draft, &read, id, &call_id, &parties)
    } else {
        one_step(draft, &read, id, &call_id, &status, &parties)
    }
}

fn outcome(read: &Reader<'_>) -> Option<Outcome> {
    let word = read.text(&read.mapping.outcome)?;
    serde_json::from_value(Value::String(word)).ok()
}

fn hangup_by(read: &Reader<'_>) -> Option<HangupBy> {
    serde_json::from_value(Value::String(read.text(&read.mapping.hangup_by)?)).ok()
}

fn one_step(draft: &mut Draft<'_>, read: &Reader<'_>, id: String, call_id: &str, status: &str, parties: &Parties) {
    let Ok(status) = serde_json::from_value::<CallStatus>(Value::from(status)) else { return draft.pass(Pass::Other) };
    let Some(at) = draft.received_or(read.time(&read.mapping.time)) else { return draft.missing("time") };
    let mapping = read.mapping;
    let mut call = step(call_id, status, parties);
    call.extension = read.text(&mapping.extension).map(Text::from);
    call.destination = read.text(&mapping.destination).and_then(label);
    call.agent = read.text(&mapping.agent).and_then(label);
    call.cause = read.text(&mapping.cause).and_then(label);
    call.hangup_by = hangup_by(read);
    call.talk_seconds = read.seconds(&mapping.talk_seconds).map(|micros| micros as f64 / MICROS_PER_SECOND as f64);
    call.recording_url = read.text(&mapping.recording_url).map(Text::from);
    call.outcome = outcome(read);
    draft.call(id, at, call);
}

fn finished(draft: &mut Draft<'_>, read: &Reader<'_>, id: String, call_id: &str, parties: &Parties) {
    let mapping = read.mapping;
    let Some(started_at) = read.time(&mapping.started_at) else {
        return draft.reject("started_at", "the start is no time of the format in the mapping".to_owned());
    };
    let lasted = read.seconds(&mapping.duration_seconds).map(|micros| started_at.plus(micros));
    let Some(ended_at) = read.time(&mapping.ended_at).or(lasted) else {
        return draft.reject("ended_at", "neither the end nor the duration can be read".to_owned());
    };
    let (outcome, talk) = (outcome(read), read.seconds(&mapping.talk_seconds));
    // An answer that nothing dates was at the start: talk is told too long rather than not at all.
    let answered = || {
        let rang = read.seconds(&mapping.ring_seconds).map(|micros| started_at.plus(micros));
        let talked = talk.map(|micros| ended_at.minus(micros));
        rang.or(talked).unwrap_or(started_at).clamp(started_at, ended_at.max(started_at))
    };
    // Where no outcome is told, talk tells that it was answered.
    let is_answered = outcome.map_or(talk.is_some_and(|micros| micros > 0), |outcome| outcome == Outcome::Answered);
    let mut record = record(call_id, parties, started_at, ended_at);
    record.answered_at = read.time(&mapping.answered_at).or_else(|| is_answered.then(answered));
    record.extension = read.text(&mapping.extension).map(Text::from);
    record.destination = read.text(&mapping.destination).and_then(label);
    record.agent = read.text(&mapping.agent).and_then(label);
    record.outcome = outcome;
    record.cause = read.text(&mapping.cause).and_then(label);
    record.hangup_by = hangup_by(read);
    record.recording_url = read.text(&mapping.recording_url).map(Text::from);
    draft.record(id, 0, record);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_can_be_used() {
        let rules = Rules::new(crate::settings::Settings::default());
        for name in ["callrail", "ctm"] {
            let mapping = mapping(&rules, name).expect(name);
            let settings = crate::settings::Settings { mappings: vec![mapping], ..Default::default() };
            assert_eq!(settings.check(), Ok(()), "{name}");
        }
        assert_eq!(mapping(&rules, "nobody"), None);
    }

    /// Nothing that cannot be used is dropped in silence; what says nothing of a call is named so.
    #[test]
    fn what_cannot_be_used_is_rejected_with_its_bytes() {
        let settings =
            serde_json::from_value(serde_json::json!({ "mappings": [{ "name": "pbx", "call_id": { "path": "id" },
            "from": { "path": "from" }, "to": { "path": "to" }, "direction": { "value": "inbound" },
            "status": { "path": "event", "values": { "RING": "ringing", "LOGIN": "pass" } } }] }));
        let settings: crate::settings::Settings = settings.unwrap();
        assert_eq!(settings.check(), Ok(()));
        let rules = Rules::new(settings);
        let terms = Terms { account: "acme", rules: &rules, secret: None, base: "" };
        let taken = |body: &[u8]| {
            let hook = Hook { method: "POST", url: "", step: "pbx", headers: &[], body, received: Time(1 << 50) };
            take(&hook, &terms).unwrap()
        };
        let call =
            |status: &str| format!(r#"{{"id":"1","from":"+14155550123","to":"+14155550100","event":"{status}"}}"#);
        let every: Vec<u8> = (0..=255).collect();
        for (body, reason) in [
            (&b"garbage"[..], "neither a JSON object"),
            (b"null", "neither a JSON object"),
            (b"5", "neither a JSON object"),
            (b"", "is empty"),
            (b"[]", "an empty array"),
            (b"[5]", "the status is missing"),
            (b"a=b", "the status is missing"),
            (b"{}", "the status is missing"),
            (&every, "neither a JSON object"),
            (call("TALK").as_bytes(), "the status is missing, or none"),
        ] {
            let Taken { events, rejected, passed, .. } = taken(body);
            assert!(events.is_empty() && passed.is_empty(), "{body:?}");
            assert_eq!(rejected.len(), 1, "{body:?}");
            assert!(rejected[0].raw == body && rejected[0].reason.contains(reason), "{:?}", rejected[0]);
        }
        let login = taken(call("login").as_bytes());
        assert_eq!((login.passed, login.rejected.len()), (vec![Pass::Other], 0));
        assert_eq!(taken(call("ring").as_bytes()).events.len(), 1);
        assert_eq!(taken(b"id=1&from=%2B14155550123&to=%2B14155550100&event=ring").events.len(), 1);
    }

    /// A mapping whose messages are finished calls, of an inbound call to one number.
    fn finished_calls() -> Rules {
        let settings =
            serde_json::from_value(serde_json::json!({ "mappings": [{ "name": "m", "call_id": { "path": "id" },
            "from": { "path": "f" }, "to": { "value": "+14155550100" }, "direction": { "value": "inbound" },
            "started_at": { "path": "start", "format": "epoch" }, "ended_at": { "path": "end", "format": "epoch" },
            "ring_seconds": { "path": "ring" }, "talk_seconds": { "path": "talk" },
            "outcome": { "path": "result", "values": { "ok": "answered", "no": "missed" } } }] }));
        let settings: crate::settings::Settings = settings.unwrap();
        assert_eq!(settings.check(), Ok(()));
        Rules::new(settings)
    }

    /// What becomes of a request to that mapping.
    fn asked(method: &str, url: &str, body: &[u8]) -> Taken {
        let rules = finished_calls();
        let terms = Terms { account: "acme", rules: &rules, secret: None, base: "" };
        let received = Time(1_795_176_000 * MICROS_PER_SECOND);
        take(&Hook { method, url, step: "m", headers: &[], body, received }, &terms).unwrap()
    }

    #[test]
    fn talk_tells_an_answer_where_no_outcome_does() {
        let start = 1_795_175_000;
        for (told, answered_after) in [
            ("&ring=10&talk=40", Some(10)),
            ("&talk=40", Some(10)),
            ("&ring=10&talk=0", None),
            ("&ring=10", None),
            ("", None),
            ("&ring=10&talk=40&result=no", None),
            ("&talk=40&result=what", Some(10)),
            ("&ring=10&talk=0&result=ok", Some(10)),
        ] {
            let body = format!("id=1&f=%2B14155550123&start={start}&end={}{told}", start + 50);
            let taken = asked("POST", "https://t.example/v1/hooks/generic/acme/m", body.as_bytes());
            let Some(crate::event::Body::CallRecord(record)) = taken.events.first().map(|event| &event.body) else {
                panic!("{taken:?}")
            };
            let expected = answered_after.map(|seconds| record.started_at.plus(seconds * MICROS_PER_SECOND));
            assert_eq!(record.answered_at, expected, "{told}");
        }
    }

    #[test]
    fn a_query_is_read_where_there_is_no_body() {
        let url = "https://t.example/v1/hooks/generic/acme/m?id=g1&f=%2B14155550123&start=1795175000&end=1795175050";
        let taken = asked("GET", url, b"");
        assert_eq!((taken.events.len(), taken.rejected.len()), (1, 0), "{taken:?}");
        // A body comes first, and what cannot be used is kept.
        let taken = asked("POST", url, b"id=2&f=%2B14155550123");
        assert_eq!((taken.events.len(), taken.rejected[0].raw.as_slice()), (0, &b"id=2&f=%2B14155550123"[..]));
        let taken = asked("GET", "https://t.example/?id=g1&f=%2B14155550123", b"");
        assert_eq!((taken.events.len(), taken.rejected[0].raw.as_slice()), (0, &b"id=g1&f=%2B14155550123"[..]));
        let taken = asked("GET", "https://t.example/", b"");
        assert!(taken.rejected[0].reason.contains("is empty"), "{taken:?}");
    }

    #[test]
    fn a_row_is_read_by_its_header() {
        let settings = serde_json::from_value(serde_json::json!({ "numbers": [{ "number": "+442079460100",
            "kind": "static" }], "mappings": [{ "name": "export", "call_id": { "path": "Call ID" },
            "from": { "path": "Caller No." }, "to": { "path": "Number|Dialled" },
            "started_at": { "path": "Date", "format": "%d.%m.%Y %H:%M" }, "timezone": "Europe/Berlin",
            "duration_seconds": { "path": "Length" }, "talk_seconds": { "path": "Talk" },
            "outcome": { "path": "Result", "values": { "Taken": "answered", "*": "missed" } } }] }));
        let rules = Rules::new(settings.unwrap());
        let terms = Terms { account: "acme", rules: &rules, secret: None, base: "" };
        let mapping = mapping(&rules, "export").unwrap();
        let header = ["Call ID", "Caller No.", "Number", "Dialled", "Date", "Length", "Talk", "Result"];
        let cells = ["7", "07700 900123", "", "020 7946 0100", "20.11.2026 13:00", "00:01:05", "60", "taken"];
        let taken = row(&mapping, &header, &cells, b"raw", &terms, None);
        let Some(crate::event::Body::CallRecord(record)) = taken.events.first().map(|event| &event.body) else {
            panic!("{taken:?}")
        };
        assert_eq!(record.from.to_string(), "+447700900123");
        assert_eq!(record.to.to_string(), "+442079460100");
        assert_eq!(record.started_at.to_string(), "2026-11-20T12:00:00.000000Z");
        assert_eq!(record.answered_at.map(|at| at.to_string()), Some("2026-11-20T12:00:05.000000Z".to_owned()));
        assert_eq!(record.ended_at.to_string(), "2026-11-20T12:01:05.000000Z");
        let bad = row(&mapping, &header, &cells[..5], b"raw", &terms, None);
        assert_eq!((bad.events.len(), bad.rejected[0].raw.as_slice()), (0, &b"raw"[..]));
    }
}
