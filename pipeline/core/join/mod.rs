//! The join: events in, rows and moments out. A pure, deterministic state machine; each account has a state of its own
//! and a watermark of its own, so that how accounts are spread over partitions changes nothing.
//!
//! - [`visits`] and [`made`] make sessions of what visitors do, [`leases`] keeps who held which number when;
//! - [`calls`] puts calls together, [`choice`] gathers candidates and [`attribution`] chooses among them, [`lessons`] are what it
//!   learns from calls; [`callers`] counts a caller's calls, [`links`] tell whose telephone theirs is, [`spam`] whether it is a robot's;
//!   [`tags`] gives calls the tags of the account's rules;
//! - [`decide`] holds the timers: when something is decided, corrected, and forgotten;
//! - [`client`] keeps what pages told for exports; [`erase`] forgets people, and what is told of them later is [`nameless`];
//!   what went by itself has one row all the same ([`forgotten`]);
//! - [`emit`] makes rows, and writes one only if it differs from what was written before.
//!
//! The state holds millions of things, and is packed: [`arena`] names things by small numbers, [`index`] finds them, [`intern`] names
//! values,
//! [`name`] packs ids, [`timeline`] what a session did, [`timers`] times.

mod account;
mod arena;
mod attribution;
mod callers;
mod calls;
mod choice;
mod client;
mod decide;
#[cfg(test)]
mod early_tests;
mod emit;
mod erase;
#[cfg(test)]
mod erase_tests;
mod explain;
mod few;
#[cfg(test)]
mod forget_tests;
mod forgotten;
mod index;
mod intern;
mod leases;
mod lessons;
mod links;
mod made;
mod name;
mod nameless;
#[cfg(test)]
mod order_tests;
mod seen;
mod session;
mod settled;
mod snapshot;
mod spam;
mod tags;
#[cfg(test)]
mod tests;
mod thin;
#[cfg(test)]
mod thin_tests;
mod timeline;
mod timers;
#[cfg(test)]
mod told_tests;
mod visitors;
mod visits;
#[cfg(test)]
mod wish_tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use attribution::share_of_calls_after;
pub use nameless::{ERASED, Nobody, name_of_nobody};
pub use snapshot::SnapshotError;

use crate::event::Event;
use crate::id::Key;
use crate::moment::Moment;
use crate::phone::Phone;
use crate::row::{CallRow, CandidateRow, LeaseRow, SessionRow, Str};
use crate::settings::{IpPrecision, Settings};
use crate::source::Visit;
use crate::time::Time;
use account::Account;

/// How soon rows are written. The final rows are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Calls as soon as they are over, leases as soon as they are granted, sessions while they go on; revisions follow once they are decided.
    Live,
    /// Only what is decided. A call whose end never comes waits for [`Join::settle`].
    Bounded,
}

/// A person to forget.
#[derive(Debug, Clone, PartialEq)]
pub struct Erasure {
    pub account: Str,
    pub visitor_id: Option<Str>,
    pub phone: Option<Phone>,
    /// What the visitor is called from now on ([`name_of_nobody`]). It follows from the erasure's own event, so it says nothing of them.
    pub name: Key,
    /// Calls that are theirs, though no row says so.
    pub calls: Vec<Str>,
    /// Rows of what happened until then are theirs; later ones are somebody's of whom nothing is known any more.
    pub until: Time,
}

/// What one or more events lead to, in order.
#[derive(Debug, Default)]
pub struct Effects {
    pub sessions: Vec<SessionRow>,
    pub leases: Vec<LeaseRow>,
    pub calls: Vec<Arc<CallRow>>,
    /// Behind each row of a call: who it could be.
    pub candidates: Vec<CandidateRow>,
    pub moments: Vec<Moment>,
    /// Events `call_tag`, made by the account's rules.
    pub tags: Vec<Event<'static>>,
    pub erasures: Vec<Erasure>,
    /// Who stands in the own row of the event that was taken last for those whom it names, if it tells of somebody's time before they were
    /// erased.
    pub nobody: Option<Box<Nobody>>,
}

impl Effects {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        let joined = self.sessions.len() + self.leases.len() + self.calls.len() + self.candidates.len();
        joined + self.moments.len() + self.tags.len() + self.erasures.len()
    }

    pub fn clear(&mut self) {
        self.sessions.clear();
        self.leases.clear();
        self.calls.clear();
        self.candidates.clear();
        self.moments.clear();
        self.tags.clear();
        self.erasures.clear();
    }
}

/// How much a join holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    pub accounts: usize,
    pub visitors: usize,
    pub sessions: usize,
    pub leases: usize,
    pub calls: usize,
    pub callers: usize,
    pub recognised_ids: usize,
}

/// What was done with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It counts; its own row, if its type has one, lands.
    Taken,
    /// An event of this name was taken before: nothing changes.
    Duplicate,
    /// It tells of a call of somebody who was erased: nothing of it lands.
    Erased,
    /// It tells of a call that was forgotten, whose row stands as it is: it is rejected.
    Forgotten,
}

pub struct Join {
    mode: Mode,
    accounts: Vec<Account>,
    /// Where each account stands in `accounts`.
    by_name: std::collections::BTreeMap<Str, usize>,
    /// The account of the last event: most streams are of one.
    last: usize,
    /// Events taken.
    taken: u64,
}

impl Join {
    pub fn new(mode: Mode) -> Join {
        Join { mode, accounts: Vec::new(), by_name: Default::default(), last: 0, taken: 0 }
    }

    /// Takes one event in. `visit` is what the [`crate::source::Surveyor`] says of a page view, and nothing for others.
    pub fn apply(&mut self, event: &Event<'_>, visit: Option<&Visit<'_>>, out: &mut Effects) -> Verdict {
        self.taken += 1;
        let taken = self.taken;
        let account = self.account(&event.account);
        account.taken = taken;
        account.apply(event, visit, out)
    }

    /// Time passes for every account, though nothing arrived.
    pub fn tick(&mut self, time: Time, out: &mut Effects) {
        for account in &mut self.accounts {
            account.taken = self.taken;
            account.tick(time, out);
        }
    }

    /// Decides all that is still open, as at the end of a bounded job. Later events still correct it.
    pub fn settle(&mut self, out: &mut Effects) {
        for account in &mut self.accounts {
            account.settle(out);
        }
    }

    /// Lets go what nobody names any more, for a state that is written down: what people were called who were erased.
    pub fn sweep(&mut self) {
        self.accounts.iter_mut().for_each(Account::sweep);
    }

    /// The least of the accounts' watermarks; nothing before the first event.
    pub fn watermark(&self) -> Option<Time> {
        self.accounts.iter().map(Account::watermark).min()
    }

    /// Whether something is to be decided by a tick of `now`. Where the watermark is ahead of `now` (a clock was ahead), that is what
    /// the watermark has passed already.
    pub fn is_due(&self, now: Time) -> bool {
        self.accounts.iter().any(|account| account.next_due().is_some_and(|due| due <= account.watermark().max(now)))
    }

    /// How many days each account keeps its rows, by its settings in force now; nothing: for good.
    pub fn retention_days(&self) -> impl Iterator<Item = (Str, Option<u32>)> {
        self.accounts
            .iter()
            .map(|account| (account.name.clone(), account.rules(account.watermark()).settings().retention_days))
    }

    /// How much of a visitor's address the account keeps, by its settings in force at `at`.
    pub fn ip_precision(&self, account: &str, at: Time) -> IpPrecision {
        self.settings(account, at).map_or(IpPrecision::default(), |settings| settings.ip_precision)
    }

    /// The account's currency, by its settings in force at `at`; nothing where it told none.
    pub fn currency(&self, account: &str, at: Time) -> Option<&str> {
        let account = self.known(account).filter(|account| !account.eras.is_empty())?;
        Some(&account.rules(at).settings().currency)
    }

    /// An account's settings in force at `at`: the defaults where it was told none; nothing where nothing came of it yet.
    pub fn settings(&self, account: &str, at: Time) -> Option<&Settings> {
        self.known(account).map(|account| account.rules(at).settings())
    }

    /// The watermark of one account; nothing where nothing came of it yet.
    pub fn watermark_of(&self, account: &str) -> Option<Time> {
        self.known(account).map(Account::watermark)
    }

    fn known(&self, account: &str) -> Option<&Account> {
        let last = self.accounts.get(self.last).filter(|it| &*it.name == account);
        last.or_else(|| self.by_name.get(account).map(|&at| &self.accounts[at]))
    }

    pub fn sizes(&self) -> Sizes {
        let mut sizes = Sizes { accounts: self.accounts.len(), ..Sizes::default() };
        for account in &self.accounts {
            account.add_sizes(&mut sizes);
        }
        sizes
    }

    fn account(&mut self, name: &str) -> &mut Account {
        let same = self.accounts.get(self.last).is_some_and(|account| &*account.name == name);
        if !same {
            self.last = match self.by_name.get(name) {
                Some(&at) => at,
                None => {
                    let name: Str = name.into();
                    self.accounts.push(Account::new(name.clone(), self.mode));
                    self.by_name.insert(name, self.accounts.len() - 1);
                    self.accounts.len() - 1
                }
            };
        }
        &mut self.accounts[self.last]
    }
}
