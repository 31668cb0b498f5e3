//! Changing the subscriptions of an account: its settings in force are read, changed, and told anew, unless somebody else was faster.

use std::time::Duration;

use callweave_core::event::{Body, Event};
use callweave_core::settings::Settings;
use tokio::time::{sleep, timeout};

use super::service::Shared;
use crate::log::AppendError;
use crate::log::frame::Record;
use crate::log::settings::{TellError, Told, append_event, subject_of};

/// What the events are marked with in the log.
const ORIGIN: &str = "/v1/webhooks";
/// How long the answer waits for the notifier to have looked.
const LOOK_TIME: Duration = Duration::from_secs(5);
/// Others who change the settings at the same time may be faster so often.
const TRIES: u32 = 12;
/// Before it is tried again: up to this at first and up to twice as long each time, so that those who met do not meet again.
const PAUSE_FIRST: Duration = Duration::from_millis(4);
const PAUSE_MOST: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("{0}")]
    Wrong(String),
    #[error(transparent)]
    Told(#[from] TellError),
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
    tell(shared, account, change).await?;
    look(shared).await;
    Ok(())
}

async fn tell(shared: &Shared, account: &str, change: impl Fn(&mut Settings)) -> Result<(), EditError> {
    let mut tries = 0;
    loop {
        let done = {
            let mut turn = shared.turn.lock().await;
            once(shared, turn.entry(account.to_owned()).or_default(), account, &change).await
        };
        match done {
            Err(EditError::Told(TellError::Append(AppendError::Conflict { .. }))) if tries < TRIES => {
                let most = (PAUSE_FIRST * (1 << tries)).min(PAUSE_MOST);
                sleep(most.mul_f64((shared.tools.chance)())).await;
                tries += 1;
            }
            done => return done,
        }
    }
}

async fn once(
    shared: &Shared,
    told: &mut Told,
    account: &str,
    change: &impl Fn(&mut Settings),
) -> Result<(), EditError> {
    let (subject, now) = (subject_of(account, &shared.log), (shared.tools.clock)());
    // Before they are read: what is told in between is a conflict.
    let last = shared.log.last_of_subject(&subject).await.map_err(TellError::from)?;
    told.look(&shared.log, account, now).await.map_err(TellError::from)?;
    let told = told.in_force();
    let in_force = told.map(|told| Settings::clone(&told.settings));
    let mut settings = in_force.or_else(|| shared.configured(account)).unwrap_or_default();
    change(&mut settings);
    if let Err(mistakes) = settings.check() {
        let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        return Err(EditError::Wrong(mistakes.join("; ")));
    }
    let event = Event {
        account: account.into(),
        source: "webhooks".into(),
        id: uuid::Uuid::new_v4().to_string().into(),
        // After those that they replace, though the clock was set back.
        time: told.map_or(now, |told| told.mark.since.max(now)),
        recorded: now,
        body: Body::AccountSettings(Box::new(settings)),
    };
    let bytes = event.to_json().into_bytes();
    let record = Record::Event { received: now, origin: ORIGIN, bytes: &bytes };
    Ok(append_event(&shared.log, subject, &record, last.map_or(0, |entry| entry.sequence)).await?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use callweave_core::settings::Webhook;
    use callweave_core::time::{MICROS_PER_HOUR, Time};
    use futures::future::join_all;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config::{self, Account};
    use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};
    use crate::log::{SharedLog, settings};
    use crate::notify::{Notifier, Notify};
    use crate::telemetry::metrics::Metrics;

    fn clock() -> Time {
        Time(chrono::Utc::now().timestamp_micros())
    }

    async fn log(folder: &Path) -> SharedLog {
        let options = EmbeddedOptions { partitions: Some(1), ..EmbeddedOptions::default() };
        Arc::new(EmbeddedLog::open(folder, options).await.expect("a log"))
    }

    async fn notifier(folder: &Path) -> (Notifier, SharedLog) {
        let events = log(&folder.join("events")).await;
        (notifier_on(&events, folder).await, events)
    }

    /// Of one account, which the configuration says nothing of.
    async fn notifier_on(events: &SharedLog, folder: &Path) -> Notifier {
        let notify = Notify {
            log: events.clone(),
            moments: log(&folder.join("moments")).await,
            accounts: vec![Account { name: "acme".to_owned(), keys: Vec::new(), settings: None, logins: Vec::new() }],
            data: folder.to_owned(),
            terms: config::Notify::default(),
            metrics: Metrics::new(),
            clock,
            chance: rand::random::<f64>,
        };
        notify.prepare().await.expect("a notifier")
    }

    fn webhook(name: String) -> Webhook {
        Webhook { name, url: "https://example.com/".to_owned(), enabled: false, ..Webhook::default() }
    }

    async fn in_force(log: &SharedLog, now: Time) -> Settings {
        let mut told = Told::default();
        told.look(log, "acme", now).await.expect("an answer");
        Settings::clone(&told.in_force().expect("settings").settings)
    }

    #[tokio::test]
    async fn what_is_changed_are_the_settings_in_force() {
        let folder = tempfile::tempdir().expect("a folder");
        let (notifier, log) = notifier(folder.path()).await;
        let hour = |hours: i64| clock().plus(hours * MICROS_PER_HOUR);
        let settings = |target_seconds| Settings { target_seconds, ..Settings::default() };
        // The first are in force, and neither of those that are told behind them.
        for (hours, target_seconds) in [(-1, 41.0), (20, 42.0), (-2, 43.0)] {
            settings::tell(&log, "acme", vec![(hour(hours), settings(target_seconds))]).await;
        }
        let shared = notifier.shared.clone();
        for name in ["first", "second"] {
            let mut turn = shared.turn.lock().await;
            let told = turn.entry("acme".to_owned()).or_default();
            let put = |settings: &mut Settings| settings.webhooks.push(webhook(name.to_owned()));
            once(&shared, told, "acme", &put).await.expect("changed");
        }
        let now = in_force(&log, clock()).await;
        let names: Vec<_> = now.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
        assert_eq!((now.target_seconds, names), (41.0, vec!["first", "second"]));
        let later = in_force(&log, hour(21)).await;
        assert_eq!((later.target_seconds, later.webhooks.len()), (42.0, 0), "those to come stay what they are");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_may_change_the_settings_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let (notifier, log) = notifier(folder.path()).await;
        let (shared, stop) = (notifier.shared.clone(), CancellationToken::new());
        let running = tokio::spawn(notifier.run(stop.clone()));
        let changes = (0..24).map(|at| {
            let shared = shared.clone();
            let webhook = webhook(format!("w{at}"));
            tokio::spawn(
                async move { change(&shared, "acme", |settings| settings.webhooks.push(webhook.clone())).await },
            )
        });
        for changed in join_all(changes).await {
            changed.expect("no panic").expect("changed");
        }
        assert_eq!(in_force(&log, clock()).await.webhooks.len(), 24);
        stop.cancel();
        running.await.expect("it ends");
    }

    /// Whoever is of another process has a turn of their own.
    #[tokio::test(flavor = "multi_thread")]
    async fn many_may_change_the_settings_from_elsewhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let events = log(&folder.path().join("events")).await;
        let mut changes = Vec::new();
        for at in 0..40 {
            let shared = notifier_on(&events, &folder.path().join(at.to_string())).await.shared;
            let webhook = webhook(format!("w{at}"));
            let put = move |settings: &mut Settings| settings.webhooks.push(webhook.clone());
            changes.push(async move { tell(&shared, "acme", put).await });
        }
        for told in join_all(changes.into_iter().map(tokio::spawn)).await {
            told.expect("no panic").expect("told");
        }
        assert_eq!(in_force(&events, clock()).await.webhooks.len(), 40);
    }
}
