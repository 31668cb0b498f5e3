//! Google Ads, offline conversions of clicks. A call to a leased number is one: Google's own call conversions are of calls to its
//! forwarding numbers.
//!
//! Rules, from the API's `conversion_upload_service.proto` and `conversion_upload_error.proto`
//! (<https://github.com/googleapis/googleapis/tree/master/google/ads/googleads>): one of gclid, gbraid and wbraid; a time with its zone,
//! after the click; an order id counts once for a conversion action; a click younger than 6 hours and a conversion action younger than
//! that are refused for now; `partial_failure` is always true, so an error stands in an answer of status 200.

use serde_json::{Value, json};

use super::ads::{bearer, json as read, seconds, token};
use super::ga4::granted;
use super::{Facts, Reply, Step, Terms, base, is_success, post_json, unwelcome};
use crate::settings::{GoogleAds, Hidden};
use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Time};

const HOST: &str = "https://googleads.googleapis.com";
const TOKENS: &str = "https://oauth2.googleapis.com/token";
const VERSION: &str = "v26";
pub(super) const CLICKS: &[&str] = &["gclid", "gbraid", "wbraid"];
/// A click is known this long after it was.
const CLICK_KNOWN_AFTER: i64 = 6 * MICROS_PER_HOUR;
/// The longest that a conversion action looks back.
const CLICK_LASTS: i64 = 90 * MICROS_PER_DAY;
/// It is there already, by an attempt whose answer was lost.
const THERE: &[&str] = &[
    "ORDER_ID_ALREADY_IN_USE",
    "CLICK_CONVERSION_ALREADY_EXISTS",
    "DUPLICATE_ORDER_ID",
    "DUPLICATE_CLICK_CONVERSION_IN_REQUEST",
];
const TOO_EARLY: &[&str] = &["TOO_RECENT_EVENT", "TOO_RECENT_CONVERSION_ACTION", "TOO_RECENT_CLICK"];
const TOO_EARLY_SECONDS: i64 = 6 * 3600;

/// A conversion of a click, as the API and the CSV have it.
pub(super) struct Conversion<'e> {
    pub click: (&'static str, &'e str),
    pub at: Time,
    pub worth: Option<(f64, String)>,
    pub order: &'e str,
    pub ad_user_data: bool,
    pub ad_personalization: Option<bool>,
}

/// # Errors
/// Why it is none.
pub(super) fn conversion<'e>(facts: &Facts<'e>, terms: &Terms<'_>) -> Result<Conversion<'e>, String> {
    let click = facts.click(CLICKS).ok_or_else(|| facts.no_click("gclid, gbraid and wbraid"))?;
    let at = facts.at().ok_or("it has no time")?;
    let clicked = facts.time("session_started_at");
    if clicked.is_some_and(|clicked| terms.now.since(clicked) > CLICK_LASTS) {
        return Err("its click is older than the 90 days that Google Ads looks back".to_owned());
    }
    let consent = facts.consent(terms);
    if let Some(why) = consent.against_ads() {
        return Err(why);
    }
    // Times go by the second here, and a conversion must not precede its click.
    let at = clicked.map_or(at, |clicked| at.max(clicked.plus(crate::time::MICROS_PER_SECOND)));
    let (worth, order) = (facts.worth(terms), facts.order());
    Ok(Conversion { click, at, worth, order, ad_user_data: true, ad_personalization: consent.ad_personalization })
}

pub(super) fn next(ads: &GoogleAds, facts: &Facts<'_>, terms: &Terms<'_>, replies: &[Reply]) -> Step {
    if let [reply] = replies {
        return judge(reply);
    }
    if facts.is_test() {
        return Step::Skip("nothing is sent to Google Ads for a test: it has no click to count it for".to_owned());
    }
    let conversion = match conversion(facts, terms) {
        Ok(conversion) => conversion,
        Err(why) => return Step::Skip(why),
    };
    let age = facts.time("session_started_at").map_or(i64::MAX, |clicked| terms.now.since(clicked));
    if age < CLICK_KNOWN_AFTER {
        let left = (CLICK_KNOWN_AFTER - age) / 1_000_000 + 1;
        return Step::Again("its click is younger than the 6 hours that Google Ads asks for".to_owned(), Some(left));
    }
    let Some(held) = terms.token else { return token(terms, base(&ads.token_url, TOKENS), None) };
    let customer = ads.customer_id.replace('-', "");
    let mut headers = vec![bearer(held), ("developer-token", Hidden::new(terms.secret("developer_token")))];
    headers.extend(ads.login_customer_id.as_ref().map(|id| ("login-customer-id", Hidden::new(id.replace('-', "")))));
    let (host, version) = (base(&ads.url, HOST), ads.version.as_deref().unwrap_or(VERSION));
    let body = json!({"conversions": [body(ads, &customer, &conversion)], "partialFailure": true});
    post_json(format!("{host}/{version}/customers/{customer}:uploadClickConversions"), headers, &body)
}

fn body(ads: &GoogleAds, customer: &str, conversion: &Conversion<'_>) -> Value {
    let (day, time) = seconds(conversion.at);
    let mut body = json!({
        "conversionAction": format!("customers/{customer}/conversionActions/{}", ads.conversion_action),
        "conversionDateTime": format!("{day} {time}+00:00"),
        "orderId": conversion.order,
        "consent": {"adUserData": granted(conversion.ad_user_data)},
    });
    body[conversion.click.0] = json!(conversion.click.1);
    if let Some(personal) = conversion.ad_personalization {
        body["consent"]["adPersonalization"] = json!(granted(personal));
    }
    if let Some((value, currency)) = &conversion.worth {
        body["conversionValue"] = json!(value);
        body["currencyCode"] = json!(currency);
    }
    body
}

fn judge(reply: &Reply) -> Step {
    let body = read(reply);
    let error = if is_success(reply) { body.get("partialFailureError") } else { body.get("error") };
    let Some(error) = error.filter(|error| !error.is_null()) else {
        return if is_success(reply) { Step::Done } else { unwelcome(reply, None) };
    };
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
    let Some(code) = code(error) else { return unwelcome(reply, Some(message.to_owned())) };
    match code {
        code if THERE.contains(&code) => Step::Done,
        code if TOO_EARLY.contains(&code) => Step::Again(code.to_owned(), Some(TOO_EARLY_SECONDS)),
        code if is_success(reply) => Step::Refused(format!("{code}: {message}")),
        code => unwelcome(reply, Some(format!("{code}: {message}"))),
    }
}

/// The first error of a `GoogleAdsFailure`: `details[].errors[].errorCode` has one member, named after its kind.
fn code(error: &Value) -> Option<&str> {
    let failures = error.get("details")?.as_array()?.iter().filter_map(|detail| detail.get("errors")?.as_array());
    let codes = failures.flatten().filter_map(|error| error.get("errorCode")?.as_object());
    codes.flat_map(|code| code.values()).find_map(Value::as_str)
}
