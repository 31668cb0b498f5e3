//! A lake outlives its log: one that was begun anew goes on where the lake is, and one that was put back to an older copy takes nothing.

use std::fs;
use std::ops::Range;
use std::path::Path;

use callweave::log::embedded::{EmbeddedLog, EmbeddedOptions};
use callweave::log::frame::{FrameBuilder, Record};
use callweave::log::{Append, Log, MessageId, Subject};
use callweave_core::time::Time;
use serde_json::{Value, json};

use crate::nats::NatsServer;
use crate::program::{Place, Program, until};

fn place(snapshot_seconds: u32) -> Place {
    let place = Place::new();
    let file = place.folder.path().join("callweave.toml");
    let text = fs::read_to_string(&file).expect("a configuration");
    let text = text.replace("[snapshot]\nseconds = 1", &format!("[snapshot]\nseconds = {snapshot_seconds}"));
    fs::write(file, text).expect("a configuration");
    place
}

fn event(id: &str, kind: &str, data: Value) -> Vec<u8> {
    let now = chrono::Utc::now().to_rfc3339();
    let event = json!({
        "specversion": "1.0", "id": id, "source": "t", "type": kind, "time": now, "account": "acme", "data": data,
    });
    event.to_string().into_bytes()
}

fn step(status: &str) -> Vec<u8> {
    let data = json!({
        "call_id": "c1", "status": status, "direction": "inbound", "from": "+14155550199", "to": "+14155550100",
    });
    event(&format!("call-{status}"), "call", data)
}

/// Sends until it is acknowledged.
fn post(program: &Program, body: &[u8]) {
    until("an acknowledgement", || program.post("acme", body).filter(|(status, _)| *status == 200));
}

/// Page views, each an entry of its own.
fn views(program: &Program, numbers: Range<u32>) {
    for number in numbers {
        let data = json!({ "visitor_id": format!("v{number}"), "url": "https://www.acme.example/" });
        post(program, &event(&format!("view-{number}"), "page_view", data));
    }
}

/// Waits until the table holds the first `count` views, each once.
fn holds(place: &Place, program: &Program, count: u32) {
    let query = "SELECT count(*) AS n, count(DISTINCT event_id) AS d FROM history.page_views";
    let expected = [json!({"n": count, "d": count})];
    let mut found = Vec::new();
    let is_there = || {
        found = place.sql(query);
        (found == expected).then_some(())
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| until("page views", is_there)));
    assert!(result.is_ok(), "{found:?} of {count}\n{}", program.said().join("\n"));
}

fn rename(place: &Place, from: &str, to: &str) {
    let data = place.folder.path().join("data");
    fs::rename(data.join(from), data.join(to)).expect("renamed");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(path, to).expect("copied");
        }
    }
}

/// It ends by itself, says why, and has never taken anything.
fn refuses(place: &Place, why: &str) {
    let mut program = Program::spawn(place, &["up"]);
    program.says(why);
    assert!(!program.listens(crate::program::PATIENCE), "{}", program.said().join("\n"));
    assert_eq!(program.post("acme", b"{}"), None);
    assert!(!program.status().success());
}

#[test]
fn a_log_that_was_moved_away_is_followed_by_a_new_one() {
    let place = place(1);
    let program = Program::start(&place, &["up"]);
    views(&program, 0..30);
    post(&program, &step("started"));
    holds(&place, &program, 30);
    let lag = || program.get("/metrics").filter(|text| text.contains("callweave_join_watermark_lag_seconds{"));
    let lines = |text: String| -> Vec<String> {
        text.lines()
            .filter(|line| line.starts_with("callweave_join_watermark_lag_seconds{"))
            .map(str::to_owned)
            .collect()
    };
    until("an idle log has no lag", || {
        lag().map(lines).filter(|all| all.iter().all(|line| line.ends_with(" 0.0") || line.ends_with(" 0")))
    });
    program.stop();
    rename(&place, "log", "log.old");

    let mut program = Program::start(&place, &["up"]);
    program.says("this is a new log");
    // What the log before has told is known: the same event counts once, and a call goes on.
    views(&program, 29..40);
    post(&program, &step("ended"));
    holds(&place, &program, 40);
    let query = "SELECT call_id FROM calls WHERE started_at < ended_at";
    until(query, || (place.sql(query) == [json!({"call_id": "c1"})]).then_some(()));
    // The new log's own places count from now on.
    program.kill();
    let program = Program::start(&place, &["up"]);
    views(&program, 40..45);
    holds(&place, &program, 45);
    program.stop();

    rename(&place, "log", "log.new");
    rename(&place, "log.old", "log");
    refuses(&place, "was followed by another one");
    rename(&place, "log", "log.old");
    rename(&place, "log.new", "log");
    let program = Program::start(&place, &["up"]);
    views(&program, 45..46);
    holds(&place, &program, 46);
    program.stop();
    place.check_once();
}

#[test]
fn a_log_that_left_no_snapshot_is_followed_by_a_new_one() {
    let place = place(600);
    let mut program = Program::start(&place, &["up"]);
    views(&program, 0..30);
    holds(&place, &program, 30);
    program.kill();
    rename(&place, "log", "log.old");
    let program = Program::start(&place, &["up"]);
    views(&program, 30..40);
    holds(&place, &program, 40);
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_log_takes_nothing() {
    let place = place(1);
    let (log, older) = (place.folder.path().join("data/log"), place.folder.path().join("older"));
    let program = Program::start(&place, &["up"]);
    views(&program, 0..10);
    holds(&place, &program, 10);
    program.stop();
    copy(&log, &older);
    let program = Program::start(&place, &["up"]);
    views(&program, 10..30);
    holds(&place, &program, 30);
    program.stop();
    let newest = place.folder.path().join("newest");
    copy(&log, &newest);
    copy(&older, &log);
    refuses(&place, "an older copy of it");

    // Others have written to it since: it is longer than what the lake has taken, and another one.
    let copied = EmbeddedLog::open(&log, EmbeddedOptions::default()).await.expect("a log");
    for number in 0..100 {
        let mut frame = FrameBuilder::new();
        frame.push(&Record::Tick { time: Time(number) }).expect("a tick");
        let payload = frame.finish();
        for partition in 0..copied.partitions() {
            let (subject, message_id) = (Subject::tick(partition), MessageId(1 + number as u128));
            copied.append(Append { subject, message_id, expect: None, payload: payload.clone() }).await.expect("taken");
        }
    }
    drop(copied);
    refuses(&place, "put back to an older copy");
    copy(&newest, &log);
    let program = Program::start(&place, &["up"]);
    views(&program, 30..31);
    holds(&place, &program, 31);
    program.stop();
}

#[test]
fn streams_that_were_lost_are_followed_by_new_ones() {
    let mut server = NatsServer::start();
    let (url, place) = (server.url(), place(1));
    let (collect, process) = (["collect", "--nats", &url, "--partitions", "2"], ["process", "--nats", &url]);
    let collector = Program::start(&place, &collect);
    let processor = Program::start(&place, &process);
    views(&collector, 0..20);
    holds(&place, &processor, 20);
    processor.stop();
    collector.stop();
    server.lose_all();
    // The collector cannot know what the lake has; more is acknowledged than it held before.
    let collector = Program::start(&place, &collect);
    views(&collector, 20..60);
    let processor = Program::start(&place, &process);
    processor.says("this is a new log");
    holds(&place, &processor, 60);

    // The same while both run: the streams are made again, and who reads them sees that they are others.
    server.lose_all();
    views(&collector, 60..70);
    holds(&place, &processor, 70);
    processor.stop();
    collector.stop();
    place.check_once();
}

/// One table alone is put back to an older copy, and another taken away: what they lack comes from the log again.
#[test]
fn tables_that_were_put_back_are_filled_again() {
    let place = place(1);
    let data = place.folder.path().join("data");
    let (table, older) = (data.join("lake/page_views"), place.folder.path().join("older"));
    let program = Program::start(&place, &["up"]);
    views(&program, 0..5);
    holds(&place, &program, 5);
    program.stop();
    copy(&table, &older);

    let program = Program::start(&place, &["up"]);
    views(&program, 5..12);
    post(&program, &step("started"));
    post(&program, &step("ended"));
    holds(&place, &program, 12);
    until("a call", || Some(place.sql("SELECT call_id FROM calls")).filter(|rows| rows.len() == 1));
    program.stop();
    fs::remove_dir_all(&table).expect("taken away");
    copy(&older, &table);
    fs::remove_dir_all(data.join("lake/calls")).expect("taken away");

    let program = Program::start(&place, &["up"]);
    holds(&place, &program, 12);
    until("the call", || Some(place.sql("SELECT call_id FROM calls")).filter(|rows| rows.len() == 1));
    place.check_once();
    program.stop();
}
