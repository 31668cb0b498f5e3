//! What the join's state costs in memory: bytes a session, a lease and a caller, by counting allocations.
//!
//! `cargo run -p callweave-core --example state`

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use callweave_core::event::{Body, decode};
use callweave_core::join::{Effects, Join, Mode};
use callweave_core::source::Surveyor;
use callweave_core::time::{MICROS_PER_SECOND, Time};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it is; the counter touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MANY: u64 = 100_000;

fn uuid(kind: u64, n: u64) -> String {
    format!("{:08x}-{:04x}-7abc-8def-{n:012x}", kind * 77_777, n % 65_536)
}

struct World {
    join: Join,
    surveyor: Surveyor,
    events: u64,
}

impl World {
    fn apply(&mut self, kind: &str, at: u64, data: &str) {
        self.events += 1;
        let time = Time((1_795_132_800 + at as i64 / 10) * MICROS_PER_SECOND);
        let line = format!(
            r#"{{"specversion":"1.0","id":"{}","source":"web","type":"{kind}","time":"{time}","account":"acme","data":{data}}}"#,
            self.events
        );
        let Ok(event) = decode(line.as_bytes(), None) else { panic!("{line}") };
        let visit = match &event.body {
            Body::PageView(view) => Some(self.surveyor.visit(view)),
            _ => None,
        };
        self.join.apply(&event, visit.as_ref(), &mut Effects::default());
    }
}

/// What was added since `before`, less the table of `ids` event ids (counted apart: it is bounded by their window).
fn tell(name: &str, before: usize, ids: u64) {
    const ID_BYTES: f64 = 17.0 * 8.0 / 7.0;
    let held = HELD.load(Ordering::Relaxed).saturating_sub(before) as f64;
    println!("{name:28} {:6.0} bytes", held / MANY as f64);
    println!("{name:28} {:6.0} bytes without event ids", (held - ids as f64 * ID_BYTES) / MANY as f64);
}

fn main() {
    let mut world = World { join: Join::new(Mode::Bounded), surveyor: Surveyor::default(), events: 0 };
    let view = |n: u64, page: u64, query: &str| {
        format!(
            r#"{{"visitor_id":"{}","session_id":"{}","url":"https://www.example.com/page-{page}{query}","referrer":"https://www.google.com/","user_agent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36","language":"en-US"}}"#,
            uuid(1, n),
            uuid(2, n)
        )
    };
    world.apply("page_view", 0, &view(MANY + 1, 0, ""));
    let before = HELD.load(Ordering::Relaxed);
    for n in 0..MANY {
        let paid = format!("?utm_source=google&utm_medium=cpc&utm_campaign=c{}&gclid=Cj0KCQ{n:020}", n % 40);
        let query = if n % 3 == 0 { paid.as_str() } else { "" };
        for (page, query) in [(n % 500, query), (n % 97, ""), (n % 31, "")] {
            world.apply("page_view", n, &view(n, page, query));
        }
    }
    tell("session with its visitor", before, 3 * MANY);
    let before = HELD.load(Ordering::Relaxed);
    for n in 0..MANY {
        let (lease, visitor, session) = (uuid(3, n), uuid(1, n), uuid(2, n));
        let data = format!(
            r#"{{"lease_id":"{lease}","pool":"main","number":"+1415555{:04}","visitor_id":"{visitor}","session_id":"{session}","expires_at":"2026-12-21T00:00:00Z"}}"#,
            n % 10_000
        );
        world.apply("lease_granted", MANY + n, &data);
    }
    tell("lease", before, MANY);
    let before = HELD.load(Ordering::Relaxed);
    for n in 0..MANY {
        let data = format!(
            r#"{{"call_id":"{}","direction":"inbound","from":"+49151{n:08}","to":"+14155559999","started_at":"2026-11-21T00:00:00Z","ended_at":"2026-11-21T00:01:00Z"}}"#,
            uuid(4, n)
        );
        world.apply("call_record", 2 * MANY + n, &data);
    }
    tell("call with its caller", before, MANY);
    println!("{:?}", world.join.sizes());
}
