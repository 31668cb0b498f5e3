//! A second, independent join: slow and obvious, written from the contract's sections 2 to 5 alone, against which the
//! fast one is held over the random histories of [`history`].
//!
//! It knows every event before it decides anything, as at the end of a bounded job, so lateness, watermarks, revisions
//! and expiry do not exist here. Every event must be valid; `erase` is ignored. Left out of the rows: `revision`, what
//! needs tables of user agents, addresses or dialling codes (device, browser, os, country, region, city,
//! caller_country), and every confidence that needs the probability model.
#![allow(dead_code, unused_imports)] // each test binary that includes this module uses a part of it

mod call;
mod choice;
pub mod history;
mod kinds;
mod read;
mod visit;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

pub use choice::{Candidate, Choice};
pub use read::{micros, rfc3339};

use read::{Fact, Timeline};
use visit::Visits;

/// Columns by name. Absent values are `null`; times are RFC 3339 with six digits; seconds are JSON floats
/// (microseconds / 1e6), counts are JSON integers.
pub type Row = BTreeMap<&'static str, Value>;

/// An account and the name of a thing in it.
pub type Key = (String, String);

/// Every row that the rules lead to.
#[derive(Debug, Default, PartialEq)]
pub struct World {
    /// A call of several candidates lacks the columns that follow from the choice: see `choices`.
    pub calls: BTreeMap<Key, Row>,
    pub sessions: BTreeMap<Key, Row>,
    pub leases: BTreeMap<Key, Row>,
    /// What may be chosen, for each call of several candidates.
    pub choices: BTreeMap<Key, Choice>,
}

/// What the contract leaves to maintained tables.
#[derive(Clone, Copy)]
pub struct Tables {
    /// What a page view's URL and referrer say.
    pub classify: fn(url: &str, referrer: Option<&str>) -> Source,
    /// The channel of a static number's source, medium and campaign.
    pub channel: fn(source: &str, medium: &str, campaign: Option<&str>) -> String,
}

/// Where a page view came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    pub source: String,
    pub medium: String,
    pub campaign: Option<String>,
    pub term: Option<String>,
    pub content: Option<String>,
    pub channel: String,
    pub click_id_type: Option<String>,
    pub click_id: Option<String>,
}

/// Joins events that are given in the order of their arrival.
pub fn join(events: &[Value], tables: &Tables) -> World {
    let facts = read::known(events);
    let accounts: BTreeSet<&str> = facts.iter().map(|fact| fact.account).collect();
    let mut world = World::default();
    for account in accounts {
        let mut own: Vec<Fact> = facts.iter().filter(|fact| fact.account == account).copied().collect();
        own.sort_by_key(|fact| (fact.time, fact.arrival));
        join_account(account, &own, tables, &mut world);
    }
    world
}

/// `facts` are one account's, by time and then by arrival.
fn join_account(account: &str, facts: &[Fact], tables: &Tables, world: &mut World) {
    let key = |id: &str| (account.to_owned(), id.to_owned());
    let settings = Timeline::of(facts);
    let visits = Visits::of(facts, &settings, tables);
    let calls = call::calls(facts, &settings);

    for session in &visits.sessions {
        world.sessions.insert(key(&session.id), with_account(account, visits.session_row(session)));
    }
    for lease in &visits.leases {
        world.leases.insert(key(lease.id), with_account(account, lease.row()));
    }
    let kinds = kinds::kinds(&calls);
    for (call, kinds) in calls.iter().zip(kinds) {
        let mut row = call.row();
        row.insert("spam_score", json!(call.spam_score(&calls)));
        row.extend(kinds);
        let (attributed, choice) = choice::attribute(call, &calls, facts, &visits, tables);
        row.extend(attributed);
        world.calls.insert(key(call.id), with_account(account, row));
        if let Some(choice) = choice {
            world.choices.insert(key(call.id), choice);
        }
    }
}

fn with_account(account: &str, mut row: Row) -> Row {
    row.insert("account", json!(account));
    row
}

impl World {
    /// How a call's row of another join differs from what the rules allow; nothing where it does not. Columns that
    /// the oracle leaves out are not looked at.
    pub fn differences(&self, key: &Key, row: &Row) -> Vec<String> {
        let Some(expected) = self.calls.get(key) else { return vec![format!("{key:?}: no such call")] };
        let mut found = differing(expected, row);
        if let Some(choice) = self.choices.get(key) {
            found.extend(choice.differences(row));
        }
        found
    }
}

/// One line for each column of `expected` that `row` has otherwise.
pub fn differing(expected: &Row, row: &Row) -> Vec<String> {
    let differs = |(name, value): (&&'static str, &Value)| {
        let got = row.get(name);
        (got != Some(value)).then(|| format!("{name}: expected {value}, got {got:?}"))
    };
    expected.iter().filter_map(differs).collect()
}
