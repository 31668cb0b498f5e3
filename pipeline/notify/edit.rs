//! Changing the subscriptions of an account: its settings are read, changed, and told anew, unless somebody else was faster.

use std::time::Duration;

use callweave_core::event::{Body, Event};
use callweave_core::settings::Settings;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::service::Shared;
use crate::log::frame::{FrameBuilder, FrameError, Record};
use crate::log::settings::{settings_in, subject_of};
use crate::log::{Append, AppendError, MessageId, ReadError};

/// What the events are marked with in the log.
const ORIGIN: &str = "/v1/webhooks";
/// How long the answer waits for the notifier to have looked.
const LOOK_TIME: Duration = Duration::from_secs(5);
/// Others who change the settings at the same time may be faster so often.
const TRIES: usize = 10;
/// Who changes something here does so one after the other: only other processes may be faster.
static TURN: Mutex<()> = Mutex::const_new(());

#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("{0}")]
    Wrong(String),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Has the notifier look at the settings, and waits until it has: who changed something sees it from then on. One that takes too
/// long sees it later.
pub async fn look(shared: &Shared) {
    let mut wanted = 0;
    shared.look.send_modify(|count| {
        *count += 1;
        wanted = *count;
    });
    let mut looked = shared.looked.subscribe();
    // Whoever stops looks no more.
    let _ = timeout(LOOK_TIME, looked.wait_for(|looked| *looked >= wanted)).await;
}

/// Changes an account's settings; returns when the log has them, and the notifier has looked.
///
/// # Errors
/// They cannot be as they would be, or the log did not take them.
pub async fn change(shared: &Shared, account: &str, change: impl Fn(&mut Settings)) -> Result<(), EditError> {
    {
        let _turn = TURN.lock().await;
        let mut tries = 0;
        loop {
            match once(shared, account, &change).await {
                Err(EditError::Append(AppendError::Conflict { .. })) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
    }
    look(shared).await;
    Ok(())
}

async fn once(shared: &Shared, account: &str, change: &impl Fn(&mut Settings)) -> Result<(), EditError> {
    let subject = subject_of(account, &shared.log);
    let entry = shared.log.last_of_subject(&subject).await?;
    let expect = Some(entry.as_ref().map_or(0, |entry| entry.sequence));
    let told = entry.and_then(|entry| settings_in(&entry, account)).map(|(_, settings)| settings);
    let mut settings = told.or_else(|| shared.configured(account)).unwrap_or_default();
    change(&mut settings);
    if let Err(mistakes) = settings.check() {
        let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        return Err(EditError::Wrong(mistakes.join("; ")));
    }
    let now = (shared.tools.clock)();
    let event = Event {
        account: account.into(),
        source: "webhooks".into(),
        id: uuid::Uuid::new_v4().to_string().into(),
        time: now,
        recorded: now,
        body: Body::AccountSettings(Box::new(settings)),
    };
    let bytes = event.to_json().into_bytes();
    let mut frame = FrameBuilder::new();
    frame.push(&Record::Event { received: now, origin: ORIGIN, bytes: &bytes })?;
    let payload = frame.finish();
    let append = Append { subject, message_id: MessageId::of(&payload), expect, payload };
    shared.log.append(append).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use callweave_core::settings::Webhook;
    use callweave_core::time::Time;
    use futures::future::join_all;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config::{self, Account};
    use crate::log::SharedLog;
    use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};
    use crate::notify::Notify;
    use crate::telemetry::metrics::Metrics;

    fn clock() -> Time {
        Time(chrono::Utc::now().timestamp_micros())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_may_change_the_settings_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = async |name: &str| {
            let options = EmbeddedOptions { partitions: Some(1), ..EmbeddedOptions::default() };
            let log = EmbeddedLog::open(folder.path().join(name), options).await.expect("a log");
            Arc::new(log) as SharedLog
        };
        let log = open("events").await;
        let notify = Notify {
            log: log.clone(),
            moments: open("moments").await,
            accounts: vec![Account { name: "acme".to_owned(), keys: Vec::new(), settings: None, logins: Vec::new() }],
            data: folder.path().to_owned(),
            terms: config::Notify::default(),
            metrics: Metrics::new(),
            clock,
            chance: || 0.5,
        };
        let notifier = notify.prepare().await.expect("a notifier");
        let (shared, stop) = (notifier.shared.clone(), CancellationToken::new());
        let running = tokio::spawn(notifier.run(stop.clone()));
        let changes = (0..24).map(|at| {
            let shared = shared.clone();
            let url = "https://example.com/".to_owned();
            let webhook = Webhook { name: format!("w{at}"), url, enabled: false, ..Webhook::default() };
            tokio::spawn(
                async move { change(&shared, "acme", |settings| settings.webhooks.push(webhook.clone())).await },
            )
        });
        for changed in join_all(changes).await {
            changed.expect("no panic").expect("changed");
        }
        let entry = log.last_of_subject(&subject_of("acme", &log)).await.expect("an answer").expect("settings");
        let (_, settings) = settings_in(&entry, "acme").expect("settings");
        assert_eq!(settings.webhooks.len(), 24);
        stop.cancel();
        running.await.expect("it ends");
    }
}
