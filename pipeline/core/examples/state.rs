//! What the join's state costs in memory: bytes a session, a lease and a caller, by counting allocations. Tables grow by
//! steps, so each thing is measured at many sizes, and the best and the worst are told. Event ids are kept apart: a second
//! join takes the same ids and nothing else.
//!
//! `cargo run -p callweave-core --example state` measures each thing; `callers` that alone; the path of a
//! file of events that mix.

mod mix;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use callweave_core::event::{Body, decode};
use callweave_core::join::{Effects, Join, Mode};
use callweave_core::source::Surveyor;
use mix::{call_record, call_record_of, heartbeat, lease, line, page_view, time};

struct Counting;

/// Bytes asked for, and bytes with what glibc's malloc adds (8 of its own, in steps of 16, at least 32).
static ASKED: AtomicUsize = AtomicUsize::new(0);
static TAKEN: AtomicUsize = AtomicUsize::new(0);

fn with_overhead(size: usize) -> usize {
    (size + 8).next_multiple_of(16).max(32)
}

// SAFETY: every call is handed on to the system's allocator as it is; the counters touch no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(layout.size(), Ordering::Relaxed);
        TAKEN.fetch_add(with_overhead(layout.size()), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        ASKED.fetch_sub(layout.size(), Ordering::Relaxed);
        TAKEN.fetch_sub(with_overhead(layout.size()), Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn held() -> (usize, usize) {
    (ASKED.load(Ordering::Relaxed), TAKEN.load(Ordering::Relaxed))
}

/// Each thing is measured from so many of it to twice as many: every table and list grows once in between.
const FROM: u64 = 70_000;
const STEP: u64 = 2_500;

struct World {
    join: Join,
    /// Takes the same ids.
    ids: Join,
    of_ids: (usize, usize),
    surveyor: Surveyor,
    out: Effects,
    events: u64,
}

impl World {
    fn new() -> World {
        let (join, ids) = (Join::new(Mode::Bounded), Join::new(Mode::Bounded));
        let mut world =
            World { join, ids, of_ids: (0, 0), surveyor: Surveyor::default(), out: Effects::default(), events: 0 };
        // So that caches of the surveyor are filled before anything counts.
        for n in 0..5_000 {
            world.apply("page_view", 0, &page_view(n + 100_000_000, 0, true));
        }
        world
    }

    fn apply(&mut self, kind: &str, at: u64, data: &str) {
        self.events += 1;
        let empty = line(self.events, "ad_cost", time(at), nothing());
        let before = held();
        if let Ok(event) = decode(empty.as_bytes(), None) {
            self.ids.apply(&event, None, &mut self.out);
        }
        self.of_ids.0 = (self.of_ids.0 + held().0).wrapping_sub(before.0);
        self.of_ids.1 = (self.of_ids.1 + held().1).wrapping_sub(before.1);
        let line = line(self.events, kind, time(at), data);
        self.apply_line(&line);
    }

    fn apply_line(&mut self, line: &str) {
        let Ok(event) = decode(line.as_bytes(), None) else { return };
        let visit = match &event.body {
            Body::PageView(view) => Some(self.surveyor.visit(view)),
            _ => None,
        };
        self.join.apply(&event, visit.as_ref(), &mut self.out);
        self.out.clear();
    }

    /// What the join holds, but for its event ids, and both joins' ids.
    fn held(&self) -> (f64, f64) {
        let (asked, taken) = held();
        ((asked as f64 - 2.0 * self.of_ids.0 as f64), (taken as f64 - 2.0 * self.of_ids.1 as f64))
    }
}

/// Lets `each` make things, and tells the least and the most that one costs over the sizes.
fn measure(name: &str, world: &mut World, mut each: impl FnMut(&mut World, u64)) {
    let before = world.held();
    let (mut least, mut most) = ((f64::MAX, f64::MAX), (0f64, 0f64));
    for n in 0..2 * FROM {
        each(world, n);
        if n + 1 >= FROM && (n + 1) % STEP == 0 {
            let (asked, taken) = world.held();
            let (asked, taken) = ((asked - before.0) / (n + 1) as f64, (taken - before.1) / (n + 1) as f64);
            least = (least.0.min(asked), least.1.min(taken));
            most = (most.0.max(asked), most.1.max(taken));
        }
    }
    println!("{name:48} {:5.0} to {:5.0}   {:5.0} to {:5.0}", least.0, most.0, least.1, most.1);
}

fn visit(world: &mut World, n: u64, heartbeats: u64, with_session: bool) {
    for page in 0..3 {
        world.apply("page_view", n / 10 + 40 * page, &page_view(n, page, with_session));
    }
    for beat in 0..heartbeats {
        world.apply("heartbeat", n / 10 + 90 + 30 * beat, &heartbeat(n));
    }
}

fn things() {
    println!("bytes each, from {FROM} to {} of them           asked for        with malloc's overhead", 2 * FROM);
    let mut world = World::new();
    measure("session of 3 pages, with its visitor", &mut world, |world, n| visit(world, n, 0, true));
    let leases = |world: &mut World, n: u64| {
        let at = 14_400 + n / 10;
        world.apply("lease_granted", at, &lease(n, time(at)));
    };
    measure("lease", &mut world, leases);
    measure("session of 3 pages and 10 heartbeats", &mut World::new(), |world, n| visit(world, n, 10, true));
    measure("session of 3 pages without a name", &mut World::new(), |world, n| visit(world, n, 0, false));
    let calls = |world: &mut World, n: u64| {
        world.apply("call_record", 28_800 + n / 10, &call_record(n, "+14155559999", time(28_800 + n / 10)));
    };
    measure("held call of nobody known, with its caller", &mut World::new(), calls);
    callers();
}

/// Callers are left when their calls are forgotten, which takes more than a million events. All else that is left, event ids and lessons
/// above all, is the same for as many calls of fewer callers.
fn callers() {
    const FEW: u64 = 10_000;
    let few = with_callers(FEW);
    let (mut least, mut most) = ((f64::MAX, f64::MAX), (0f64, 0f64));
    for many in [100_000, 120_000, 150_000, CALLS] {
        let held = with_callers(many);
        let each = |many_of: f64, few_of: f64| (many_of - few_of) / (many - FEW) as f64;
        let (asked, taken) = (each(held.0, few.0), each(held.1, few.1));
        least = (least.0.min(asked), least.1.min(taken));
        most = (most.0.max(asked), most.1.max(taken));
    }
    let name = "caller alone";
    println!("{name:48} {:5.0} to {:5.0}   {:5.0} to {:5.0}", least.0, most.0, least.1, most.1);
}

const CALLS: u64 = 180_000;

/// What there is after calls by so many callers, none of which is held any more.
fn with_callers(many: u64) -> (f64, f64) {
    let mut world = World::new();
    for n in 0..CALLS {
        world.apply("call_record", 7_000, &call_record_of(n, n % many, "+14155559999", time(7_000)));
    }
    for n in 0..1_300_000 {
        world.apply("ad_cost", 100_000 + n / 2, nothing());
    }
    let sizes = world.join.sizes();
    assert_eq!((sizes.calls, sizes.callers as u64), (0, many), "calls are still held, or callers are not");
    world.held()
}

/// A file of events, as `callweave run` would take it.
fn file(path: &str) {
    let Ok(text) = std::fs::read_to_string(path) else { panic!("{path} cannot be read") };
    let before = held();
    let mut world = World {
        join: Join::new(Mode::Bounded),
        ids: Join::new(Mode::Bounded),
        of_ids: (0, 0),
        surveyor: Surveyor::default(),
        out: Effects::default(),
        events: 0,
    };
    for line in text.lines() {
        world.apply_line(line);
    }
    let after = held();
    println!("{:?}", world.join.sizes());
    println!(
        "{} MB asked for, {} MB with malloc's overhead",
        (after.0 - before.0) / 1_000_000,
        (after.1 - before.1) / 1_000_000
    );
}

fn main() {
    match std::env::args().nth(1) {
        Some(only) if only == "callers" => callers(),
        Some(path) => file(&path),
        None => things(),
    }
}

/// An event that leaves nothing in the state but its id.
fn nothing() -> &'static str {
    r#"{"date":"2026-11-20","source":"google","medium":"cpc","cost":"1.5","currency":"EUR"}"#
}
