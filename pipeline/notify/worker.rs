//! One subscription at work: reads the log of moments from where it stopped, and delivers what is its own.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use callweave_core::id::Key;
use callweave_core::time::Time;
use callweave_core::webhook::{GIVEN_UP_AFTER, wait_after};
use futures::StreamExt;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::queue::{Queue, Start};
use super::send::{ANSWER_KEPT, Answer, Sender, Verdict};
use super::store::{Attempt, Change, Dead, Kept, Store, StoreError};
use super::subscription::Subscription;
use crate::log::{Entry, ReadError, SharedLog, Subject};
use crate::telemetry::metrics::{Metrics, Reason};

/// How often the place is written down, where nothing else is.
const PLACE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the log of moments cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("an attempt broke down; the reason stands above")]
    Broken,
}

/// What others ask of a worker.
pub enum Command {
    /// A dead letter that waits again.
    Revived { sequence: u64, call: Option<u64> },
}

/// What all subscriptions share.
#[derive(Clone)]
pub struct Tools {
    pub moments: SharedLog,
    pub store: Store,
    pub sender: Sender,
    pub metrics: Metrics,
    pub clock: fn() -> Time,
    /// From 0 to 1.
    pub chance: fn() -> f64,
}

/// A moment, as it is delivered.
#[derive(Debug)]
pub struct Told {
    pub event: Map<String, Value>,
    pub text: String,
    pub appended: Time,
    pub call: Option<u64>,
}

impl Told {
    /// Nothing where it is no event.
    pub fn read(text: String, appended: Time) -> Option<Told> {
        let event: Map<String, Value> = serde_json::from_str(&text).ok()?;
        let call = event.get("data")?.get("call_id").and_then(Value::as_str);
        let call = call.map(|call| Key::of(&[call]).0 as u64);
        Some(Told { call, event, text, appended })
    }

    fn member(&self, name: &str) -> &str {
        self.event.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The same on every try: the moment's, in letters that fit a header.
    pub fn webhook_id(&self) -> String {
        format!("msg_{:032x}", Key::of(&[self.member("account"), self.member("id")]).0)
    }

    async fn was_counted(&self, to: &Subscription, tools: &Tools) -> Result<bool, StoreError> {
        match to.told_once(&self.event) {
            Some(deal) => tools.store.is_counted(&to.of, deal).await,
            None => Ok(false),
        }
    }

    /// Posts it once, and notes the attempt. `number` counts from 1.
    pub async fn deliver(&self, to: &Subscription, tools: &Tools, number: u32) -> (Answer, Attempt) {
        let (id, now) = (self.webhook_id(), (tools.clock)());
        let answer = match self.was_counted(to, tools).await {
            Ok(false) => to.deliver(&self.event, &self.text, &id, &tools.sender, tools.clock).await,
            Ok(true) => Answer::skipped("this deal was sent before, and counts once"),
            Err(error) => Answer::trouble(error.to_string()),
        };
        let outcome = answer.outcome();
        tools.metrics.webhook_attempts.get_or_create(&Reason { reason: outcome }).inc();
        tools.metrics.webhook_duration.observe(answer.seconds);
        let attempt = Attempt {
            at: now.to_string(),
            moment: self.member("type").to_owned(),
            moment_id: self.member("id").to_owned(),
            webhook_id: id,
            attempt: number,
            status: answer.status,
            seconds: answer.seconds,
            outcome: if outcome == "delivered" {
                outcome.to_owned()
            } else {
                format!("{outcome}: {}", answer.reason())
            },
            answer: answer.text.chars().take(ANSWER_KEPT).collect(),
        };
        (answer, attempt)
    }
}

/// What became of a delivery; it is written down.
struct Ended {
    sequence: u64,
    what: What,
}

enum What {
    Delivered,
    Kept {
        failed: u32,
        due: Time,
        /// Its receiver answers well, and only wants it later.
        early: bool,
    },
    Dead,
    /// It is not wanted, by a receiver that answers well.
    Rejected,
    /// The receiver wants nothing any more.
    Gone,
}

/// Why a worker has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to.
    Stopped,
    /// By the receiver's wish, for good.
    Gone,
}

pub struct Worker {
    to: Arc<Subscription>,
    tools: Tools,
    queue: Queue,
    /// Those that are fresh.
    told: HashMap<u64, Arc<Told>>,
    /// Told before, behind the place.
    done: HashSet<u64>,
    place: u64,
    /// What was read and is not looked at yet.
    ahead: VecDeque<Entry>,
    attempts: JoinSet<Result<Ended, StoreError>>,
}

impl Worker {
    /// Picks up where the subscription stopped; one that was never told anything begins at the log's end.
    pub async fn new(to: Arc<Subscription>, tools: Tools) -> Result<Worker, WorkError> {
        let mut start = tools.store.start(&to.of).await?;
        let log = tools.moments.identity(0).await?;
        let last = tools.moments.last_sequence(0).await?;
        let is_other = start.log.as_ref().is_some_and(|known| *known != log);
        let place = match start.place {
            // Nobody was told anything of a log that was begun anew.
            Some(_) if is_other => {
                tracing::warn!(webhook = &*to.of, "this is another log of moments: beginning at its beginning");
                let first = tools.moments.first_sequence(0).await?.saturating_sub(1);
                tools.store.commit(&to.of, vec![Change::Forget, Change::Place(first), Change::Log(log)]).await?;
                start = Default::default();
                first
            }
            Some(place) if place <= last => {
                if start.log.is_none() {
                    tools.store.commit(&to.of, vec![Change::Log(log)]).await?;
                }
                place
            }
            Some(_) => {
                tracing::warn!(webhook = &*to.of, "this is an older copy of the log of moments: beginning at its end");
                tools.store.commit(&to.of, vec![Change::Forget, Change::Place(last), Change::Log(log)]).await?;
                start = Default::default();
                last
            }
            None => {
                tools.store.commit(&to.of, vec![Change::Place(last), Change::Log(log)]).await?;
                last
            }
        };
        tools.store.commit(&to.of, vec![Change::Now((tools.clock)())]).await?;
        let mut queue = Queue::new(to.ordered, place);
        for (sequence, call, failed, due) in start.kept {
            queue.restore(sequence, call, failed, due);
            tools.metrics.webhook_waiting.inc();
        }
        Ok(Worker {
            to,
            tools,
            queue,
            told: HashMap::new(),
            done: start.done.into_iter().collect(),
            place,
            ahead: VecDeque::new(),
            attempts: JoinSet::new(),
        })
    }

    /// Works until `stop`; attempts under way are finished, within their time limits.
    pub async fn run(
        mut self,
        stop: &CancellationToken,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<End, WorkError> {
        let mut entries = self.tools.moments.read(0, self.place);
        let mut places = tokio::time::interval(PLACE_EVERY);
        let mut gone = false;
        while !gone {
            self.take_what_fits();
            while let Some(start) = self.queue.next((self.tools.clock)()) {
                self.start(start);
            }
            let wakes_at = self.queue.wakes_at().into_iter().chain(self.ripe_at()).min();
            let wake = wakes_at.map(|at| at.since((self.tools.clock)()).max(0) as u64);
            let wants_more = self.ahead.is_empty() && self.queue.wants_more();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.attempts.join_next() => gone = self.ended(ended)?,
                Some(command) = commands.recv() => self.obey(&command),
                batch = entries.next(), if wants_more => match batch {
                    Some(Ok(batch)) => self.ahead.extend(batch),
                    Some(Err(ReadError::Lost { after, first, .. })) => {
                        tracing::error!(
                            webhook = &*self.to.of, lost = first - after - 1,
                            "moments outlived their log before they were told: raise retention.moments_days or moments_bytes"
                        );
                        self.tools.metrics.webhook_lost.inc_by(first - after - 1);
                        self.queue.pass(first - 1);
                        entries = self.tools.moments.read(0, first - 1);
                    }
                    Some(Err(error)) => return Err(error.into()),
                    None => return Ok(End::Stopped),
                },
                () = tokio::time::sleep(Duration::from_micros(wake.unwrap_or(0))), if wake.is_some() => {}
                _ = places.tick() => self.write_place().await?,
            }
        }
        while let Some(ended) = self.attempts.join_next().await {
            gone |= self.ended(ended)?;
        }
        self.write_place().await?;
        Ok(if gone { End::Gone } else { End::Stopped })
    }

    /// Looks at what was read, as long as there is room for what is the subscription's own. What has to wait keeps those behind it
    /// waiting, too: they are younger, and the log keeps them.
    fn take_what_fits(&mut self) {
        let now = (self.tools.clock)();
        while self.queue.wants_more()
            && let Some(entry) = self.ahead.pop_front_if(|entry| self.to.is_ripe(entry.appended, now))
        {
            self.take(entry);
        }
    }

    /// When the first of those that were read may be sent, if that is all it waits for.
    fn ripe_at(&self) -> Option<Time> {
        let first = self.ahead.front().filter(|_| self.queue.wants_more() && self.to.delay > 0)?;
        Some(first.appended.plus(self.to.delay))
    }

    fn take(&mut self, entry: Entry) {
        let sequence = entry.sequence;
        let known = self.done.remove(&sequence) || self.queue.has(sequence);
        match self.own(entry).filter(|_| !known) {
            Some(told) => {
                self.queue.add(sequence, told.call, (self.tools.clock)());
                self.told.insert(sequence, Arc::new(told));
            }
            None => self.queue.pass(sequence),
        }
    }

    /// The moment in an entry, if the subscription is to be told of it.
    fn own(&self, entry: Entry) -> Option<Told> {
        let account = Subject::account_of_moment(&entry.subject)?;
        let text = std::str::from_utf8(&entry.payload).ok().filter(|_| *account == *self.to.account)?;
        let told = Told::read(text.to_owned(), entry.appended)?;
        let moment = told.member("type");
        if !self.to.wants(moment) {
            return None;
        }
        let data = told.event.get("data").and_then(Value::as_object);
        let met = match (&self.to.filter, data) {
            (Some(filter), Some(data)) => filter.is_met(moment, data),
            _ => Ok(true),
        };
        // What cannot be told apart is sent: better one too many than one too few.
        let met = met.unwrap_or_else(|error| {
            tracing::warn!(webhook = &*self.to.of, sequence = entry.sequence, %error, "sent all the same");
            true
        });
        met.then_some(told)
    }

    fn start(&mut self, start: Start) {
        let (to, tools, fresh) = (self.to.clone(), self.tools.clone(), self.told.get(&start.sequence).cloned());
        self.attempts.spawn(async move {
            let told = match fresh {
                Some(told) => Some(told),
                None => {
                    let kept = tools.store.kept(&to.of, start.sequence).await?;
                    kept.and_then(|kept| Told::read(kept.event, Time(kept.appended))).map(Arc::new)
                }
            };
            let sequence = start.sequence;
            let Some(told) = told else {
                tracing::error!(webhook = &*to.of, sequence, "a delivery that waited is not on disk any more");
                return Ok(Ended { sequence, what: What::Dead });
            };
            let number = if start.probe { 0 } else { start.failed + 1 };
            let (answer, attempt) = told.deliver(&to, &tools, number).await;
            let (what, change) = judge(&start, &told, &answer, &tools, to.delay);
            let deal = to.told_once(&told.event).filter(|_| answer.verdict == Some(Verdict::Taken));
            let counted = deal.map(|deal| Change::Counted(deal.to_owned(), (tools.clock)()));
            let changes = [change, counted, Some(Change::Attempt(attempt))];
            tools.store.commit(&to.of, changes.into_iter().flatten().collect()).await?;
            Ok(Ended { sequence, what })
        });
    }

    /// Whether the receiver wants nothing any more.
    fn ended(&mut self, ended: Result<Result<Ended, StoreError>, tokio::task::JoinError>) -> Result<bool, WorkError> {
        let Ended { sequence, what } = ended.map_err(|_| WorkError::Broken)??;
        let now = (self.tools.clock)();
        let before = self.queue.kept();
        let was_down = self.queue.is_down();
        match what {
            What::Delivered | What::Rejected => self.queue.delivered(sequence, now),
            What::Kept { failed, due, early: true } => self.queue.wait(sequence, failed, due),
            What::Kept { failed, due, early: false } => self.queue.failed(sequence, failed, due, now),
            What::Dead | What::Gone => self.queue.dead(sequence, now),
        }
        self.told.remove(&sequence);
        self.tools.metrics.webhook_waiting.inc_by(self.queue.kept() as f64 - before as f64);
        match (was_down, self.queue.is_down()) {
            (false, true) => tracing::warn!(webhook = &*self.to.of, "its receiver is down: tried every now and then"),
            (true, false) => tracing::info!(webhook = &*self.to.of, "its receiver is back"),
            _ => {}
        }
        Ok(matches!(what, What::Gone))
    }

    fn obey(&mut self, command: &Command) {
        let Command::Revived { sequence, call } = command;
        let before = self.queue.kept();
        self.queue.restore(*sequence, *call, 0, (self.tools.clock)());
        self.tools.metrics.webhook_waiting.inc_by(self.queue.kept() as f64 - before as f64);
    }

    async fn write_place(&mut self) -> Result<(), StoreError> {
        let place = self.queue.place();
        if place > self.place {
            self.tools.store.commit(&self.to.of, vec![Change::Place(place)]).await?;
            self.place = place;
        }
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.tools.metrics.webhook_waiting.dec_by(self.queue.kept() as f64);
    }
}

/// What an answer means for a delivery, and what is written down of it.
fn judge(start: &Start, told: &Told, answer: &Answer, tools: &Tools, delay: i64) -> (What, Option<Change>) {
    let (now, sequence) = ((tools.clock)(), start.sequence);
    if answer.is_taken() {
        return (What::Delivered, Some(Change::Done(sequence)));
    }
    let kept = |failed: u32, due: Time| Kept {
        failed,
        due: due.0,
        call: told.call,
        appended: told.appended.0,
        event: told.text.clone(),
    };
    let (is_final, early) = (answer.is_gone() || answer.is_rejected(), answer.is_only_early());
    if start.probe && !is_final {
        return (What::Kept { failed: start.failed, due: start.due, early }, None);
    }
    let failed = start.failed + 1;
    let overdue = now.since(told.appended) > GIVEN_UP_AFTER + delay && !start.kept;
    let wait = wait_after(failed, (tools.chance)(), answer.retry_after).filter(|_| !is_final && !overdue);
    if let Some(wait) = wait {
        let due = now.plus(wait);
        return (What::Kept { failed, due, early }, Some(Change::Keep(sequence, kept(failed, due))));
    }
    tools.metrics.webhook_dead.inc();
    let dead = Dead { given_up: now.0, reason: answer.reason(), kept: kept(failed, now) };
    let what = match () {
        () if answer.is_gone() => What::Gone,
        () if answer.is_rejected() => What::Rejected,
        () => What::Dead,
    };
    (what, Some(Change::Dead(sequence, dead)))
}
