//! One pool's desk: what it knows, and how it comes to a number. How it reads lines stands in [`reading`], what it tells of
//! itself in [`telling`].

mod reading;
mod telling;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use callweave_core::settings::{OnExhausted, Rules};
use callweave_core::time::{MICROS_PER_MINUTE, MICROS_PER_SECOND, Time};
use uuid::Uuid;

use super::book::{Book, Standing, Terms, Wish};
use super::line::{Change, Deed, Holder, Line};
use super::meters::Meters;
use super::plan::Plan;
use super::{Ask, How, LeaseError, Shown};
use crate::log::{Append, AppendError, Appended, MessageId, SharedLog};
use crate::telemetry::metrics::Metrics;

/// How often one visitor's wish is tried against other collectors. Each try reads four times as many lines as the one
/// before, so that a desk that slept finds what is free.
const TRIES: usize = 12;
const REREAD_MAX: usize = 4096;
/// Before a pool is said to be exhausted its lines are read again, at most so often.
const REFRESH_EVERY: i64 = MICROS_PER_SECOND;

/// A time that is earlier by more than this is that of a clock which was set back.
const SET_BACK: i64 = MICROS_PER_MINUTE;

/// A pool and the log that its lines stand in.
pub struct Pool {
    account: Arc<str>,
    name: Arc<str>,
    partition: u16,
    log: SharedLog,
    known: Mutex<Known>,
    /// Lines are read by one at a time; the others wait for what it finds.
    reading: tokio::sync::Mutex<()>,
    pub meters: Meters,
}

struct Known {
    rules: Arc<Rules>,
    plan: Arc<Plan>,
    book: Book,
    /// Lines of the plan, from its start, that were read.
    read: usize,
    refreshed: Time,
    told: Time,
    warned: Time,
    most: usize,
}

/// A line that is about to be given to somebody. Whatever happens, it goes back.
struct Taken<'p> {
    pool: &'p Pool,
    at: u32,
    how: How,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.pool.known().book.put_back(self.at);
    }
}

/// Whether `last` was so long ago. Who waited for others may ask with a time of a moment before; but a clock that was set
/// back must not silence anything.
fn is_due(last: Time, every: i64, now: Time) -> bool {
    last == Time::MIN || !(-SET_BACK..every).contains(&now.since(last))
}

fn terms_of(rules: &Rules, pool: &str) -> Terms {
    let minutes = |minutes: f64| (minutes * MICROS_PER_MINUTE as f64) as i64;
    let pool = rules.pool(pool);
    Terms {
        hold: pool.map_or(0, |pool| minutes(pool.hold_minutes)),
        cooldown: pool.map_or(0, |pool| minutes(pool.cooldown_minutes)),
    }
}

fn wish<'a>(ask: &Ask<'a>) -> Wish<'a> {
    Wish { visitor_id: ask.visitor_id, session_id: ask.session_id, now: ask.now }
}

fn shown(line: &Line, holder: &Holder, how: How) -> Shown {
    Shown {
        number: line.number,
        extension: line.extension.as_deref().map(str::to_owned),
        lease_id: Some(holder.lease_id.to_string()),
        expires_at: Some(holder.expires_at),
        how,
    }
}

fn new_id() -> String {
    Uuid::now_v7().to_string()
}

impl Pool {
    pub fn new(log: SharedLog, metrics: &Metrics, partition: u16, ask: &Ask<'_>, seed: u64) -> Pool {
        let (account, name) = (Arc::from(ask.account), Arc::from(ask.pool));
        let known = Known {
            rules: ask.rules.clone(),
            plan: Arc::new(Plan::of(ask.rules, ask.pool)),
            book: Book::new(seed, terms_of(ask.rules, ask.pool)),
            read: 0,
            refreshed: Time::MIN,
            told: Time::MIN,
            warned: Time::MIN,
            most: 0,
        };
        let meters = Meters::new(metrics, &account, &name);
        Pool { account, name, partition, log, known: Mutex::new(known), reading: Default::default(), meters }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the settings of an ask: lines that are new are read before the next is given.
    pub fn follow(&self, rules: &Arc<Rules>) {
        let mut known = self.known();
        if Arc::ptr_eq(&known.rules, rules) {
            return;
        }
        known.rules = rules.clone();
        known.book.set_terms(terms_of(rules, &self.name));
        let plan = Plan::of(rules, &self.name);
        if plan != *known.plan {
            known.book.retain(|line| plan.may_hold(line));
            known.plan = Arc::new(plan);
            known.read = 0;
        }
    }

    /// The visitor's lease, where this desk knows it and nothing is to be done: no log, and no waiting.
    pub fn kept(&self, ask: &Ask<'_>) -> Option<Shown> {
        let known = self.known();
        let at = known.own_line(ask).filter(|_| !known.doubts(ask))?;
        match known.book.standing(at, &wish(ask), "") {
            Standing::Holds(holder) => known.book.line(at).map(|(line, _)| shown(line, &holder, How::Kept)),
            _ => None,
        }
    }

    /// The visitor's lease, if it is active at all: for when the log cannot be asked.
    pub fn active(&self, ask: &Ask<'_>) -> Option<Shown> {
        self.known().book.active(&wish(ask)).map(|(line, holder)| shown(line, holder, How::Kept))
    }

    /// A number for the visitor, by all means that there are.
    pub async fn number(self: &Arc<Pool>, ask: &Ask<'_>) -> Result<Shown, LeaseError> {
        self.read_first().await?;
        if let Some(shown) = self.keep(ask).await? {
            return Ok(shown);
        }
        self.lease(ask).await
    }

    /// What the visitor has, renewed where it is time, and for a new session leased anew.
    async fn keep(&self, ask: &Ask<'_>) -> Result<Option<Shown>, LeaseError> {
        self.believe(ask).await?;
        for _ in 0..TRIES {
            let (line, change) = {
                let known = self.known();
                let Some(at) = known.own_line(ask) else { return Ok(None) };
                let Some((line, _)) = known.book.line(at) else { return Ok(None) };
                match known.book.standing(at, &wish(ask), &new_id()) {
                    Standing::Strange => return Ok(None),
                    Standing::Holds(holder) => return Ok(Some(shown(line, &holder, How::Kept))),
                    Standing::Due(change) | Standing::Moves(change) => (line.clone(), change),
                }
            };
            let moves = change.deed == Deed::Release;
            if !self.make(&change, ask.now).await? {
                continue;
            }
            if !moves {
                return Ok(Some(shown(&line, &change.holder, How::Kept)));
            }
            let Some(change) = self.known().moved(&line, ask) else { return Ok(None) };
            if self.make(&change, ask.now).await? {
                return Ok(Some(shown(&line, &change.holder, How::Kept)));
            }
        }
        Err(LeaseError::Contended(TRIES))
    }

    /// What the browser says that it holds is looked up, where this desk knows nothing of it.
    async fn believe(&self, ask: &Ask<'_>) -> Result<(), LeaseError> {
        let Some(line) = ask.held.map(|held| held.line()) else { return Ok(()) };
        let seen = {
            let known = self.known();
            if !known.doubts(ask) {
                return Ok(());
            }
            known.book.find(&line).and_then(|at| known.book.line(at)).map_or(0, |(_, sequence)| sequence)
        };
        let told = self.read(&line).await?;
        // A line that nobody has read yet is only worth remembering if it is theirs.
        let theirs = told.holders.iter().any(|holder| &*holder.visitor_id == ask.visitor_id);
        let mut known = self.known();
        if theirs || known.book.find(&line).is_some() {
            known.book.learn(&line, seen, told);
        }
        Ok(())
    }

    /// A line that is free, or what the settings say for when there is none.
    async fn lease(self: &Arc<Pool>, ask: &Ask<'_>) -> Result<Shown, LeaseError> {
        for tries in 0..TRIES {
            // What was read since may tell that another collector leased to this visitor.
            if tries > 0
                && let Some(shown) = self.keep(ask).await?
            {
                return Ok(shown);
            }
            let Some(taken) = self.take(ask, tries).await? else { return self.overflow(ask) };
            let shares = taken.how == How::Shared;
            let change = self.known().book.grant(taken.at, &wish(ask), &new_id(), shares);
            let Some(change) = change else { continue };
            if self.make(&change, ask.now).await? {
                let how = taken.how;
                drop(taken);
                self.measure(ask.now);
                return Ok(shown(&change.line, &change.holder, how));
            }
            // Whoever was faster was so more than once, perhaps.
            let count = 4usize.saturating_pow(tries as u32).min(REREAD_MAX);
            drop(taken);
            let next = if shares { self.known().book.in_use(count) } else { self.known().book.next_free(count) };
            self.read_again(next).await?;
        }
        Err(LeaseError::Contended(TRIES))
    }

    /// Nothing where the pool is exhausted and nobody is to share; that is told once a wish.
    async fn take(self: &Arc<Pool>, ask: &Ask<'_>, tries: usize) -> Result<Option<Taken<'_>>, LeaseError> {
        let free = |how| {
            let at = self.known().book.take_free(ask.now)?;
            Some(Taken { pool: self, at, how })
        };
        loop {
            if let Some(taken) = free(How::Leased) {
                return Ok(Some(taken));
            }
            if !self.read_more().await? {
                break;
            }
        }
        self.refresh(ask.now, REFRESH_EVERY).await?;
        if let Some(taken) = free(How::Leased) {
            return Ok(Some(taken));
        }
        let on_exhausted = ask.rules.pool(ask.pool).map_or(OnExhausted::Overflow, |pool| pool.on_exhausted);
        if tries == 0 {
            self.tell_exhausted(on_exhausted, ask.now).await;
        }
        let shared = match on_exhausted {
            OnExhausted::Overflow => None,
            OnExhausted::Share => self.known().book.take_shared(ask.now, tries),
        };
        Ok(shared.map(|at| Taken { pool: self, at, how: How::Shared }))
    }

    fn overflow(&self, ask: &Ask<'_>) -> Result<Shown, LeaseError> {
        let lines = self.known().plan.len();
        let pool = ask.pool.to_owned();
        if lines == 0 {
            return Err(LeaseError::NoLines(pool));
        }
        let number = ask.rules.pool(ask.pool).and_then(|pool| pool.overflow_number);
        let number = number.ok_or(LeaseError::Exhausted { pool, lines })?;
        Ok(Shown { number, extension: None, lease_id: None, expires_at: None, how: How::Overflow })
    }

    /// Appends a deed; false where the line was not what it was taken for, and is known better now.
    async fn make(&self, change: &Change, now: Time) -> Result<bool, LeaseError> {
        let payload = change.payload(&self.account, &self.name, now);
        let payload = payload.map_err(|error| LeaseError::Fault(error.to_string()))?;
        let subject = change.line.subject(self.partition, &self.account);
        let message_id = MessageId::of(&payload);
        match self.log.append(Append { subject, message_id, expect: Some(change.expect), payload }).await {
            Ok(Appended { sequence, .. }) => {
                self.known().book.done(change, sequence);
                Ok(true)
            }
            Err(AppendError::Conflict { actual, .. }) => {
                self.meters.conflicts.inc();
                self.read_at_least(&change.line, change.expect, actual).await?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a lease, if a line of this pool holds it.
    pub async fn release(&self, line: &Line, lease_id: &str, now: Time) -> Result<bool, LeaseError> {
        for _ in 0..TRIES {
            let told = self.read(line).await?;
            // Only a line that is really held so is worth remembering.
            if !told.holders.iter().any(|holder| &*holder.lease_id == lease_id) {
                return Ok(false);
            }
            let change = {
                let mut known = self.known();
                let seen = told.sequence;
                let at = known.book.learn(line, seen, told);
                known.book.released(at, lease_id, now)
            };
            let Some(change) = change else { return Ok(false) };
            if self.make(&change, now).await? {
                self.measure(now);
                return Ok(true);
            }
        }
        Err(LeaseError::Contended(TRIES))
    }

    pub fn may_hold(&self, line: &Line) -> bool {
        self.known().plan.may_hold(line)
    }
}

impl Known {
    /// The browser names a line of this pool that the visitor does not hold as far as this desk knows: another may have
    /// leased it to them.
    fn doubts(&self, ask: &Ask<'_>) -> bool {
        let Some(line) = ask.held.map(|held| held.line()) else { return false };
        self.plan.may_hold(&line) && !self.book.find(&line).is_some_and(|at| self.book.knows(at, ask.visitor_id))
    }

    fn moved(&self, line: &Line, ask: &Ask<'_>) -> Option<Change> {
        self.book.moved(self.book.find(line)?, &wish(ask), &new_id())
    }

    /// The line that the browser names, if the visitor is among its holders; else the one that this desk knows of.
    fn own_line(&self, ask: &Ask<'_>) -> Option<u32> {
        let named = ask.held.and_then(|held| self.book.find(&held.line()));
        let named = named.filter(|at| self.book.knows(*at, ask.visitor_id));
        named.or_else(|| self.book.of_visitor(ask.visitor_id))
    }
}
