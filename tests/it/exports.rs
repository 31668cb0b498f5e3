//! Exports by the real program: conversions, deals, tasks and messages reach providers as these ask for them, and what they refuse is
//! kept like any other delivery.

use serde_json::{Value, json};

use crate::notify::{ALLOW, ask, post};
use crate::program::{Place, Program, key_of, until};
use crate::providers::Providers;

const NUMBER: &str = "+14155550100";
const SERVICE: &str = "+14155550101";
/// So long ago was the call; its visit was half an hour before.
const HOURS: i64 = 7;

fn ago(hours: i64, minutes: i64) -> String {
    let at = chrono::Utc::now() - chrono::Duration::hours(hours) - chrono::Duration::minutes(minutes);
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

fn event(kind: &str, id: &str, time: &str, data: Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "test", "type": kind, "time": time, "account": "acme", "data": data})
}

/// A visit by an ad, a number leased to it, and a call to that number.
fn visited(name: &str, at: usize, click: &str, consent: &Value) -> Vec<Value> {
    let (visitor, session, number) = (format!("v-{name}"), format!("s-{name}"), format!("+1415555{:04}", 2000 + at));
    let view = json!({"visitor_id": visitor, "session_id": session, "url": format!("https://shop.example/?utm_campaign=spring&{click}"),
        "client_id": format!("111.{at}"), "client_session_id": "1763638200", "consent": consent});
    let lease = json!({"lease_id": format!("l-{name}"), "pool": "web", "number": number, "visitor_id": visitor,
        "session_id": session, "expires_at": ago(HOURS - 1, 0)});
    let call = |status: &str, minutes: i64| {
        let data = json!({"call_id": format!("c-{name}"), "status": status, "direction": "inbound",
            "from": format!("+1202555{:04}", 100 + at), "to": number, "agent": "Ann"});
        event("call", &format!("{name}-{status}"), &ago(HOURS, minutes), data)
    };
    vec![
        event("page_view", &format!("{name}-view"), &ago(HOURS, 30), view),
        event("lease_granted", &format!("{name}-lease"), &ago(HOURS, 29), lease),
        call("started", 20),
        call("answered", 19),
        call("ended", 15),
    ]
}

/// A place whose account `acme` has these exports and webhooks, and secrets in files.
fn place(exports: Value, webhooks: Value) -> Place {
    let place = Place::new();
    let folder = place.folder.path();
    let numbers: Vec<Value> = (0..10)
        .map(|at| json!({"number": format!("+1415555{:04}", 2000 + at), "kind": "pool", "pool": "web"}))
        .collect();
    let static_ = json!({"number": NUMBER, "kind": "static", "source": "print", "campaign": "leaflet"});
    let service = json!({"number": SERVICE, "kind": "static", "source": "service"});
    let numbers: Vec<Value> = numbers.into_iter().chain([static_, service]).collect();
    let settings = json!({"lateness_seconds": 1, "currency": "EUR", "numbers": numbers, "pools": [{"name": "web"}],
        "exports": exports, "webhooks": webhooks});
    std::fs::write(folder.join("acme.json"), settings.to_string()).expect("settings");
    std::fs::create_dir_all(folder.join("secrets/acme")).expect("a folder");
    let ads =
        "# as the provider calls them\ndeveloper_token=dev\nclient_id=id\nclient_secret=cs\nrefresh_token=1//refresh\n";
    for (file, text) in
        [("ads", ads), ("ga", "api_secret=s1\n"), ("meta", "access_token=EAA\n"), ("crm", "access_token=pat-1\n")]
    {
        std::fs::write(folder.join("secrets/acme").join(file), text).expect("a file");
    }
    let path = folder.join("callweave.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let text = text.replacen("[accounts.acme]\n", "[accounts.acme]\nsettings = \"acme.json\"\n", 1);
    std::fs::write(&path, format!("{ALLOW}secrets = \"secrets\"\n{text}")).expect("a configuration");
    place
}

fn google_ads(providers: &Providers) -> Value {
    json!({"name": "ads", "value": 25, "secret_file": "ads", "google_ads": {"customer_id": "123-456-7890", "conversion_action": "42",
        "conversion_name": "Phone calls", "url": providers.url(), "token_url": format!("{}/token", providers.url())}, "delay_hours": 0})
}

/// Once so many attempts are there: the outcome of each, by its call.
fn outcomes(program: &Program, export: &str, count: usize) -> Vec<(String, String)> {
    let attempts = until(&format!("{count} attempts of {export}"), || {
        let (_, told) = ask(program, "acme", "GET", &format!("exports/{export}/attempts"), "");
        told["attempts"].as_array().filter(|all| all.len() >= count).cloned()
    });
    let of = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
    let mut all: Vec<(String, String)> = attempts
        .iter()
        .map(|it| (of(it, "moment_id").split(':').nth(1).unwrap_or_default().to_owned(), of(it, "outcome")))
        .collect();
    all.sort();
    all
}

#[test]
fn a_call_reaches_the_provider_whose_ad_led_to_it() {
    let providers = Providers::start();
    let url = providers.url();
    let exports = json!([
        {"name": "ga", "secret_file": "ga", "ga4": {"measurement_id": "G-TEST", "url": url}},
        google_ads(&providers),
        {"name": "bing", "secret_file": "ads", "microsoft_ads": {"customer_id": "1", "account_id": "2", "conversion_name": "calls",
            "url": url, "token_url": format!("{url}/token")}},
        {"name": "meta", "secret_file": "meta", "meta": {"pixel_id": "77", "url": url}},
    ]);
    let place = place(exports, json!([]));
    let program = Program::start(&place, &["up"]);
    let granted = json!({"ad_user_data": "granted", "ad_personalization": "granted", "analytics_storage": "granted"});
    let denied = json!({"ad_user_data": "denied", "analytics_storage": "denied"});
    let mut events = Vec::new();
    for (at, (name, click, consent)) in [
        ("g", "gclid=Cj0g", &granted),
        ("b", "gbraid=0AAb", &granted),
        ("m", "msclkid=0a1b2c", &granted),
        ("f", "fbclid=IwAR1x", &granted),
        ("no", "gclid=Cj0no", &denied),
    ]
    .into_iter()
    .enumerate()
    {
        events.extend(visited(name, at, click, consent));
    }
    post(&program, &events);
    let told = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(call, outcome)| ((*call).to_owned(), (*outcome).to_owned())).collect()
    };
    let no = "skipped: the visitor did not consent to ad_user_data";
    let other = "skipped: the visit came without gclid, gbraid and wbraid";
    assert_eq!(
        outcomes(&program, "ads", 5),
        told(&[("c-b", "delivered"), ("c-f", other), ("c-g", "delivered"), ("c-m", other), ("c-no", no)])
    );
    let other = "skipped: the visit came without msclkid";
    assert_eq!(
        outcomes(&program, "bing", 5),
        told(&[("c-b", other), ("c-f", other), ("c-g", other), ("c-m", "delivered"), ("c-no", other)])
    );
    let sent = "delivered";
    assert_eq!(
        outcomes(&program, "meta", 5),
        told(&[("c-b", sent), ("c-f", sent), ("c-g", sent), ("c-m", sent), ("c-no", no)])
    );
    let no = "skipped: the visitor did not consent to analytics_storage";
    assert_eq!(
        outcomes(&program, "ga", 5),
        told(&[("c-b", sent), ("c-f", sent), ("c-g", sent), ("c-m", sent), ("c-no", no)])
    );
    providers.understood_everything();
    let analytics = providers.taken("/mp/collect");
    let of_g = analytics.iter().map(|it| it.json()).find(|it| it["client_id"] == "111.0").expect("the first visit");
    assert_eq!(of_g["events"][0]["params"]["session_id"], json!("1763638200"), "{of_g}");
    let ads = providers.taken(":uploadClickConversions");
    assert!(ads.iter().any(|it| it.json()["conversions"][0]["gbraid"] == "0AAb"), "{ads:?}");
    assert!(ads.iter().all(|it| it.json()["conversions"][0]["currencyCode"] == "EUR"), "{ads:?}");
    let fbc = providers
        .taken("/77/events")
        .iter()
        .filter_map(|it| it.json()["data"][0]["user_data"]["fbc"].as_str().map(str::to_owned))
        .next();
    assert!(fbc.is_some_and(|fbc| fbc.ends_with(".IwAR1x")));
    // One token for both uploads of one export.
    assert_eq!(providers.taken("/token").len(), 2);
    // Secrets are shown nowhere.
    let (_, listed) = ask(&program, "acme", "GET", "exports", "");
    assert!(
        !listed.to_string().contains("1//refresh") && listed["exports"].as_array().is_some_and(|all| all.len() == 4)
    );
    let said = program.stop().join("\n");
    assert!(!said.contains("api_secret=s1") && !said.contains("1//refresh"), "a secret in the messages");

    let csv = |more: &[&str]| {
        let all = [&["export", "--account", "acme", "csv", "ads"], more].concat();
        let output = place.command(&all).output().expect("the binary runs");
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (file, said) = csv(&[]);
    let lines: Vec<&str> = file.lines().collect();
    assert_eq!(lines.first(), Some(&"Parameters:TimeZone=+0000"), "{file}{said}");
    assert!(
        lines.get(1).is_some_and(|head| head.starts_with("Google Click ID,GBRAID,WBRAID,Conversion Name,")),
        "{file}{said}"
    );
    assert_eq!(lines.len(), 4, "{file}{said}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("Cj0g,,,Phone calls,") && line.ends_with(",25,EUR,c-g,GRANTED,GRANTED")),
        "{file}"
    );
    assert!(said.contains("2 conversions") && said.contains("1 left out: the visitor did not consent"), "{said}");
    // The calls of whom another provider's ad had led, with the reason that the attempts tell.
    assert!(said.contains("2 left out: the visit came without gclid, gbraid and wbraid"), "{said}");
    assert_eq!(csv(&["--to", "2020-01-01"]).0.lines().count(), 2);
}

/// Google Analytics and Microsoft know a deal by no name, and would count each time that it is told.
#[test]
fn a_deal_counts_once_whatever_is_told_of_it() {
    let providers = Providers::start();
    let url = providers.url();
    let won = |name: &str, provider: &str, terms: Value| {
        let mut export = json!({"name": name, "secret_file": if provider == "ga4" { "ga" } else { "ads" }, "moments": ["deal.changed"],
            "filter": "deal_stage = 'won'"});
        export[provider] = terms;
        export
    };
    let exports = json!([
        won("ga", "ga4", json!({"measurement_id": "G-TEST", "url": url})),
        won(
            "bing",
            "microsoft_ads",
            json!({"customer_id": "1", "account_id": "2", "conversion_name": "calls", "url": url,
            "token_url": format!("{url}/token")})
        ),
    ]);
    let place = place(exports, json!([]));
    let granted = json!({"ad_user_data": "granted", "analytics_storage": "granted"});
    let deal = |id: &str, deal: &str, revenue: u32| {
        let data = json!({"deal_id": deal, "call_id": "c-m", "stage": "won", "revenue": revenue, "currency": "EUR"});
        event("deal", id, &ago(0, 0), data)
    };
    let program = Program::start(&place, &["up"]);
    post(&program, &visited("m", 0, "msclkid=0a1b2c", &granted));
    post(&program, &[deal("e1", "d1", 100), deal("e2", "d1", 120)]);
    outcomes(&program, "ga", 2);
    outcomes(&program, "bing", 2);
    program.stop();
    let program = Program::start(&place, &["up"]);
    post(&program, &[deal("e3", "d1", 130), deal("e4", "d2", 70)]);
    for export in ["ga", "bing"] {
        let all = outcomes(&program, export, 4);
        assert_eq!(all.iter().filter(|(_, outcome)| outcome == "delivered").count(), 2, "{all:?}");
        assert!(all.iter().any(|(_, outcome)| outcome.contains("counts once")), "{all:?}");
    }
    providers.understood_everything();
    let worth: Vec<Value> =
        providers.taken("/mp/collect").iter().map(|it| it.json()["events"][0]["params"]["value"].clone()).collect();
    assert_eq!(worth, [json!(100.0), json!(70.0)]);
}

/// A file of calls, from a lake that `run` makes of these events: what is written, and what is said.
fn csv(place: &Place, export: &str) -> (Option<i32>, String, String) {
    let output = place.command(&["export", "--account", "acme", "csv", export]).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Runs these events into the place's lake, in the order of their times.
fn run(place: &Place, mut events: Vec<Value>) {
    events.sort_by_key(|event| event["time"].as_str().unwrap_or_default().to_owned());
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    std::fs::write(place.folder.path().join("events.ndjson"), lines.join("\n")).expect("a file");
    place.run(&["run", "--input", "events.ndjson"]);
}

#[test]
fn a_file_has_only_calls_whose_visitors_said_yes_and_counts_the_others() {
    let providers = Providers::start();
    let mut ads = google_ads(&providers);
    ads["consent"] = json!("granted");
    let place = place(json!([ads]), json!([]));
    let (yes, no) = (json!({"ad_user_data": "granted"}), json!({"ad_user_data": "denied"}));
    let personal = json!({"ad_user_data": "granted", "ad_personalization": "denied"});
    let view = |name: &str, time: &str, consent: &Value| {
        let data = json!({"visitor_id": format!("v-{name}"), "session_id": format!("s-{name}-{time}"),
            "url": "https://shop.example/", "consent": consent});
        event("page_view", &format!("{name}-{time}"), time, data)
    };
    // Pages that name no session: it is made.
    let mut events = visited("made", 0, "gclid=Cj0made", &no);
    for event in &mut events {
        event["data"].as_object_mut().expect("an object").remove("session_id");
    }
    // Said in a visit before.
    events.extend(visited("before", 1, "gclid=Cj0before", &Value::Null));
    events.push(view("before", &ago(HOURS + 3, 0), &no));
    // A yes that came when the call was decided, and one that was taken back.
    events.extend(visited("late", 2, "gclid=Cj0late", &no));
    events.push(view("late", &ago(HOURS - 1, 0), &yes));
    events.extend(visited("back", 3, "gclid=Cj0back", &yes));
    events.push(view("back", &ago(HOURS - 1, 0), &no));
    // The last word before the call, and none at all.
    events.extend(visited("yes", 4, "gclid=Cj0yes", &Value::Null));
    events.push(view("yes", &ago(HOURS + 4, 0), &no));
    events.push(view("yes", &ago(HOURS + 3, 0), &personal));
    events.extend(visited("silent", 5, "gclid=Cj0silent", &Value::Null));
    // No click of Google's, and no visit.
    events.extend(visited("m", 6, "msclkid=0a1b2c", &yes));
    let leaflet = json!({"call_id": "c-leaflet", "direction": "inbound", "from": "+12025550199", "to": NUMBER,
        "started_at": ago(HOURS, 20), "answered_at": ago(HOURS, 19), "ended_at": ago(HOURS, 15)});
    events.push(event("call_record", "leaflet", &ago(HOURS, 15), leaflet));
    run(&place, events);

    let (_, file, said) = csv(&place, "ads");
    let mut orders: Vec<&str> = file.lines().filter_map(|line| Some(line.split_once(",EUR,")?.1)).collect();
    orders.sort_unstable();
    assert_eq!(orders, ["c-silent,GRANTED,GRANTED", "c-yes,GRANTED,DENIED"], "{file}{said}");
    for count in [
        "2 conversions",
        "4 left out: the visitor did not consent to ad_user_data",
        "1 left out: the visit came without gclid, gbraid and wbraid",
        "1 left out: no visit of the call is known",
    ] {
        assert!(said.contains(count), "no {count}: {said}");
    }

    // The lake is read without the account's key.
    let path = place.folder.path().join("callweave.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let keys = format!("keys = [\"{}\"]\n", key_of("acme"));
    assert!(text.contains(&keys), "{text}");
    std::fs::write(&path, text.replace(&keys, "")).expect("a configuration");
    assert_eq!(csv(&place, "ads"), (Some(0), file, said));
}

#[test]
fn a_file_is_of_an_export_of_calls() {
    let providers = Providers::start();
    let of = |name: &str, moments: Value, filter: &str| {
        let mut export = google_ads(&providers);
        for (member, value) in [("name", json!(name)), ("moments", moments), ("filter", json!(filter))] {
            export[member] = value;
        }
        export
    };
    let exports = json!([
        of("deals", json!(["deal.changed"]), "deal_stage = 'won'"),
        of("tags", json!(["call.tagged", "deal.changed"]), "true"),
        of(
            "both",
            json!(["call.attributed", "deal.changed"]),
            "is_target AND deal_stage IS NULL AND tag_value IS NULL"
        ),
        of("won", json!(["call.attributed", "deal.changed"]), "deal_stage = 'won'"),
    ]);
    let place = place(exports, json!([]));
    run(&place, visited("g", 0, "gclid=Cj0g", &json!({"ad_user_data": "granted"})));
    for (export, moments) in [("deals", "deal.changed"), ("tags", "call.tagged, deal.changed")] {
        let (code, file, said) = csv(&place, export);
        assert_eq!((code, file.as_str()), (Some(2), ""), "{export}: {said}");
        let expected = format!(
            "the export {export} is of {moments}, and the file is of calls; name one that has call.attributed among its moments"
        );
        assert!(said.contains(&expected), "{export}: {said}");
    }
    for (export, count) in [("both", 1), ("won", 0)] {
        let (code, file, said) = csv(&place, export);
        assert_eq!((code, file.lines().count()), (Some(0), 2 + count), "{export}: {file}{said}");
    }
}

#[test]
fn what_a_provider_refuses_is_kept_and_holds_up_nothing() {
    let providers = Providers::start();
    let place = place(json!([google_ads(&providers)]), json!([]));
    {
        let mut world = providers.world.lock().expect("requests");
        world.unknown.extend((0..6).map(|at| format!("Cj{at}")));
        world.young.insert("Cj6".to_owned());
    }
    let program = Program::start(&place, &["up"]);
    let granted = json!({"ad_user_data": "granted"});
    let visits = (0..8).flat_map(|at| visited(&format!("n{at}"), at, &format!("gclid=Cj{at}"), &granted));
    post(&program, &visits.collect::<Vec<_>>());
    let all = outcomes(&program, "ads", 8);
    let refused = all.iter().filter(|(_, outcome)| outcome == "rejected: EVENT_NOT_FOUND: told by the test").count();
    assert_eq!((refused, &all[7].1), (6, &"delivered".to_owned()), "{all:?}");
    assert_eq!(all[6].1, "failed: TOO_RECENT_EVENT");
    let state = ask(&program, "acme", "GET", "exports/ads", "").1;
    assert_eq!((&state["state"], &state["dead"], &state["waiting"]), (&json!("on"), &json!(6), &json!(1)), "{state}");
    assert!(!program.said().iter().any(|line| line.contains("is down")), "six refusals are no outage");
    // Found after all: sent again on command, and known to Google once.
    providers.world.lock().expect("requests").unknown.clear();
    assert_eq!(ask(&program, "acme", "POST", "exports/ads/resend", "").1, json!({"resent": 6}));
    until("no dead letter", || {
        let state = ask(&program, "acme", "GET", "exports/ads", "").1;
        (state["dead"] == json!(0) && state["waiting"] == json!(1)).then_some(())
    });
    until("all of them", || (providers.taken(":upload").len() >= 14).then_some(()));
    providers.understood_everything();
    program.stop();
}

#[test]
fn a_crm_has_contacts_deals_and_tasks_of_calls() {
    let providers = Providers::start();
    let crm = json!({"name": "crm", "secret_file": "crm", "crm": {"url": providers.url(), "preset": "hubspot", "owners": {"Ann": "7"}}});
    let chat = json!({"name": "chat", "url": format!("{}/services/T/B/x", providers.url()), "moments": ["call.missed"],
        "body": "{\"text\":\"Missed call of {{caller}} from {{source}} ({{campaign}})\"}"});
    // printf AC1:token | base64
    let sms = json!({"name": "sms", "url": format!("{}/2010-04-01/Accounts/AC1/Messages.json", providers.url()),
        "moments": ["call.missed"], "encoding": "form", "headers": {"authorization": "Basic QUMxOnRva2Vu"},
        "body": "To={{caller}}&From=%2B14155550100&Body=Sorry+that+we+missed+you."});
    let place = place(json!([crm]), json!([chat, sms]));
    let program = Program::start(&place, &["up"]);
    let call = |id: &str, status: &str, minutes: i64, more: Value| {
        let mut data =
            json!({"call_id": id, "status": status, "direction": "inbound", "from": "+14155550199", "to": NUMBER});
        data.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        event("call", &format!("{id}-{status}"), &ago(0, minutes), data)
    };
    // Missed: a contact is made, and a task to call back.
    post(&program, &[call("c1", "started", 30, json!({})), call("c1", "ended", 29, json!({}))]);
    let tasks = until("a task", || Some(providers.things("tasks")).filter(|all| !all.is_empty()));
    assert_eq!((&tasks[0]["hs_task_status"], &tasks[0]["callweave_call_id"]), (&json!("NOT_STARTED"), &json!("c1")));
    until("the messages", || {
        (providers.taken("/services/").len() + providers.taken("Messages.json").len() >= 2).then_some(())
    });
    // With the next search the task is found, which is that for a deal.
    until("a deal", || (!providers.things("deals").is_empty()).then_some(()));
    // Once more, by the same caller: the task is done, and whoever answered has the contact.
    post(&program, &[call("c2", "started", 20, json!({})), call("c2", "answered", 19, json!({"agent": "Ann"}))]);
    until("the task done", || {
        let tasks = providers.things("tasks");
        tasks.iter().all(|task| task["hs_task_status"] == json!("COMPLETED")).then_some(())
    });
    post(&program, &[call("c2", "ended", 10, json!({}))]);
    let deals = until("deals", || Some(providers.things("deals")).filter(|all| all.len() >= 2));
    let contacts = providers.things("contacts");
    assert_eq!((contacts.len(), &contacts[0]["hubspot_owner_id"]), (1, &json!("7")), "{contacts:?}");
    let deal = deals.iter().find(|deal| deal["callweave_call_id"] == json!("c2")).expect("a deal");
    assert_eq!(
        (&deal["utm_source"], &deal["utm_campaign"], &deal["hubspot_owner_id"], &deal["dealstage"]),
        (&json!("print"), &json!("leaflet"), &json!("7"), &json!("appointmentscheduled"))
    );
    assert_eq!(
        providers.taken("/services/")[0].json(),
        json!({"text": "Missed call of +14155550199 from print (leaflet)"})
    );
    providers.understood_everything();
    program.stop();
}

#[test]
fn an_export_is_checked_when_it_is_made() {
    let providers = Providers::start();
    let place = place(json!([]), json!([]));
    let program = Program::start(&place, &["up"]);
    for (change, status, says) in [
        (json!({"filter": "colour = 'red'"}), 422, "colour"),
        (json!({"secret_file": "none"}), 422, "secret_file is acme/none in the folder notify.secrets"),
        (json!({"secret_file": "/etc/passwd"}), 422, "secret_file is not the name of a file"),
        (json!({"secret_file": "../acme.json"}), 422, "secret_file is not the name of a file"),
        (json!({"secret_file": "crm"}), 422, "has no developer_token"),
        (json!({"google_ads": {"customer_id": "1"}}), 422, "exports[0].google_ads.customer_id"),
        (json!({"ga4": {"measurement_id": "G-1"}}), 422, "several"),
        (json!({"delay_hours": "soon"}), 400, "invalid type"),
        (json!({}), 200, "ads"),
    ] {
        let mut body = google_ads(&providers);
        body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let (told, answer) = ask(&program, "acme", "POST", "exports", &body.to_string());
        assert!(told == status && answer.to_string().contains(says), "{body}: {answer}");
    }
    until("its state", || (ask(&program, "acme", "GET", "exports/ads", "").1["state"] == "on").then_some(()));
    assert_eq!(ask(&program, "globex", "GET", "exports/ads", "").0, 404);
    // Nor has anybody else the secrets, or learns whether there are any.
    for (file, says) in [
        ("crm", "secret_file is globex/crm in the folder notify.secrets"),
        ("none", "secret_file is globex/none in the folder notify.secrets"),
        ("acme", "secret_file is globex/acme in the folder notify.secrets"),
        ("../secrets/acme/crm", "secret_file is not the name of a file"),
        ("/nowhere/at/all", "secret_file is not the name of a file"),
    ] {
        let hook = json!({"name": "steal", "url": "https://example.com/", "secret_file": file}).to_string();
        let (status, answer) = ask(&program, "globex", "POST", "webhooks", &hook);
        assert!(status == 422 && answer.to_string().contains(says), "{file}: {answer}");
        assert_eq!(ask(&program, "globex", "GET", "webhooks/steal/secret", "").0, 404, "{file}");
    }
    let (_, test) = ask(&program, "acme", "POST", "exports/ads/test", "");
    assert!(test["attempt"]["outcome"].as_str().is_some_and(|it| it.starts_with("skipped: nothing is sent")), "{test}");
    assert_eq!(ask(&program, "acme", "DELETE", "exports/ads", "").0, 200);
    program.stop();
}

#[test]
fn tags_transcripts_and_deals_are_told_beside_the_row() {
    let providers = Providers::start();
    let hook = json!({"name": "all", "url": format!("{}/services/T/B/x", providers.url()), "ordered": true,
        "moments": ["call.tagged", "call.transcribed", "deal.changed"],
        "body": "{\"text\":\"{{moment}}\",\"call\":{{call_id|json}},\"caller\":{{caller|json}},\"tag\":{{tag|json}},\"said\":{{transcript|json}},\"deal\":{{deal|json}}}"});
    let place = place(json!([]), json!([hook]));
    let program = Program::start(&place, &["up"]);
    let now = ago(0, 0);
    post(
        &program,
        &[
            event(
                "call",
                "e1",
                &now,
                json!({"call_id": "c1", "status": "started", "direction": "inbound", "from": "+14155550199", "to": NUMBER}),
            ),
            event(
                "call_tag",
                "e2",
                &now,
                json!({"call_id": "c1", "category": "sale", "value": 12.5, "currency": "EUR", "origin": "manual"}),
            ),
            event(
                "transcript",
                "e3",
                &now,
                json!({"call_id": "c1", "segments": [{"speaker": "caller", "start_seconds": 0.5, "text": "Hello"}]}),
            ),
            event(
                "deal",
                "e4",
                &now,
                json!({"deal_id": "d1", "call_id": "c1", "stage": "won", "revenue": "99.90", "currency": "EUR"}),
            ),
        ],
    );
    let got: Vec<Value> = until("three moments", || Some(providers.taken("/services/")).filter(|all| all.len() >= 3))
        .iter()
        .map(|it| it.json())
        .collect();
    let of = |moment: &str| got.iter().find(|it| it["text"] == moment).expect(moment);
    assert!(got.iter().all(|it| it["caller"] == "+14155550199"), "{got:?}");
    let tag = &of("call.tagged")["tag"];
    assert_eq!((&tag["category"], &tag["origin"]), (&json!("sale"), &json!("manual")), "{tag}");
    assert_eq!(of("call.transcribed")["said"]["segments"][0]["text"], json!("Hello"));
    let deal = &of("deal.changed")["deal"];
    assert_eq!((&deal["stage"], &deal["deal_id"]), (&json!("won"), &json!("d1")), "{deal}");
    program.stop();
}
