//! What the makers of visits and calls share: names, instants worth hitting exactly, and the events made so far.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::super::read::rfc3339;
use super::{DAY, MINUTE, Size};

pub struct Maker<'r> {
    pub rng: &'r mut StdRng,
    pub account: &'static str,
    pub size: Size,
    /// The first and the last instant of the history, or nearly so.
    pub from: i64,
    pub to: i64,
    pub rules: Vec<Rules>,
    pub pool_numbers: Vec<PoolNumber>,
    pub leases: usize,
    /// Instants at which something begins or ends: others happen there too, or a microsecond beside.
    pub instants: Vec<i64>,
    /// Instants at which a lease begins, is renewed, or ends.
    pub held: Vec<Held>,
    events: Vec<(i64, Value)>,
}

#[derive(Debug, Clone)]
pub struct Held {
    pub at: i64,
    pub number: String,
    pub extension: Option<&'static str>,
}

/// The lengths of one settings event that boundaries are made from.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub timeout: i64,
    pub window: i64,
    pub cycle: i64,
    pub target: i64,
    pub greeting: i64,
}

#[derive(Debug, Clone)]
pub struct PoolNumber {
    pub number: String,
    pub pool: &'static str,
    pub extensions: bool,
}

pub const EXTENSIONS: [&str; 3] = ["11", "12", "13"];

impl<'r> Maker<'r> {
    pub fn new(rng: &'r mut StdRng, account: &'static str, from: i64, size: Size) -> Maker<'r> {
        let to = from + rng.random_range(1..=size.days) * DAY;
        let pool_numbers = (0..rng.random_range(1..=size.pool_numbers))
            .map(|n| PoolNumber {
                number: format!("+1415555010{n}"),
                pool: ["north", "south"][n % 2],
                extensions: rng.random_bool(0.4),
            })
            .collect();
        let (rules, instants, held, events) = (Vec::new(), vec![from], Vec::new(), Vec::new());
        Maker { rng, account, size, from, to, rules, pool_numbers, leases: 0, instants, held, events }
    }

    /// All events of the account, with their times, in no order.
    pub fn account(mut self) -> Vec<(i64, Value)> {
        self.make_settings();
        for visitor in 0..self.rng.random_range(1..=self.size.visitors) {
            self.make_visits(&format!("v{visitor}"));
        }
        self.make_calls();
        self.place_settings();
        self.events
    }

    pub fn chance(&mut self, of: f64) -> bool {
        self.rng.random_bool(of)
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from.choose(self.rng).expect("something to pick from").clone()
    }

    pub fn a_rule(&mut self) -> Rules {
        let rules = self.rules.clone();
        self.pick(&rules)
    }

    /// Just before, at, or just after.
    pub fn around(&mut self, instant: i64) -> i64 {
        instant + self.pick(&[-1, 0, 0, 1])
    }

    pub fn any_time(&mut self) -> i64 {
        // Whole minutes, so that equal times come by themselves.
        self.rng.random_range(0..=(self.to - self.from) / MINUTE) * MINUTE + self.from
    }

    pub fn an_instant(&mut self) -> i64 {
        let instants = self.instants.clone();
        self.pick(&instants)
    }

    /// Takes an event in; `data` loses its null members, for an absent member is not always told apart from null.
    pub fn put(&mut self, time: i64, kind: &str, mut data: Value) {
        if let Some(members) = data.as_object_mut().filter(|_| kind != "account_settings") {
            members.retain(|_, value| !value.is_null());
        }
        // Two events share an id and differ in their source: they are two all the same.
        let source = ["web/main", "pbx"][self.events.len() % 2];
        let id = format!("e{}", self.events.len() / 2);
        let time_text = if self.chance(0.1) { with_offset(time) } else { rfc3339(time) };
        let mut event = json!({"specversion": "1.0", "id": id, "source": source, "type": kind, "time": time_text,
            "account": self.account, "data": data});
        if self.chance(0.2) {
            event["recordedtime"] = json!(rfc3339(time + 1000));
        }
        self.events.push((time, event));
    }

    /// Moves and rewrites events that were made before their time was known.
    pub fn events_mut(&mut self) -> &mut Vec<(i64, Value)> {
        &mut self.events
    }
}

/// The same instant as a clock two hours ahead of UTC writes it.
pub fn with_offset(time: i64) -> String {
    rfc3339(time + 120 * MINUTE).replace('Z', "+02:00")
}
