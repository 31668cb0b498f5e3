//! What it costs to answer whose a call is, by the number of candidates.
//!
//! `cargo bench -p callweave-core --bench attribution`. A tag of a live call is told with the call's row as it is then, so
//! each costs one whole answer: candidates, evidence, probabilities and the row. A call to a static number has no candidates:
//! what it costs is the rest.

#![allow(clippy::disallowed_methods)] // a benchmark measures time

use std::fmt::Write;
use std::time::Instant;

use callweave_core::event::{Body, decode};
use callweave_core::join::{Effects, Join, Mode};
use callweave_core::source::Surveyor;

const ROUNDS: usize = 5;
const TAGS: usize = 4_000;

/// 2026-11-20, and so many seconds.
fn time(seconds: usize) -> String {
    let (day, rest) = (20 + seconds / 86_400, seconds % 86_400);
    format!("2026-11-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

fn event(id: &str, kind: &str, at: usize, data: &str) -> String {
    let time = time(at);
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"bench","type":"{kind}","time":"{time}","account":"a","data":{data}}}"#
    )
}

fn apply(join: &mut Join, lines: &[String]) {
    let (mut surveyor, mut out) = (Surveyor::default(), Effects::default());
    for line in lines {
        let event = decode(line.as_bytes(), None).expect("an event");
        let visit = match &event.body {
            Body::PageView(view) => Some(surveyor.visit(view)),
            _ => None,
        };
        join.apply(&event, visit.as_ref(), &mut out);
        out.clear();
    }
}

/// Sessions that held the number one after the other, each with three pages, and a call to it and to a static one.
fn history(sessions: usize) -> Vec<String> {
    let settings =
        r#"{"numbers":[{"number":"+14155550101","kind":"static","source":"print"}],"pools":[{"name":"p","site":"s"}]}"#;
    let mut lines = vec![event("settings", "account_settings", 0, settings)];
    for n in 0..sessions {
        let at = 60 + n * 900;
        for page in 0..3 {
            let data = format!(
                r#"{{"visitor_id":"v{n}","session_id":"s{n}","url":"https://shop.example/{page}?utm_source=s{}&utm_medium=cpc"}}"#,
                n % 7
            );
            lines.push(event(&format!("p{n}.{page}"), "page_view", at + page * 40, &data));
        }
        let data = format!(
            r#"{{"lease_id":"l{n}","pool":"p","number":"+14155550100","visitor_id":"v{n}","session_id":"s{n}","expires_at":"{}"}}"#,
            time(at + 700)
        );
        lines.push(event(&format!("g{n}"), "lease_granted", at, &data));
    }
    let after = 60 + sessions * 900;
    for (call, to) in [("pool", "+14155550100"), ("static", "+14155550101")] {
        let data = format!(
            r#"{{"call_id":"{call}","status":"started","direction":"inbound","from":"+14155550123","to":"{to}"}}"#
        );
        lines.push(event(call, "call", after, &data));
    }
    lines
}

/// Microseconds for each tag of this call.
fn cost(sessions: usize, call: &str) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let mut join = Join::new(Mode::Live);
        apply(&mut join, &history(sessions));
        let at = 61 + sessions * 900;
        let mut id = String::new();
        let tag = |n: usize| {
            id.clear();
            let _ = write!(id, "t{n}");
            event(&id, "call_tag", at, &format!(r#"{{"call_id":"{call}","category":"c","origin":"manual"}}"#))
        };
        let tags: Vec<String> = (0..TAGS).map(tag).collect();
        let begun = Instant::now();
        apply(&mut join, &tags);
        best = best.min(begun.elapsed().as_secs_f64() * 1e6 / TAGS as f64);
    }
    best
}

fn main() {
    println!("candidates  answer and row, us  of which the answer, us");
    for sessions in [1, 10, 50, 200] {
        let (whole, rest) = (cost(sessions, "pool"), cost(sessions, "static"));
        println!("{sessions:10}  {whole:18.1}  {:23.1}", whole - rest);
    }
}
