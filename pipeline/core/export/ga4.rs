//! Google Analytics 4, by the Measurement Protocol.
//!
//! Rules, from <https://developers.google.com/analytics/devguides/collection/protocol/ga4/sending-events> and `…/use-cases`: an event is at
//! most 72 hours old, or it is lost without a word. It belongs to a session if it has its `session_id` and comes within 24 hours of the
//! session's start. A parameter's value has 100 characters at most. No answer says whether an event counted; `/debug/mp/collect` does,
//! and counts nothing.

use serde_json::{Map, Value, json};

use super::ads::json as read;
use super::{Facts, Reply, Step, Terms, base, is_success, post_json, unwelcome};
use crate::settings::Ga4;
use crate::time::{MICROS_PER_HOUR, Time};

const HOST: &str = "https://www.google-analytics.com";
/// The oldest event that counts.
const BACK: i64 = 72 * MICROS_PER_HOUR;
/// After so long an event is not put with its session any more.
const SESSION: i64 = 24 * MICROS_PER_HOUR;
const VALUE_CHARS_MAX: usize = 100;

pub(super) fn next(ga4: &Ga4, facts: &Facts<'_>, terms: &Terms<'_>, replies: &[Reply]) -> Step {
    if let [reply] = replies {
        return judge(reply, facts.is_test());
    }
    let body = match body(ga4, facts, terms) {
        Ok(body) => body,
        Err(why) => return Step::Skip(why),
    };
    let path = if facts.is_test() { "debug/mp/collect" } else { "mp/collect" };
    let (host, id, secret) = (base(&ga4.url, HOST), &ga4.measurement_id, terms.secret("api_secret"));
    post_json(format!("{host}/{path}?measurement_id={id}&api_secret={}", encoded(secret)), vec![], &body)
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn judge(reply: &Reply, is_test: bool) -> Step {
    if !is_success(reply) {
        return unwelcome(reply, None);
    }
    let found = read(reply);
    match found.get("validationMessages").and_then(Value::as_array).and_then(|all| all.first()) {
        Some(first) if is_test => {
            Step::Refused(first.get("description").and_then(Value::as_str).unwrap_or("not valid").to_owned())
        }
        _ => Step::Done,
    }
}

fn body(ga4: &Ga4, facts: &Facts<'_>, terms: &Terms<'_>) -> Result<Value, String> {
    let at = facts.at().ok_or("it has no time")?;
    if terms.now.since(at) > BACK {
        return Err("it is older than the 72 hours that Google Analytics goes back".to_owned());
    }
    let consent = facts.consent(terms);
    if consent.analytics == Some(false) {
        return Err("the visitor did not consent to analytics_storage".to_owned());
    }
    let test = facts.is_test().then_some("1.1");
    let client = facts.beside_text("visit", "client_id").or(test);
    let client = client.ok_or("the visit has no client_id of Google Analytics (cookie _ga)")?;
    let mut body = json!({
        "client_id": client,
        "timestamp_micros": at.0,
        "events": [{"name": ga4.event.as_deref().unwrap_or("phone_call"), "params": params(facts, terms)}],
    });
    let told = [("ad_user_data", consent.ad_user_data), ("ad_personalization", consent.ad_personalization)];
    let told: Map<String, Value> =
        told.into_iter().filter_map(|(name, it)| Some((name.to_owned(), json!(granted(it?))))).collect();
    if !told.is_empty() {
        body["consent"] = Value::Object(told);
    }
    if let Some(user) = facts.beside_text("visit", "user_id") {
        body["user_id"] = json!(user);
    }
    Ok(body)
}

pub(super) fn granted(consent: bool) -> &'static str {
    if consent { "GRANTED" } else { "DENIED" }
}

/// No phone number is among them: personal data is not allowed.
fn params(facts: &Facts<'_>, terms: &Terms<'_>) -> Map<String, Value> {
    let mut params = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            params.insert(name.to_owned(), value);
        }
    };
    let cut = |text: &str| json!(text.chars().take(VALUE_CHARS_MAX).collect::<String>());
    let session = facts.beside_text("visit", "client_session_id");
    let in_time = |start: Time| terms.now.since(start) <= SESSION;
    set("session_id", session.filter(|_| facts.time("session_started_at").is_some_and(in_time)).map(cut));
    // Without it an event shows in no report of the last minutes.
    let engaged = facts.number("talk_seconds").map_or(1, |seconds| (seconds * 1e3) as i64).max(1);
    set("engagement_time_msec", Some(json!(engaged)));
    let worth = facts.worth(terms);
    set("value", worth.as_ref().map(|(value, _)| json!(value)));
    set("currency", worth.map(|(_, currency)| json!(currency)));
    set("transaction_id", Some(cut(facts.order())));
    set("call_outcome", facts.text("outcome").map(cut));
    set("call_seconds", facts.number("talk_seconds").map(|seconds| json!(seconds)));
    set("call_target", Some(json!(i32::from(facts.flag("is_target")))));
    set("call_unique", Some(json!(i32::from(facts.flag("is_unique")))));
    set("deal_stage", facts.beside_text("deal", "stage").map(cut));
    set("call_tag", facts.beside_text("tag", "category").map(cut));
    params
}
