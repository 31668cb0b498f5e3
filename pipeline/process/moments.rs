//! Moments out: each is appended to the log of moments as soon as it is made, before any table is committed.
//!
//! A message is one CloudEvents object. Its message id is that of the moment, so what is told again within the stream's
//! window of duplicates (two minutes) adds nothing. A replay goes back further, to the last snapshot or to the beginning of the log;
//! so each message also says, as `partition`, `log` (the lake's number of the log, where it is not its first) and `settled`, up to which entry of which partition all moments stand before
//! it in the stream. Whoever begins reads the end of the stream back, and tells what is neither settled nor there. What
//! a subscriber may see twice is therefore only what was told before the stretch that is read back, of a partition that has told nothing
//! since; it has the same id.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::sync::Arc;

use callweave_core::id::Key;
use callweave_core::join::ERASED;
use callweave_core::moment::{Beside, Moment};
use callweave_core::phone::{ANONYMOUS, Party};
use callweave_core::row::{CallRow, Str};
use futures::StreamExt;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::lake::json::{differing, members};
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
    #[error("a moment cannot be written: {0}")]
    Write(#[from] serde_json::Error),
    #[error("who tells moments has stopped")]
    Stopped,
}

/// A moment and the entry of the log that led to it.
#[derive(Debug)]
pub struct Fresh {
    pub sequence: u64,
    pub moment: Moment,
}

/// Whose moments they are.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub partition: u16,
    /// The lake's number of the log.
    pub log: u64,
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
        from: Place,
        log: SharedLog,
        past: Past,
        metrics: Metrics,
    ) -> (Teller, impl Future<Output = Result<(), MomentsError>> + Send) {
        let (to, queue) = mpsc::channel(QUEUE);
        (Teller { to }, Telling { from, log, past, metrics }.run(queue))
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
    from: Place,
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
            if let Some(append) = self.past.next(self.from, *sequence, moment)? {
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
    fn next(&mut self, from: Place, sequence: u64, moment: &Moment) -> Result<Option<Append>, MomentsError> {
        let id = moment.key().0;
        if sequence <= self.settled || self.told.contains(&id) {
            return Ok(None);
        }
        Ok(Some(Append {
            subject: Subject::moment(&moment.account, moment.kind.name()),
            message_id: MessageId(id),
            expect: None,
            payload: event(moment, from, self.settled, &mut self.calls)?.into(),
        }))
    }
}

/// The last that was told of a call.
#[derive(Debug)]
enum Last {
    Here {
        row: Arc<CallRow>,
        deal_id: Option<Str>,
    },
    /// By a process before this one: its data, as JSON.
    Before(Box<str>),
}

impl Last {
    /// The members that have changed until `row`, whose data is `now`, each with what it was and what it is. Nothing where a person was erased
    /// since: what it was tells who they are.
    fn changed(&self, row: &CallRow, now: &Data) -> Vec<Value> {
        let change = |(name, from, to): (&str, Value, Value)| json!({ "name": name, "from": from, "to": to });
        let is_nameless =
            row.caller == Party::Anonymous && row.visitor_id.as_ref().is_none_or(|id| id.starts_with(ERASED));
        match self {
            Last::Here { row: before, .. }
                if is_nameless && (before.caller != row.caller || before.visitor_id != row.visitor_id) =>
            {
                Vec::new()
            }
            Last::Here { row: before, deal_id } => {
                let of_deal = now.of.iter().filter(|(name, _)| *name == DEAL_ID);
                let of_deal = of_deal.map(|(name, now)| (*name, json!(deal_id), json!(now)));
                let of_deal = of_deal.filter(|(_, from, to)| from != to);
                differing(&**before, row).into_iter().chain(of_deal).map(change).collect()
            }
            Last::Before(text) => {
                let mut before: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
                let was_named = before.get("caller") != Some(&json!(ANONYMOUS))
                    || before.get("visitor_id") != Some(&json!(row.visitor_id));
                if is_nameless && was_named {
                    return Vec::new();
                }
                let mut was = |name: &str| before.remove(name).unwrap_or_default();
                let all = now.columns.iter().cloned().chain(now.of.iter().map(|(name, of)| (*name, json!(of))));
                let all = all.map(|(name, to)| (name, was(name), to));
                all.filter(|(_, from, to)| from != to).map(change).collect()
            }
        }
    }
}

/// The last that was told of each call.
#[derive(Debug, Default)]
struct Calls {
    last: HashMap<Key, Last>,
    order: VecDeque<Key>,
}

impl Calls {
    /// Remembers what is told now, and gives what was told before.
    fn replace(&mut self, account: &str, call: &str, last: Last) -> Option<Last> {
        let key = Key::of(&[account, call]);
        let before = self.last.insert(key, last);
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
fn event(moment: &Moment, from: Place, settled: u64, calls: &mut Calls) -> serde_json::Result<Vec<u8>> {
    let mut data = data(moment);
    if let Some(row) = &moment.call {
        let last = Last::Here { row: Arc::clone(row), deal_id: moment.deal_id.clone() };
        if let Some(before) = calls.replace(&moment.account, &row.call_id, last) {
            data.changes = before.changed(row, &data);
        }
    }
    let of = [&moment.deal_id, &moment.call_id, &moment.pool].into_iter().flatten().next();
    serde_json::to_vec(&Event {
        specversion: "1.0",
        id: &moment.moment_id,
        source: format!("callweave/{}", moment.account),
        kind: moment.kind.name(),
        time: moment.at.to_string(),
        subject: of.unwrap_or(&moment.account),
        datacontenttype: "application/json",
        account: &moment.account,
        partition: from.partition,
        settled: settled.to_string(),
        data,
        log: from.log,
    })
}

#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    time: String,
    subject: &'a str,
    datacontenttype: &'static str,
    account: &'a str,
    partition: u16,
    settled: String,
    data: Data<'a>,
    #[serde(skip_serializing_if = "is_first")]
    log: u64,
}

fn is_first(log: &u64) -> bool {
    *log == 0
}

/// A moment's data: the call's row as far as it is known, and what is told beside it. A moment without a row has what it is of.
#[derive(Serialize)]
struct Data<'a> {
    #[serde(flatten, serialize_with = "as_map")]
    columns: Vec<(&'static str, Value)>,
    /// As far as it is in no column.
    #[serde(flatten, serialize_with = "as_map")]
    of: Vec<(&'static str, &'a str)>,
    changes: Vec<Value>,
    #[serde(flatten)]
    beside: Option<&'a Beside>,
}

const DEAL_ID: &str = "deal_id";

fn as_map<V: Serialize, S: Serializer>(members: &[(&'static str, V)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(members.iter().map(|(name, value)| (name, value)))
}

fn data(moment: &Moment) -> Data<'_> {
    let columns = match &moment.call {
        Some(call) => members(&**call),
        None => vec![("account", json!(&*moment.account))],
    };
    let of = [("call_id", &moment.call_id), (DEAL_ID, &moment.deal_id), ("pool", &moment.pool)];
    let of = of.into_iter().filter_map(|(name, of)| of.as_deref().map(|of| (name, of)));
    let of = of.filter(|(name, _)| columns.iter().all(|(column, _)| column != name)).collect();
    Data { columns, of, changes: Vec::new(), beside: moment.beside.as_deref() }
}

/// What the partitions have told, by the end of the stream.
#[derive(Debug, Default)]
pub struct Pasts(BTreeMap<u16, Past>);

/// The lake's number of the log that a partition is of; nothing for partitions of others.
type NumberOf<'a> = &'a (dyn Fn(u16) -> Option<u64> + Sync);

/// What is read back of a message.
#[derive(Deserialize)]
struct Told {
    id: String,
    account: String,
    partition: u16,
    #[serde(default)]
    log: u64,
    settled: String,
    data: Map<String, Value>,
}

impl Pasts {
    /// Reads the end of the stream back.
    pub async fn read(moments: &SharedLog, log: &SharedLog, number: NumberOf<'_>) -> Result<Pasts, MomentsError> {
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
                    Ok(told) => pasts.add(told, number),
                    Err(error) => tracing::warn!(sequence = read, %error, "the log of moments holds something else"),
                }
            }
        }
        for (partition, past) in &mut pasts.0 {
            // Another log than the one whose moments these are begins anew; those told before logs had numbers do not say which.
            if *partition >= log.partitions() || past.settled > log.last_sequence(*partition).await? {
                past.settled = 0;
            }
        }
        Ok(pasts)
    }

    fn add(&mut self, told: Told, number: NumberOf<'_>) {
        let past = self.0.entry(told.partition).or_default();
        past.told.insert(Key::of(&[&told.account, &told.id]).0);
        // The last one's, not the highest; and a log that was begun anew counts from 1.
        let is_own = number(told.partition).is_none_or(|number| number == told.log);
        past.settled = if is_own { told.settled.parse().unwrap_or(0) } else { 0 };
        let Told { account, mut data, .. } = told;
        ["changes"].iter().chain(&Beside::NAMES).for_each(|name| drop(data.remove(*name)));
        if data.contains_key("started_at")
            && let Some(call) = data.get("call_id").and_then(Value::as_str).map(str::to_owned)
        {
            past.calls.replace(&account, &call, Last::Before(Value::Object(data).to_string().into()));
        }
    }

    pub fn of(&mut self, partition: u16) -> Past {
        self.0.remove(&partition).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use callweave_core::event::decode;
    use callweave_core::join::{Effects, Join, Mode};

    use super::*;
    use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};

    /// The moments of a call's life, one entry each.
    fn moments() -> Vec<Fresh> {
        let (mut join, mut out) = (Join::new(Mode::Live), Effects::default());
        for (at, status) in ["started", "answered", "ended"].into_iter().enumerate() {
            let event = json!({
                "specversion": "1.0", "id": status, "source": "pbx", "type": "call", "time": format!("2026-11-20T12:00:0{at}Z"),
                "account": "acme", "data": {"call_id": "c1", "status": status, "direction": "inbound",
                "from": "+14155550123", "to": "+14155550100"},
            });
            let event = event.to_string();
            let event = decode(event.as_bytes(), None).expect("an event");
            join.apply(&event, None, &mut out);
        }
        (1..).zip(out.moments).map(|(sequence, moment)| Fresh { sequence, moment }).collect()
    }

    async fn log(folder: &std::path::Path, name: &str) -> SharedLog {
        let options = EmbeddedOptions { partitions: Some(1), ..EmbeddedOptions::default() };
        Arc::new(EmbeddedLog::open(folder.join(name), options).await.expect("a log"))
    }

    async fn told(log: &SharedLog) -> Vec<Value> {
        let last = log.last_sequence(0).await.expect("a log");
        let mut told = Vec::new();
        let mut entries = log.read(0, 0);
        while (told.len() as u64) < last {
            let batch = entries.next().await.expect("entries").expect("a batch");
            told.extend(batch.iter().map(|entry| serde_json::from_slice::<Value>(&entry.payload).expect("an event")));
        }
        told
    }

    async fn tell(moments: &SharedLog, log: &SharedLog, fresh: Vec<Fresh>) {
        tell_of(0, moments, log, fresh).await;
    }

    async fn tell_of(number: u64, moments: &SharedLog, log: &SharedLog, fresh: Vec<Fresh>) {
        let past = Pasts::read(moments, log, &|_| Some(number)).await.expect("a past").of(0);
        let from = Place { partition: 0, log: number };
        let (teller, telling) = Teller::new(from, moments.clone(), past, Metrics::new());
        let telling = tokio::spawn(telling);
        for it in fresh {
            teller.tell(it.sequence, vec![it]).await.expect("told");
        }
        teller.flush().await.expect("flushed");
        drop(teller);
        telling.await.expect("a task").expect("no error");
    }

    #[tokio::test]
    async fn each_moment_is_told_once_with_what_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (moments_log, events) = (log(folder.path(), "moments").await, log(folder.path(), "log").await);
        for _ in 0..3 {
            let payload = Bytes::from_static(b"{}");
            let append = Append { subject: Subject::tick(0), message_id: MessageId(0), expect: None, payload };
            let next = events.last_sequence(0).await.expect("a log") + 1;
            events.append(Append { message_id: MessageId(next.into()), ..append }).await.expect("appended");
        }
        let mut first = moments();
        let rest = first.split_off(2);
        tell(&moments_log, &events, first).await;
        // Another process replays all of it.
        tell(&moments_log, &events, moments().into_iter().chain(rest).collect()).await;
        tell(&moments_log, &events, moments()).await;
        let told = told(&moments_log).await;
        let kinds: Vec<&str> = told.iter().filter_map(|it| it["type"].as_str()).collect();
        assert_eq!(kinds, ["call.started", "call.answered", "call.ended"]);
        let settled: Vec<&str> = told.iter().filter_map(|it| it["settled"].as_str()).collect();
        assert_eq!(settled, ["0", "1", "2"]);
        assert_eq!(told[0]["data"]["changes"], json!([]));
        let answered = json!({"name": "answered_at", "from": null, "to": "2026-11-20T12:00:01.000000Z"});
        assert!(told[1]["data"]["changes"].as_array().is_some_and(|all| all.contains(&answered)), "{}", told[1]);
        // What was told by the process before counts, too.
        let ended = json!({"name": "ended_at", "from": null, "to": "2026-11-20T12:00:02.000000Z"});
        let changes = told[2]["data"]["changes"].as_array().expect("a list");
        assert!(changes.contains(&ended) && !changes.contains(&answered), "{}", told[2]);
    }

    #[tokio::test]
    async fn nobody_is_named_by_what_has_changed_once_they_were_erased() {
        let (mut join, mut out) = (Join::new(Mode::Live), Effects::default());
        let event = |id: &str, kind: &str, data: Value| {
            json!({"specversion": "1.0", "id": id, "source": "pbx", "type": kind, "time": format!("2026-11-20T12:00:0{id}Z"), "account": "acme",
                "data": data})
            .to_string()
        };
        let call = |status: &str| json!({"call_id": "c1", "status": status, "direction": "inbound", "from": "+14155550123", "to": "+14155550100"});
        for event in [
            event("0", "call", call("started")),
            event("1", "erase", json!({"phone": "+14155550123"})),
            event("2", "call", call("answered")),
            event("3", "call", call("ended")),
        ] {
            join.apply(&decode(event.as_bytes(), None).expect("an event"), None, &mut out);
        }
        let fresh = || (1..).zip(out.moments.clone()).map(|(sequence, moment)| Fresh { sequence, moment });
        // By one process, and by another one that read what the first has told.
        for first in [3, 1] {
            let folder = tempfile::tempdir().expect("a folder");
            let (moments_log, events) = (log(folder.path(), "moments").await, log(folder.path(), "log").await);
            tell(&moments_log, &events, fresh().take(first).collect()).await;
            tell(&moments_log, &events, fresh().skip(first).collect()).await;
            let told = told(&moments_log).await;
            let changes: Vec<String> = told.iter().map(|it| it["data"]["changes"].to_string()).collect();
            assert_eq!(changes.len(), 3, "{changes:?}");
            assert!(changes.iter().all(|it| !it.contains("+14155550123")), "{changes:?}");
            assert!(changes[1] == "[]" && changes[2].contains("ended_at"), "{changes:?}");
        }
    }

    #[tokio::test]
    async fn another_log_of_events_begins_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (moments_log, empty) = (log(folder.path(), "moments").await, log(folder.path(), "log").await);
        let subject = Subject::moment("acme", "call.started");
        let event = json!({"id": "x", "account": "acme", "partition": 0, "settled": "50000", "data": {}}).to_string();
        let append = Append { subject, message_id: MessageId(1), expect: None, payload: event.into() };
        moments_log.append(append).await.expect("appended");
        tell(&moments_log, &empty, moments()).await;
        assert_eq!(moments_log.last_sequence(0).await, Ok(4), "a high place of old swallows nothing");
    }

    #[tokio::test]
    async fn what_another_log_has_settled_does_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let (moments_log, events) = (log(folder.path(), "moments").await, log(folder.path(), "log").await);
        for id in 1..=5 {
            let payload = Bytes::from_static(b"{}");
            let append = Append { subject: Subject::tick(0), message_id: MessageId(id), expect: None, payload };
            events.append(append).await.expect("appended");
        }
        let subject = Subject::moment("acme", "call.started");
        let event = json!({"id": "x", "account": "acme", "partition": 0, "settled": "3", "data": {}}).to_string();
        let append = Append { subject, message_id: MessageId(1), expect: None, payload: event.into() };
        moments_log.append(append).await.expect("appended");
        // The second log has grown beyond that place: its length does not tell it from the first.
        tell_of(1, &moments_log, &events, moments()).await;
        let all = told(&moments_log).await;
        assert_eq!((all.len(), &all[1]["log"], &all[3]["settled"]), (4, &json!(1), &json!("2")));
        tell_of(1, &moments_log, &events, moments()).await;
        assert_eq!(moments_log.last_sequence(0).await, Ok(4), "its own are told once");
    }

    #[test]
    fn a_moment_without_a_call_says_what_it_is_of() {
        let moment = Moment::new(
            callweave_core::moment::MomentKind::PoolExhausted,
            &"acme".into(),
            callweave_core::time::Time(0),
            "web",
            "e1",
        );
        let moment = Moment { pool: Some("web".into()), ..moment };
        let event = event(&moment, Place { partition: 3, log: 0 }, 7, &mut Calls::default()).expect("JSON");
        let event: Value = serde_json::from_slice(&event).expect("JSON");
        assert_eq!(event["data"], json!({"account": "acme", "pool": "web", "changes": []}));
        assert_eq!((&event["subject"], &event["partition"]), (&json!("web"), &json!(3)));
    }

    #[test]
    fn few_calls_are_remembered() {
        let (mut calls, last) = (Calls::default(), || Last::Before("{}".into()));
        for at in 0..2 * CALLS_REMEMBERED {
            assert!(calls.replace("acme", &at.to_string(), last()).is_none());
        }
        assert_eq!((calls.last.len(), calls.order.len()), (CALLS_REMEMBERED, CALLS_REMEMBERED));
        assert!(calls.replace("acme", "0", last()).is_none() && calls.replace("acme", "0", last()).is_some());
    }
}
