//! Settings that hold outlive the log's retention: before the log forgets who told them, the same event is told again, which changes
//! nothing else.

use std::time::Duration;

use callweave_core::time::Time;
use tokio_util::sync::CancellationToken;

use super::{Mark, Said, Told, settings_in, subject_of};
use crate::log::frame::{FrameBuilder, FrameError};
use crate::log::{Append, AppendError, Entry, MessageId, ReadError, SharedLog, Subject};

/// From one look at all accounts to the next; a log keeps entries for a day at least.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Tells the settings of these accounts again, in force or to come, that half of the log's retention has passed over. Until `shutdown`.
pub async fn keep(
    log: SharedLog,
    accounts: Vec<String>,
    kept: Duration,
    clock: fn() -> Time,
    shutdown: CancellationToken,
) {
    let half = i64::try_from(kept.as_micros() / 2).unwrap_or(i64::MAX);
    let mut accounts: Vec<_> = accounts.into_iter().map(|account| Kept { account, ..Kept::default() }).collect();
    let rounds = async {
        loop {
            for kept in &mut accounts {
                let (account, now) = (kept.account.clone(), clock());
                if let Err(error) = kept.renew(&log, now, now.minus(half)).await {
                    tracing::warn!(account, %error, "settings are not told again before the log forgets them; the next try is in an hour");
                    break;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = rounds => {}
    }
}

/// One account's.
#[derive(Default)]
struct Kept {
    account: String,
    told: Told,
    /// Those that were told again: as long as the event is known, they stay those of the first entry.
    again: Vec<Mark>,
}

impl Kept {
    /// Tells those again that the log took before `old`.
    async fn renew(&mut self, log: &SharedLog, now: Time, old: Time) -> Result<(), RenewalError> {
        let Kept { account, told, again } = self;
        told.look(log, account, now).await?;
        let held: Vec<Mark> = told.read.in_force.iter().chain(&told.read.later).map(|it| it.mark).collect();
        again.retain(|mark| held.contains(mark));
        let subject = subject_of(account, log);
        for mark in held {
            if mark.appended >= old || again.contains(&mark) {
                continue;
            }
            let Some(entry) = entry_of(log, &subject, mark).await? else { continue };
            let Some(last) = log.last_of_subject(&subject).await? else { continue };
            let Some(payload) = event_alone(&entry, account, mark)? else { continue };
            // The log may know the content still.
            let message_id = MessageId::of(&[&payload[..], &last.sequence.to_le_bytes()].concat());
            let append = Append { subject: subject.clone(), message_id, expect: Some(last.sequence), payload };
            match log.append(append).await {
                Ok(_) => again.push(mark),
                // Another process did, or somebody told others.
                Err(AppendError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The entry that told them, if the log still has it.
async fn entry_of(log: &SharedLog, subject: &Subject, mark: Mark) -> Result<Option<Entry>, ReadError> {
    let is_it = |entry: &Entry| (entry.sequence, entry.appended) == (mark.sequence, mark.appended);
    let found = log.next_settings(subject, mark.sequence.saturating_sub(1)).await?.filter(is_it);
    if found.is_some() {
        return Ok(found);
    }
    Ok(log.last_of_subject(subject).await?.filter(is_it))
}

/// A frame of the last record of an entry that tells settings of this time.
fn event_alone(entry: &Entry, account: &str, mark: Mark) -> Result<Option<bytes::Bytes>, FrameError> {
    let Some(Said { record, .. }) = settings_in(entry, account).filter(|it| it.since == mark.since).last() else {
        return Ok(None);
    };
    let mut frame = FrameBuilder::new();
    frame.push(&record)?;
    Ok(Some(frame.finish()))
}

#[cfg(test)]
mod tests {
    use callweave_core::time::MICROS_PER_SECOND;

    use super::super::tests::{at, look, new_log, told_at};
    use super::*;

    #[tokio::test]
    async fn settings_outlive_the_retention() {
        let (log, _folder) = new_log().await;
        told_at(&log, "acme", &[(10, 1.0), (20, 2.0)]).await;
        told_at(&log, "acme", &[(200, 3.0)]).await;
        let subject = subject_of("acme", &log);
        let told_before = log.last_sequence(subject.partition()).await.expect("a number");
        let mut kept = Kept { account: "acme".to_owned(), ..Kept::default() };
        let just_before = crate::log::now().minus(3_600 * MICROS_PER_SECOND);
        kept.renew(&log, at(100), just_before).await.expect("nothing to do");
        assert_eq!(log.last_sequence(subject.partition()).await, Ok(told_before), "not yet");
        for _ in 0..2 {
            kept.renew(&log, at(100), crate::log::now()).await.expect("told again");
            assert_eq!(log.last_sequence(subject.partition()).await, Ok(told_before + 2), "once");
        }
        // Another that has just begun sees the same, and as soon as the log has forgotten the first, so it is told again.
        log.trim(subject.partition(), told_before + 1).await.expect("trimmed");
        let mut anew = Told::default();
        assert_eq!(look(&mut anew, &log, 100).await, Some(2.0));
        assert_eq!(look(&mut anew, &log, 200).await, Some(3.0), "what was to come");
    }
}
