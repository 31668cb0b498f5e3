use super::*;
use crate::time::Time;

fn settings(json: &str) -> Settings {
    serde_json::from_str(json).expect(json)
}

/// The mistakes (or warnings) as `path: message`, each of which must hold the words that stand for it.
fn check(found: Vec<Mistake>, expected: &[&str], of: &str) {
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), expected.len(), "{told:#?} of {of}");
    for (told, words) in told.iter().zip(expected) {
        assert!(told.starts_with(words), "{told:?} does not start with {words:?}");
    }
}

#[test]
fn nothing_said_means_the_defaults() {
    let settings = settings("{}");
    assert_eq!(settings, Settings::default());
    assert_eq!((settings.check(), settings.warnings()), (Ok(()), Vec::new()));
    let pool = super::tests::settings(r#"{"pools":[{"name":"a","x":1}],"unknown":{}}"#).pools.remove(0);
    assert_eq!((pool.hold_minutes, pool.cooldown_minutes), (30.0, 30.0));
}

#[test]
fn every_mistake_is_told_at_once() {
    for (json, expected) in [
        (
            r#"{"timezone":"Berlin","currency":"eur","target_seconds":-1,"session_timeout_minutes":0,
                "attribution_window_hours":1e9,"retention_days":0}"#,
            &[
                "timezone: \"Berlin\" is not an IANA time zone such as Europe/Berlin",
                "currency: \"eur\" is not a currency code",
                "retention_days: 0 is not between 1 and 36500 days; leave it out",
                "target_seconds: -1 is not between 0 and 86400",
                "session_timeout_minutes: must be more than 0",
                "attribution_window_hours: 1000000000 is not between 0 and 2160",
            ][..],
        ),
        (
            r#"{"business_hours":{"mon":[["22:00","06:00"]],"tue":[["09:00","12:00"],["11:59","18:00"]],
                "wed":[["09:00","09:00"]],"thu":[["09:00","12:00"],["12:00","24:00"]]}}"#,
            &[
                "business_hours.mon[0]: 22:00 to 06:00 ends before it starts; split it at midnight: 22:00 to 24:00, and \
                 00:00 to 06:00 on the next day",
                "business_hours.tue: 09:00 to 12:00 and 11:59 to 18:00 overlap",
                "business_hours.wed[0]: 09:00 to 09:00 is no time at all",
            ],
        ),
        (
            r#"{"numbers":[{"number":"+14155550100","kind":"pool"},{"number":"+14155550100","kind":"static","pool":"a"},
                {"number":"+14155550101","kind":"pool","pool":"b","forward_to":"Ada"}],
                "pools":[{"name":"a"},{"name":"a","on_exhausted":"share","extensions":11,"hold_minutes":0},
                {"name":"","overflow_number":"+14155550199"},{"name":"c","overflow_number":"+14155550101"}]}"#,
            &[
                "numbers[0].pool: +14155550100 is of kind pool: name the pool",
                "numbers[1].number: +14155550100 is listed twice",
                "numbers[2].pool: there is no pool called \"b\"",
                "pools[1].name: two pools are called \"a\"",
                "pools[1].hold_minutes: must be more than 0",
                "pools[1].extensions: 11 is not a number of digits between 1 and 10",
                "pools[2].name: is empty",
            ],
        ),
        (
            r#"{"routes":[{},{"pool":"a","number":"+14155550100"},{"pool":"a"},{"number":"+14155550100"}],
                "tag_rules":[{"category":""},{"category":"x","outcome":"fine","min_talk_seconds":-1,
                "tracking_number":"+14155550100"}],"agents":{"":"Ada"}}"#,
            &[
                "routes[0]: names neither a pool nor a number",
                "routes[1]: names a pool and a number",
                "routes[2].pool: there is no pool called \"a\"",
                "routes[3].number: +14155550100 is not among the numbers",
                "tag_rules[0].category: is empty",
                "tag_rules[1].outcome: \"fine\" is not one of answered, missed",
                "tag_rules[1].tracking_number: +14155550100 is not among the numbers",
                "tag_rules[1].min_talk_seconds: -1 is not between",
                "agents: is empty",
            ],
        ),
        (
            r#"{"sites":[{"name":"a","origins":["https://a.example.com"]},{"name":"a","origins":[]},
                {"name":"b/c","origins":["a.example.com","https://a.example.com/"],"cookie_domain":"co.uk"},
                {"name":"d","origins":["https://www.example.com"],"cookie_domain":"example.org","number_timeout_ms":0,
                "heartbeat_seconds":1}],
                "pools":[{"name":"p","site":"d","overflow_number":"+14155550199"}],
                "routes":[{"site":"x","pool":"p"},{"site":"a","pool":"p"},{"site":"d","pool":"p"}]}"#,
            &[
                "sites[1].name: two sites are called \"a\"",
                "sites[1].origins: is empty",
                "sites[2].name: \"b/c\" has a slash in it",
                "sites[2].origins[0]: \"a.example.com\" is not an origin such as https://www.example.com",
                "sites[2].origins[1]: \"https://a.example.com/\" has more than scheme, host and port; write https://a",
                "sites[2].cookie_domain: \"co.uk\" is a domain that many sites share",
                "sites[3].cookie_domain: \"example.org\" is no domain of https://www.example.com",
                "sites[3].number_timeout_ms: 0 is not between 50 and 10000",
                "sites[3].heartbeat_seconds: 1 is not between 5 and 600",
                "routes[0].site: there is no site called \"x\"",
                "routes[1].site: is \"a\", and the pool belongs to \"d\": it would never match",
            ],
        ),
    ] {
        check(settings(json).check().expect_err(json), expected, json);
    }
    let not_a_number = Settings { lateness_seconds: f64::NAN, ..Settings::default() };
    check(not_a_number.check().expect_err("NaN"), &["lateness_seconds: NaN is not between"], "NaN");
}

/// Of shape and of meaning, each by itself and in its own place, and nothing that only comes of another.
#[test]
fn mistakes_of_shape_are_told_with_all_others() {
    for (json, expected) in [
        (
            r#"{"timezone":"Mars","numbers":[{"number":"1","forward_to":"x"}],"holidays":["2026-02-30","2026-12-25",5],
                "target_seconds":-1,"business_hours":{"moon":[],"mon":[["9:00","10:00"],["12:00"],["13:00","13:00"]]},
                "currency":["EUR"],"retention_days":0.5}"#,
            &[
                "currency: is an array, and should be a string",
                "business_hours.moon: \"moon\" is not one of mon, tue",
                "business_hours.mon[0][0]: \"9:00\" is not a time of day",
                "business_hours.mon[1]: is 1 items long, and should be two of them",
                "holidays[0]: \"2026-02-30\" is not a date",
                "holidays[2]: is the number 5, and should be a date",
                "numbers[0].number: \"1\" is not an E.164 number",
                "numbers[0].kind: is missing",
                "retention_days: is the number 0.5, and should be a whole number",
                "timezone: \"Mars\" is not an IANA time zone",
                "target_seconds: -1 is not between 0 and 86400",
                "business_hours.mon[2]: 13:00 to 13:00 is no time at all",
            ][..],
        ),
        (
            // The third stands third, though the first and the second could not be read; what names them is no mistake.
            r#"{"pools":[5,{},{"name":"a","hold_minutes":0,"on_exhausted":"x"}],"routes":[{"pool":"b"},{"pool":7},{}],
                "numbers":[{"number":"+14155550100","kind":"pool","pool":"c"},{"number":"+14155550100","kind":"static"}]}"#,
            &[
                "numbers[1].number: +14155550100 is listed twice",
                "pools[0]: is the number 5, and should be a JSON object",
                "pools[1].name: is missing",
                "pools[2].on_exhausted: \"x\" is not one of overflow, share",
                "pools[2].hold_minutes: must be more than 0",
                "routes[1].pool: is the number 7, and should be a string",
                "routes[2]: names neither a pool nor a number",
            ],
        ),
        (
            r#"{"numbers":5,"routes":[{"number":"+14155550100"},{"pool":"p"}],
                "voice":{"menu":{"say":"Hello","keys":[{"key":1,"forward_to":"+14155550111"}]}},"agents":[]}"#,
            &[
                "agents: is an array, and should be an object",
                "numbers: is the number 5, and should be a list of JSON objects",
                "routes[1].pool: there is no pool called \"p\"",
                "voice.menu.keys[0].key: is the number 1, and should be a string",
            ],
        ),
        ("[]", &["settings are a JSON object"]),
    ] {
        let mut told = Settings::read(serde_json::from_str(json).expect(json)).expect_err(json);
        let mut expected = expected.to_vec();
        told.sort_by(|a, b| a.path.cmp(&b.path));
        expected.sort_unstable();
        check(told, &expected, json);
    }
    assert_eq!(Settings::read(serde_json::json!({})), Ok(Settings::default()));
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    let json = r#"{"retention_days":730.0,"pools":[{"name":"a","extensions":4.0}],"voice":{"ring_seconds":2e1},
        "sites":[{"name":"a","origins":["https://www.example.com"],"heartbeat_seconds":15.0}]}"#;
    let settings = Settings::read(serde_json::from_str(json).expect(json)).expect(json);
    assert_eq!((settings.retention_days, settings.pools[0].extensions), (Some(730), Some(4)));
    assert_eq!((settings.voice.ring_seconds, settings.sites[0].heartbeat_seconds), (20, 15));
}

/// However much is wrong, and however large it is, the answer comes soon.
#[test]
fn so_many_mistakes_are_told_and_no_more() {
    let many: Vec<i32> = (0..1_000).collect();
    let told = Settings::read(serde_json::json!({ "holidays": many })).expect_err("no dates");
    assert_eq!(told.len(), crate::limits::MISTAKES_TOLD_MAX);
    let large = "x".repeat(3 << 20);
    let told = Settings::read(serde_json::json!({ "label": large, "holidays": many })).expect_err("no dates");
    assert_eq!(told.len(), 2);
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let json = r#"{"numbers":[{"number":"+14155550100","kind":"static"}],"pools":[{"name":"a","on_exhausted":"share"}],
        "routes":[{"pool":"a"},{"source":"google","number":"+14155550100"}],"retention_days":1}"#;
    let settings = settings(json);
    assert_eq!(settings.check(), Ok(()));
    let expected =
        ["pools[0]: no number belongs", "numbers[0].source", "routes[0]: has no condition", "retention_days"];
    check(settings.warnings(), &expected, json);

    let json = r#"{"numbers":[{"number":"+14155550101","kind":"pool","pool":"b","forward_to":"Ada"},
        {"number":"+14155550102","kind":"overflow","pool":"b","forward_to":"+14155550102"}],
        "pools":[{"name":"b","extensions":2},{"name":"c","overflow_number":"+14155550199"},
        {"name":"d","overflow_number":"+14155550101"},{"name":"e","overflow_number":"+14155550102"}]}"#;
    let settings = super::tests::settings(json);
    assert_eq!(settings.check(), Ok(()));
    let expected = [
        "pools[1]: no number belongs",
        "pools[2]: no number belongs",
        "pools[3]: no number belongs",
        "pools[0].overflow_number: is missing",
        "pools[1].overflow_number: +14155550199 is not among the numbers; list it with kind overflow",
        "pools[2].overflow_number: +14155550101 is of kind pool, not overflow",
        "numbers[0].forward_to: \"Ada\" is neither a number",
        "numbers[1].forward_to: is the number itself",
    ];
    check(settings.warnings(), &expected, json);
}

#[test]
fn conditions_that_no_visit_meets_are_warned_of() {
    let json = r#"{"numbers":[{"number":"+14155550100","kind":"pool","pool":"a"}],"pools":[{"name":"a","on_exhausted":"share"}],
        "routes":[
            {"pool":"a","country":"Germany","device":"fridge","language":"German"},
            {"pool":"a","referrer_host":"https://news.example.net/","landing_path":"https://example.com/offers"},
            {"pool":"a","country":"de","device":"Mob*","language":"gsw-CH","referrer_host":"*.net","landing_path":"*/roof"},
            {"pool":"a","country":"*","device":"*","language":"*","landing_path":"/offers?ref=x"}]}"#;
    let settings = settings(json);
    assert_eq!(settings.check(), Ok(()));
    let expected = [
        "routes[0].country: no visit ever meets \"Germany\"; give a country's two letters",
        "routes[0].device: no visit ever meets \"fridge\"; give one of desktop, mobile, tablet",
        "routes[0].language: no visit ever meets \"German\"; give a language tag",
        "routes[1].referrer_host: no visit ever meets \"https://news.example.net/\"; give a host alone",
        "routes[1].landing_path: no visit ever meets \"https://example.com/offers\"; give a path",
        "routes[3].landing_path: no visit ever meets \"/offers?ref=x\"; give a path",
    ];
    check(settings.warnings(), &expected, json);
}

#[test]
fn sites_have_defaults_and_are_found() {
    let json = r#"{"sites":[{"name":"a","origins":["https://*.example.com"]},
        {"name":"b","origins":["https://b.example.com","https://example.org"]}],
        "pools":[{"name":"p","site":"c","on_exhausted":"share"}],
        "numbers":[{"number":"+14155550101","kind":"pool","pool":"p"}]}"#;
    let settings = settings(json);
    assert_eq!(settings.check(), Ok(()));
    check(settings.warnings(), &["pools[0].site: there is no site called \"c\""], json);
    let rules = Rules::new(settings);
    let a = rules.site("a").expect("a site");
    assert_eq!((a.honour_gpc, a.honour_dnt, a.number_timeout_ms, a.heartbeat_seconds), (true, false, 800, 30));
    assert_eq!(*a, Site { name: "a".into(), origins: vec!["https://*.example.com".into()], ..Site::default() });
    let of = |origin| rules.site_of_origin(origin).map(|site| site.name.as_str());
    assert_eq!(of("https://b.example.com"), Some("a"), "the first that fits");
    assert_eq!((of("https://example.org"), of("https://example.net")), (Some("b"), None));
    assert_eq!(rules.site("c"), None);
}

#[test]
fn numbers_and_pools_are_found() {
    let mut json = r#"{"pools":[{"name":"a","site":"x"}],"numbers":["#.to_owned();
    for n in 0..3_000 {
        json.push_str(&format!(r#"{{"number":"+1415555{n:04}","kind":"pool","pool":"a"}},"#));
    }
    json.push_str(r#"{"number":"+4930123456","kind":"static","source":"van"}]}"#);
    let rules = Rules::new(settings(&json));
    assert_eq!(rules.number(Phone(4_930_123_456)).and_then(|number| number.source.as_deref()), Some("van"));
    assert_eq!(rules.number(Phone(14_155_552_999)).map(|number| number.kind), Some(NumberKind::Pool));
    assert_eq!(rules.number(Phone(14_155_553_000)), None);
    assert_eq!(rules.pool("a").and_then(|pool| pool.site.as_deref()), Some("x"));
    assert_eq!(rules.pool("b"), None);
}

#[test]
fn business_hours_follow_the_clock_on_the_wall() {
    // Berlin: winter time until 2026-03-29 01:00 UTC, summer time until 2026-10-25 01:00 UTC.
    let week = r#"{"timezone":"Europe/Berlin","holidays":["2026-12-25"],"business_hours":{"mon":[["09:00","12:00"],
        ["13:00","18:00"]],"fri":[["20:00","24:00"]],"sat":[["00:00","02:00"]],"sun":[["02:00","03:00"]]}}"#;
    let holidays = r#"{"timezone":"America/New_York","holidays":["2026-12-25"]}"#;
    let nowhere = r#"{"timezone":"Mars/Base","business_hours":{"mon":[["09:00","12:00"]]}}"#;
    for (json, at, open) in [
        (week, "2026-11-23T07:59:59.999999Z", false),
        (week, "2026-11-23T08:00:00Z", true),
        (week, "2026-11-23T10:59:59.999999Z", true),
        (week, "2026-11-23T11:00:00Z", false),
        (week, "2026-07-06T07:00:00Z", true),
        (week, "2026-07-06T06:59:59Z", false),
        (week, "2026-11-24T09:00:00Z", false),
        (week, "2026-11-20T22:59:59Z", true),
        (week, "2026-11-20T23:00:00Z", true),
        (week, "2026-11-21T01:00:00Z", false),
        // The hour that is skipped in spring never comes; the one that is repeated in autumn comes twice.
        (week, "2026-03-29T00:59:59Z", false),
        (week, "2026-03-29T01:00:00Z", false),
        (week, "2026-10-25T00:30:00Z", true),
        (week, "2026-10-25T01:30:00Z", true),
        (week, "2026-10-25T02:00:00Z", false),
        // 25 December is a Friday.
        (week, "2026-12-25T20:00:00Z", false),
        (week, "2026-12-25T23:30:00Z", true),
        (holidays, "2026-12-25T04:59:59Z", true),
        (holidays, "2026-12-25T05:00:00Z", false),
        (holidays, "2026-12-26T04:59:59Z", false),
        (holidays, "2026-12-26T05:00:00Z", true),
        ("{}", "2026-12-25T05:00:00Z", true),
        (nowhere, "2026-11-23T10:00:00Z", true),
    ] {
        let rules = Rules::new(settings(json));
        assert_eq!(rules.in_business_hours(Time::parse(at).expect(at)), open, "{at}");
    }
    assert!(!Rules::new(settings(week)).in_business_hours(Time::MAX));
}

#[test]
fn settings_survive_json_and_snapshots() {
    let json = r#"{"numbers":[{"number":"+14155550100","kind":"static","source":"van"}],"pools":[{"name":"a"}],
        "routes":[{"pool":"a","url_parameters":{"a":"b"}}],"tag_rules":[{"category":"x"}],"retention_days":3,
        "business_hours":{"mon":[["09:00","24:00"]]},"holidays":["2026-12-25"],"agents":{"1":"Ada"}}"#;
    let settings = settings(json);
    let written = serde_json::to_string(&settings).expect("JSON");
    assert_eq!(super::tests::settings(&written), settings);
    let bytes = postcard::to_stdvec(&settings).expect("postcard");
    assert_eq!(postcard::from_bytes::<Settings>(&bytes), Ok(settings));
}

#[test]
fn mappings_are_looked_over() {
    let members = r#""call_id":{"path":"id"},"from":{"path":"a"},"to":{"path":"b"}"#;
    for (json, expected) in [
        (format!(r#"{{"name":"x",{members},"started_at":{{"path":"s"}},"ended_at":{{"path":"e"}}}}"#), &[][..]),
        (format!(r#"{{"name":"x",{members},"status":{{"value":"ringing"}}}}"#), &[]),
        (
            format!(r#"{{"name":"x",{members},"status":{{"path":"s","values":{{"1":"ringing","2":"record"}}}}}}"#),
            &["mappings[0].started_at: is missing", "mappings[0].ended_at: is missing"],
        ),
        (
            r#"{"timezone":"Mars","call_id":{},"from":{"path":"a","value":"b"},"to":{"path":" | "},
                "status":{"value":"hung"},"direction":{"path":"d","values":{"in":"in"}},"outcome":{"value":"fine"},
                "hangup_by":{"value":"dog"},"time":{"path":"t","format":"%Q"},"cause":{"path":"c","format":"epoch"}}"#
                .to_owned(),
            &[
                "mappings[0].name: is empty",
                "mappings[0].timezone: \"Mars\" is not an IANA time zone",
                "mappings[0].call_id: names neither a path nor a value",
                "mappings[0].from: names a path and a value",
                "mappings[0].to.path: is empty",
                "mappings[0].direction: \"in\" is not one of inbound, outbound, callback",
                "mappings[0].status: \"hung\" is not one of started, menu",
                "mappings[0].time.format: \"%Q\" is not one of rfc3339",
                "mappings[0].outcome: \"fine\" is not one of answered",
                "mappings[0].cause.format: is for times alone",
                "mappings[0].hangup_by: \"dog\" is not one of caller",
            ],
        ),
    ] {
        let settings = settings(&format!(r#"{{"mappings":[{json}]}}"#));
        check(settings.check().err().unwrap_or_default(), expected, &json);
    }
    let twice = format!(r#"{{"name":"x",{members},"status":{{"value":"ended"}}}}"#);
    let settings = settings(&format!(r#"{{"mappings":[{twice},{twice}]}}"#));
    check(settings.check().err().unwrap_or_default(), &["mappings[1].name: two mappings are called \"x\""], "twice");
}
