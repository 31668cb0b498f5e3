//! Settings that hold outlive the log's retention: before the log forgets who told them, the same event is told again, which changes
//! nothing else.

use std::time::Duration;

use callweave_core::time::Time;
use tokio_util::sync::CancellationToken;

use super::{Mark, TellError, Told, append_event, settings_in, subject_of};
use crate::log::{AppendError, Entry, ReadError, SharedLog, Subject};

/// From one look at all accounts to the next; a log keeps entries for a day at least.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// Tells the settings of these accounts again, in force or to come, that half of the log's retention has passed over. Until `shutdown`.
pub async fn keep(
    log: SharedLog,
    accounts: Vec<String>,
    retention: Duration,
    clock: fn() -> Time,
    shutdown: CancellationToken,
) {
    let half = i64::try_from(retention.as_micros() / 2).unwrap_or(i64::MAX);
    let mut accounts: Vec<(String, Told)> = accounts.into_iter().map(|account| (account, Told::default())).collect();
    let rounds = async {
        loop {
            for (account, told) in &mut accounts {
                let now = clock();
                let Err(error) = renew(&log, account, told, now, now.minus(half)).await else { continue };
                tracing::warn!(account, %error, "settings are not told again before the log forgets them; the next try is in an hour");
                if is_away(&error) {
                    // Nor are those of others.
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

fn is_away(error: &TellError) -> bool {
    matches!(error, TellError::Read(ReadError::Unavailable(_)) | TellError::Append(AppendError::Unavailable(_)))
}

/// Tells those again that the log took before `old`.
async fn renew(log: &SharedLog, account: &str, told: &mut Told, now: Time, old: Time) -> Result<(), TellError> {
    told.look(log, account, now).await?;
    let subject = subject_of(account, log);
    let held = told.read.in_force.iter().chain(&told.read.later).map(|it| it.mark);
    for mark in held.filter(|mark| mark.appended < old) {
        let Some(entry) = entry_of(log, &subject, mark).await? else { continue };
        let Some(said) = settings_in(&entry, account).filter(|it| it.since == mark.since).last() else { continue };
        let Some(last) = log.last_of_subject(&subject).await? else { continue };
        match append_event(log, subject.clone(), &said.record, last.sequence).await {
            // Another process was faster, or somebody told others.
            Ok(()) | Err(TellError::Append(AppendError::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
        let (mut told, mut of_another) = (Told::default(), Told::default());
        let just_before = crate::log::now().minus(3_600 * MICROS_PER_SECOND);
        for told in [&mut told, &mut of_another] {
            renew(&log, "acme", told, at(100), just_before).await.expect("nothing to do");
        }
        assert_eq!(log.last_sequence(subject.partition()).await, Ok(told_before), "not yet");
        let then = crate::log::now();
        for told in [&mut told, &mut of_another, &mut Told::default()] {
            renew(&log, "acme", told, at(100), then).await.expect("told again");
            assert_eq!(log.last_sequence(subject.partition()).await, Ok(told_before + 2), "once");
        }
        // Those that were told again grow old, too, though the event is known still.
        renew(&log, "acme", &mut told, at(100), crate::log::now()).await.expect("told again");
        assert_eq!(log.last_sequence(subject.partition()).await, Ok(told_before + 4), "and once more");
        // One that has just begun sees the same when the log has forgotten the first.
        log.trim(subject.partition(), told_before + 1).await.expect("trimmed");
        let mut anew = Told::default();
        assert_eq!(look(&mut anew, &log, 100).await, Some(2.0));
        assert_eq!(look(&mut anew, &log, 200).await, Some(3.0), "what was to come");
    }
}
