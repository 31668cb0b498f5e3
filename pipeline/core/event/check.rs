//! What the types of an event's members do not say: limits, times that cannot be, members that go together.

use std::net::IpAddr;

use super::{AdCost, Body, Call, CallNote, CallRecord, CallTag, Deal, Event, PageView, Text, Transcript, WebEvent};
use crate::limits::{
    ACCOUNT_BYTES_MAX, AHEAD_MICROS_MAX, CALL_SECONDS_MAX, COMMENT_BYTES_MAX, COUNT_MAX, EXTENSION_BYTES_MAX,
    ID_BYTES_MAX, LABEL_BYTES_MAX, LANGUAGE_BYTES_MAX, LATEST_EVENT_TIME, LATEST_TIME, MISTAKES_TOLD_MAX,
    PAGE_NUMBERS_MAX, PROPERTIES_BYTES_MAX, SEGMENT_TEXT_BYTES_MAX, SEGMENTS_MAX, TITLE_BYTES_MAX, URL_BYTES_MAX,
    USER_AGENT_BYTES_MAX,
};
use crate::settings::{Mistake, Settings};
use crate::time::{Time, shortened};

/// What is wrong with a member, in words that follow its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub path: String,
    pub reason: String,
}

impl Problem {
    pub(super) fn new(path: impl Into<String>, reason: String) -> Box<Problem> {
        Box::new(Problem { path: path.into(), reason })
    }
}

type Checked = Result<(), Box<Problem>>;

/// What somebody sent, short enough for a message.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

/// Looks over a decoded event of `bytes` bytes.
pub(super) fn event(event: &Event<'_>, bytes: usize) -> Checked {
    account(&event.account)?;
    id("source", &event.source)?;
    id("id", &event.id)?;
    // First, since it is also what stands in for an absent `recordedtime`.
    possible("time", event.time)?;
    possible("recordedtime", event.recorded)?;
    happened("time", event.time, event.recorded)?;
    body(event, bytes)
}

fn body(event: &Event<'_>, bytes: usize) -> Checked {
    let recorded = event.recorded;
    match &event.body {
        Body::PageView(data) => page_view(data, bytes),
        Body::WebEvent(data) => web_event(data, bytes),
        Body::Heartbeat(data) => visit(&data.visitor_id, &data.session_id),
        Body::LeaseGranted(data) => {
            id("data.lease_id", &data.lease_id)?;
            id("data.pool", &data.pool)?;
            extension(&data.extension)?;
            visit(&data.visitor_id, &data.session_id)?;
            nameable("data.expires_at", data.expires_at)
        }
        Body::LeaseRenewed(data) => {
            id("data.lease_id", &data.lease_id)?;
            nameable("data.expires_at", data.expires_at)
        }
        Body::LeaseReleased(data) => id("data.lease_id", &data.lease_id),
        Body::PoolExhausted(data) => {
            id("data.pool", &data.pool)?;
            counted("data.size", data.size)?;
            counted("data.held", data.held)
        }
        Body::Call(data) => call(data),
        Body::CallRecord(data) => call_record(data, recorded),
        Body::CallTag(data) => call_tag(data),
        Body::CallNote(data) => call_note(data),
        Body::Transcript(data) => transcript(data),
        Body::Deal(data) => deal(data),
        Body::AdCost(data) => ad_cost(data),
        Body::AccountSettings(data) => settings(data),
        Body::Erase(data) => {
            optional_id("data.visitor_id", &data.visitor_id)?;
            any_of("visitor_id or phone", data.visitor_id.is_some() || data.phone.is_some())
        }
    }
}

fn visit(visitor_id: &str, session_id: &Option<Text<'_>>) -> Checked {
    id("data.visitor_id", visitor_id)?;
    optional_id("data.session_id", session_id)
}

fn page_view(data: &PageView<'_>, bytes: usize) -> Checked {
    visit(&data.visitor_id, &data.session_id)?;
    optional_id("data.page_view_id", &data.page_view_id)?;
    filled("data.url", &data.url, URL_BYTES_MAX)?;
    optional("data.referrer", &data.referrer, URL_BYTES_MAX)?;
    optional("data.title", &data.title, TITLE_BYTES_MAX)?;
    optional("data.user_agent", &data.user_agent, USER_AGENT_BYTES_MAX)?;
    if let Some(ip) = &data.ip
        && ip.parse::<IpAddr>().is_err()
    {
        return Err(Problem::new("data.ip", format!("{} is not an IP address such as 203.0.113.7", quoted(ip))));
    }
    optional("data.language", &data.language, LANGUAGE_BYTES_MAX)?;
    if let Some(numbers) = &data.numbers {
        count("data.numbers", numbers.len(), PAGE_NUMBERS_MAX, "numbers")?;
    }
    optional_id("data.experiment_id", &data.experiment_id)?;
    optional_id("data.experiment_variant", &data.experiment_variant)?;
    optional_id("data.client_id", &data.client_id)?;
    optional_id("data.client_session_id", &data.client_session_id)?;
    optional_id("data.user_id", &data.user_id)?;
    data.consent.as_ref().map_or(Ok(()), |consent| json_size("data.consent", consent, bytes))
}

fn web_event(data: &WebEvent<'_>, bytes: usize) -> Checked {
    visit(&data.visitor_id, &data.session_id)?;
    id("data.name", &data.name)?;
    if let Some(url) = &data.url {
        filled("data.url", url, URL_BYTES_MAX)?;
    }
    currency(&data.currency)?;
    data.properties.as_ref().map_or(Ok(()), |properties| json_size("data.properties", properties, bytes))
}

fn call(data: &Call<'_>) -> Checked {
    id("data.call_id", &data.call_id)?;
    extension(&data.extension)?;
    optional("data.destination", &data.destination, LABEL_BYTES_MAX)?;
    optional("data.agent", &data.agent, LABEL_BYTES_MAX)?;
    optional("data.cause", &data.cause, LABEL_BYTES_MAX)?;
    if let Some(seconds) = data.talk_seconds {
        within("data.talk_seconds", seconds, CALL_SECONDS_MAX)?;
    }
    optional("data.recording_url", &data.recording_url, URL_BYTES_MAX)?;
    data.spam_score.map_or(Ok(()), |score| within("data.spam_score", score, 1.0))
}

fn call_record(data: &CallRecord<'_>, recorded: Time) -> Checked {
    id("data.call_id", &data.call_id)?;
    extension(&data.extension)?;
    optional("data.destination", &data.destination, LABEL_BYTES_MAX)?;
    optional("data.agent", &data.agent, LABEL_BYTES_MAX)?;
    optional("data.cause", &data.cause, LABEL_BYTES_MAX)?;
    optional("data.recording_url", &data.recording_url, URL_BYTES_MAX)?;
    happened("data.started_at", data.started_at, recorded)?;
    happened("data.ended_at", data.ended_at, recorded)?;
    in_order("data.ended_at", data.ended_at, "started_at", data.started_at)?;
    let Some(answered_at) = data.answered_at else { return Ok(()) };
    happened("data.answered_at", answered_at, recorded)?;
    in_order("data.answered_at", answered_at, "started_at", data.started_at)?;
    if answered_at > data.ended_at {
        let reason = format!("{answered_at} is later than ended_at, {}", data.ended_at);
        return Err(Problem::new("data.answered_at", reason));
    }
    Ok(())
}

fn call_tag(data: &CallTag<'_>) -> Checked {
    id("data.call_id", &data.call_id)?;
    id("data.category", &data.category)?;
    currency(&data.currency)?;
    optional("data.by", &data.by, LABEL_BYTES_MAX)
}

fn call_note(data: &CallNote<'_>) -> Checked {
    id("data.call_id", &data.call_id)?;
    optional("data.status", &data.status, LABEL_BYTES_MAX)?;
    optional("data.comment", &data.comment, COMMENT_BYTES_MAX)?;
    optional("data.by", &data.by, LABEL_BYTES_MAX)
}

fn transcript(data: &Transcript<'_>) -> Checked {
    id("data.call_id", &data.call_id)?;
    optional("data.language", &data.language, LANGUAGE_BYTES_MAX)?;
    count("data.segments", data.segments.len(), SEGMENTS_MAX, "segments")?;
    for (at, segment) in data.segments.iter().enumerate() {
        let placed = |member: &str, result: Checked| {
            result.map_err(|problem| Problem::new(format!("data.segments[{at}].{member}"), problem.reason))
        };
        placed("start_seconds", within("", segment.start_seconds, CALL_SECONDS_MAX))?;
        placed("text", at_most("", &segment.text, SEGMENT_TEXT_BYTES_MAX))?;
    }
    Ok(())
}

fn deal(data: &Deal<'_>) -> Checked {
    id("data.deal_id", &data.deal_id)?;
    optional_id("data.call_id", &data.call_id)?;
    optional_id("data.visitor_id", &data.visitor_id)?;
    let named = data.call_id.is_some() || data.visitor_id.is_some() || data.phone.is_some();
    any_of("call_id, visitor_id or phone", named)?;
    filled("data.stage", &data.stage, LABEL_BYTES_MAX)?;
    currency(&data.currency)?;
    data.closed_at.map_or(Ok(()), |at| nameable("data.closed_at", at))
}

fn ad_cost(data: &AdCost<'_>) -> Checked {
    possible("data.date", data.date.start())?;
    filled("data.source", &data.source, LABEL_BYTES_MAX)?;
    filled("data.medium", &data.medium, LABEL_BYTES_MAX)?;
    optional("data.campaign", &data.campaign, LABEL_BYTES_MAX)?;
    optional("data.term", &data.term, LABEL_BYTES_MAX)?;
    optional("data.content", &data.content, LABEL_BYTES_MAX)?;
    if data.cost.0 < 0 {
        return Err(Problem::new("data.cost", format!("{} is less than 0", data.cost)));
    }
    code("data.currency", &data.currency)?;
    data.clicks.map_or(Ok(()), |clicks| counted("data.clicks", clicks))?;
    data.impressions.map_or(Ok(()), |impressions| counted("data.impressions", impressions))
}

fn settings(data: &Settings) -> Checked {
    data.check().map_err(|mistakes| Box::new(together(&mistakes)))
}

/// Mistakes in settings as one.
pub(super) fn together(mistakes: &[Mistake]) -> Problem {
    let path = mistakes.first().map_or_else(|| "data".to_owned(), |mistake| format!("data.{}", mistake.path));
    if let [mistake] = mistakes {
        return Problem { path, reason: mistake.message.clone() };
    }
    let told: Vec<String> = mistakes.iter().take(MISTAKES_TOLD_MAX).map(ToString::to_string).collect();
    let more = match mistakes.len().saturating_sub(MISTAKES_TOLD_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Problem { path, reason: format!("{} mistakes in these settings: {}{more}", mistakes.len(), told.join("; ")) }
}

fn account(account: &str) -> Checked {
    if !is_account(account) {
        let reason = format!(
            "{} is not an account's name: 1 to {ACCOUNT_BYTES_MAX} letters, digits, dots, dashes and underscores",
            quoted(account)
        );
        return Err(Problem::new("account", reason));
    }
    Ok(())
}

pub fn is_account(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= ACCOUNT_BYTES_MAX && name.bytes().all(allowed)
}

/// An id has something in it, is short, and could be typed.
fn id(path: &str, text: &str) -> Checked {
    filled(path, text, ID_BYTES_MAX)?;
    if has_controls(text) {
        return Err(Problem::new(path, format!("{} has control characters in it", quoted(text))));
    }
    Ok(())
}

/// Without an early end, so that the compiler looks at many bytes at once.
pub(crate) fn has_controls(text: &str) -> bool {
    text.bytes().fold(false, |found, b| found | (b < 0x20) | (b == 0x7f))
}

fn optional_id(path: &str, text: &Option<Text<'_>>) -> Checked {
    text.as_ref().map_or(Ok(()), |text| id(path, text))
}

fn filled(path: &str, text: &str, max: usize) -> Checked {
    if text.is_empty() {
        return Err(Problem::new(path, "is empty".to_owned()));
    }
    at_most(path, text, max)
}

fn at_most(path: &str, text: &str, max: usize) -> Checked {
    if text.len() > max {
        return Err(Problem::new(path, format!("has {} bytes, and may have {max} at most", text.len())));
    }
    Ok(())
}

fn optional(path: &str, text: &Option<Text<'_>>, max: usize) -> Checked {
    text.as_ref().map_or(Ok(()), |text| at_most(path, text, max))
}

fn count(path: &str, len: usize, max: usize, what: &str) -> Checked {
    if len > max {
        return Err(Problem::new(path, format!("has {len} {what}, and may have {max} at most")));
    }
    Ok(())
}

fn counted(path: &str, value: u64) -> Checked {
    if value > COUNT_MAX {
        return Err(Problem::new(path, format!("is more than {COUNT_MAX}")));
    }
    Ok(())
}

fn within(path: &str, value: f64, max: f64) -> Checked {
    if !(0.0..=max).contains(&value) {
        return Err(Problem::new(path, format!("{value} is not between 0 and {max}")));
    }
    Ok(())
}

fn extension(extension: &Option<Text<'_>>) -> Checked {
    let Some(text) = extension else { return Ok(()) };
    let dialled = |b: u8| b.is_ascii_digit() || matches!(b, b'*' | b'#');
    if text.is_empty() || text.len() > EXTENSION_BYTES_MAX || !text.bytes().all(dialled) {
        let reason = format!("{} is not 1 to {EXTENSION_BYTES_MAX} keys of a telephone (0-9, *, #)", quoted(text));
        return Err(Problem::new("data.extension", reason));
    }
    Ok(())
}

fn currency(currency: &Option<Text<'_>>) -> Checked {
    currency.as_ref().map_or(Ok(()), |currency| code("data.currency", currency))
}

fn code(path: &str, currency: &str) -> Checked {
    if is_currency(currency) {
        return Ok(());
    }
    Err(Problem::new(path, format!("{} is not a currency code of three capital letters such as EUR", quoted(currency))))
}

/// Whether this has the shape of an ISO 4217 code. The list of codes changes; the shape does not.
pub(crate) fn is_currency(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase())
}

fn any_of(names: &str, named: bool) -> Checked {
    if named { Ok(()) } else { Err(Problem::new("data", format!("names none of {names}: at least one is needed"))) }
}

/// Written JSON is at most as many times longer than what was read: `1e15` becomes `1000000000000000.0`.
const JSON_GROWTH_MAX: usize = 8;

/// `bytes` is the size of the whole event, which tells at once that most members cannot be too large.
fn json_size(path: &str, value: &impl serde::Serialize, bytes: usize) -> Checked {
    if bytes <= PROPERTIES_BYTES_MAX / JSON_GROWTH_MAX {
        return Ok(());
    }
    let len = serde_json::to_vec(value).map_or(usize::MAX, |json| json.len());
    if len > PROPERTIES_BYTES_MAX {
        let reason = format!("has {len} bytes as JSON, and may have {PROPERTIES_BYTES_MAX} at most");
        return Err(Problem::new(path, reason));
    }
    Ok(())
}

/// A time that an event may be of.
fn possible(path: &str, at: Time) -> Checked {
    up_to(path, at, LATEST_EVENT_TIME)
}

/// A time that an event may name for what is yet to come, or never does.
fn nameable(path: &str, at: Time) -> Checked {
    up_to(path, at, LATEST_TIME)
}

fn up_to(path: &str, at: Time, latest: Time) -> Checked {
    if at < Time::EARLIEST {
        return Err(Problem::new(path, format!("{at} is before 2000: an impossible time")));
    }
    if at > latest {
        return Err(Problem::new(path, format!("{at} is after {latest}: an impossible time")));
    }
    Ok(())
}

/// A time at which something was that is told now.
fn happened(path: &str, at: Time, recorded: Time) -> Checked {
    possible(path, at)?;
    if at.since(recorded) > AHEAD_MICROS_MAX {
        let reason = format!("{at} is more than 24 hours after it was recorded, {recorded}: an impossible time");
        return Err(Problem::new(path, reason));
    }
    Ok(())
}

fn in_order(path: &str, at: Time, earlier_name: &str, earlier: Time) -> Checked {
    if at < earlier {
        return Err(Problem::new(path, format!("{at} is before {earlier_name}, {earlier}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::decode;
    use crate::time::{MICROS_PER_DAY, MICROS_PER_SECOND};

    const LAST: &str = "2261-12-31T23:59:59.999999Z";
    const NEXT: &str = "2262-01-01T00:00:00Z";

    /// The path and reason with which an event of this time is rejected.
    fn rejected(kind: &str, time: &str, data: &Value) -> Option<(String, String)> {
        let event = json!({"specversion": "1.0", "id": "1", "source": "s", "type": kind, "time": time, "account": "acme",
            "data": data});
        let error = decode(event.to_string().as_bytes(), None).err()?;
        Some((error.path, error.reason))
    }

    #[test]
    fn nanoseconds_hold_what_happened() {
        assert_eq!(
            (LATEST_EVENT_TIME.to_string(), LATEST_TIME.to_string()),
            (LAST.to_owned(), "9999-12-31T23:59:59.999999Z".to_owned())
        );
        let nanos = LATEST_EVENT_TIME.plus(100 * MICROS_PER_DAY).0.checked_mul(1_000_000_000 / MICROS_PER_SECOND);
        assert!(nanos.is_some());
    }

    #[test]
    fn what_happens_too_late_is_impossible() {
        let page = || json!({"visitor_id": "v", "url": "https://a.example/"});
        let record = |started: &str, answered: &str, ended: &str| {
            json!({"call_id": "c", "direction": "inbound", "from": "+14155550199", "to": "+14155550100", "started_at": started,
                "answered_at": answered, "ended_at": ended})
        };
        let cost = |date: &str| json!({"date": date, "source": "g", "medium": "cpc", "cost": 1, "currency": "EUR"});
        for (kind, time, data, path) in [
            ("page_view", LAST, page(), None),
            ("page_view", NEXT, page(), Some("time")),
            ("page_view", "2926-03-10T10:00:00Z", page(), Some("time")),
            ("page_view", "9999-12-31T23:59:59-01:00", page(), Some("time")),
            ("call_record", LAST, record(LAST, LAST, LAST), None),
            ("call_record", LAST, record(LAST, LAST, NEXT), Some("data.ended_at")),
            ("call_record", LAST, record(LAST, NEXT, LAST), Some("data.answered_at")),
            ("call_record", LAST, record(NEXT, LAST, LAST), Some("data.started_at")),
            ("ad_cost", LAST, cost("2261-12-31"), None),
            ("ad_cost", LAST, cost("2262-01-01"), Some("data.date")),
        ] {
            let told = rejected(kind, time, &data);
            assert_eq!(told.as_ref().map(|(path, _)| path.as_str()), path, "{kind} at {time}: {data}");
            let is_told =
                told.is_none_or(|(_, reason)| reason.contains(&format!("is after {LAST}: an impossible time")));
            assert!(is_told, "{kind} at {time}: {data}");
        }
        let event = json!({"specversion": "1.0", "id": "1", "source": "s", "type": "page_view", "time": LAST, "account": "acme",
            "recordedtime": NEXT, "data": page()});
        let path = decode(event.to_string().as_bytes(), None).err().map(|error| error.path);
        assert_eq!(path.as_deref(), Some("recordedtime"));
    }

    /// Other systems write the last day of the calendar for never.
    #[test]
    fn what_is_to_come_may_never_come() {
        let deal = |at: &str| json!({"deal_id": "d", "phone": "+14155550199", "stage": "open", "closed_at": at});
        let lease = |at: &str| json!({"lease_id": "l", "pool": "p", "number": "+14155550100", "visitor_id": "v", "expires_at": at});
        let renewal = |at: &str| json!({"lease_id": "l", "expires_at": at});
        for (kind, data, path) in [
            ("deal", deal("9999-12-31T23:59:59.999999Z"), None),
            ("deal", deal("9999-12-31T23:59:59-01:00"), Some("data.closed_at")),
            ("lease_granted", lease("9999-12-31T00:00:00Z"), None),
            ("lease_renewed", renewal("9999-12-31T00:00:00Z"), None),
            ("lease_renewed", renewal("1999-12-31T00:00:00Z"), Some("data.expires_at")),
        ] {
            let told = rejected(kind, "2026-03-10T10:00:00Z", &data).map(|(path, _)| path);
            assert_eq!(told.as_deref(), path, "{kind}: {data}");
        }
    }
}
