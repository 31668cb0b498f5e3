//! Calls put together from their events: members, seconds, outcome, business hours.

use std::collections::BTreeSet;

use chrono::{Datelike, Timelike};
use serde_json::{Value, json};

use super::Row;
use super::read::{Fact, InForce, Timeline, date_column, seconds, time_column, utc};

pub struct Call<'a> {
    pub id: &'a str,
    /// Its `call` and `call_record` events, by time and then by arrival.
    events: Vec<Fact<'a>>,
    /// At or before `start` (contract: "a call's: its start").
    pub settings: InForce<'a>,
    pub start: i64,
}

/// All calls of an account, by `call_id`.
pub fn calls<'a>(facts: &[Fact<'a>], settings: &Timeline<'a>) -> Vec<Call<'a>> {
    let steps: Vec<Fact> = facts.iter().filter(|f| matches!(f.kind, "call" | "call_record")).copied().collect();
    let ids: BTreeSet<&str> = steps.iter().map(|fact| fact.name("call_id")).collect();
    let call = |id| {
        let events: Vec<Fact> = steps.iter().filter(|fact| fact.name("call_id") == id).copied().collect();
        let start = start(&events);
        Call { id, events, settings: settings.at(start), start }
    };
    ids.into_iter().map(call).collect()
}

/// Of several records the latest counts.
fn record<'a>(events: &[Fact<'a>]) -> Option<Fact<'a>> {
    events.iter().rfind(|fact| fact.kind == "call_record").copied()
}

fn at_status(events: &[Fact], status: &str) -> Vec<i64> {
    let reached = events.iter().filter(|fact| fact.kind == "call" && fact.text("status") == Some(status));
    reached.map(|fact| fact.time).collect()
}

fn start(events: &[Fact]) -> i64 {
    record(events)
        .and_then(|record| record.instant("started_at"))
        .or(at_status(events, "started").first().copied())
        .unwrap_or(events[0].time)
}

impl<'a> Call<'a> {
    fn reached(&self, status: &str) -> Vec<i64> {
        at_status(&self.events, status)
    }

    fn answered_at(&self) -> Option<i64> {
        let told = record(&self.events).and_then(|record| record.instant("answered_at"));
        let told = told.or(self.reached("answered").first().copied())?;
        let latest = self.ended_at().unwrap_or(i64::MAX);
        Some(told.min(latest).max(self.start))
    }

    fn ended_at(&self) -> Option<i64> {
        let told = record(&self.events).and_then(|record| record.instant("ended_at"));
        told.or(self.reached("ended").last().copied()).map(|end| end.max(self.start))
    }

    /// Of the latest event that has it. What a record's schema does not know is no member of it.
    fn member(&self, name: &str) -> Option<&'a Value> {
        let has = |fact: &&Fact| fact.kind == "call" || !matches!(name, "talk_seconds" | "spam_score");
        self.events.iter().rev().filter(has).find_map(|fact| fact.member(name))
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.member(name).and_then(Value::as_str)
    }

    pub fn direction(&self) -> &'a str {
        self.text("direction").expect("every call event tells it")
    }

    pub fn is_outbound(&self) -> bool {
        self.direction() == "outbound"
    }

    pub fn caller(&self) -> &'a str {
        self.text(if self.is_outbound() { "to" } else { "from" }).expect("every call event tells it")
    }

    pub fn tracking_number(&self) -> &'a str {
        self.text(if self.is_outbound() { "from" } else { "to" }).expect("every call event tells it")
    }

    pub fn extension(&self) -> Option<&'a str> {
        self.text("extension")
    }

    /// By name, where the settings have one for the number or extension that was told, or else for the destination.
    fn agent(&self) -> Value {
        let name = |told| self.settings.member("agents").and_then(|agents| agents.get(told)).cloned();
        match self.text("agent") {
            Some(told) => name(told).unwrap_or_else(|| json!(told)),
            None => self.text("destination").and_then(name).unwrap_or(Value::Null),
        }
    }

    fn total_seconds(&self) -> Option<f64> {
        self.ended_at().map(|end| span(self.start, end))
    }

    fn ring_seconds(&self) -> Option<f64> {
        let from = self.reached("ringing").first().copied().unwrap_or(self.start);
        self.answered_at().or(self.ended_at()).map(|to| span(from, to))
    }

    pub fn talk_seconds(&self) -> f64 {
        if let Some(told) = self.member("talk_seconds").and_then(Value::as_f64) {
            return told;
        }
        match (self.answered_at(), self.ended_at()) {
            (Some(answer), Some(end)) => span(answer, end),
            _ => 0.0,
        }
    }

    /// The first that fits.
    pub fn outcome(&self) -> Option<&'a str> {
        if let Some(told) = self.text("outcome") {
            return Some(told);
        }
        if self.answered_at().is_some() {
            return Some("answered");
        }
        let total = self.total_seconds()?;
        if !self.reached("voicemail").is_empty() {
            return Some("voicemail");
        }
        let is_menus = !self.reached("menu").is_empty() && self.reached("ringing").is_empty();
        if !is_menus && self.member("talk_seconds").and_then(Value::as_f64).is_some_and(|told| told > 0.0) {
            return Some("answered");
        }
        if self.text("hangup_by") == Some("caller") && total <= self.settings.greeting_seconds() {
            return Some("abandoned_greeting");
        }
        if is_menus {
            return Some("abandoned_menu");
        }
        Some("missed")
    }

    pub fn row(&self) -> Row {
        let told = |name: &str| self.member(name).cloned().unwrap_or(Value::Null);
        let seconds = |seconds: Option<f64>| seconds.map_or(Value::Null, |seconds| json!(seconds));
        Row::from([
            ("call_id", json!(self.id)),
            ("date", date_column(self.start)),
            ("direction", json!(self.direction())),
            ("started_at", time_column(Some(self.start))),
            ("answered_at", time_column(self.answered_at())),
            ("ended_at", time_column(self.ended_at())),
            ("caller", json!(self.caller())),
            ("tracking_number", json!(self.tracking_number())),
            ("extension", told("extension")),
            ("destination", told("destination")),
            ("agent", self.agent()),
            ("outcome", self.outcome().map_or(Value::Null, |outcome| json!(outcome))),
            ("cause", told("cause")),
            ("hangup_by", told("hangup_by")),
            ("ring_seconds", seconds(self.ring_seconds())),
            ("talk_seconds", json!(self.talk_seconds())),
            ("total_seconds", seconds(self.total_seconds())),
            ("in_business_hours", json!(in_business_hours(&self.settings, self.start))),
            ("recording_url", told("recording_url")),
        ])
    }

    /// The provider's verdict; what each rule says takes its share of the doubt that is left (docs/attribution.md), all to twelve
    /// digits.
    pub fn spam_score(&self, calls: &[Call]) -> Option<f64> {
        let mut score = self.member("spam_score").and_then(Value::as_f64);
        if self.direction() != "inbound" {
            return score;
        }
        let mut say = |more: f64| {
            let told = score.unwrap_or(0.0);
            score = Some(((told + more * (1.0 - told)) * 1e12).round() / 1e12);
        };
        let listed = self.settings.member("spam_numbers").and_then(Value::as_array);
        let is_listed = |entry: &Value| {
            let entry = entry.as_str().unwrap_or_default();
            entry == self.caller() || entry.strip_suffix('*').is_some_and(|begin| self.caller().starts_with(begin))
        };
        if listed.is_some_and(|entries| entries.iter().any(is_listed)) {
            say(1.0);
        }
        match self.numbers_within_the_hour(calls) {
            0 | 1 => {}
            2 => say(0.3),
            _ => say(0.9),
        }
        if self.outcome() != Some("answered") && self.total_seconds().is_some_and(|seconds| seconds <= 3.0) {
            say(0.4);
        }
        score
    }

    /// How many numbers the caller called in the hour up to this call, which counts too.
    fn numbers_within_the_hour(&self, calls: &[Call]) -> usize {
        if self.caller() == "anonymous" {
            return 1;
        }
        let place = |call: &Call| (call.start, call.id.to_owned());
        let of_late = |other: &&Call| {
            !other.is_outbound()
                && other.caller() == self.caller()
                && place(other) <= place(self)
                && self.start - other.start <= 3_600_000_000
        };
        let numbers: BTreeSet<&str> = calls.iter().filter(of_late).map(|call| call.tracking_number()).collect();
        numbers.len()
    }
}

/// Never negative: clocks of telephone systems can step back.
fn span(from: i64, to: i64) -> f64 {
    seconds((to - from).max(0))
}

fn in_business_hours(settings: &InForce, time: i64) -> bool {
    let zone: chrono_tz::Tz = settings.timezone().parse().expect("an IANA zone");
    let local = utc(time).with_timezone(&zone);
    let date = local.date_naive().format("%Y-%m-%d").to_string();
    let holidays = settings.member("holidays").and_then(Value::as_array);
    if holidays.is_some_and(|days| days.iter().any(|day| *day == *date)) {
        return false;
    }
    let Some(week) = settings.member("business_hours") else { return true };
    let weekday = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][local.weekday().num_days_from_monday() as usize];
    let minute = local.hour() * 60 + local.minute();
    let open = |span: &Value| minutes(&span[0]) <= minute && minute < minutes(&span[1]);
    week.get(weekday).and_then(Value::as_array).is_some_and(|spans| spans.iter().any(open))
}

/// Of a local time such as `09:00`, from midnight.
fn minutes(time: &Value) -> u32 {
    let parts = time.as_str().and_then(|time| time.split_once(':'));
    let (hour, minute) = parts.unwrap_or_else(|| panic!("{time} is no local time"));
    let digits = |text: &str| text.parse::<u32>().unwrap_or_else(|error| panic!("{time}: {error}"));
    digits(hour) * 60 + digits(minute)
}
