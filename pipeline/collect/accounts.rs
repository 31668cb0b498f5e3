//! The settings in force, as a collector needs them: of each account it has keys or settings for, from the configuration
//! and from what the log was told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use callweave_core::settings::{Rules, Settings};
use futures::StreamExt;
use tokio::time::Instant;

use super::sites::Sites;
use crate::config::Account;
use crate::log::settings::{Mark, Told};
use crate::log::{self, SharedLog};

/// For so long what was read counts as new.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// Accounts that are looked at together at a start.
const LOOKS_AT_ONCE: usize = 16;
/// No look at the log yet, or one that somebody asked for since.
const NEVER: u64 = 0;

/// All accounts, so never more than are configured.
pub struct Accounts {
    log: SharedLog,
    /// What the clock of `looked` begins with.
    began: Instant,
    /// Requests a second of each site.
    per_second: u32,
    known: HashMap<Arc<str>, Known>,
}

struct Known {
    now: RwLock<Arc<InForce>>,
    /// When the log was last asked: milliseconds since the beginning, from 1 on.
    looked: AtomicU64,
    /// Whether the log was ever asked to the end, however it answered.
    asked: AtomicBool,
    /// Held by whoever asks the log: one at a time.
    asking: tokio::sync::Mutex<Told>,
}

/// An account's settings, ready for use.
pub struct InForce {
    pub account: Arc<str>,
    pub rules: Arc<Rules>,
    pub sites: Sites,
    /// What the log has them by; none: the configuration's.
    mark: Option<Mark>,
}

impl Accounts {
    pub fn new<'a>(accounts: impl IntoIterator<Item = &'a Account>, log: SharedLog, per_second: u32) -> Accounts {
        let known = accounts.into_iter().map(|account| {
            let name: Arc<str> = account.name.as_str().into();
            let settings = account.settings.clone().unwrap_or_default();
            let now = RwLock::new(Arc::new(InForce::new(name.clone(), settings, per_second, None)));
            let (looked, asked) = (AtomicU64::new(NEVER), AtomicBool::new(false));
            (name, Known { now, looked, asked, asking: tokio::sync::Mutex::default() })
        });
        Accounts { began: Instant::now(), per_second, known: known.collect(), log }
    }

    /// What holds for an account, at most [`FRESH_FOR`] old where the log answers; nothing for one that is not configured
    /// here. One request at a time asks the log, and others use what is known; only where the log was never asked they
    /// wait, too.
    pub async fn of(&self, account: &str) -> Option<Arc<InForce>> {
        let known = self.known.get(account)?;
        if known.is_to_be_asked() {
            let mut told = known.asking.lock().await;
            // Unless it was while this one waited.
            if known.is_to_be_asked() {
                self.ask(known, &mut told).await;
            }
        } else if self.millis().saturating_sub(known.looked.load(Ordering::Acquire)) >= FRESH_FOR.as_millis() as u64
            && let Ok(mut told) = known.asking.try_lock()
        {
            self.ask(known, &mut told).await;
        }
        Some(known.in_force())
    }

    /// Gets to know the settings of all accounts.
    pub async fn look_at_all(&self) {
        let looks = self.known.keys().map(|account| async move { drop(self.of(account).await) });
        futures::stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE).collect::<()>().await;
    }

    /// That an account's settings have changed: who comes next asks the log.
    pub fn changed(&self, account: &str) {
        if let Some(known) = self.known.get(account) {
            known.looked.store(NEVER, Ordering::Release);
        }
    }

    /// Whether any account has a site of this origin, by what is known now.
    pub fn any_site_at(&self, origin: &str) -> bool {
        self.known.values().any(|known| known.in_force().sites.at(None, origin).is_some())
    }

    fn millis(&self) -> u64 {
        1 + self.began.elapsed().as_millis() as u64
    }

    async fn ask(&self, known: &Known, told: &mut Told) {
        // Marked before asking: what changes meanwhile is asked for again.
        known.looked.store(self.millis(), Ordering::Release);
        let current = known.in_force();
        if let Err(error) = told.look_in_time(&self.log, &current.account, log::now()).await {
            tracing::warn!(account = %current.account, %error, "settings cannot be read; the last known stay");
        }
        if let Some(told) = told.in_force().filter(|told| Some(told.mark) != current.mark) {
            tracing::info!(account = %current.account, "settings changed");
            let settings = Settings::clone(&told.settings);
            let next = InForce::new(current.account.clone(), settings, self.per_second, Some(told.mark));
            *known.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        }
        known.asked.store(true, Ordering::Release);
    }
}

impl Known {
    fn in_force(&self) -> Arc<InForce> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether nobody may go on without the log: it was never asked, or somebody has changed something since.
    fn is_to_be_asked(&self) -> bool {
        self.looked.load(Ordering::Acquire) == NEVER || !self.asked.load(Ordering::Acquire)
    }
}

impl InForce {
    fn new(account: Arc<str>, settings: Settings, per_second: u32, mark: Option<Mark>) -> InForce {
        let sites = Sites::of(&settings, per_second);
        InForce { account, rules: Arc::new(Rules::new(settings)), sites, mark }
    }
}

#[cfg(test)]
mod tests {
    use callweave_core::time::{MICROS_PER_HOUR, Time};
    use tokio::time::timeout;

    use super::*;
    use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};
    use crate::log::settings::tell;

    /// Nothing here takes this long.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn settings(target_seconds: f64) -> Settings {
        Settings { target_seconds, ..Settings::default() }
    }

    /// Waits until those of so many `target_seconds` are in force: a busy machine's log may not answer in time at first.
    async fn in_force(accounts: &Accounts, target_seconds: f64, when: &str) {
        let wait = async {
            while accounts.of("acme").await.expect("it is configured").rules.settings().target_seconds != target_seconds
            {
                accounts.changed("acme");
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{target_seconds} is not in force {when}"));
    }

    #[tokio::test]
    async fn a_restart_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).await.expect("a log");
        let log: SharedLog = Arc::new(log);
        let settings_of_file = Some(settings(1.0));
        let acme =
            Account { name: "acme".to_owned(), keys: Vec::new(), settings: settings_of_file, logins: Vec::new() };
        let begin = || Accounts::new([&acme], log.clone(), 1);
        let running = begin();
        in_force(&running, 1.0, "at first").await;
        // What was told is in force; then come some of an earlier time, some of a time to come, and newer ones.
        for (hours, told, expected) in [(-2, 2.0, 2.0), (-3, 3.0, 2.0), (20, 4.0, 2.0), (-1, 5.0, 5.0)] {
            let time = Time(log::now().0 + hours * MICROS_PER_HOUR);
            tell(&log, "acme", vec![(time, settings(told))]).await;
            running.changed("acme");
            in_force(&running, expected, &format!("once {told} is told")).await;
            in_force(&begin(), expected, &format!("after a restart once {told} is told")).await;
        }
    }
}
