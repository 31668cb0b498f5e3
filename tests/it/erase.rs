//! People who were erased: what arrives of their time later, and what was noted of them, leaves no name in any table.

use std::fs;

use serde_json::{Value, json};

use crate::program::{Place, Program, is_taken, until};

const TABLES: [&str; 8] =
    ["page_views", "web_events", "sessions", "leases", "calls", "call_candidates", "deals", "notes"];
const PHONE: &str = "+14155550199";

fn event(id: usize, second: u32, kind: &str, data: Value) -> String {
    let time = format!("2026-11-20T{}:{:02}:{:02}Z", 12 + second / 3_600, second / 60 % 60, second % 60);
    json!({"specversion": "1.0", "id": id.to_string(), "source": "test", "type": kind, "time": time, "account": "acme", "data": data})
        .to_string()
}

/// The erasure comes first, all else is of the time before it.
fn story() -> Vec<String> {
    let call = |status: &str, more: Value| {
        let mut data =
            json!({"call_id": "c1", "status": status, "direction": "inbound", "from": PHONE, "to": "+14155550100"});
        data.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        data
    };
    let session = "s-of-nobody";
    [
        (600, "erase", json!({"visitor_id": "jane-doe", "phone": PHONE})),
        (0, "page_view", json!({"visitor_id": "jane-doe", "url": 5})),
        (1, "page_view", json!({"visitor_id": "jane-doe", "session_id": session, "url": "https://example.com/?gclid=jane-doe",
            "user_id": "jane-doe", "ip": "192.0.2.1", "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"})),
        (2, "lease_granted", json!({"lease_id": "l1", "pool": "p", "number": "+14155550100", "visitor_id": "jane-doe",
            "session_id": session, "expires_at": "2026-11-20T12:30:00Z"})),
        (3, "web_event", json!({"visitor_id": "jane-doe", "session_id": session, "name": "callback_request", "properties": {"phone": PHONE}})),
        (4, "call", call("started", json!({}))),
        (9, "call", call("answered", json!({"recording_url": "https://example.com/jane-doe"}))),
        (60, "call_note", json!({"call_id": "c1", "comment": "jane-doe calls again"})),
        (90, "call", call("ended", json!({}))),
        (99, "deal", json!({"deal_id": "d1", "visitor_id": "jane-doe", "phone": PHONE, "stage": "won"})),
    ]
    .into_iter()
    .enumerate()
    .map(|(id, (second, kind, data))| event(id, second, kind, data))
    .collect()
}

/// What is still told, later.
fn later() -> String {
    let call = json!({"call_id": "c1", "status": "ended", "direction": "inbound", "from": PHONE, "to": "+14155550100", "agent": "Ada"});
    event(100, 91, "call", call)
}

/// What names somebody in any row of any table.
fn named(place: &Place) -> Vec<String> {
    let rows = TABLES.iter().flat_map(|table| {
        place.sql(&format!("SELECT * FROM history.{table}")).into_iter().map(move |row| format!("{table}: {row}"))
    });
    let names = ["jane-doe", "4155550199", "192.0.2.1"];
    rows.filter(|row| names.iter().any(|name| row.contains(name))).collect()
}

fn rows_of(place: &Place, table: &str) -> usize {
    place.sql(&format!("SELECT 1 AS one FROM {table}")).len()
}

fn agents(place: &Place) -> Vec<Value> {
    place.sql("SELECT caller, agent, talk_seconds FROM calls")
}

#[test]
fn bounded_jobs_keep_no_name_of_who_was_erased() {
    let place = Place::new();
    let at = |name: &str| place.folder.path().join(name);
    fs::write(at("first"), story().join("\n")).expect("events");
    fs::write(at("second"), later()).expect("an event");
    for file in ["first", "second"] {
        place.run(&["run", "--input", file]);
        assert_eq!(named(&place), Vec::<String>::new(), "{file}");
    }
    for table in ["page_views", "web_events", "sessions", "leases", "calls", "deals", "rejected"] {
        assert_eq!(rows_of(&place, table), 1, "{table}: counts stay");
    }
    assert_eq!(rows_of(&place, "rejected WHERE raw IS NOT NULL OR reason IS NOT NULL"), 0);
    assert_eq!(agents(&place), [json!({"caller": "anonymous", "agent": "Ada", "talk_seconds": 82.0})]);
    let of_one = "SELECT 1 AS one FROM sessions AS s JOIN page_views AS v ON s.visitor_id = v.visitor_id AND s.session_id = v.session_id";
    assert_eq!(place.sql(of_one).len(), 1, "the visit and its page are still one's");
}

/// What lands without a name has what a row keeps that was erased where it lay, and no more.
#[test]
fn what_comes_late_lands_as_an_erased_row() {
    let columns = [
        ("page_views", "* EXCEPT (click_id_type)"),
        ("web_events", "*"),
        ("sessions", "* EXCEPT (click_id_type)"),
        ("leases", "*"),
        // Of a telephone that is gone a late deal has none, and an erased row says so.
        ("deals", "* EXCEPT (phone)"),
    ];
    let mut late = story();
    let mut in_time = late.clone();
    in_time.rotate_left(1);
    // The session is over.
    late.push(event(
        200,
        7_200,
        "page_view",
        json!({"visitor_id": "v", "session_id": "s", "url": "https://example.com/"}),
    ));
    in_time.push(late[late.len() - 1].clone());
    let rows = [late, in_time].map(|lines| {
        let place = Place::new();
        fs::write(place.folder.path().join("events"), lines.join("\n")).expect("events");
        place.run(&["run", "--input", "events"]);
        columns.map(|(table, columns)| place.sql(&format!("SELECT {columns} FROM {table} ORDER BY 2")))
    });
    assert_eq!(rows[0], rows[1]);
}

#[test]
fn a_live_job_keeps_no_name_of_who_was_erased() {
    let place = Place::new();
    let mut program = Program::start(&place, &["up"]);
    let post = |program: &Program, lines: &[String]| {
        let answer = program.post("acme", lines.join("\n").as_bytes()).expect("an answer");
        assert!(is_taken(&answer) || answer.1.contains("rejected"), "{answer:?}");
    };
    let story = story();
    post(&program, &story[..3]);
    post(&program, &story[3..]);
    let anonymous = || {
        let agents = agents(&place);
        (agents.len() == 1 && agents[0]["talk_seconds"] == 81.0).then_some(())
    };
    until("the call", anonymous);
    program.kill();
    let program = Program::start(&place, &["up"]);
    post(&program, &[later()]);
    until("its correction", || (agents(&place).first()?["talk_seconds"] == 82.0).then_some(()));
    until("nothing has a name", || named(&place).is_empty().then_some(()));
    until("all rows", || (rows_of(&place, "leases") == 1 && rows_of(&place, "sessions") == 1).then_some(()));
    program.stop();
    assert_eq!(named(&place), Vec::<String>::new());
    assert_eq!(agents(&place), [json!({"caller": "anonymous", "agent": "Ada", "talk_seconds": 82.0})]);
}
