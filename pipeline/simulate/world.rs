//! The world's clock: what is to happen, in order, and the lines that come of it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use callweave_core::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Time};

use super::account::{Account, Numbers};
use super::calls::Call;
use super::draw::{Draw, scramble};
use super::faults::Held;
use super::pool::Lease;
use super::slab::Slab;
use super::tables::CAMPAIGNS;
use super::truth::Truth;
use super::visits::Visit;
use super::{SimulateError, Simulation};
use crate::line::{Envelope, Lines, hex};

/// Made-up traffic, event by event.
pub struct World {
    pub(super) options: Simulation,
    pub(super) draw: Draw,
    pub(super) now: Time,
    agenda: BinaryHeap<Reverse<(Time, u64, Action)>>,
    /// Breaks ties in the agenda: first planned, first done.
    turn: u64,
    pub(super) accounts: Vec<Account>,
    pub(super) visits: Slab<Visit>,
    pub(super) leases: Slab<Lease>,
    pub(super) calls: Slab<Call>,
    pub(super) held: Slab<Held>,
    /// Running totals of the weights of the times at which a caller dials.
    pub(super) delay_sums: [f64; 4],
    /// Ids are this, counted on and scrambled.
    id_next: u64,
    pub(super) visits_begun: u64,
    ends: Option<Time>,
    pub(super) lines: Lines,
    /// The late arrival of the event that is being written.
    pub(super) arrives: Option<Time>,
    pub(super) made: Vec<Made>,
    /// How many of `made` the iterator has given.
    given: usize,
    pub(super) events: u64,
    /// The number of events that was asked for is reached.
    full: bool,
}

/// One line of `lines`.
pub(super) struct Made {
    pub(super) end: usize,
    pub(super) at: Time,
    pub(super) kind: &'static str,
    pub(super) account: u16,
    pub(super) truth: Option<Truth>,
}

/// What is to happen; the numbers are indexes of accounts, visits, leases, calls and held lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Settings(u16),
    Arrive(u16),
    Page(u32),
    Heartbeat(u32),
    Click(u32),
    Form(u32),
    Leave(u32),
    LeaseEnd(u32),
    Misdial(u16),
    PrintCall(u16),
    CallStep(u32),
    FollowUp(u32),
    DayEnd(u16),
    Held(u32),
}

/// One event, as it would be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedEvent {
    /// When it is sent: the event's own time, but for late ones and duplicates.
    pub at: Time,
    pub account: Arc<str>,
    /// The event's type, or `unusable`.
    pub kind: &'static str,
    /// The event, without a line feed.
    pub json: Vec<u8>,
    /// With the first event of a call: the truth about it.
    pub truth: Option<Truth>,
}

impl World {
    pub fn new(options: Simulation) -> Result<World, SimulateError> {
        options.check()?;
        let mut numbers = Numbers::default();
        let accounts = (0..options.accounts.len())
            .map(|at| Account::new(at, &options, &mut numbers))
            .collect::<Result<Vec<_>, _>>()?;
        let delays = &options.delays;
        let mut sum = delays.during_visit;
        let mut delay_sums = [sum; 4];
        for (slot, delay) in delay_sums[1..].iter_mut().zip(&delays.later) {
            sum += delay.weight;
            *slot = sum;
        }
        let ends = options.days.map(|days| options.start.plus((days * MICROS_PER_DAY as f64) as i64));
        let mut world = World {
            draw: Draw::new(options.seed),
            now: options.start,
            agenda: BinaryHeap::new(),
            turn: 0,
            accounts,
            visits: Slab::new(),
            leases: Slab::new(),
            calls: Slab::new(),
            held: Slab::new(),
            delay_sums,
            id_next: scramble(options.seed),
            visits_begun: 0,
            ends,
            lines: Lines::default(),
            arrives: None,
            made: Vec::new(),
            given: 0,
            events: 0,
            full: options.events == Some(0),
            options,
        };
        world.open_accounts();
        Ok(world)
    }

    fn open_accounts(&mut self) {
        for account in 0..self.accounts.len() as u16 {
            self.plan(0, Action::Settings(account));
            self.plan_arrival(account);
            self.plan_stranger(Action::Misdial(account));
            self.plan_stranger(Action::PrintCall(account));
            self.plan_day_end(account);
        }
    }

    /// Makes events until there are so many bytes of them; what was made before is gone. False when nothing is left.
    pub(super) fn run_until(&mut self, bytes: usize) -> bool {
        self.made.clear();
        self.lines.clear();
        self.given = 0;
        while self.lines.bytes().len() < bytes {
            if !self.step() {
                return false;
            }
        }
        true
    }

    pub(super) fn made(&self) -> (usize, &[u8]) {
        (self.made.len(), self.lines.bytes())
    }

    pub(super) fn truths(&self) -> impl Iterator<Item = &Truth> {
        self.made.iter().filter_map(|made| made.truth.as_ref())
    }

    /// Does the next thing on the agenda.
    fn step(&mut self) -> bool {
        if self.full {
            return false;
        }
        let Some(Reverse((at, _, action))) = self.agenda.pop() else {
            return false;
        };
        self.now = at;
        match action {
            Action::Settings(account) => self.settings(account),
            Action::Arrive(account) => self.arrive(account),
            Action::Page(visit) => self.page(visit),
            Action::Heartbeat(visit) => self.heartbeat(visit),
            Action::Click(visit) => self.click(visit),
            Action::Form(visit) => self.form(visit),
            Action::Leave(visit) => self.leave(visit),
            Action::LeaseEnd(lease) => self.lease_end(lease),
            Action::Misdial(account) => self.misdial(account),
            Action::PrintCall(account) => self.print_call(account),
            Action::CallStep(call) => self.call_step(call),
            Action::FollowUp(call) => self.follow_up(call),
            Action::DayEnd(account) => self.day_end(account),
            Action::Held(held) => self.release_held(held),
        }
        true
    }

    pub(super) fn plan(&mut self, after: i64, action: Action) {
        self.turn += 1;
        self.agenda.push(Reverse((self.now.plus(after), self.turn, action)));
    }

    /// Nobody new comes any more.
    pub(super) fn closing(&self) -> bool {
        self.ends.is_some_and(|ends| self.now >= ends)
            || self.options.visits.is_some_and(|visits| self.visits_begun >= visits)
    }

    /// A new id, never 0.
    pub(super) fn id(&mut self) -> u64 {
        self.id_next = self.id_next.wrapping_add(1);
        scramble(self.id_next).max(1)
    }

    /// Starts an event of now. Its data's members are to be written to `lines`, then [`World::finish`].
    pub(super) fn begin(&mut self, account: u16, source: &str, kind: &str) {
        let id = hex(self.id());
        let id = std::str::from_utf8(&id).unwrap_or_default();
        self.arrives = self.lateness();
        let account = &*self.accounts[usize::from(account)].name;
        let envelope = Envelope { account, source, kind, time: self.now, recorded: self.arrives };
        self.lines.begin(&envelope, &[id]);
    }

    /// Ends the line and counts it, or takes it back if there are enough.
    pub(super) fn finish(&mut self, account: u16, kind: &'static str, truth: Option<Truth>) {
        self.lines.end();
        self.arrange(account, kind, truth);
    }

    /// Takes what was written since the last line as one.
    pub(super) fn keep(&mut self, account: u16, kind: &'static str, truth: Option<Truth>) {
        if self.full {
            self.lines.truncate(self.line_start());
            return;
        }
        let end = self.lines.bytes().len();
        self.made.push(Made { end, at: self.now, kind, account, truth });
        self.events += 1;
        self.full = self.options.events == Some(self.events);
    }

    pub(super) fn line_start(&self) -> usize {
        self.made.last().map_or(0, |made| made.end)
    }

    fn settings(&mut self, account: u16) {
        self.begin(account, "settings", "account_settings");
        self.accounts[usize::from(account)].settings(&self.options, &mut self.lines);
        self.finish(account, "account_settings", None);
    }

    fn plan_day_end(&mut self, account: u16) {
        let midnight = Time(self.now.date().start().0 + MICROS_PER_DAY);
        self.plan(midnight.since(self.now) + 2 * MICROS_PER_HOUR, Action::DayEnd(account));
    }

    /// What the day before cost, as the advertising systems tell it in the night.
    fn day_end(&mut self, account: u16) {
        let day = callweave_core::time::Date(self.now.date().0 - 1);
        let clicks = std::mem::replace(&mut self.accounts[usize::from(account)].clicks, [0; CAMPAIGNS.len()]);
        let currency = self.accounts[usize::from(account)].currency;
        for (campaign, clicks) in CAMPAIGNS.iter().zip(clicks) {
            if campaign.cents_per_click == 0 || clicks == 0 {
                continue;
            }
            let impressions = clicks * (12 + self.draw.below(20) as u64);
            self.begin(account, "ads/costs", "ad_cost");
            self.lines.date("date", day);
            self.lines.text("source", campaign.truth.source);
            self.lines.text("medium", campaign.truth.medium);
            self.lines.text_if("campaign", campaign.truth.campaign);
            self.lines.thousandths("cost", clicks * campaign.cents_per_click * 10);
            self.lines.text("currency", currency);
            self.lines.integer("clicks", clicks);
            self.lines.integer("impressions", impressions);
            self.finish(account, "ad_cost", None);
        }
        if !self.closing() {
            self.plan_day_end(account);
        }
    }
}

impl Iterator for World {
    type Item = SimulatedEvent;

    fn next(&mut self) -> Option<SimulatedEvent> {
        while self.given == self.made.len() {
            if !self.run_until(1) && self.made.is_empty() {
                return None;
            }
        }
        let start = if self.given == 0 { 0 } else { self.made[self.given - 1].end };
        let made = &mut self.made[self.given];
        self.given += 1;
        Some(SimulatedEvent {
            at: made.at,
            account: self.accounts[usize::from(made.account)].name.clone(),
            kind: made.kind,
            json: self.lines.bytes()[start..made.end - 1].to_vec(),
            truth: made.truth.take(),
        })
    }
}
