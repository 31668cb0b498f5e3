//! The settings in force, as a collector needs them: of each account it has keys or settings for, from the configuration
//! and from what the log was told last.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use callweave_core::settings::{Rules, Settings};
use callweave_core::time::Time;
use tokio::time::{Instant, timeout};

use super::sites::Sites;
use crate::config::Account;
use crate::log::settings::{settings_in, subject_of};
use crate::log::{self, Entry, SharedLog, Subject};

/// For so long what was read counts as new.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// A log that does not answer within this time leaves what was known.
const READ_TIME: Duration = Duration::from_secs(1);
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
    subject: Subject,
    now: RwLock<Arc<InForce>>,
    /// When the log was last asked: milliseconds since the beginning, from 1 on.
    looked: AtomicU64,
    /// Held by whoever asks the log: one at a time.
    asking: tokio::sync::Mutex<()>,
}

/// An account's settings, ready for use.
pub struct InForce {
    pub account: Arc<str>,
    pub rules: Arc<Rules>,
    pub sites: Sites,
    /// From when on they hold; settings of an earlier time that come later change nothing.
    since: Time,
    /// The log's entry that told them, and when the log took it; 0: the configuration. A log that was begun anew gives the number to
    /// another.
    told_by: (u64, Time),
}

impl Accounts {
    pub fn new<'a>(accounts: impl IntoIterator<Item = &'a Account>, log: SharedLog, per_second: u32) -> Accounts {
        let known = accounts.into_iter().map(|account| {
            let name: Arc<str> = account.name.as_str().into();
            let settings = account.settings.clone().unwrap_or_default();
            let subject = subject_of(&name, &log);
            let now = InForce::new(name.clone(), settings, per_second, Time::MIN, (0, Time::MIN));
            let asking = tokio::sync::Mutex::new(());
            (name, Known { subject, now: RwLock::new(Arc::new(now)), looked: AtomicU64::new(NEVER), asking })
        });
        Accounts { began: Instant::now(), per_second, known: known.collect(), log }
    }

    /// What holds for an account, at most [`FRESH_FOR`] old where the log answers; nothing for one that is not configured
    /// here. One request at a time asks the log, and others use what is known; only where the log was never asked they
    /// wait, too.
    pub async fn of(&self, account: &str) -> Option<Arc<InForce>> {
        let known = self.known.get(account)?;
        let looked = known.looked.load(Ordering::Acquire);
        if looked == NEVER {
            let _asking = known.asking.lock().await;
            if known.looked.load(Ordering::Acquire) == NEVER {
                self.ask(known).await;
            }
        } else if self.millis().saturating_sub(looked) >= FRESH_FOR.as_millis() as u64
            && let Ok(_asking) = known.asking.try_lock()
        {
            self.ask(known).await;
        }
        Some(known.in_force())
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

    async fn ask(&self, known: &Known) {
        // Marked before asking: what changes meanwhile is asked for again.
        known.looked.store(self.millis(), Ordering::Release);
        let account = known.in_force();
        match timeout(READ_TIME, self.log.last_of_subject(&known.subject)).await {
            Ok(Ok(Some(entry))) => known.read(&entry, self.per_second),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::warn!(account = %account.account, %error, "settings cannot be read; the last known stay");
            }
            Err(_) => {
                tracing::warn!(account = %account.account, "settings were not read in time; the last known stay");
            }
        }
    }
}

impl Known {
    fn in_force(&self) -> Arc<InForce> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the latest settings of an entry over, unless they are in force already, or not yet.
    fn read(&self, entry: &Entry, per_second: u32) {
        let current = self.in_force();
        let told_by = (entry.sequence, entry.appended);
        if told_by == current.told_by {
            return;
        }
        let told = settings_in(entry, &current.account);
        let now = log::now();
        if let Some((since, settings)) = told.filter(|(since, _)| *since >= current.since && *since <= now) {
            tracing::info!(account = %current.account, "settings changed");
            let next = InForce::new(current.account.clone(), settings, per_second, since, told_by);
            *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        }
    }
}

impl InForce {
    fn new(account: Arc<str>, settings: Settings, per_second: u32, since: Time, told_by: (u64, Time)) -> InForce {
        let sites = Sites::of(&settings, per_second);
        InForce { account, rules: Arc::new(Rules::new(settings)), sites, since, told_by }
    }
}
