use serde_json::json;

use super::*;

const NOW: &str = "2026-11-20T20:00:00Z";

/// A decided call of a visit that came by a click, some hours before [`NOW`].
fn event(patch: Value) -> Map<String, Value> {
    let mut event = json!({
        "specversion": "1.0", "id": "call.attributed:c1:1", "type": "call.attributed", "time": "2026-11-20T12:05:00Z", "account": "acme",
        "data": {
            "call_id": "c1", "started_at": "2026-11-20T12:00:00.250000Z", "caller": "+14155550199", "outcome": "answered",
            "talk_seconds": 42.5, "is_target": true, "is_unique": false, "visitor_id": "v1", "session_id": "s1", "agent": "Ann", "source": "google",
            "campaign": "spring", "click_id_type": "gclid", "click_id": "Cj0abc", "session_started_at": "2026-11-20T11:30:00Z",
            "visit": {"client_id": "123.456", "client_session_id": "1763638200",
                      "consent": {"ad_user_data": "granted", "ad_personalization": "denied"}},
        },
    });
    merge(&mut event, &patch);
    event.as_object().expect("an object").clone()
}

fn merge(to: &mut Value, patch: &Value) {
    match (to, patch) {
        (Value::Object(to), Value::Object(patch)) => {
            patch.iter().for_each(|(name, value)| merge(to.entry(name.clone()).or_insert(Value::Null), value));
        }
        (to, patch) => *to = patch.clone(),
    }
}

fn export(patch: Value) -> Export {
    let mut export = json!({"name": "x", "value": 50, "secrets": {"api_secret": "s&1", "developer_token": "dev", "client_id": "id",
        "client_secret": "cs", "refresh_token": "1//r", "access_token": "EAA"}});
    merge(&mut export, &patch);
    serde_json::from_value(export).expect("an export")
}

fn asked(export: &Export, event: &Map<String, Value>, token: Option<&str>, replies: &[(u16, &str)]) -> Step {
    let replies: Vec<Reply> =
        replies.iter().map(|(status, body)| Reply { status: *status, body: (*body).to_owned(), made: false }).collect();
    let now = Time::parse(NOW).expect("a time");
    next(event, &Terms { export, currency: "USD", secrets: &export.secrets, token, now }, &replies)
}

/// Method, URL, headers and body of a request.
fn shown(step: &Step) -> (String, Vec<(&'static str, String)>, Value) {
    let Step::Ask(ask) = step else { panic!("{step:?} asks nothing") };
    let headers = ask.headers.iter().map(|(name, value)| (*name, value.reveal().to_owned())).collect();
    let body = ask.body.as_ref().map(|(_, bytes)| String::from_utf8(bytes.clone()).expect("text")).unwrap_or_default();
    let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
    (format!("{} {}", ask.method, ask.url.reveal()), headers, body)
}

fn ga4() -> Value {
    json!({"ga4": {"measurement_id": "G-ABC"}})
}

fn google() -> Value {
    json!({"google_ads": {"customer_id": "123-456-7890", "login_customer_id": "999-999-9999", "conversion_action": "42",
        "conversion_name": "Calls, \"phone\""}})
}

fn microsoft() -> Value {
    json!({"microsoft_ads": {"customer_id": "1", "account_id": "2", "conversion_name": "calls"}})
}

fn meta() -> Value {
    json!({"meta": {"pixel_id": "77"}})
}

#[test]
fn google_analytics_is_told_an_event_of_a_session() {
    let (line, _, body) = shown(&asked(&export(ga4()), &event(json!({})), None, &[]));
    assert_eq!(line, "POST https://www.google-analytics.com/mp/collect?measurement_id=G-ABC&api_secret=s%261");
    assert_eq!(
        body,
        json!({
            "client_id": "123.456", "timestamp_micros": 1_795_176_000_250_000_i64,
            "consent": {"ad_user_data": "GRANTED", "ad_personalization": "DENIED"},
            "events": [{"name": "phone_call", "params": {
                "session_id": "1763638200", "engagement_time_msec": 42_500, "value": 50.0, "currency": "USD", "transaction_id": "c1",
                "call_outcome": "answered", "call_seconds": 42.5, "call_target": 1, "call_unique": 0,
            }}],
        })
    );
    assert!(!body.to_string().contains("4155550199"), "no personal data goes to Google Analytics");
    // A day after its start an event belongs to a session no more.
    let late = event(json!({"data": {"session_started_at": "2026-11-19T19:59:59Z"}}));
    let (_, _, body) = shown(&asked(&export(ga4()), &late, None, &[]));
    assert_eq!(body["events"][0]["params"]["session_id"], Value::Null);
    let (line, _, _) = shown(&asked(&export(ga4()), &event(json!({"test": true})), None, &[]));
    assert!(line.starts_with("POST https://www.google-analytics.com/debug/mp/collect?"), "{line}");
}

#[test]
fn google_ads_is_told_a_conversion_of_a_click() {
    let export = export(google());
    let Step::Ask(ask) = asked(&export, &event(json!({})), None, &[]) else { panic!("no request") };
    assert_eq!((ask.what.clone(), ask.url.reveal()), (What::Token, "https://oauth2.googleapis.com/token"));
    let body = String::from_utf8(ask.body.expect("a body").1).expect("text");
    assert_eq!(body, "grant_type=refresh_token&client_id=id&client_secret=cs&refresh_token=1%2F%2Fr");
    let (line, headers, body) = shown(&asked(&export, &event(json!({})), Some("ya29"), &[]));
    assert_eq!(line, "POST https://googleads.googleapis.com/v26/customers/1234567890:uploadClickConversions");
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(
        headers,
        [("authorization", "Bearer ya29"), ("developer-token", "dev"), ("login-customer-id", "9999999999")]
    );
    assert_eq!(
        body,
        json!({"partialFailure": true, "conversions": [{
            "gclid": "Cj0abc", "conversionAction": "customers/1234567890/conversionActions/42",
            "conversionDateTime": "2026-11-20 12:00:00+00:00", "conversionValue": 50.0, "currencyCode": "USD", "orderId": "c1",
            "consent": {"adUserData": "GRANTED", "adPersonalization": "DENIED"},
        }]})
    );
    for kind in ["gbraid", "wbraid"] {
        let of = event(json!({"data": {"click_id_type": kind}}));
        let (_, _, body) = shown(&asked(&export, &of, Some("t"), &[]));
        assert_eq!((&body["conversions"][0][kind], &body["conversions"][0]["gclid"]), (&json!("Cj0abc"), &Value::Null));
    }
    let won = json!({"type": "deal.changed", "id": "deal.changed:d1:e", "time": "2026-11-20T15:00:00Z",
        "data": {"deal_id": "d1", "deal": {"stage": "won", "revenue": "1200.5", "currency": "EUR"}}});
    let (_, _, body) = shown(&asked(&export, &event(won), Some("t"), &[]));
    let conversion = &body["conversions"][0];
    assert_eq!((&conversion["conversionValue"], &conversion["currencyCode"]), (&json!(1200.5), &json!("EUR")));
    assert_eq!(conversion["orderId"], json!("d1"), "one conversion a deal, whatever its stages");
    assert_eq!(conversion["conversionDateTime"], json!("2026-11-20 15:00:00+00:00"));
}

#[test]
fn the_file_has_the_same_conversions() {
    let export = export(google());
    let now = Time::parse(NOW).expect("a time");
    let terms = Terms { export: &export, currency: "USD", secrets: &export.secrets, token: None, now };
    let line = csv_row(&event(json!({"data": {"click_id_type": "wbraid"}})), &terms).expect("a line");
    assert_eq!(line, ",,Cj0abc,\"Calls, \"\"phone\"\"\",2026-11-20 12:00:00,50,USD,c1,GRANTED,DENIED\n");
    assert_eq!(CSV_HEAD.lines().nth(1).map(|head| head.split(',').count()), Some(10));
    let denied = event(json!({"data": {"visit": {"consent": {"gpc": true}}}}));
    assert!(csv_row(&denied, &terms).is_err_and(|why| why.contains("did not consent")));
}

#[test]
fn microsoft_is_told_a_conversion_of_a_click() {
    let of = event(json!({"data": {"click_id_type": "msclkid", "click_id": "0a1b"}}));
    let Step::Ask(ask) = asked(&export(microsoft()), &of, None, &[]) else { panic!("no request") };
    assert_eq!(ask.what, What::Token);
    let (line, headers, body) = shown(&asked(&export(microsoft()), &of, Some("t"), &[]));
    assert_eq!(line, "POST https://campaign.api.bingads.microsoft.com/CampaignManagement/v13/OfflineConversions/Apply");
    assert!(
        headers.contains(&("customeraccountid", "2".to_owned())) && headers.contains(&("customerid", "1".to_owned()))
    );
    assert_eq!(
        body,
        json!({"OfflineConversions": [{"MicrosoftClickId": "0a1b", "ConversionName": "calls",
            "ConversionTime": "2026-11-20T12:00:00Z", "ConversionValue": 50.0, "ConversionCurrencyCode": "USD"}]})
    );
}

#[test]
fn meta_is_told_hashes() {
    let of = event(json!({"data": {"click_id_type": "fbclid", "click_id": "IwAR2_x"}}));
    let (line, _, body) = shown(&asked(&export(meta()), &of, None, &[]));
    assert_eq!(line, "POST https://graph.facebook.com/v24.0/77/events");
    assert_eq!(body["access_token"], json!("EAA"));
    let told = &body["data"][0];
    assert_eq!((&told["event_time"], &told["event_id"]), (&json!(1_795_176_000), &json!("c1")));
    assert_eq!((&told["event_name"], &told["action_source"]), (&json!("Contact"), &json!("phone_call")));
    // printf 14155550199 | sha256sum; printf v1 | sha256sum
    assert_eq!(
        told["user_data"],
        json!({
            "ph": ["93117e7a53ef7420099bb9ef64e079683ca1daed6fdd25595c01939eb5201206"],
            "external_id": ["3bfc269594ef649228e9a74bab00f042efc91d5acc6fbee31a382e80d42388fe"],
            "fbc": "fb.1.1795174200000.IwAR2_x",
        })
    );
    assert_eq!(told["custom_data"], json!({"value": 50.0, "currency": "USD", "outcome": "answered"}));
}

#[test]
fn what_a_provider_would_refuse_is_told_and_not_sent() {
    let old = |days: u32| json!({"data": {"started_at": format!("2026-11-{:02}T12:00:00Z", 20 - days)}});
    for (settings, patch, expected) in [
        (ga4(), old(3), "older than the 72 hours"),
        (ga4(), json!({"data": {"visit": {"client_id": null}}}), "no client_id"),
        (ga4(), json!({"data": {"visit": {"consent": {"analytics_storage": "denied"}}}}), "analytics_storage"),
        (google(), json!({"data": {"click_id_type": "fbclid"}}), "without gclid"),
        (google(), json!({"data": {"click_id": null}}), "without gclid"),
        (google(), json!({"data": {"visit": {"consent": {"ad_user_data": "denied"}}}}), "did not consent"),
        (google(), json!({"data": {"visit": {"consent": {"gpc": true}}}}), "did not consent"),
        (google(), json!({"data": {"visit": null}}), "not known whether"),
        (google(), json!({"data": {"session_started_at": "2026-08-20T12:00:00Z"}}), "older than the 90 days"),
        (microsoft(), json!({}), "without msclkid"),
        (microsoft(), json!({"data": {"session_id": null}}), "no visit of the call is known"),
        (
            google(),
            json!({"type": "deal.changed", "data": {"click_id_type": null, "session_id": null, "call_id": null}}),
            "no call of the deal is known",
        ),
        (meta(), old(8), "older than the 7 days"),
        (meta(), json!({"data": {"caller": "anonymous", "visitor_id": null}}), "nobody could be told"),
        (meta(), json!({"test": true}), "needs test_event_code"),
        (ga4(), json!({"data": {"correction": true}}), "corrects a call"),
    ] {
        let step = asked(&export(settings.clone()), &event(patch.clone()), Some("t"), &[]);
        assert!(matches!(&step, Step::Skip(why) if why.contains(expected)), "{settings} {patch}: {step:?}");
    }
    // What the settings say of consent holds where the page told nothing.
    let mut assumed = google();
    assumed["consent"] = json!("granted");
    let unknown = event(json!({"data": {"visit": null}}));
    let (_, _, body) = shown(&asked(&export(assumed), &unknown, Some("t"), &[]));
    assert_eq!(body["conversions"][0]["consent"], json!({"adUserData": "GRANTED", "adPersonalization": "GRANTED"}));
    // A click of an hour ago is known to Google five hours later.
    let young =
        event(json!({"data": {"session_started_at": "2026-11-20T19:00:00Z", "started_at": "2026-11-20T19:10:00Z"}}));
    let step = asked(&export(google()), &young, Some("t"), &[]);
    assert!(matches!(step, Step::Again(_, Some(seconds)) if (18_000..18_010).contains(&seconds)), "{step:?}");
}

#[test]
fn answers_are_read_as_each_provider_means_them() {
    let google_error = |code: &str| {
        format!(
            r#"{{"partialFailureError":{{"code":3,"message":"m","details":[{{"@type":"type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure","errors":[{{"errorCode":{{"conversionUploadError":"{code}"}},"message":"m"}}]}}]}},"results":[{{}}]}}"#
        )
    };
    let ms = json!({"data": {"click_id_type": "msclkid"}});
    for (settings, patch, status, body, expected) in [
        (ga4(), json!({}), 204, String::new(), "done"),
        (ga4(), json!({}), 503, String::new(), "again: status 503"),
        (
            ga4(),
            json!({"test": true}),
            200,
            r#"{"validationMessages":[{"description":"bad name"}]}"#.into(),
            "refused: bad name",
        ),
        (google(), json!({}), 200, r#"{"results":[{"gclid":"Cj0abc"}],"jobId":"1"}"#.into(), "done"),
        (google(), json!({}), 200, google_error("ORDER_ID_ALREADY_IN_USE"), "done"),
        (google(), json!({}), 200, google_error("CLICK_CONVERSION_ALREADY_EXISTS"), "done"),
        (google(), json!({}), 200, google_error("TOO_RECENT_EVENT"), "again 21600: TOO_RECENT_EVENT"),
        (google(), json!({}), 200, google_error("EVENT_NOT_FOUND"), "refused: EVENT_NOT_FOUND: m"),
        (
            google(),
            json!({}),
            401,
            r#"{"error":{"code":401,"message":"expired"}}"#.into(),
            "again: status 401: expired",
        ),
        (google(), json!({}), 400, r#"{"error":{"code":400,"message":"no"}}"#.into(), "refused: status 400: no"),
        (google(), json!({}), 429, "x".into(), "again: status 429"),
        (microsoft(), ms.clone(), 200, r#"{"PartialErrors":[]}"#.into(), "done"),
        (
            microsoft(),
            ms.clone(),
            200,
            r#"{"PartialErrors":[{"ErrorCode":"E","Message":"m","Index":0}]}"#.into(),
            "refused: E: m",
        ),
        (
            microsoft(),
            ms,
            401,
            r#"{"Errors":[{"ErrorCode":"InvalidCredentials","Message":"m"}]}"#.into(),
            "again: status 401: InvalidCredentials: m",
        ),
        (meta(), json!({}), 200, r#"{"events_received":1,"fbtrace_id":"x"}"#.into(), "done"),
        (meta(), json!({}), 400, r#"{"error":{"message":"m","code":100}}"#.into(), "refused: status 400: m"),
        (meta(), json!({}), 400, r#"{"error":{"message":"m","code":190}}"#.into(), "again: status 400: m"),
    ] {
        let told = match asked(&export(settings.clone()), &event(patch), Some("t"), &[(status, &body)]) {
            Step::Done => "done".to_owned(),
            Step::Refused(why) => format!("refused: {why}"),
            Step::Again(why, None) => format!("again: {why}"),
            Step::Again(why, Some(seconds)) => format!("again {seconds}: {why}"),
            other => format!("{other:?}"),
        };
        assert_eq!(told, expected, "{settings}: {body}");
    }
}

/// What is asked of a CRM, as it answers.
fn done_in_crm(settings: &Value, patch: Value, answers: &[(u16, &str)]) -> Vec<String> {
    let (export, event) = (export(settings.clone()), event(patch));
    let mut told = Vec::new();
    for at in 0..=answers.len() {
        let step = asked(&export, &event, None, &answers[..at]);
        if !matches!(step, Step::Ask(_)) {
            told.push(format!("{step:?}"));
            break;
        }
        let (line, headers, body) = shown(&step);
        assert_eq!(headers, [("authorization", "Bearer EAA".to_owned())]);
        told.push(format!("{} {body}", line.replace("https://crm.example", "")));
    }
    told
}

fn check(told: &[String], expected: &[&str]) {
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, words) in told.iter().zip(expected) {
        assert!(words.split(" … ").all(|words| told.contains(words)), "{told} has not {words}");
    }
}

#[test]
fn a_missed_call_opens_a_task_of_a_contact_that_is_found_or_made() {
    let hubspot = json!({"crm": {"url": "https://crm.example/", "preset": "hubspot", "owners": {"Ann": "7"}}});
    let missed = || json!({"type": "call.missed", "data": {"agent": null, "outcome": "missed"}});
    let none = r#"{"total":0,"results":[]}"#;
    check(
        &done_in_crm(
            &hubspot,
            missed(),
            &[(200, none), (201, r#"{"id":"301"}"#), (200, none), (201, r#"{"id":"401"}"#)],
        ),
        &[
            "POST /crm/v3/objects/contacts/search … \"+14155550199\"",
            "POST /crm/v3/objects/contacts {\"properties\" … \"phone\":\"+14155550199\"",
            "POST /crm/v3/objects/tasks/search … \"value\":\"c1\"",
            "POST /crm/v3/objects/tasks  … \"associationTypeId\":204 … \"id\":\"301\" … NOT_STARTED … Call +14155550199 back",
            "Done",
        ],
    );
    // Again after a crash: everything is there, and nothing is made twice.
    let there = |id: &str| format!(r#"{{"total":1,"results":[{{"id":"{id}"}}]}}"#);
    check(
        &done_in_crm(&hubspot, missed(), &[(200, &there("301")), (200, &there("401"))]),
        &["contacts/search", "tasks/search", "Done"],
    );
    check(
        &done_in_crm(
            &hubspot,
            json!({"type": "call.answered"}),
            &[
                (200, &there("301")),
                (200, "{}"),
                (200, r#"{"results":[{"id":"401"},{"id":"402"}]}"#),
                (200, "{}"),
                (200, "{}"),
                (200, none),
            ],
        ),
        &[
            "contacts/search",
            "PATCH /crm/v3/objects/contacts/301 {\"properties\":{\"hubspot_owner_id\":\"7\"}}",
            "POST /crm/v3/objects/tasks/search … associations.contact … \"301\"",
            "PATCH /crm/v3/objects/tasks/401 … COMPLETED … \"hubspot_owner_id\":\"7\"",
            "PATCH /crm/v3/objects/tasks/402 … COMPLETED … \"hubspot_owner_id\":\"7\"",
            "tasks/search",
            "Done",
        ],
    );
    // It is not known who answered: the task keeps whom it was given to.
    check(
        &done_in_crm(
            &hubspot,
            json!({"type": "call.answered", "data": {"agent": "Bob"}}),
            &[(200, &there("301")), (200, r#"{"results":[{"id":"401"}]}"#), (200, "{}")],
        ),
        &[
            "contacts/search",
            "POST /crm/v3/objects/tasks/search … associations.contact … \"301\"",
            "PATCH /crm/v3/objects/tasks/401 {\"properties\":{\"hs_task_status\":\"COMPLETED\"}}",
            "Done",
        ],
    );
    check(
        &done_in_crm(&hubspot, json!({}), &[(200, &there("301")), (200, "{}"), (200, none), (201, r#"{"id":"501"}"#)]),
        &[
            "contacts/search",
            "PATCH /crm/v3/objects/contacts/301",
            "deals/search",
            "POST /crm/v3/objects/deals  … \"utm_campaign\":\"spring\" … \"utm_source\":\"google\" … \"hubspot_owner_id\":\"7\" … appointmentscheduled",
            "Done",
        ],
    );
    for (answers, expected) in [
        (&[(500, "")][..], "Again(\"status 500\", None)"),
        (&[(200, none), (409, "")], "Again(\"it was there already\", None)"),
        (&[(200, none), (400, r#"{"message":"no such property"}"#)], "Refused(\"status 400: no such property\")"),
    ] {
        let told = done_in_crm(&hubspot, missed(), answers);
        assert_eq!(told.last().map(String::as_str), Some(expected));
    }
}

#[test]
fn a_crm_of_another_kind_has_steps_of_its_own() {
    let own = json!({"crm": {"url": "https://crm.example", "names": {"list": "leads"}, "steps": [
        {"name": "person", "find": {"method": "GET", "path": "/{{list}}?phone={{caller}}&by={{agent}} x", "id": "/items/0/key"},
         "create": {"method": "PUT", "path": "/{{list}}", "body": "{\"p\":{{caller|json}}}", "id": "/key"}},
        {"name": "note", "needs": ["person", "no_such"], "update": {"path": "/never"}},
        {"name": "seen", "needs": ["person"], "update": {"path": "/{{list}}/{{person}}/calls", "body": "{\"at\":\"{{started_at}}\"}"}},
    ]}});
    check(
        &done_in_crm(&own, json!({}), &[(404, ""), (200, r#"{"key":12}"#), (204, "")]),
        &[
            "GET /leads?phone=%2B14155550199&by=Ann x",
            "PUT /leads {\"p\":\"+14155550199\"}",
            "POST /leads/12/calls",
            "Done",
        ],
    );
    // Who withheld their number is nobody's contact.
    let withheld = json!({"crm": {"url": "https://crm.example", "steps": [{"name": "a", "needs": ["caller"], "update": {"path": "/"}}]}});
    let step = asked(&export(withheld), &event(json!({"data": {"caller": "anonymous"}})), Some("t"), &[]);
    assert!(matches!(&step, Step::Skip(why) if why.contains("what is not known")), "{step:?}");
    let nothing = json!({"crm": {"url": "https://crm.example", "steps": [{"name": "a", "needs": ["no_such"], "update": {"path": "/"}}]}});
    check(&done_in_crm(&nothing, json!({}), &[]), &["Skip"]);
}

#[test]
fn no_secret_is_shown() {
    let step = asked(&export(google()), &event(json!({})), Some("ya29"), &[]);
    let text = format!("{step:?} {:?}", export(ga4()));
    assert!(!text.contains("ya29") && !text.contains("s&1") && !text.contains("\"dev\""), "{text}");
}
