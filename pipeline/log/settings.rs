//! An account's settings, as the log has them.

use callweave_core::event::{Body, decode};
use callweave_core::settings::Settings;
use callweave_core::time::Time;

use super::frame::Record;
use super::{Entry, Kind, ReadError, SharedLog, Subject, partition_of};

/// Settings that the log told last.
#[derive(Debug, Clone)]
pub struct InLog {
    pub settings: Settings,
    /// From when on they hold.
    pub since: Time,
    /// The entry that told them, and when the log took it: a log that was begun anew gives the number to another.
    pub sequence: u64,
    pub appended: Time,
}

pub fn subject_of(account: &str, log: &SharedLog) -> Subject {
    Subject::events(partition_of(account, log.partitions()), Kind::Settings, Some(account))
}

/// What holds for an account by its last entry, unless that is from later than `now`; `before` is what was read before, and stays
/// where nothing newer holds.
pub async fn latest(
    log: &SharedLog,
    account: &str,
    now: Time,
    before: Option<InLog>,
) -> Result<Option<InLog>, ReadError> {
    let Some(entry) = log.last_of_subject(&subject_of(account, log)).await? else { return Ok(before) };
    if before.as_ref().is_some_and(|before| (before.sequence, before.appended) == (entry.sequence, entry.appended)) {
        return Ok(before);
    }
    let newer = |since: Time| before.as_ref().is_none_or(|before| since >= before.since) && since <= now;
    Ok(match settings_in(&entry, account) {
        Some((since, settings)) if newer(since) => {
            Some(InLog { settings, since, sequence: entry.sequence, appended: entry.appended })
        }
        _ => before,
    })
}

/// The settings of an account in an entry of its subject: of several those of the latest time.
pub fn settings_in(entry: &Entry, account: &str) -> Option<(Time, Settings)> {
    let mut latest: Option<(Time, Settings)> = None;
    for record in entry.records() {
        let Ok(Record::Event { received, bytes, .. }) = record else { continue };
        // What cannot be used has no effect: it lands in `rejected`.
        let Ok(event) = decode(bytes, Some(received)) else { continue };
        if event.account.as_str() != account {
            continue;
        }
        if let Body::AccountSettings(settings) = event.body
            && latest.as_ref().is_none_or(|(time, _)| event.time >= *time)
        {
            latest = Some((event.time, *settings));
        }
    }
    latest
}
