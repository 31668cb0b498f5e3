//! What the schema of settings says is what the program checks: numbers at both of their ends, texts by a table of texts, lists
//! and tables at their sizes, members that must be there.

use std::collections::BTreeMap;

use callweave_core::event::schema;
use callweave_core::settings::{Mistake, Settings};
use serde_json::{Value, json};

use crate::validator::validate;

/// Settings with every member that there is.
const WHOLE: &str = r##"{
    "timezone": "Europe/Berlin", "currency": "EUR", "target_seconds": 45, "greeting_seconds": 8, "sales_cycle_days": 14,
    "session_timeout_minutes": 30, "attribution_window_hours": 48, "attribution_threshold": 0.5, "lateness_seconds": 0,
    "call_timeout_minutes": 120, "business_hours": {"mon": [["09:00", "12:30"]]}, "holidays": ["2026-12-25"],
    "sites": [
        {"name": "first", "origins": ["https://www.example.com"], "consent_required": true, "honour_dnt": true,
         "honour_gpc": false, "number_timeout_ms": 500, "heartbeat_seconds": 15},
        {"name": "second", "origins": ["https://www.example.org"], "cookie_domain": "example.org"}],
    "numbers": [
        {"number": "+14155550100", "kind": "static", "pool": "second", "forward_to": "+14155550999", "label": "Van",
         "source": "van", "medium": "offline", "campaign": "2026", "voice": {}},
        {"number": "+14155550101", "kind": "static"}],
    "pools": [
        {"name": "first", "site": "first", "hold_minutes": 20, "cooldown_minutes": 5, "extensions": 4,
         "on_exhausted": "overflow", "overflow_number": "+14155550102"},
        {"name": "second"}],
    "routes": [
        {"site": "second", "replaces": "+14155550200", "source": "a", "medium": "a", "campaign": "a",
         "referrer_host": "a.example", "url_parameters": {"a": "b"}, "landing_path": "/a", "country": "DE", "region": "a",
         "city": "a", "language": "de", "device": "mobile", "number": "+14155550101"},
        {"pool": "second"}],
    "tag_rules": [{"category": "long", "outcome": "answered", "tracking_number": "+14155550101", "source": "van",
                   "min_talk_seconds": 120, "transcript_contains": "offer"}],
    "spam_numbers": ["+1900*"],
    "voice": {
        "language": "en-GB", "greeting": "a", "forward_to": "sip:sales@example.com", "caller_id": "tracking",
        "ring_seconds": 20, "record": true, "announcement": "a", "transcribe": true, "whisper": "a", "detect_machines": true,
        "menu": {"say": "a", "keys": [{"key": "1", "forward_to": "+14155550111"}]}, "extension_prompt": "a",
        "closed": {"say": "a", "forward_to": "+14155550112", "voicemail": true}, "unanswered": {"say": "a"},
        "voicemail": {"say": "a", "max_seconds": 60, "transcribe": true},
        "assessment": {"say": "a", "categories": [{"key": "1", "category": "sale", "value": 10}], "value": true},
        "callback": {"agent": "+14155550113", "say": "a", "countries": ["DE"]},
        "api": {"account": "AC1", "host": "api.twilio.com"}},
    "agents": {"12": "Ann"},
    "mappings": [{
        "name": "pbx", "timezone": "Europe/Berlin", "call_id": {"path": "a"}, "event_id": {"path": "a"},
        "from": {"path": "a"}, "to": {"value": "+14155550100"}, "direction": {"path": "a"},
        "status": {"path": "a", "values": {"1": "record"}}, "time": {"path": "a", "format": "%d.%m.%Y %H:%M"},
        "started_at": {"path": "a"}, "answered_at": {"path": "a"}, "ended_at": {"path": "a"},
        "duration_seconds": {"path": "a"}, "ring_seconds": {"path": "a"}, "talk_seconds": {"path": "a"},
        "outcome": {"path": "a"}, "cause": {"path": "a"}, "hangup_by": {"path": "a"}, "extension": {"path": "a"},
        "destination": {"path": "a"}, "agent": {"path": "a"}, "recording_url": {"path": "a"}}],
    "logins": [{"name": "ann", "role": "analyst", "verifier": "SCRAM-SHA-256-salted$a", "seconds": 60, "memory_mib": 512,
                "rows": 1000, "concurrent": 4}],
    "webhooks": [
        {"name": "one", "url": "https://example.com/hook", "moments": ["call.ended"], "filter": "is_target",
         "fields": ["caller"], "encoding": "json", "headers": {"X-A": "b"},
         "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "connect_seconds": 3, "answer_seconds": 10,
         "enabled": true, "ordered": false},
        {"name": "two", "url": "https://example.com/", "body": "a", "secret_file": "crm"}],
    "exports": [
        {"name": "ga", "moments": ["call.attributed"], "filter": "is_target", "value": 10, "currency": "EUR",
         "ga4": {"measurement_id": "G-ABC", "event": "phone_call", "url": "https://a.example"}, "consent": "granted",
         "secrets": {"api_secret": "a"}, "delay_hours": 1, "connect_seconds": 3, "answer_seconds": 20, "enabled": true},
        {"name": "ads", "secret_file": "ads", "google_ads": {"customer_id": "123-456-7890", "conversion_action": "1",
         "login_customer_id": "1234567890", "conversion_name": "a", "version": "v26", "url": "https://a.example",
         "token_url": "https://a.example"}},
        {"name": "bing", "secret_file": "ads", "microsoft_ads": {"customer_id": "1", "account_id": "2",
         "conversion_name": "a", "url": "https://a.example", "token_url": "https://a.example"}},
        {"name": "meta", "secret_file": "ads", "meta": {"pixel_id": "1", "event": "Contact", "version": "v24.0",
         "test_event_code": "TEST1", "url": "https://a.example"}},
        {"name": "hub", "secret_file": "crm", "crm": {"url": "https://a.example", "preset": "hubspot",
         "owners": {"Ann": "1"}, "names": {"stage": "a"}}},
        {"name": "own", "secret_file": "crm", "crm": {"url": "https://a.example", "steps": [{"name": "contact",
         "moments": ["call.ended"], "needs": ["caller"], "find": {"method": "GET", "path": "/a", "body": "{}", "id": "/id"},
         "create": {"path": "/a"}, "update": {"path": "/a"}}]}}],
    "retention_days": 400, "ip_precision": "network"
}"##;

/// Texts of every kind that settings know, and some that are nearly one.
const TEXTS: &[&str] = &[
    "",
    " ",
    "x",
    "a b",
    "a/b",
    "ü",
    "a\nb",
    "\u{7f}",
    "\u{85}",
    "-",
    "_",
    ".",
    ".a",
    "a.b",
    "a-b",
    "*",
    "#",
    "5",
    "10",
    "EUR",
    "eur",
    "EURO",
    "DE",
    "de",
    "en-GB",
    "GET",
    "get",
    "answered",
    "fine",
    "call.ended",
    "call.rang",
    "+14155550123",
    "+1415",
    "+0415555012",
    "+1900*",
    "+1*2",
    "+",
    "+*",
    "+123456789012345",
    "+1234567890123456",
    "tel:+14155550123",
    "tel:12",
    "sip:",
    "sip:a@example.com",
    "sips:a",
    "sip:a b",
    "https://shop.example.com",
    "https://*.example.com",
    "http://localhost:8080",
    "http://[::1]:3000",
    "https://[::1]8443",
    "https://Example.com",
    "https://a.example/x?y=z",
    "https://a.example?y",
    "https://a.example/#x",
    "https://u@a.example/",
    "https://:80/",
    "https://",
    "ftp://a.example/",
    "/a",
    "/a b",
    "example.com",
    "com",
    "-a.example",
    "G-ABC",
    "G-",
    "G-A_",
    "1234567890",
    "-123-456-7890",
    "12345678901",
    "12345678901234567890123456789012",
    "123456789012345678901234567890123",
    "v26",
    "v24.0",
    "v",
    "26",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "api.twilio.com",
    "api.dublin.ie1.twilio.com",
    "api..twilio.com",
    "api.evil/.twilio.com",
    "xapi.twilio.com",
    "SCRAM-SHA-256-salted$x",
    "SCRAM-SHA-256",
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "whsec_!",
    "epoch_ms",
    "epoch_min",
    "%Y",
];

/// What texts begin with that can then be as long as their limit.
const BEGINNINGS: &[&str] = &["", "/", "sip:", "https://a.example/", "SCRAM-SHA-256-salted$"];

/// Where a text has to be more than its shape: a host below what many share, a name that stands elsewhere in the settings, SQL,
/// a key's bytes.
const MORE_THAN_SHAPE: &[&str] = &[
    "/sites/0/origins/0",
    "/sites/1/cookie_domain",
    "/routes/0/number",
    "/tag_rules/0/tracking_number",
    "/mappings/0/call_id/path",
    "/mappings/0/time/format",
    "/webhooks/0/filter",
    "/webhooks/0/secrets/0",
    "/exports/0/filter",
    "/exports/0/ga4/event",
];

fn whole() -> Value {
    serde_json::from_str(WHOLE).expect("JSON")
}

/// All mistakes in the settings with this value in that place.
fn mistakes(settings: &Value, pointer: &str, value: Value) -> Vec<Mistake> {
    let mut settings = settings.clone();
    *settings.pointer_mut(pointer).expect(pointer) = value;
    Settings::read(settings).err().unwrap_or_default()
}

/// In the words of a mistake: `pools[0].name`.
fn path(pointer: &str) -> String {
    let parts = pointer.split('/').skip(1);
    let path: String = parts
        .map(|part| if part.parse::<usize>().is_ok() { format!("[{part}]") } else { format!(".{part}") })
        .collect();
    path.trim_start_matches('.').to_owned()
}

/// The place in the schema that says what is at this one.
fn resolved(root: &Value, at: &str) -> String {
    let schema = root.pointer(at).expect(at);
    match (schema["$ref"].as_str(), schema["anyOf"].is_array()) {
        (Some(other), _) => resolved(root, other.trim_start_matches('#')),
        (None, true) => resolved(root, &format!("{at}/anyOf/0")),
        (None, false) => at.to_owned(),
    }
}

/// Places in the schema, each with the first place in the settings that it speaks of.
fn walk(root: &Value, at: &str, value: &Value, pointer: &str, found: &mut BTreeMap<String, String>) {
    found.entry(at.to_owned()).or_insert_with(|| pointer.to_owned());
    let at = resolved(root, at);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let own = format!("{at}/properties/{name}");
                let below = if root.pointer(&own).is_some() { own } else { format!("{at}/additionalProperties") };
                walk(root, &below, member, &format!("{pointer}/{name}"), found);
            }
        }
        Value::Array(items) if root.pointer(&format!("{at}/items")).is_some() => {
            for (place, item) in items.iter().enumerate() {
                walk(root, &format!("{at}/items"), item, &format!("{pointer}/{place}"), found);
            }
        }
        _ => {}
    }
}

/// Every place in the settings with its schema.
fn places(settings: &Value) -> Vec<(String, Value)> {
    let root = schema("account_settings").expect("a schema");
    let mut found = BTreeMap::new();
    walk(&root, "/properties/data", settings, "", &mut found);
    let defined = root["$defs"].as_object().expect("definitions").keys().map(|name| format!("/$defs/{name}"));
    for holder in defined.chain(["/properties/data".to_owned()]) {
        let members = root.pointer(&format!("{holder}/properties")).and_then(Value::as_object);
        for name in members.into_iter().flat_map(|members| members.keys()) {
            let place = format!("{holder}/properties/{name}");
            assert!(found.contains_key(&place), "the settings of this test lack {place}");
        }
    }
    let said = |at: &str| root.pointer(&resolved(&root, at)).cloned().expect("a schema");
    found.into_iter().map(|(at, pointer)| (pointer, said(&at))).collect()
}

fn has_type(schema: &Value, name: &str) -> bool {
    schema["type"] == name || schema["type"].as_array().is_some_and(|types| types.contains(&json!(name)))
}

#[test]
fn settings_with_every_member_are_good() {
    assert_eq!(Settings::read(whole()).map(drop), Ok(()));
}

#[test]
fn numbers_end_where_the_schema_says() {
    let settings = whole();
    for (pointer, schema) in places(&settings) {
        let is_whole = has_type(&schema, "integer");
        if !is_whole && !has_type(&schema, "number") {
            continue;
        }
        let mut ends = [false; 2];
        for (keyword, is_upper, is_outside) in [
            ("minimum", false, false),
            ("exclusiveMinimum", false, true),
            ("maximum", true, false),
            ("exclusiveMaximum", true, true),
        ] {
            let Some(end) = schema.get(keyword) else { continue };
            ends[usize::from(is_upper)] = true;
            let beside = |up: bool| match (end.as_i64(), up) {
                (Some(end), true) if is_whole => json!(end + 1),
                (Some(end), false) if is_whole => json!(end - 1),
                (_, true) => json!(end.as_f64().expect("a number") + 0.001),
                (_, false) => json!(end.as_f64().expect("a number") - 0.001),
            };
            let (inside, outside) =
                if is_outside { (beside(!is_upper), end.clone()) } else { (end.clone(), beside(is_upper)) };
            let told = mistakes(&settings, &pointer, inside.clone());
            assert!(told.is_empty(), "{pointer} = {inside}: {told:?}");
            let told = mistakes(&settings, &pointer, outside.clone());
            assert_eq!(told.iter().map(|it| &it.path).collect::<Vec<_>>(), [&path(&pointer)], "{pointer} = {outside}");
            assert_eq!(validate(&schema, &inside), Ok(()), "{pointer}");
            assert!(validate(&schema, &outside).is_err(), "{pointer} = {outside}");
        }
        assert_eq!(ends, [true, true], "{pointer} has no end: {schema}");
    }
}

#[test]
fn texts_are_what_the_schema_says() {
    let settings = whole();
    let mut verdicts: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for (pointer, schema) in places(&settings) {
        let of_names = schema.get("propertyNames");
        let says_something = ["pattern", "minLength", "maxLength", "enum"].iter().any(|it| schema.get(it).is_some());
        let schema = match of_names {
            Some(names) => names,
            None if has_type(&schema, "string") && !has_type(&schema, "number") && says_something => &schema,
            None => continue,
        };
        for (text, meets) in verdicts.entry(schema.to_string()).or_insert_with(|| judged(schema)).iter() {
            let told = match of_names {
                Some(_) => {
                    let mut table = settings.pointer(&pointer).cloned().expect("a table");
                    table[text.as_str()] = table.as_object().and_then(|it| it.values().next()).cloned().expect("one");
                    mistakes(&settings, &pointer, table)
                }
                None => mistakes(&settings, &pointer, json!(text)),
            };
            let shown: String = text.chars().take(60).collect();
            let is_taken = told.is_empty();
            assert!(*meets || !is_taken, "{pointer}: the program takes {shown:?} ({} bytes), {schema} not", text.len());
            let may_differ = MORE_THAN_SHAPE.contains(&pointer.as_str());
            assert!(is_taken || !*meets || may_differ, "{pointer} = {shown:?} ({} bytes): {told:?}", text.len());
        }
    }
}

/// Texts, and whether they meet the schema.
fn judged(schema: &Value) -> Vec<(String, bool)> {
    let mut texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
    if let Some(max) = schema.get("maxLength").and_then(Value::as_u64) {
        let max = usize::try_from(max).expect("a length");
        for length in [max, max + 1] {
            texts.extend(BEGINNINGS.iter().map(|text| format!("{text}{}", "x".repeat(length - text.len()))));
        }
    }
    texts.into_iter().map(|text| (validate(schema, &json!(text)).is_ok(), text)).map(|(is, text)| (text, is)).collect()
}

#[test]
fn lists_and_tables_are_as_long_as_the_schema_says() {
    let settings = whole();
    for (pointer, schema) in places(&settings) {
        // A pair is no list.
        if schema.get("prefixItems").is_some() {
            continue;
        }
        let value = settings.pointer(&pointer).cloned().unwrap_or_default();
        let sized = |length: usize| match &value {
            Value::Array(items) => json!(vec![items[0].clone(); length]),
            Value::Object(members) => {
                let (_, first) = members.iter().next().expect("one member");
                let more = (members.len()..length).map(|at| (format!("k{at}"), first.clone()));
                Value::Object(members.clone().into_iter().chain(more).collect())
            }
            other => panic!("{pointer}: {other} has no length"),
        };
        let is_told = |length| {
            let told = mistakes(&settings, &pointer, sized(length));
            told.iter().any(|mistake| mistake.path == path(&pointer))
        };
        for keyword in ["maxItems", "maxProperties"] {
            let Some(max) = schema.get(keyword).and_then(Value::as_u64) else { continue };
            let max = usize::try_from(max).expect("a length");
            assert!(!is_told(max) && is_told(max + 1), "{pointer}: {keyword} {max}");
        }
        if let Some(min) = schema.get("minItems") {
            assert_eq!((min, is_told(0)), (&json!(1), true), "{pointer}");
        }
    }
}

#[test]
fn what_the_schema_requires_must_be_there() {
    let settings = whole();
    let mut seen = 0;
    for (pointer, schema) in places(&settings) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let mut holder = settings.pointer(&pointer).cloned().expect("an object");
            holder.as_object_mut().expect("an object").remove(name).expect(name);
            assert!(!mistakes(&settings, &pointer, holder).is_empty(), "{pointer} without {name}");
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} members were looked at");
}
