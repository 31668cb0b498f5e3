//! How fast the join alone is: events that were decoded before, applied by one thread, the best of several rounds. It
//! counts the thread's own time as Linux keeps it, so that a busy machine tells nearly the same.
//!
//! `cargo run -p callweave-core --example speed [FILE]`: the file's events, or a mix of its own.

mod mix;

use callweave_core::event::{Body, Event, decode};
use callweave_core::join::{Effects, Join, Mode};
use callweave_core::source::{Surveyor, Visit};
use mix::{call_record, heartbeat, lease, line, page_view, time};

const SESSIONS: u64 = 60_000;
const ROUNDS: usize = 5;
/// Events whose rate is told apart: beyond the first million, things are forgotten too.
const PART: usize = 1_000_000;

/// Sessions of three pages and two heartbeats; every second has a lease, every twentieth calls.
fn own_mix() -> Vec<String> {
    let mut events: Vec<(u64, &str, String)> = Vec::new();
    for n in 0..SESSIONS {
        let at = n / 2;
        for page in 0..3 {
            events.push((at + 40 * page, "page_view", page_view(n, page, n % 5 != 0)));
        }
        for beat in 0..2 {
            events.push((at + 130 + 30 * beat, "heartbeat", heartbeat(n)));
        }
        if n % 2 == 0 {
            events.push((at + 1, "lease_granted", lease(n, time(at + 1))));
        }
        if n % 20 == 0 {
            let number = format!("+1415555{:04}", n % 10_000);
            events.push((at + 200, "call_record", call_record(n, &number, time(at + 200))));
        }
    }
    events.sort_by_key(|(at, ..)| *at);
    events.iter().enumerate().map(|(id, (at, kind, data))| line(id as u64, kind, time(*at), data)).collect()
}

/// Seconds that this process has worked.
fn worked() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|it| it.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e9
}

fn run(events: &[Event<'_>], visits: &[Option<Visit<'_>>]) -> (f64, usize) {
    let (mut join, mut out, mut rows) = (Join::new(Mode::Bounded), Effects::default(), 0);
    let start = worked();
    for (events, visits) in events.chunks(PART).zip(visits.chunks(PART)) {
        let began = worked();
        for (event, visit) in events.iter().zip(visits) {
            join.apply(event, visit.as_ref(), &mut out);
            rows += out.len();
            out.clear();
        }
        print!("{:7.0}", events.len() as f64 / (worked() - began));
    }
    join.settle(&mut out);
    (worked() - start, rows + out.len())
}

fn main() {
    let lines: Vec<String> = match std::env::args().nth(1) {
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) => panic!("{path}: {error}"),
        },
        None => own_mix(),
    };
    let mut surveyor = Surveyor::default();
    let events: Vec<Event<'_>> = lines.iter().filter_map(|line| decode(line.as_bytes(), None).ok()).collect();
    let visits: Vec<Option<Visit<'_>>> = events
        .iter()
        .map(|event| match &event.body {
            Body::PageView(view) => Some(surveyor.visit(view)),
            _ => None,
        })
        .collect();
    let mut best = 0f64;
    for _ in 0..ROUNDS {
        let (seconds, rows) = run(&events, &visits);
        let rate = events.len() as f64 / seconds;
        best = best.max(rate);
        println!(" events/s by the million; {rate:9.0} events/s in all, {rows} rows and moments");
    }
    println!("{best:9.0} events/s at best, of {} events", events.len());
}
