//! What pages may do: a collector through real sockets, spoken to as browsers speak.

use callweave::collect::{Collect, log_answers};
use callweave::config::{Account, Config, Secret};
use callweave::log::SharedLog;
use callweave::telemetry::metrics::Metrics;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::collect::{KEY, PATIENCE, Reply, Running, request, start};

const PAGE: &str = "https://www.acme.example";

fn settings() -> Value {
    json!({
        "sites": [
            {"name": "main", "origins": [PAGE, "https://*.acme.example"], "cookie_domain": "acme.example"},
            {"name": "blog", "origins": ["http://blog.example"], "heartbeat_seconds": 60, "number_timeout_ms": 5000},
        ],
        "numbers": [
            {"number": "+14155550101", "kind": "pool", "pool": "main", "forward_to": "+14155550100"},
            {"number": "+14155550102", "kind": "pool", "pool": "main", "forward_to": "+14155550100"},
            {"number": "+14155550103", "kind": "static", "forward_to": "+14155550199", "source": "news", "medium": "email"},
        ],
        "pools": [{"name": "main", "on_exhausted": "share"}],
        "routes": [
            {"source": "news", "number": "+14155550103"},
            {"replaces": "+14155550100", "pool": "main"},
        ],
    })
}

async fn start_with(settings: Option<Value>, change: impl FnOnce(&mut Config)) -> Running {
    start(|config| {
        let settings = settings.map(|it| serde_json::from_value(it).expect("settings"));
        config.accounts.insert("acme".into(), account("acme", KEY, settings));
        change(config);
    })
    .await
}

fn account(name: &str, key: &str, settings: Option<callweave_core::settings::Settings>) -> Account {
    Account { name: name.into(), keys: vec![Secret::new(key)], settings, logins: Vec::new() }
}

async fn from(running: &Running, path: &str, origin: &str, headers: &str, body: &Value) -> Reply {
    let headers = format!("Origin: {origin}\r\nContent-Type: text/plain;charset=UTF-8\r\n{headers}");
    request(&running.collect, &format!("POST {path}"), &headers, body.to_string().as_bytes()).await
}

async fn web(running: &Running, body: &Value) -> Reply {
    from(running, "/v1/web", PAGE, "", body).await
}

fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn view(id: &str, url: &str) -> Value {
    json!({"id": id, "type": "page_view", "time": now(), "data": {"url": url}})
}

/// The events in the log, as they stand there.
async fn logged(running: &Running) -> Vec<Value> {
    let all = running.logged().await;
    all.iter().filter_map(|line| serde_json::from_str(line.strip_prefix("/v1/web ")?).ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_site_are_heard_and_no_others() {
    let running = start_with(Some(settings()), |_| {}).await;
    let allowed = |reply: &Reply, origin: &str| {
        reply.head.contains(&format!("access-control-allow-origin: {origin}\r\n"))
            && reply.head.contains("access-control-allow-credentials: true\r\n")
            && reply.head.contains("vary: origin\r\n")
    };
    for (site, origin, status) in [
        ("acme/main", PAGE, 200),
        ("acme", PAGE, 200),
        ("acme/main", "https://shop.acme.example", 200),
        ("acme/blog", "http://blog.example", 200),
        ("acme", "http://blog.example", 200),
        ("acme/main", "http://blog.example", 403),
        ("acme/main", "https://acme.example", 403),
        ("acme/main", "https://www.acme.example.evil.example", 403),
        ("acme/main", "http://localhost", 403),
        ("acme/main", "null", 403),
        ("acme/other", PAGE, 403),
        ("globex/main", PAGE, 403),
        ("", PAGE, 403),
    ] {
        let reply = from(&running, "/v1/web", origin, "", &json!({"site": site, "visitor_id": "v"})).await;
        assert_eq!(reply.status, status, "{site} {origin} {reply:?}");
        assert_eq!(allowed(&reply, origin), status == 200, "{site} {origin} {reply:?}");
        assert!(reply.head.contains("x-content-type-options: nosniff"), "{reply:?}");
        assert_eq!(reply.head.contains("access-control"), status == 200, "{reply:?}");
    }
    let reply = request(&running.collect, "POST /v1/web", "", br#"{"site":"acme"}"#).await;
    assert_eq!((reply.status, &reply.json()["type"]), (403, &json!("urn:callweave:problem:origin")), "no origin");
    for path in ["/v1/web", "/v1/number"] {
        for (origin, status) in [(PAGE, 204), ("http://blog.example", 204), ("https://evil.example", 403)] {
            let headers = format!("Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n");
            let reply = request(&running.collect, &format!("OPTIONS {path}"), &headers, b"").await;
            assert_eq!((reply.status, allowed(&reply, origin)), (status, status == 204), "{path} {origin} {reply:?}");
        }
        assert_eq!(request(&running.collect, &format!("GET {path}"), "", b"").await.status, 405);
    }
    // What went wrong is for the page to read, too.
    let reply = from(&running, "/v1/web", PAGE, "", &json!({"site": "acme", "visitor_id": "<script>"})).await;
    assert!(reply.status == 400 && allowed(&reply, PAGE) && !reply.body.contains("<script>"), "{reply:?}");
    running.stop().await;

    let trial = start_with(None, |_| {}).await;
    for (origin, status) in [("http://localhost:8000", 200), ("http://127.0.0.1", 200), (PAGE, 403)] {
        let reply = from(&trial, "/v1/web", origin, "", &json!({"site": "acme/any"})).await;
        assert_eq!(reply.status, status, "{origin} {reply:?}");
    }
    trial.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_page_are_the_contracts_events() {
    let running = start_with(Some(settings()), |_| {}).await;
    let body = json!({
        "site": "acme/main", "visitor_id": "v1", "session_id": "s1", "sent_at": now(),
        "events": [
            view("e1", "https://www.acme.example/?q=1"),
            {"id": "e2", "type": "web_event", "time": now(), "data": {"name": "form_submit", "value": "1.50", "currency": "EUR"}},
            {"id": "e3", "type": "heartbeat", "time": now(), "data": {}},
            {"id": "e4", "type": "call", "time": now(), "data": {"call_id": "c"}},
            {"id": "e5", "type": "page_view", "time": now(), "data": {"url": "https://x.example", "ip": "6.6.6.6"}},
            "hello",
        ],
    });
    let reply = from(&running, "/v1/web", PAGE, "User-Agent: Test/1.0 \"q\"\r\n", &body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let told = reply.json();
    assert_eq!((&told["visitor_id"], &told["numbers"]), (&json!("v1"), &json!([])));
    assert_eq!(told["settings"]["heartbeat_seconds"], 30);
    let refused: Vec<_> = told["refused"].as_array().expect("a list").iter().map(|it| it["index"].clone()).collect();
    assert_eq!(refused, [3, 4, 5].map(Value::from));

    let events = logged(&running).await;
    assert_eq!(events.len(), 3, "{events:?}");
    for event in &events {
        assert_eq!((&event["account"], &event["source"]), (&json!("acme"), &json!("web/main")));
        assert_eq!((&event["data"]["visitor_id"], &event["data"]["session_id"]), (&json!("v1"), &json!("s1")));
        assert!(event["recordedtime"].is_string(), "{event}");
    }
    assert_eq!(events[0]["data"]["ip"], "127.0.0.1");
    assert_eq!(events[0]["data"]["user_agent"], "Test/1.0 \"q\"");
    assert_eq!((&events[1]["data"]["ip"], &events[1]["data"]["value"]), (&Value::Null, &json!("1.50")));
    let rejected: Vec<_> = running.logged().await.into_iter().filter(|line| line.starts_with("rejected")).collect();
    assert!(rejected.len() == 3 && rejected[0].contains("\"id\":\"e4\"") && rejected[2].ends_with(": \"hello\""));

    // A clock that is a year slow, one that is a day fast, and one that is about right.
    let minutes = |minutes: i64| {
        let time = chrono::Utc::now() + chrono::TimeDelta::minutes(minutes);
        time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
    };
    for (id, off) in [("slow", -525_600), ("fast", 1440), ("right", 0)] {
        let event = json!({"id": id, "type": "heartbeat", "time": minutes(off - 1), "data": {}});
        let body = json!({"site": "acme/main", "visitor_id": "v2", "sent_at": minutes(off), "events": [event]});
        assert_eq!(web(&running, &body).await.status, 200, "{id}");
    }
    for event in logged(&running).await.iter().filter(|event| event["data"]["visitor_id"] == "v2") {
        let time = |name: &str| {
            let text = event[name].as_str().expect("a time");
            chrono::DateTime::parse_from_rfc3339(text).expect("RFC 3339")
        };
        let before = (time("recordedtime") - time("time")).num_seconds();
        assert!((59..75).contains(&before), "{event}");
    }
    assert_eq!(running.metrics.collect_body_memory.get(), 0.0, "memory is given back");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_names_the_visitor_and_is_renewed() {
    let running = start_with(Some(settings()), |_| {}).await;
    let ask = async |site: &str, origin: &str, visitor: Option<&str>, cookie: &str| {
        let headers = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
        from(&running, "/v1/web", origin, &headers, &json!({"site": site, "visitor_id": visitor})).await
    };
    let cookie_of = |reply: &Reply| {
        let line = reply.head.lines().find(|line| line.starts_with("set-cookie: ")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{reply:?}"))
    };
    let main = "max-age=34190000; path=/; samesite=lax; secure; domain=acme.example";
    let reply = ask("acme/main", PAGE, Some("v1"), "").await;
    assert_eq!(cookie_of(&reply), format!("set-cookie: cw_v=v1; {main}"));
    let reply = ask("acme/main", PAGE, None, "a=b; cw_v=known; c=d").await;
    assert_eq!(
        (&reply.json()["visitor_id"], cookie_of(&reply)),
        (&json!("known"), format!("set-cookie: cw_v=known; {main}"))
    );
    let reply = ask("acme/main", PAGE, Some("v1"), "cw_v=other").await;
    assert_eq!(reply.json()["visitor_id"], "v1", "the page knows better");
    let (first, second) = (ask("acme/main", PAGE, None, "cw_v=a b<>").await, ask("acme/main", PAGE, None, "").await);
    let made = first.json()["visitor_id"].as_str().expect("an id").to_owned();
    assert!(made.len() == 36 && made != second.json()["visitor_id"], "{made}");
    let reply = ask("acme/blog", "http://blog.example", Some("v1"), "").await;
    assert_eq!(cookie_of(&reply), "set-cookie: cw_v=v1; max-age=34190000; path=/; samesite=lax");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cookie_is_set_before_consent_where_it_is_required() {
    let mut settings = settings();
    settings["sites"][0]["consent_required"] = json!(true);
    let running = start_with(Some(settings), |_| {}).await;
    for (consent, expected) in [
        (json!({}), None),
        (json!({"callweave": "granted"}), Some("cw_v=v1; max-age=34190000")),
        (json!({"callweave": "denied"}), Some("cw_v=; max-age=0")),
    ] {
        let mut view = view("e1", "https://www.acme.example/");
        view["data"]["consent"] = consent;
        let body = json!({"site": "acme/main", "visitor_id": "v1", "events": [view]});
        let reply = from(&running, "/v1/web", PAGE, "Cookie: cw_v=v1\r\n", &body).await;
        let cookie = reply.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let told = cookie.map(|cookie| cookie.split("; path").next().unwrap_or_default());
        assert_eq!((reply.status, told), (200, expected), "{reply:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_bounded_by_address_and_by_site() {
    let running = start_with(Some(settings()), |config| {
        config.limits.address_requests_per_second = 2;
        config.limits.site_requests_per_second = 10;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let ask = async |address: &str| {
        let headers = format!("X-Forwarded-For: 6.6.6.6, {address}\r\n");
        from(&running, "/v1/web", PAGE, &headers, &json!({"site": "acme/main", "visitor_id": "v"})).await
    };
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(ask("203.0.113.1").await.status);
    }
    assert!(statuses[..4] == [200; 4] && statuses.contains(&429), "{statuses:?}");
    assert_eq!(ask("203.0.113.2").await.status, 200, "another address");
    let mut last = ask("203.0.113.3").await;
    for address in 4..60 {
        last = ask(&format!("203.0.113.{address}")).await;
        if last.status == 429 {
            break;
        }
    }
    assert_eq!((last.status, &last.json()["type"]), (429, &json!("urn:callweave:problem:too-fast")), "the site");
    assert!(last.head.contains("retry-after: 1"), "{last:?}");
    let event = json!({"site": "acme/blog", "visitor_id": "v", "events": [view("e", "http://blog.example/")]});
    let headers = "X-Forwarded-For: 203.0.113.77\r\n";
    assert_eq!(from(&running, "/v1/web", "http://blog.example", headers, &event).await.status, 200);
    assert_eq!(logged(&running).await[0]["data"]["ip"], "203.0.113.77");
    running.stop().await;

    let direct = start_with(Some(settings()), |_| {}).await;
    let event = json!({"site": "acme/main", "visitor_id": "v", "events": [view("e", "http://blog.example/")]});
    assert_eq!(from(&direct, "/v1/web", PAGE, headers, &event).await.status, 200);
    assert_eq!(logged(&direct).await[0]["data"]["ip"], "127.0.0.1", "nobody is trusted");
    direct.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bodies_are_refused_and_nothing_is_reflected() {
    let running = start_with(Some(settings()), |_| {}).await;
    let tag = "<script>alert(1)</script>";
    let deep = format!("{{\"site\":\"acme\",\"x\":{}1{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let many = json!({"site": "acme", "events": vec![1; 101]}).to_string();
    let long = json!({"site": "acme", "x": "x".repeat(70_000)}).to_string();
    let twice = r#"{"site":"acme","visitor_id":"v","events":[{"id":"1","type":"heartbeat","time":"2026-11-20T12:00:00Z",
        "data":{"visitor_id":"other"}}]}"#;
    let numbers = json!({"site": "acme", "numbers": {"replace": [tag, "+1"], "held": [
        {"lease_id": tag, "pool": tag, "number": tag, "extension": tag, "replaces": tag},
        {"lease_id": "", "pool": "main", "number": "+14155550101"}]}});
    let table: &[(String, &str, u16)] = &[
        (String::new(), "", 400),
        ("[]".into(), "", 400),
        (format!("{{\"site\":\"acme\",\"visitor_id\":{tag:?}}}"), "", 400),
        (format!("{{\"site\":{tag:?}}}"), "", 403),
        (format!("{{\"site\":\"acme\",\"session_id\":{tag:?}}}"), "", 400),
        (format!("{{\"site\":\"acme\",{tag}}}"), "", 400),
        (deep, "", 400),
        (many, "", 413),
        (long, "", 413),
        (twice.into(), "", 200),
        (numbers.to_string(), "", 200),
        (
            format!(
                "{{\"site\":\"acme\",\"events\":[{tag:?},{{\"id\":{tag:?},\"type\":{tag:?},\"time\":{tag:?},\"data\":{tag:?}}}]}}"
            ),
            "",
            200,
        ),
        ("{\"site\":\"acme\"}".into(), "Content-Encoding: gzip\r\n", 415),
        ("{\"site\":\"acme\"}".into(), "Cookie: cw_v=<script>\r\nX-Forwarded-For: <script>\r\n", 200),
    ];
    for path in ["/v1/web", "/v1/number"] {
        for (body, headers, status) in table {
            let headers = format!("Origin: {PAGE}\r\n{headers}");
            let reply = request(&running.collect, &format!("POST {path}"), &headers, body.as_bytes()).await;
            assert_eq!(reply.status, *status, "{path} {body:.200} {reply:?}");
            assert!(!reply.body.contains('<') && !reply.head.contains('<'), "{reply:?}");
        }
    }
    for line in running.logged().await {
        assert!(line.starts_with("rejected Some(\"acme\")"), "{line}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_gets_its_numbers_and_keeps_them() {
    let running = start_with(Some(settings()), |_| {}).await;
    let page = "https://www.acme.example/";
    let ask = async |visitor: &str, url: &str, numbers: Value| {
        let body = json!({
            "site": "acme/main", "visitor_id": visitor, "session_id": format!("s-{visitor}"), "sent_at": now(),
            "events": [view(visitor, url)], "numbers": numbers,
        });
        let reply = web(&running, &body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["numbers"].clone()
    };
    let first = ask("v1", page, json!({"replace": ["+14155550100"], "held": []})).await;
    let lease = &first[0];
    assert_eq!(
        (&lease["replaces"], &lease["how"], &lease["pool"]),
        (&json!("+14155550100"), &json!("leased"), &json!("main"))
    );
    let (number, national) = (lease["number"].as_str().expect("a number"), lease["national"].as_str().expect("text"));
    assert_eq!(national, format!("(415) 555-{}", &number[8..]));
    assert_eq!(lease["international"], format!("+1 415-555-{}", &number[8..]));
    // The next page knows what it holds, or does not.
    let held = json!({"lease_id": lease["lease_id"], "pool": "main", "number": number, "replaces": "+14155550100"});
    for numbers in [
        json!({"replace": ["+14155550100"], "held": [held], "want": true}),
        json!({"replace": [], "held": [held], "want": true}),
        json!({"replace": ["+14155550100"]}),
        json!({"replace": [], "held": [held], "want": false}),
    ] {
        let again = ask("v1", page, numbers.clone()).await;
        assert_eq!(again[0]["how"], "kept", "{numbers} {again}");
        for member in ["number", "lease_id", "replaces"] {
            assert_eq!(again[0][member], lease[member], "{member} {numbers}");
        }
    }
    let second = ask("v2", page, json!({"replace": ["+14155550100", "+14155550199"], "held": []})).await;
    assert_eq!(second.as_array().map(Vec::len), Some(1), "one has no route: {second}");
    assert!(second[0]["how"] == "leased" && second[0]["number"] != number, "{second}");
    let third = ask("v3", page, json!({"replace": ["+14155550100"], "held": [held]})).await;
    assert_eq!(third[0]["how"], "shared", "what a page says it holds is not believed: {third}");
    // By its source, and by that of the landing page.
    let news = ask("v4", "https://www.acme.example/?utm_source=news", json!({"replace": ["+14155550100"]})).await;
    assert_eq!((&news[0]["how"], &news[0]["number"]), (&json!("static"), &json!("+14155550103")));
    let body = json!({
        "site": "acme/main", "visitor_id": "v4", "landing": {"url": "https://www.acme.example/?utm_source=news"},
        "url": page, "numbers": {"replace": ["+14155550100"]},
    });
    for path in ["/v1/web", "/v1/number"] {
        let reply = from(&running, path, PAGE, "", &body).await;
        assert_eq!(reply.json()["numbers"][0]["how"], "static", "{path} {reply:?}");
    }
    let program = "User-Agent: python-requests/2.32.3\r\n";
    let reply = from(&running, "/v1/number", PAGE, program, &body).await;
    assert_eq!(reply.json()["numbers"][0]["how"], "static", "a program is no crawler: {reply:?}");
    let bot = "User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)\r\n";
    let reply = from(&running, "/v1/web", PAGE, bot, &body).await;
    assert_eq!((reply.status, &reply.json()["numbers"]), (200, &json!([])), "crawlers hold no numbers");
    let leases = running.logged().await.into_iter().filter(|line| line.contains("lease_granted")).count();
    assert_eq!(leases, 3, "two of their own, and one that is shared");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_ask_with_a_key_and_accounts_stay_apart() {
    let running = start_with(Some(settings()), |config| {
        let other = json!({"pools": [{"name": "theirs"}], "routes": [{"pool": "theirs"}], "numbers": [
            {"number": "+14155550901", "kind": "pool", "pool": "theirs", "forward_to": "+14155550900"}]});
        let other = serde_json::from_value(other).expect("settings");
        config.accounts.insert("globex".into(), account("globex", "the-key-of-globex-for-tests", Some(other)));
    })
    .await;
    let ask = async |key: &str, site: Option<&str>, pool: &str| {
        let held = json!([{"lease_id": "l", "pool": pool, "number": "+14155550901"}]);
        let body = json!({"site": site, "visitor_id": "v", "url": "https://www.acme.example/", "ip": "203.0.113.7",
            "numbers": {"replace": ["+14155550100"], "held": held}});
        let headers = format!("Authorization: Bearer {key}\r\n");
        request(&running.collect, "POST /v1/number", &headers, body.to_string().as_bytes()).await
    };
    for site in [None, Some("/main"), Some("acme/main"), Some("acme")] {
        for pool in ["main", "theirs"] {
            let reply = ask(KEY, site, pool).await;
            assert_eq!(reply.status, 200, "{site:?} {reply:?}");
            let number = reply.json()["numbers"][0]["number"].clone();
            assert!(number == "+14155550101" || number == "+14155550102", "{number}: never another account's");
            assert!(!reply.head.contains("set-cookie"), "{reply:?}");
        }
    }
    let body = json!({"visitor_id": "v", "url": "https://www.acme.example/", "numbers": {}}).to_string();
    let headers = format!("Authorization: Bearer {KEY}\r\nOrigin: https://evil.example\r\n");
    let reply = request(&running.collect, "POST /v1/number", &headers, body.as_bytes()).await;
    assert!(
        reply.status == 200 && !reply.head.contains("access-control"),
        "no page is given a key's answer: {reply:?}"
    );
    for (key, site, status) in [(KEY, "/other", 400), (KEY, "globex", 403), ("some-key-of-nobody", "acme", 401)] {
        assert_eq!(ask(key, Some(site), "main").await.status, status, "{site}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_posted_take_effect() {
    let running = start_with(None, |_| {}).await;
    // A second collector on the same log.
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut config = Config { data: folder.path().to_owned(), ..Config::default() };
    config.listen.collect.set_port(0);
    config.listen.admin.set_port(0);
    config.accounts.insert("acme".into(), account("acme", KEY, None));
    let shared: SharedLog = running.log.clone();
    let bound =
        Collect::of(&config).bind(shared.clone(), Metrics::new(), log_answers(shared)).await.expect("free ports");
    let (second, shutdown) = (bound.collect_address().to_string(), CancellationToken::new());
    let task = tokio::spawn(bound.run(shutdown.clone()));
    let status = async |address: &str| {
        let headers = format!("Origin: {PAGE}\r\n");
        request(address, "POST /v1/web", &headers, br#"{"site":"acme/main","visitor_id":"v"}"#).await.status
    };
    assert_eq!((status(&running.collect).await, status(&second).await), (403, 403));
    let event = |id: &str, time: &str, settings: Value| {
        json!({"specversion": "1.0", "id": id, "source": "test", "type": "account_settings", "time": time,
            "account": "acme", "data": settings})
    };
    let heartbeat = json!({"specversion": "1.0", "id": "h", "source": "test", "type": "heartbeat", "time": now(),
        "account": "acme", "data": {"visitor_id": "v"}});
    let body = format!("{heartbeat}\n{}\n{heartbeat}", event("1", &now(), settings()));
    assert_eq!(running.post("", body.as_bytes()).await.status, 200);
    assert_eq!(status(&running.collect).await, 200, "at once where they were posted");
    let found = tokio::time::timeout(PATIENCE, async {
        while status(&second).await != 200 {
            tokio::task::yield_now().await;
        }
    });
    found.await.expect("the other collector finds them");
    // Settings of an earlier time are no news, and what cannot be used changes nothing.
    let earlier = event("2", "2020-01-01T00:00:00Z", json!({}));
    let wrong = event("3", &now(), json!({"timezone": "Mars/Olympus"}));
    assert_eq!(running.post("", format!("{earlier}\n{wrong}").as_bytes()).await.status, 207);
    assert_eq!(status(&running.collect).await, 200);
    shutdown.cancel();
    task.await.expect("it stops");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_is_served_by_version_and_packed() {
    let running = start_with(Some(settings()), |_| {}).await;
    let get = async |path: &str, headers: &str| {
        let headers = format!("Connection: close\r\n{headers}");
        request(&running.collect, &format!("GET {path}"), &headers, b"").await
    };
    let plain = get("/callweave.js", "").await;
    assert_eq!(plain.status, 200, "{plain:?}");
    assert!(plain.head.contains("content-type: text/javascript; charset=utf-8") && plain.head.contains("max-age=300"));
    let tag = plain.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_owned();
    let versioned = get(&format!("/callweave-{}.js", tag.trim_matches('"')), "").await;
    assert!(versioned.status == 200 && versioned.body == plain.body && versioned.head.contains("immutable"));
    assert_eq!(get("/callweave.js", &format!("If-None-Match: {tag}\r\n")).await.status, 304);
    assert!(get("/callweave.js", "Accept-Encoding: gzip\r\n").await.head.contains("content-encoding: gzip"));
    assert_eq!(get("/callweave-0.js", "").await.status, 404);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_log_is_no_acknowledgement_and_holds_no_page_up() {
    let running = start_with(Some(settings()), |config| {
        config.limits.append = std::time::Duration::from_millis(300);
    })
    .await;
    let numbers = json!({"replace": ["+14155550100"]});
    let body = json!({"site": "acme/main", "visitor_id": "v", "url": "https://www.acme.example/", "numbers": numbers});
    assert_eq!(from(&running, "/v1/web", PAGE, "", &json!({"site": "acme/main"})).await.status, 200);
    running.close_gate().await;
    let reply = from(&running, "/v1/number", PAGE, "", &body).await;
    assert_eq!((reply.status, &reply.json()["numbers"]), (200, &json!([])), "the page shows its own number");
    let body = json!({"site": "acme/main", "visitor_id": "v", "events": [view("e", "https://www.acme.example/")]});
    let reply = web(&running, &body).await;
    assert_eq!((reply.status, &reply.json()["type"]), (503, &json!("urn:callweave:problem:unconfirmed")));
    assert!(reply.head.contains("access-control-allow-origin: https://www.acme.example"), "{reply:?}");
    running.stop().await;
}
