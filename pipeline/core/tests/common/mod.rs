//! Events of every type, with every member, and with no more than must be there.

use serde_json::{Value, json};

/// An event of this type with this data.
pub fn event(kind: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": "01JD3", "source": "web/main", "type": kind, "time": "2026-11-20T12:34:56.789Z",
        "account": "acme", "recordedtime": "2026-11-20T12:34:57.001Z", "data": data,
    })
}

/// The data of every type, twice: whole, and bare.
pub fn data() -> Vec<(&'static str, Value)> {
    vec![
        (
            "page_view",
            json!({
                "visitor_id": "v-1", "session_id": "s-1", "page_view_id": "p-1",
                "url": "https://example.com/?utm_source=google&utm_medium=cpc", "referrer": "https://www.google.com/",
                "title": "Gärten – «Büro» 北京", "user_agent": "Mozilla/5.0 (X11; Linux x86_64)", "ip": "203.0.113.7",
                "language": "de-DE,de;q=0.9", "numbers": ["+14155550123", "+4930123456"], "experiment_id": "e-1",
                "experiment_variant": "B", "client_id": "GA1.1.1.1", "client_session_id": "1763638200", "user_id": "u-1",
                "consent": { "analytics": true, "ads": [1, -2.5, null, "x"] },
            }),
        ),
        ("page_view", json!({ "visitor_id": "v-1", "url": "/" })),
        (
            "web_event",
            json!({
                "visitor_id": "v-1", "session_id": "s-1", "name": "click_to_call", "url": "https://example.com/",
                "number": "+14155550123", "value": 19.99, "currency": "EUR",
                "properties": { "phone": "+4930123456", "deep": { "er": [0.1, 1e300] } },
            }),
        ),
        ("web_event", json!({ "visitor_id": "v-1", "name": "form_submit", "value": "0.1" })),
        ("heartbeat", json!({ "visitor_id": "v-1", "session_id": "s-1" })),
        ("heartbeat", json!({ "visitor_id": "v-1" })),
        (
            "lease_granted",
            json!({
                "lease_id": "l-1", "pool": "paid", "number": "+14155550123", "extension": "042", "visitor_id": "v-1",
                "session_id": "s-1", "expires_at": "2026-11-20T13:04:56Z",
            }),
        ),
        (
            "lease_granted",
            json!({
                "lease_id": "l-1", "pool": "paid", "number": "+14155550123", "visitor_id": "v-1",
                "expires_at": "2026-11-20T12:00:00Z",
            }),
        ),
        ("lease_renewed", json!({ "lease_id": "l-1", "expires_at": "2026-11-20T14:04:56+01:00" })),
        ("lease_released", json!({ "lease_id": "l-1" })),
        ("pool_exhausted", json!({ "pool": "paid", "size": 40, "held": 31, "on_exhausted": "share" })),
        ("pool_exhausted", json!({ "pool": "paid", "size": 0, "held": 0, "on_exhausted": "overflow" })),
        (
            "call",
            json!({
                "call_id": "c-1", "status": "ended", "direction": "inbound", "from": "anonymous", "to": "+14155550123",
                "extension": "12#", "destination": "sip:sales@example.com", "agent": "Ada", "cause": "NORMAL_CLEARING",
                "hangup_by": "caller", "talk_seconds": 61.25, "recording_url": "https://example.com/r.mp3",
                "outcome": "answered", "spam_score": 0.25,
            }),
        ),
        (
            "call",
            json!({
                "call_id": "c-1", "status": "started", "direction": "callback", "from": "+4930123456",
                "to": "+14155550123",
            }),
        ),
        (
            "call_record",
            json!({
                "call_id": "c-1", "direction": "outbound", "from": "+14155550123", "to": "+4930123456",
                "extension": "7", "destination": "desk 4", "agent": "Ada", "started_at": "2026-11-20T12:00:00Z",
                "answered_at": "2026-11-20T12:00:05Z", "ended_at": "2026-11-20T12:01:00Z", "outcome": "missed",
                "cause": "16", "hangup_by": "system", "recording_url": "https://example.com/r.mp3",
            }),
        ),
        (
            "call_record",
            json!({
                "call_id": "c-1", "direction": "inbound", "from": "anonymous", "to": "+4930123456",
                "started_at": "2026-11-20T12:00:00Z", "ended_at": "2026-11-20T12:00:00Z",
            }),
        ),
        (
            "call_tag",
            json!({
                "call_id": "c-1", "category": "sale", "value": -5, "currency": "USD", "origin": "manual", "by": "Ada",
            }),
        ),
        ("call_tag", json!({ "call_id": "c-1", "category": "spam", "origin": "rule" })),
        ("call_note", json!({ "call_id": "c-1", "status": "done", "comment": "called\nback\u{0}", "by": "Ada" })),
        ("call_note", json!({ "call_id": "c-1" })),
        (
            "transcript",
            json!({
                "call_id": "c-1", "language": "en",
                "segments": [
                    { "speaker": "agent", "start_seconds": 0, "text": "Hello" },
                    { "speaker": "caller", "start_seconds": 1.5, "text": "" },
                ],
            }),
        ),
        ("transcript", json!({ "call_id": "c-1", "segments": [] })),
        (
            "deal",
            json!({
                "deal_id": "d-1", "call_id": "c-1", "visitor_id": "v-1", "phone": "+4930123456", "stage": "won",
                "revenue": 123456.78, "margin": "123456789012.123456", "currency": "EUR",
                "closed_at": "2027-01-01T00:00:00Z",
            }),
        ),
        ("deal", json!({ "deal_id": "d-1", "phone": "+4930123456", "stage": "open" })),
        (
            "ad_cost",
            json!({
                "date": "2026-11-19", "source": "google", "medium": "cpc", "campaign": "c", "term": "t",
                "content": "x", "cost": 12.5, "currency": "USD", "clicks": 3, "impressions": 1000,
            }),
        ),
        ("ad_cost", json!({ "date": "2026-11-19", "source": "google", "medium": "cpc", "cost": 0, "currency": "USD" })),
        (
            "ad_cost",
            json!({
                "date": "2026-11-19", "source": "google", "medium": "cpc", "cost": "1e3", "currency": "USD", "clicks": 3.0,
                "impressions": 1e3,
            }),
        ),
        ("account_settings", settings()),
        ("account_settings", json!({})),
        ("erase", json!({ "visitor_id": "v-1" })),
        ("erase", json!({ "phone": "+4930123456" })),
    ]
}

pub fn settings() -> Value {
    json!({
        "timezone": "Europe/Berlin", "currency": "EUR", "target_seconds": 45.5, "greeting_seconds": 8,
        "sales_cycle_days": 14, "session_timeout_minutes": 30, "attribution_window_hours": 48, "lateness_seconds": 0,
        "call_timeout_minutes": 120,
        "business_hours": { "mon": [["09:00", "12:30"], ["13:00", "18:00"]], "sat": [["22:00", "24:00"]], "sun": [] },
        "holidays": ["2026-12-25"],
        "sites": [
            { "name": "example.com", "origins": ["https://example.com", "https://*.example.com"],
              "cookie_domain": "example.com", "consent_required": true, "honour_dnt": true, "honour_gpc": false,
              "number_timeout_ms": 500, "heartbeat_seconds": 15 },
            { "name": "local", "origins": ["http://localhost:8080"] },
        ],
        "numbers": [
            { "number": "+14155550100", "kind": "static", "forward_to": "+14155550999", "label": "Van", "source": "van",
              "medium": "offline", "campaign": "2026" },
            { "number": "+14155550101", "kind": "pool", "pool": "paid", "forward_to": "sip:sales@example.com" },
            { "number": "+14155550102", "kind": "overflow" },
        ],
        "pools": [
            { "name": "paid", "site": "example.com", "hold_minutes": 20, "cooldown_minutes": 0, "extensions": 4,
              "on_exhausted": "overflow", "overflow_number": "+14155550102" },
            { "name": "rest", "on_exhausted": "share" },
        ],
        "routes": [
            { "site": "example.com", "replaces": "+4930222222", "number": "+14155550100" },
            { "medium": "cpc", "url_parameters": { "gclid": "*" }, "pool": "paid" },
            { "referrer_host": "*.example.org", "landing_path": "/x/*", "country": "DE", "device": "mobile", "pool": "rest" },
            { "number": "+14155550100" },
        ],
        "tag_rules": [{ "category": "long", "outcome": "answered", "tracking_number": "+14155550100", "source": "van",
                        "min_talk_seconds": 120, "transcript_contains": "offer" }],
        "agents": { "+14155550999": "Ada", "12": "Ben" },
        "mappings": [{
            "name": "pbx", "timezone": "Europe/Berlin", "call_id": { "path": "id" }, "from": { "path": "/a/0" },
            "to": { "value": "+14155550100" }, "started_at": { "path": "t", "format": "%d.%m.%Y %H:%M" },
            "duration_seconds": { "path": "s" }, "outcome": { "path": "r", "values": { "ok": "answered", "*": "missed" } },
        }],
        "retention_days": 400, "ip_precision": "network",
    })
}

/// Data that is wrong: its type, what stands in it, the path of the mistake, and words of the reason. Where the last
/// is false, JSON Schema cannot tell, and only the decoder rejects it.
pub fn bad() -> Vec<(&'static str, Value, &'static str, &'static str, bool)> {
    let long = |n: usize| "x".repeat(n);
    let page = |member: &str, value: Value| with(json!({ "visitor_id": "v", "url": "/" }), member, value);
    let call = |member: &str, value: Value| {
        let call = json!({ "call_id": "c", "status": "started", "direction": "inbound", "from": "+14155550123",
                           "to": "+14155550124" });
        with(call, member, value)
    };
    let record = |member: &str, value: Value| {
        let record = json!({ "call_id": "c", "direction": "inbound", "from": "+14155550123", "to": "+14155550124",
                             "started_at": "2026-11-20T12:00:00Z", "ended_at": "2026-11-20T12:01:00Z" });
        with(record, member, value)
    };
    let cost = |member: &str, value: Value| {
        let cost = json!({ "date": "2026-11-19", "source": "g", "medium": "c", "cost": 1, "currency": "USD" });
        with(cost, member, value)
    };
    let segment = |member: &str, value: Value| {
        let good = json!({ "speaker": "agent", "start_seconds": 0, "text": "" });
        json!({ "call_id": "c", "segments": [good.clone(), with(good, member, value)] })
    };
    let web = |member: &str, value: Value| with(json!({ "visitor_id": "v", "name": "n" }), member, value);
    vec![
        ("page_view", json!({ "visitor_id": "v" }), "data.url", "is missing", true),
        ("page_view", json!({ "url": "/" }), "data.visitor_id", "is missing", true),
        ("page_view", json!(["v"]), "data", "is an array, and should be a JSON object", true),
        ("page_view", json!("v"), "data", "is the text \"v\", and should be a JSON object", true),
        ("page_view", Value::Null, "data", "is null, and should be a JSON object", true),
        ("page_view", page("visitor_id", json!("")), "data.visitor_id", "is empty", true),
        ("page_view", page("visitor_id", json!(5)), "data.visitor_id", "is the number 5, and should be a string", true),
        ("page_view", page("visitor_id", json!(5.5)), "data.visitor_id", "is the number 5.5, and should", true),
        ("page_view", page("visitor_id", Value::Null), "data.visitor_id", "is null, and should be a string", true),
        ("page_view", page("visitor_id", json!("a\u{0}")), "data.visitor_id", "control characters", true),
        ("page_view", page("session_id", json!("")), "data.session_id", "is empty", true),
        ("page_view", page("user_id", json!(long(257))), "data.user_id", "has 257 bytes, and may have 256", true),
        ("page_view", page("user_id", json!("ä".repeat(200))), "data.user_id", "has 400 bytes", false),
        ("page_view", page("url", json!("")), "data.url", "is empty", true),
        ("page_view", page("url", json!(long(8193))), "data.url", "8192 at most", true),
        ("page_view", page("title", json!(long(1025))), "data.title", "1024 at most", true),
        ("page_view", page("title", json!({})), "data.title", "is an object, and should be a string", true),
        ("page_view", page("title", json!(true)), "data.title", "is true, and should be a string", true),
        ("page_view", page("ip", json!("203.0.113.256")), "data.ip", "is not an IP address", true),
        (
            "page_view",
            page("numbers", json!(["+14155550123", "555"])),
            "data.numbers[1]",
            "\"555\" is not an E.164",
            true,
        ),
        ("page_view", page("numbers", json!("+14155550123")), "data.numbers", "and should be an array", true),
        ("page_view", page("numbers", json!(vec!["+14155550123"; 101])), "data.numbers", "has 101 numbers", true),
        ("page_view", page("consent", json!([long(65_536)])), "data.consent", "65536 at most", false),
        ("web_event", web("name", json!("")), "data.name", "is empty", true),
        ("web_event", web("value", json!("five")), "data.value", "is not a decimal number such as 19.99", true),
        ("web_event", web("value", json!(true)), "data.value", "is not a decimal number such as 19.99", true),
        ("web_event", web("value", json!("1.2345678")), "data.value", "is too fine", true),
        ("web_event", web("value", json!(1e12)), "data.value", "is too large", true),
        ("web_event", web("currency", json!("eur")), "data.currency", "three capital letters", true),
        ("web_event", web("properties", json!([1])), "data.properties", "should be", true),
        ("web_event", web("properties", json!({ "x": long(65_536) })), "data.properties", "65536 at most", false),
        (
            "lease_renewed",
            json!({ "lease_id": "l", "expires_at": "soon" }),
            "data.expires_at",
            "\"soon\" is not an RFC 3339",
            true,
        ),
        (
            "lease_renewed",
            json!({ "lease_id": "l", "expires_at": "1999-12-31T23:59:59Z" }),
            "data.expires_at",
            "before 2000",
            false,
        ),
        (
            "pool_exhausted",
            json!({ "pool": "p", "size": 1, "held": 1, "on_exhausted": "wait" }),
            "data.on_exhausted",
            "is not one of overflow, share",
            true,
        ),
        ("pool_exhausted", json!({ "pool": "p", "held": 1, "on_exhausted": "share" }), "data.size", "is missing", true),
        (
            "pool_exhausted",
            json!({ "pool": "p", "size": u64::MAX, "held": 1, "on_exhausted": "share" }),
            "data.size",
            "is more than",
            true,
        ),
        ("call", call("status", json!("hung")), "data.status", "\"hung\" is not one of started, menu, ringing", true),
        ("call", call("direction", json!(1)), "data.direction", "", true),
        (
            "call",
            call("from", json!("4155550123")),
            "data.from",
            "\"4155550123\" is not an E.164 number such as +14155550123",
            true,
        ),
        ("call", call("extension", json!("12a")), "data.extension", "keys of a telephone", true),
        ("call", call("extension", json!("")), "data.extension", "keys of a telephone", true),
        (
            "call",
            call("hangup_by", json!("dog")),
            "data.hangup_by",
            "\"dog\" is not one of caller, agent, system",
            true,
        ),
        ("call", call("talk_seconds", json!(-1)), "data.talk_seconds", "-1 is not between 0 and 604800", true),
        ("call", call("talk_seconds", json!("9")), "data.talk_seconds", "and should be a number", true),
        ("call", call("spam_score", json!(1.5)), "data.spam_score", "1.5 is not between 0 and 1", true),
        ("call", call("outcome", json!("fine")), "data.outcome", "callback_client_missed", true),
        (
            "call_record",
            record("ended_at", json!("2026-11-20T11:59:59Z")),
            "data.ended_at",
            "is before started_at",
            false,
        ),
        (
            "call_record",
            record("answered_at", json!("2026-11-20T11:59:59Z")),
            "data.answered_at",
            "is before started_at",
            false,
        ),
        (
            "call_record",
            record("answered_at", json!("2026-11-20T12:01:01Z")),
            "data.answered_at",
            "is later than ended_at",
            false,
        ),
        (
            "call_record",
            record("started_at", json!("1970-01-01T00:00:00Z")),
            "data.started_at",
            "is before 2000",
            false,
        ),
        ("call_record", record("ended_at", json!("2090-01-01T00:00:00Z")), "data.ended_at", "24 hours after", false),
        (
            "call_record",
            record("ended_at", json!("2026-02-30T00:00:00Z")),
            "data.ended_at",
            "is not an RFC 3339",
            false,
        ),
        (
            "call_tag",
            json!({ "call_id": "c", "category": "x", "origin": "me" }),
            "data.origin",
            "manual, menu, rule",
            true,
        ),
        ("call_note", json!({ "call_id": "c", "comment": long(16_385) }), "data.comment", "16384 at most", true),
        ("transcript", segment("text", json!(long(16_385))), "data.segments[1].text", "16384 at most", true),
        (
            "transcript",
            segment("speaker", json!("dog")),
            "data.segments[1].speaker",
            "is not one of caller, agent",
            true,
        ),
        ("transcript", segment("start_seconds", json!(-0.5)), "data.segments[1].start_seconds", "not between", true),
        (
            "transcript",
            json!({ "call_id": "c", "segments": [["agent", 0, "x"]] }),
            "data.segments[0]",
            "is an array",
            true,
        ),
        ("deal", json!({ "deal_id": "d", "stage": "won" }), "data", "names none of call_id, visitor_id or phone", true),
        ("deal", json!({ "deal_id": "d", "call_id": null, "stage": "won" }), "data", "names none of", true),
        ("deal", json!({ "deal_id": "d", "call_id": "c", "stage": "" }), "data.stage", "is empty", true),
        ("ad_cost", cost("date", json!("2026-11-31")), "data.date", "is not a date such as 2026-11-20", false),
        ("ad_cost", cost("date", json!("1999-11-30")), "data.date", "before 2000", false),
        ("ad_cost", cost("cost", json!(-0.01)), "data.cost", "-0.01 is less than 0", true),
        ("ad_cost", cost("clicks", json!(-1)), "data.clicks", "should be a whole number from 0 on", true),
        ("ad_cost", cost("clicks", json!(1.5)), "data.clicks", "should be a whole number from 0 on", true),
        ("ad_cost", cost("impressions", json!(u64::MAX)), "data.impressions", "is more than", true),
        ("ad_cost", cost("currency", Value::Null), "data.currency", "is null", true),
        ("account_settings", json!({ "timezone": "Mars/Base" }), "data.timezone", "is not an IANA time zone", false),
        ("account_settings", json!({ "timezone": 5 }), "data.timezone", "should be a string", true),
        ("account_settings", json!({ "holidays": ["x"] }), "data.holidays[0]", "is not a date", true),
        (
            "account_settings",
            json!({ "business_hours": { "monday": [] } }),
            "data.business_hours.monday",
            "\"monday\" is not one of mon, tue",
            true,
        ),
        (
            "account_settings",
            json!({ "business_hours": { "mon": [["9:00", "10:00"]] } }),
            "data.business_hours.mon[0][0]",
            "time of day",
            true,
        ),
        (
            "account_settings",
            json!({ "business_hours": { "mon": [["09:00"]] } }),
            "data.business_hours.mon[0]",
            "two of them",
            true,
        ),
        ("account_settings", json!({ "pools": [{}] }), "data.pools[0].name", "is missing", true),
        (
            "account_settings",
            json!({ "currency": "x", "timezone": "x" }),
            "data.timezone",
            "2 mistakes in these settings: timezone:",
            true,
        ),
        (
            "account_settings",
            json!({ "holidays": ["x", "2026-12-25"], "numbers": [{ "number": "1", "kind": "static" }], "timezone": "x" }),
            "data.holidays[0]",
            "3 mistakes in these settings: holidays[0]: ",
            true,
        ),
        ("erase", json!({}), "data", "names none of visitor_id or phone", true),
    ]
}

pub fn with(mut object: Value, member: &str, value: Value) -> Value {
    object[member] = value;
    object
}
