//! Events as facts, each once, and the settings in force.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// An event that counts. `arrival` is its place among all that arrived.
#[derive(Debug, Clone, Copy)]
pub struct Fact<'a> {
    pub arrival: usize,
    pub account: &'a str,
    /// Microseconds since 1970.
    pub time: i64,
    pub kind: &'a str,
    pub data: &'a Value,
}

impl<'a> Fact<'a> {
    /// A member of the data; `null` is as good as absent.
    pub fn member(&self, name: &str) -> Option<&'a Value> {
        self.data.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.member(name).and_then(Value::as_str)
    }

    /// A text that the event's type demands.
    pub fn name(&self, name: &str) -> &'a str {
        self.text(name).unwrap_or_else(|| panic!("{} without {name}: {}", self.kind, self.data))
    }

    pub fn instant(&self, name: &str) -> Option<i64> {
        self.text(name).map(micros)
    }

    /// A member as a column.
    pub fn column(&self, name: &str) -> Value {
        self.member(name).cloned().unwrap_or(Value::Null)
    }
}

/// Microseconds since 1970 of an RFC 3339 time; finer digits are cut off.
pub fn micros(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap_or_else(|error| panic!("{text}: {error}")).timestamp_micros()
}

pub fn utc(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_else(|| panic!("{micros} is out of range"))
}

pub fn rfc3339(micros: i64) -> String {
    utc(micros).format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

pub fn time_column(micros: Option<i64>) -> Value {
    micros.map_or(Value::Null, |at| json!(rfc3339(at)))
}

pub fn date_column(micros: i64) -> Value {
    json!(utc(micros).format("%Y-%m-%d").to_string())
}

pub fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// Each event once, in the order of arrival: of the same account, source and id the first counts, whatever the others
/// say.
pub fn known(events: &[Value]) -> Vec<Fact<'_>> {
    let mut seen = HashSet::new();
    let mut facts = Vec::new();
    for (arrival, event) in events.iter().enumerate() {
        let member = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("event without {name}: {event}"));
        if seen.insert((member("account"), member("source"), member("id"))) {
            let time = micros(member("time"));
            facts.push(Fact { arrival, account: member("account"), time, kind: member("type"), data: &event["data"] });
        }
    }
    facts
}

/// One account's settings over time.
pub struct Timeline<'a> {
    /// By time, then by arrival.
    changes: Vec<(i64, &'a Value)>,
}

/// Settings in force at an instant.
#[derive(Clone, Copy)]
pub struct InForce<'a>(Option<&'a Value>);

impl<'a> Timeline<'a> {
    pub fn of(facts: &[Fact<'a>]) -> Timeline<'a> {
        let changes = facts.iter().filter(|fact| fact.kind == "account_settings");
        Timeline { changes: changes.map(|fact| (fact.time, fact.data)).collect() }
    }

    /// The latest by then; before the first, the first; where there is none, the defaults.
    pub fn at(&self, time: i64) -> InForce<'a> {
        let by_then = self.changes.iter().rfind(|(from, _)| *from <= time);
        InForce(by_then.or(self.changes.first()).map(|(_, settings)| *settings))
    }
}

impl<'a> InForce<'a> {
    pub fn member(&self, name: &str) -> Option<&'a Value> {
        self.0.and_then(|settings| settings.get(name)).filter(|value| !value.is_null())
    }

    fn number_or(&self, name: &str, default: f64) -> f64 {
        self.member(name).and_then(Value::as_f64).unwrap_or(default)
    }

    fn span_or(&self, name: &str, default: f64, unit_seconds: f64) -> i64 {
        (self.number_or(name, default) * unit_seconds * 1e6).round() as i64
    }

    pub fn target_seconds(&self) -> f64 {
        self.number_or("target_seconds", 30.0)
    }

    pub fn greeting_seconds(&self) -> f64 {
        self.number_or("greeting_seconds", 10.0)
    }

    /// In microseconds, as the other spans.
    pub fn sales_cycle(&self) -> i64 {
        self.span_or("sales_cycle_days", 7.0, 86_400.0)
    }

    pub fn session_timeout(&self) -> i64 {
        self.span_or("session_timeout_minutes", 30.0, 60.0)
    }

    pub fn attribution_window(&self) -> i64 {
        self.span_or("attribution_window_hours", 72.0, 3600.0)
    }

    pub fn timezone(&self) -> &'a str {
        self.member("timezone").and_then(Value::as_str).unwrap_or("UTC")
    }

    fn entry(&self, list: &str, name: &str, wanted: &str) -> Option<&'a Value> {
        self.member(list)?.as_array()?.iter().find(|entry| entry[name] == *wanted)
    }

    /// The entry of a tracking number in `numbers`.
    pub fn number(&self, number: &str) -> Option<&'a Value> {
        self.entry("numbers", "number", number)
    }

    /// The site of a pool in `pools`.
    pub fn site(&self, pool: &str) -> Value {
        self.entry("pools", "name", pool).and_then(|entry| entry.get("site")).cloned().unwrap_or(Value::Null)
    }
}
