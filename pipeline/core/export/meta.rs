//! Meta, by the Conversions API.
//!
//! Rules, from <https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/server-event> and `…/fbp-and-fbc`,
//! `…/customer-information-parameters`: `event_time` in seconds, at most 7 days back, or the whole request is refused; phones are digits
//! with the country's code, hashed by SHA-256; `fbc` is `fb.1.`, milliseconds of the click, and the click id as it was; `event_id` keeps the
//! same event from counting twice. Of calls `action_source` is `phone_call`.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::ads::json as read;
use super::{Facts, Reply, Step, Terms, base, is_success, post_json, unwelcome};
use crate::settings::Meta;
use crate::time::{MICROS_PER_DAY, MICROS_PER_SECOND};

const HOST: &str = "https://graph.facebook.com";
const VERSION: &str = "v24.0";
const BACK: i64 = 7 * MICROS_PER_DAY;
/// Rushes and faults of Meta's (Graph API, "Handling errors"), and access tokens that ran out: those mend.
const PASSING: &[i64] = &[1, 2, 4, 17, 32, 102, 190, 341, 368, 613, 80004];

pub(super) fn next(meta: &Meta, facts: &Facts<'_>, terms: &Terms<'_>, replies: &[Reply]) -> Step {
    if let [reply] = replies {
        return judge(reply);
    }
    if facts.is_test() && meta.test_event_code.is_none() {
        return Step::Skip("a test needs test_event_code, or it would count".to_owned());
    }
    let event = match event(meta, facts, terms) {
        Ok(event) => event,
        Err(why) => return Step::Skip(why),
    };
    let mut body = json!({"data": [event], "access_token": terms.secret("access_token")});
    if let Some(code) = &meta.test_event_code {
        body["test_event_code"] = json!(code);
    }
    let (host, version) = (base(&meta.url, HOST), meta.version.as_deref().unwrap_or(VERSION));
    post_json(format!("{host}/{version}/{}/events", meta.pixel_id), vec![], &body)
}

fn hashed(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn event(meta: &Meta, facts: &Facts<'_>, terms: &Terms<'_>) -> Result<Value, String> {
    let at = facts.at().ok_or("it has no time")?;
    if terms.now.since(at) > BACK {
        return Err("it is older than the 7 days that Meta goes back".to_owned());
    }
    if let Some(why) = facts.consent(terms).against_ads().filter(|_| !facts.is_test()) {
        return Err(why);
    }
    let mut user = Map::new();
    // A withheld number is no number.
    if let Some(digits) = facts.text("caller").and_then(|caller| caller.strip_prefix('+')) {
        user.insert("ph".to_owned(), json!([hashed(digits)]));
    }
    if let Some(visitor) = facts.text("visitor_id").or_else(|| facts.beside_text("deal", "visitor_id")) {
        user.insert("external_id".to_owned(), json!([hashed(visitor)]));
    }
    if let (Some((_, click)), Some(clicked)) = (facts.click(&["fbclid"]), facts.time("session_started_at")) {
        user.insert("fbc".to_owned(), json!(format!("fb.1.{}.{click}", clicked.0 / 1_000)));
    }
    if user.is_empty() {
        return Err("nobody could be told by it: no number, no visitor, no fbclid".to_owned());
    }
    let mut custom = Map::new();
    if let Some((value, currency)) = facts.worth(terms) {
        custom.insert("value".to_owned(), json!(value));
        custom.insert("currency".to_owned(), json!(currency));
    }
    for (name, value) in [("outcome", facts.text("outcome")), ("stage", facts.beside_text("deal", "stage"))] {
        custom.extend(value.map(|value| (name.to_owned(), json!(value))));
    }
    Ok(json!({
        "event_name": meta.event.as_deref().unwrap_or("Contact"),
        "event_time": at.0.div_euclid(MICROS_PER_SECOND),
        "event_id": facts.order(),
        "action_source": "phone_call",
        "user_data": user,
        "custom_data": custom,
    }))
}

fn judge(reply: &Reply) -> Step {
    let body = read(reply);
    if is_success(reply) {
        // It says how many it took.
        return match body.get("events_received").and_then(Value::as_i64) {
            Some(0) => Step::Refused("Meta took no event".to_owned()),
            _ => Step::Done,
        };
    }
    let error = body.get("error");
    let text = |name: &str| error.and_then(|error| error.get(name)?.as_str());
    let told = text("error_user_msg").or_else(|| text("message")).map(str::to_owned);
    let code = error.and_then(|error| error.get("code")?.as_i64());
    let passing = error.and_then(|error| error.get("is_transient")?.as_bool()).unwrap_or(false);
    if passing || code.is_some_and(|code| PASSING.contains(&code)) {
        return Step::Again(format!("status {}: {}", reply.status, told.unwrap_or_default()), None);
    }
    unwelcome(reply, told)
}
