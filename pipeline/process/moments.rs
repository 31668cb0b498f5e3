//! Moments out: each is appended to the log of moments as soon as it is made, before any table is committed.
//!
//! A message is one CloudEvents object. Its message id is that of the moment, so what is told again within the stream's
//! window of duplicates (two minutes) adds nothing. A replay goes back further, to the last snapshot or to the beginning of the log;
//! so each message also says, as `partition` and `settled`, up to which entry of which partition all moments stand before
//! it in the stream. Whoever begins reads the end of the stream back, and tells what is neither settled nor there. What
//! a subscriber may see twice is therefore only what was told before the stretch that is read back, of a partition that has told nothing
//! since; it has the same id.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use callweave_core::id::Key;
use callweave_core::moment::Moment;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::lake::json::object;
use crate::log::{Append, AppendError, MessageId, ReadError, SharedLog, Subject};
use crate::telemetry::metrics::{Metrics, Moment as MomentLabel};

/// Messages of the stream's end that are read back at the beginning.
const READ_BACK: u64 = 16_384;
/// Calls of a partition of which it is remembered what was told last; of others nothing is known to have changed.
const CALLS_REMEMBERED: usize = 8_192;
/// Groups of moments that wait to be told; then the partition waits.
const QUEUE: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum MomentsError {
    #[error("moments cannot be told: {0}")]
    Append(#[from] AppendError),
    #[error("the moments told before cannot be read back: {0}")]
    Read(#[from] ReadError),
    #[error("who tells moments has stopped")]
    Stopped,
}

/// A moment and the entry of the log that led to it.
#[derive(Debug)]
pub struct Fresh {
    pub sequence: u64,
    pub moment: Moment,
}

/// The moments' way out, as a partition holds it.
pub struct Teller {
    to: mpsc::Sender<ToTell>,
}

enum ToTell {
    /// All moments of the entries behind the last ones, up to `upto`.
    Moments {
        upto: u64,
        moments: Vec<Fresh>,
    },
    Flush(oneshot::Sender<()>),
}

impl Teller {
    /// And the task that tells, until the teller is gone.
    pub fn new(
        partition: u16,
        log: SharedLog,
        past: Past,
        metrics: Metrics,
    ) -> (Teller, impl Future<Output = Result<(), MomentsError>> + Send) {
        let (to, from) = mpsc::channel(QUEUE);
        (Teller { to }, Telling { partition, log, past, metrics }.run(from))
    }

    pub async fn tell(&self, upto: u64, moments: Vec<Fresh>) -> Result<(), MomentsError> {
        if moments.is_empty() {
            return Ok(());
        }
        self.to.send(ToTell::Moments { upto, moments }).await.map_err(|_| MomentsError::Stopped)
    }

    /// Returns when everything handed over before is in the stream.
    pub async fn flush(&self) -> Result<(), MomentsError> {
        let (done, told) = oneshot::channel();
        self.to.send(ToTell::Flush(done)).await.map_err(|_| MomentsError::Stopped)?;
        told.await.map_err(|_| MomentsError::Stopped)
    }
}

struct Telling {
    partition: u16,
    log: SharedLog,
    past: Past,
    metrics: Metrics,
}

impl Telling {
    async fn run(mut self, mut from: mpsc::Receiver<ToTell>) -> Result<(), MomentsError> {
        while let Some(message) = from.recv().await {
            match message {
                ToTell::Moments { upto, moments } => self.tell(upto, moments).await?,
                ToTell::Flush(done) => {
                    // Who asked may be gone; what was asked for is done.
                    let _ = done.send(());
                }
            }
        }
        Ok(())
    }

    async fn tell(&mut self, upto: u64, moments: Vec<Fresh>) -> Result<(), MomentsError> {
        let mut appends = Vec::with_capacity(moments.len());
        for Fresh { sequence, moment } in &moments {
            if let Some(append) = self.past.next(self.partition, *sequence, moment) {
                self.metrics.moments.get_or_create(&MomentLabel { moment: moment.kind.name() }).inc();
                appends.push(append);
            }
        }
        for told in self.log.append_all(appends).await {
            match told {
                // No row is so long; a moment that is must not hold up all others.
                Err(error @ AppendError::TooLarge { .. }) => tracing::error!(%error, "a moment was not told"),
                told => {
                    told?;
                }
            }
        }
        // A replay is behind what is settled.
        self.past.settled = self.past.settled.max(upto);
        Ok(())
    }
}

/// What one partition has told.
#[derive(Debug, Default)]
pub struct Past {
    /// All moments of entries up to this one are in the stream.
    settled: u64,
    /// Some of those behind it are.
    told: HashSet<u128>,
    calls: Calls,
}

impl Past {
    /// What is to be appended for a moment, unless it is known to be in the stream.
    fn next(&mut self, partition: u16, sequence: u64, moment: &Moment) -> Option<Append> {
        let id = moment.key().0;
        if sequence <= self.settled || self.told.contains(&id) {
            return None;
        }
        let event = event(moment, partition, self.settled, &mut self.calls);
        Some(Append {
            subject: Subject::moment(&moment.account, moment.kind.name()),
            message_id: MessageId(id),
            expect: None,
            payload: Bytes::from(Value::Object(event).to_string()),
        })
    }
}

/// The last that was told of each call: its data, as JSON.
#[derive(Debug, Default)]
struct Calls {
    last: HashMap<Key, Arc<str>>,
    order: VecDeque<Key>,
}

impl Calls {
    /// Remembers what is told now, and gives what was told before.
    fn replace(&mut self, account: &str, call: &str, data: Arc<str>) -> Option<Arc<str>> {
        let key = Key::of(&[account, call]);
        let before = self.last.insert(key, data);
        if before.is_none() {
            self.order.push_back(key);
            if self.order.len() > CALLS_REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.last.remove(&oldest);
            }
        }
        before
    }
}

/// The moment as a CloudEvents 1.0 object.
fn event(moment: &Moment, partition: u16, settled: u64, calls: &mut Calls) -> Map<String, Value> {
    let mut data = data(moment);
    let mut changes = Vec::new();
    if let Some(call) = &moment.call {
        let text = Value::Object(data.clone()).to_string();
        if let Some(before) = calls.replace(&moment.account, &call.call_id, text.into()) {
            changes = changed(&before, &data);
        }
    }
    data.insert("changes".to_owned(), Value::Array(changes));
    let of = [&moment.deal_id, &moment.call_id, &moment.pool].into_iter().flatten().next();
    let mut event = Map::new();
    for (name, value) in [
        ("specversion", json!("1.0")),
        ("id", json!(&*moment.moment_id)),
        ("source", json!(format!("callweave/{}", moment.account))),
        ("type", json!(moment.kind.name())),
        ("time", json!(moment.at.to_string())),
        ("subject", json!(of.map_or(&*moment.account, |of| &**of))),
        ("datacontenttype", json!("application/json")),
        ("account", json!(&*moment.account)),
        ("partition", json!(partition)),
        ("settled", json!(settled.to_string())),
        ("data", Value::Object(data)),
    ] {
        event.insert(name.to_owned(), value);
    }
    event
}

/// The call's row as far as it is known. A moment without one has what it is of.
fn data(moment: &Moment) -> Map<String, Value> {
    let mut data = match &moment.call {
        Some(call) => object(&**call),
        None => Map::from_iter([("account".to_owned(), json!(&*moment.account))]),
    };
    for (name, value) in [("call_id", &moment.call_id), ("deal_id", &moment.deal_id), ("pool", &moment.pool)] {
        if let Some(value) = value {
            data.insert(name.to_owned(), json!(&**value));
        }
    }
    data
}

/// The members that differ, each with what it was and what it is.
fn changed(before: &str, now: &Map<String, Value>) -> Vec<Value> {
    let before: Map<String, Value> = serde_json::from_str(before).unwrap_or_default();
    let differing = now.iter().filter(|(name, value)| before.get(*name).unwrap_or(&Value::Null) != *value);
    differing.map(|(name, to)| json!({ "name": name, "from": before.get(name), "to": to })).collect()
}

/// What the partitions have told, by the end of the stream.
#[derive(Debug, Default)]
pub struct Pasts(BTreeMap<u16, Past>);

/// What is read back of a message.
#[derive(Deserialize)]
struct Told {
    id: String,
    account: String,
    partition: u16,
    settled: String,
    data: Map<String, Value>,
}

impl Pasts {
    /// Reads the end of the stream back.
    pub async fn read(moments: &SharedLog, log: &SharedLog) -> Result<Pasts, MomentsError> {
        let mut pasts = Pasts::default();
        let (first, last) = (moments.first_sequence(0).await?, moments.last_sequence(0).await?);
        let after = first.saturating_sub(1).max(last.saturating_sub(READ_BACK));
        let mut entries = moments.read(0, after);
        let mut read = after;
        while read < last
            && let Some(batch) = entries.next().await
        {
            for entry in batch? {
                read = entry.sequence;
                match serde_json::from_slice::<Told>(&entry.payload) {
                    Ok(told) => pasts.add(told),
                    Err(error) => tracing::warn!(sequence = read, %error, "the log of moments holds something else"),
                }
            }
        }
        for (partition, past) in &mut pasts.0 {
            // Another log than the one whose moments these are begins anew.
            if *partition >= log.partitions() || past.settled > log.last_sequence(*partition).await? {
                past.settled = 0;
            }
        }
        Ok(pasts)
    }

    fn add(&mut self, told: Told) {
        let past = self.0.entry(told.partition).or_default();
        past.told.insert(Key::of(&[&told.account, &told.id]).0);
        // The last one's, not the highest: a log that was begun anew counts from 1.
        past.settled = told.settled.parse().unwrap_or(0);
        let Told { account, mut data, .. } = told;
        data.remove("changes");
        if data.contains_key("started_at")
            && let Some(call) = data.get("call_id").and_then(Value::as_str).map(str::to_owned)
        {
            past.calls.replace(&account, &call, Value::Object(data).to_string().into());
        }
    }

    pub fn of(&mut self, partition: u16) -> Past {
        self.0.remove(&partition).unwrap_or_default()
    }
}
