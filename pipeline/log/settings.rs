//! An account's settings, as the log has them: in force are those of the latest time that has come, whatever the order in which they
//! were told.

pub mod renewal;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use callweave_core::event::{Body, decode};
use callweave_core::id::Key;
use callweave_core::limits::DUPLICATE_WINDOW;
use callweave_core::settings::Settings;
use callweave_core::time::Time;
use tokio::time::timeout;

use super::frame::{FrameBuilder, FrameError, Record};
use super::{Append, AppendError, Entry, Kind, MessageId, ReadError, SharedLog, Subject, partition_of};

/// A log that does not tell within this time whether there is anything new leaves what was known.
const LOOK_TIME: Duration = Duration::from_secs(1);
/// So long what is new is read, which after a start are all settings that the log has of an account; the next look goes on from there.
const WALK_TIME: Duration = Duration::from_secs(10);
/// Settings of times to come that are kept of an account; of more those that were told last.
const MOST_LATER: usize = 64;
/// Events of late that are known again.
const MOST_EVENTS: usize = 1_024;

/// Settings that the log told.
#[derive(Debug, Clone)]
pub struct InLog {
    pub settings: Arc<Settings>,
    pub mark: Mark,
}

/// What settings in the log are known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// From when on they hold.
    pub since: Time,
    /// The entry that told them, and when the log took it: a log that was begun anew gives the number to another.
    sequence: u64,
    appended: Time,
}

/// What the log tells of one account's settings, as far as it was looked at.
#[derive(Debug, Default)]
pub struct Told {
    read: Reading,
    /// What is read beyond that; it stays where reading is broken off.
    under_way: Option<Reading>,
}

/// What the entries up to one tell.
#[derive(Debug, Clone, Default)]
struct Reading {
    /// [`super::Log::identity`] of the log that was read.
    log: String,
    /// The last entry that was read, and when the log took it.
    up_to: (u64, Time),
    in_force: Option<InLog>,
    /// Of times to come, in the order in which they were told; at most [`MOST_LATER`], each of another time.
    later: Vec<InLog>,
    /// What events were told of late, and when: the same again changes nothing, whatever it says, as in the join.
    events: VecDeque<(Key, Time)>,
}

pub fn subject_of(account: &str, log: &SharedLog) -> Subject {
    Subject::events(partition_of(account, log.partitions()), Kind::Settings, Some(account))
}

impl Told {
    /// Those of the latest time at or before the last look, of equal times those that were told last; none where the log told none of
    /// such a time, or was not read to its end yet. Of what the log has forgotten since, they stay.
    pub fn in_force(&self) -> Option<&InLog> {
        self.read.in_force.as_ref()
    }

    /// Reads what is new. What is due comes into force also where the log cannot be read.
    ///
    /// # Errors
    /// The log cannot be read: what was known stays.
    pub async fn look(&mut self, log: &SharedLog, account: &str, now: Time) -> Result<(), ReadError> {
        self.read.advance(now);
        let last = log.last_of_subject(&subject_of(account, log)).await?;
        self.walk(log, account, last, now).await
    }

    /// The same for those whom somebody waits for: within a second where nothing is new, and within ten where something is.
    ///
    /// # Errors
    /// The log cannot be read, or not in time: what was known stays.
    pub async fn look_in_time(&mut self, log: &SharedLog, account: &str, now: Time) -> Result<(), ReadError> {
        self.read.advance(now);
        let slow = |_| ReadError::Unavailable("it does not answer in time".to_owned());
        let subject = subject_of(account, log);
        let last = timeout(LOOK_TIME, log.last_of_subject(&subject)).await.map_err(slow)??;
        timeout(WALK_TIME, self.walk(log, account, last, now)).await.map_err(slow)?
    }

    /// Reads up to `last`, from where reading ended before, or in another log from its beginning.
    async fn walk(&mut self, log: &SharedLog, account: &str, last: Option<Entry>, now: Time) -> Result<(), ReadError> {
        let Some(last) = last.filter(|last| self.read.up_to != (last.sequence, last.appended)) else { return Ok(()) };
        let subject = subject_of(account, log);
        let identity = log.identity(subject.partition()).await?;
        let goes_on = |it: &Reading| it.log == identity && it.up_to.0 < last.sequence;
        let begun = self.under_way.take().filter(goes_on);
        let begun = begun.or_else(|| Some(&self.read).filter(|it| goes_on(it)).cloned());
        let reading = self.under_way.insert(begun.unwrap_or_else(|| self.read.anew(identity.clone())));
        reading.advance(now);
        while reading.up_to.0 < last.sequence {
            // Where the log does not know of any before it, the last is what there is.
            let next = log.next_settings(&subject, reading.up_to.0).await?;
            reading.take(next.as_ref().unwrap_or(&last), account, now);
        }
        if let Some(read) = self.under_way.take() {
            self.read = read;
        }
        Ok(())
    }
}

impl Reading {
    /// Nothing of another log yet. Until that tells settings that are in force, those of before stay.
    fn anew(&self, log: String) -> Reading {
        let stay = |it: InLog| InLog { mark: Mark { since: Time::MIN, ..it.mark }, ..it };
        Reading { log, in_force: self.in_force.clone().map(stay), ..Reading::default() }
    }

    /// Brings into force what is due. A clock that is set back takes nothing out of force again.
    fn advance(&mut self, now: Time) {
        for due in self.later.extract_if(.., |it| it.mark.since <= now) {
            if self.in_force.as_ref().is_none_or(|it| it.mark.since <= due.mark.since) {
                self.in_force = Some(due);
            }
        }
    }

    fn take(&mut self, entry: &Entry, account: &str, now: Time) {
        self.events.retain(|(_, told)| entry.appended.since(*told) < DUPLICATE_WINDOW);
        for Said { event, since, settings, .. } in settings_in(entry, account) {
            if self.events.iter().any(|(known, _)| *known == event) {
                // Told again before the log forgets it: it is found there now.
                let held = self.in_force.iter_mut().chain(&mut self.later);
                let same = held.filter(|it| it.mark.since == since && *it.settings == settings);
                same.for_each(|it| (it.mark.sequence, it.mark.appended) = (entry.sequence, entry.appended));
                continue;
            }
            self.events.push_back((event, entry.appended));
            if self.events.len() > MOST_EVENTS {
                self.events.pop_front();
            }
            let mark = Mark { since, sequence: entry.sequence, appended: entry.appended };
            self.later.retain(|it| it.mark.since != since);
            self.later.push(InLog { settings: Arc::new(settings), mark });
            self.advance(now);
            if self.later.len() > MOST_LATER {
                self.later.remove(0);
            }
        }
        self.up_to = (entry.sequence, entry.appended);
    }
}

/// Why settings were not told.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Appends an event to an account's settings, unless others were told since the entry `expect` (0: none).
///
/// # Errors
/// [`AppendError::Conflict`] where they were; or the log did not take it.
pub async fn append_event(
    log: &SharedLog,
    subject: Subject,
    record: &Record<'_>,
    expect: u64,
) -> Result<(), TellError> {
    let mut frame = FrameBuilder::new();
    frame.push(record)?;
    let payload = frame.finish();
    // The same event may be told again while the log knows its content still.
    let message_id = MessageId::of(&[&payload[..], &expect.to_le_bytes()].concat());
    log.append(Append { subject, message_id, expect: Some(expect), payload }).await?;
    Ok(())
}

/// What one record tells.
struct Said<'e> {
    record: Record<'e>,
    event: Key,
    /// From when on they hold.
    since: Time,
    settings: Settings,
}

/// The settings of an account in an entry of its subject, in the order in which they were told.
fn settings_in<'e>(entry: &'e Entry, account: &str) -> impl Iterator<Item = Said<'e>> {
    entry.records().filter_map(move |record| {
        let Ok(record @ Record::Event { received, bytes, .. }) = record else { return None };
        // What cannot be used has no effect: it lands in `rejected`.
        let event = decode(bytes, Some(received)).ok()?;
        if event.account.as_str() != account {
            return None;
        }
        let (key, since) = (Key::of(&[&event.source, &event.id]), event.time);
        match event.body {
            Body::AccountSettings(settings) => Some(Said { record, event: key, since, settings: *settings }),
            _ => None,
        }
    })
}

/// Appends settings to the log as one entry, each in force from a time on.
#[cfg(test)]
pub(crate) async fn tell(log: &SharedLog, account: &str, told: Vec<(Time, Settings)>) {
    let named = told.into_iter().map(|(time, settings)| (uuid::Uuid::new_v4().to_string(), time, settings));
    tell_as(log, account, named.collect()).await;
}

/// The same by events of these ids.
#[cfg(test)]
async fn tell_as(log: &SharedLog, account: &str, told: Vec<(String, Time, Settings)>) {
    let mut frame = FrameBuilder::new();
    for (id, time, settings) in told {
        let event = callweave_core::event::Event {
            account: account.into(),
            source: "test".into(),
            id: id.into(),
            time,
            recorded: time,
            body: Body::AccountSettings(Box::new(settings)),
        };
        let bytes = event.to_json().into_bytes();
        frame.push(&Record::Event { received: time, origin: "test", bytes: &bytes }).expect("a small record");
    }
    let payload = frame.finish();
    let (subject, message_id) = (subject_of(account, log), MessageId::of(&payload));
    log.append(Append { subject, message_id, expect: None, payload }).await.expect("appended");
}

#[cfg(test)]
mod tests {
    use callweave_core::time::MICROS_PER_SECOND;
    use tempfile::TempDir;

    use super::*;
    use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};

    pub(super) async fn new_log() -> (SharedLog, TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let options = EmbeddedOptions { partitions: Some(2), ..EmbeddedOptions::default() };
        let log = EmbeddedLog::open(folder.path(), options).await.expect("a log");
        (Arc::new(log), folder)
    }

    pub(super) fn at(seconds: i64) -> Time {
        Time::EARLIEST.plus(seconds * MICROS_PER_SECOND)
    }

    /// Settings that are known by their `target_seconds`.
    pub(super) async fn told_at(log: &SharedLog, account: &str, told: &[(i64, f64)]) {
        let settings = |target_seconds| Settings { target_seconds, ..Settings::default() };
        tell(log, account, told.iter().map(|&(time, seconds)| (at(time), settings(seconds))).collect()).await;
    }

    /// Those in force.
    pub(super) async fn look(told: &mut Told, log: &SharedLog, now: i64) -> Option<f64> {
        told.look(log, "acme", at(now)).await.expect("an answer");
        told.in_force().map(|it| it.settings.target_seconds)
    }

    /// Looks as one that has looked all the time does, and as one that has just begun.
    async fn both(told: &mut Told, log: &SharedLog, now: i64) -> Option<f64> {
        let seen = look(told, log, now).await;
        assert_eq!(look(&mut Told::default(), log, now).await, seen, "after a restart, at {now}");
        seen
    }

    #[tokio::test]
    async fn the_latest_time_that_has_come_is_in_force() {
        let (log, _folder) = new_log().await;
        let mut told = Told::default();
        assert_eq!(both(&mut told, &log, 100).await, None);
        told_at(&log, "acme", &[(200, 1.0)]).await;
        assert_eq!(both(&mut told, &log, 100).await, None, "not yet");
        told_at(&log, "acme", &[(50, 2.0)]).await;
        assert_eq!(both(&mut told, &log, 101).await, Some(2.0), "what is to come takes nothing away");
        told_at(&log, "acme", &[(20, 3.0)]).await;
        assert_eq!(both(&mut told, &log, 102).await, Some(2.0), "of an earlier time, told later");
        told_at(&log, "acme", &[(50, 4.0)]).await;
        assert_eq!(both(&mut told, &log, 103).await, Some(4.0), "of equal times the one that was told last");
        told_at(&log, "other", &[(60, 5.0)]).await;
        assert_eq!(both(&mut told, &log, 199).await, Some(4.0));
        assert_eq!(both(&mut told, &log, 200).await, Some(1.0), "its time has come, and no entry");
        assert_eq!(look(&mut told, &log, 150).await, Some(1.0), "a clock that was set back");
    }

    #[tokio::test]
    async fn each_record_of_an_entry_counts() {
        let (log, _folder) = new_log().await;
        let mut told = Told::default();
        told_at(&log, "acme", &[(300, 3.0), (100, 1.0), (200, 2.0), (200, 2.5)]).await;
        let mut seen = Vec::new();
        for now in [99, 100, 200, 300] {
            seen.push(both(&mut told, &log, now).await);
        }
        assert_eq!(seen, [None, Some(1.0), Some(2.5), Some(3.0)]);
    }

    #[tokio::test]
    async fn the_same_event_again_changes_nothing() {
        let (log, _folder) = new_log().await;
        let mut told = Told::default();
        for (id, time, target_seconds) in [("a", 10, 1.0), ("a", 20, 2.0), ("b", 5, 3.0)] {
            let settings = Settings { target_seconds, ..Settings::default() };
            tell_as(&log, "acme", vec![(id.to_owned(), at(time), settings)]).await;
            assert_eq!(both(&mut told, &log, 100).await, Some(1.0), "{id} at {time}");
        }
    }

    #[tokio::test]
    async fn another_log_is_read_from_its_beginning() {
        let (log, _folder) = new_log().await;
        let mut told = Told::default();
        told_at(&log, "acme", &[(80, 1.0)]).await;
        told_at(&log, "acme", &[(150, 2.0)]).await;
        assert_eq!(look(&mut told, &log, 100).await, Some(1.0));
        let (log, _folder) = new_log().await;
        assert_eq!(look(&mut told, &log, 100).await, Some(1.0), "it tells nothing");
        told_at(&log, "acme", &[(200, 3.0)]).await;
        assert_eq!(look(&mut told, &log, 140).await, Some(1.0), "nor yet, and what the old one had to come is gone");
        for (time, seconds) in [(40, 4.0), (30, 5.0)] {
            told_at(&log, "acme", &[(time, seconds)]).await;
        }
        assert_eq!(both(&mut told, &log, 170).await, Some(4.0), "though the old one had a later one");
        assert_eq!(both(&mut told, &log, 200).await, Some(3.0));
        // It has more entries than were read of the one before.
        let (log, _folder) = new_log().await;
        for seconds in 6..=12_u8 {
            told_at(&log, "acme", &[(20 - i64::from(seconds), f64::from(seconds))]).await;
        }
        assert_eq!(both(&mut told, &log, 210).await, Some(6.0));
    }

    #[tokio::test]
    async fn what_the_log_forgets_stays() {
        let (log, _folder) = new_log().await;
        let mut told = Told::default();
        told_at(&log, "acme", &[(10, 1.0), (20, 2.0)]).await;
        assert_eq!(look(&mut told, &log, 15).await, Some(1.0));
        log.trim(subject_of("acme", &log).partition(), 2).await.expect("trimmed");
        assert_eq!(look(&mut told, &log, 16).await, Some(1.0));
        assert_eq!(look(&mut told, &log, 20).await, Some(2.0));
    }

    #[tokio::test]
    async fn what_is_to_come_is_bounded() {
        let (log, _folder) = new_log().await;
        let mut told = Told::default();
        let most = i32::try_from(MOST_LATER).expect("a small number");
        let all: Vec<_> = (1..=most + 2).map(|seconds| (1000 - i64::from(seconds), f64::from(seconds))).collect();
        told_at(&log, "acme", &all).await;
        assert_eq!(look(&mut told, &log, 1).await, None);
        assert_eq!(told.read.later.len(), MOST_LATER);
        assert_eq!(look(&mut told, &log, 1000).await, Some(3.0), "the first two that were told are forgotten");
    }
}
