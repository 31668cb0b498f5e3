//! All subscriptions of all accounts: found in the settings in force, each worked for by a task of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use callweave_core::settings::Settings;
use callweave_core::time::Time;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::address::Guard;
use super::routes;
use super::send::Sender;
use super::store::{Change, Store, StoreError};
use super::subscription::{Entry, Kind, Secrets, Subscription, master};
use super::worker::{Command, End, Tools, WorkError, Worker};
use crate::config::{self, Account, Keys};
use crate::log::settings::Told;
use crate::log::{ReadError, SharedLog};
use crate::telemetry::metrics::Metrics;

/// How often settings are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Pauses before a subscription is begun again after a fault of ours: doubled each time, up to the most.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// Commands that wait for a worker.
const COMMANDS: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the secret of this machine cannot be had: {0}")]
    Secret(std::io::Error),
}

/// What a notifier is made of.
pub struct Notify {
    /// Of events: the settings stand there.
    pub log: SharedLog,
    pub moments: SharedLog,
    /// Whose subscriptions are served.
    pub accounts: Vec<Account>,
    /// This machine's own folder: what was told is written down in its `notify`.
    pub data: PathBuf,
    pub terms: config::Notify,
    pub metrics: Metrics,
    pub clock: fn() -> Time,
    /// From 0 to 1.
    pub chance: fn() -> f64,
}

/// A notifier that knows its subscriptions; it delivers once it runs.
pub struct Notifier {
    pub(super) shared: Arc<Shared>,
}

/// What workers and requests share.
pub struct Shared {
    pub keys: Keys,
    pub log: SharedLog,
    pub tools: Tools,
    pub secrets: Secrets,
    pub stopping: CancellationToken,
    accounts: Vec<Account>,
    pub known: RwLock<BTreeMap<Arc<str>, Known>>,
    /// What those read who change settings, by account. Who changes something here does so one after the other: only other processes may
    /// be faster.
    pub turn: Mutex<BTreeMap<String, Told>>,
    /// Rises when settings are to be looked at before their time.
    pub look: watch::Sender<u64>,
    /// What that was when they were looked at last.
    pub looked: watch::Sender<u64>,
    /// Whether settings could not be read the last time: told once.
    unread: AtomicBool,
}

/// One subscription of the settings.
#[derive(Clone)]
pub struct Known {
    pub account: Arc<str>,
    pub entry: Entry,
    /// What is wrong with it.
    pub broken: Option<String>,
    /// Why it is switched off for good: its receiver asked for it.
    pub stopped: Option<String>,
    pub commands: Option<mpsc::Sender<Command>>,
}

impl Notify {
    /// Opens what was written down, and finds the subscriptions: what happens from here on is told.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub async fn prepare(self) -> Result<Notifier, NotifyError> {
        let Notify { log, moments, accounts, data, terms, metrics, clock, chance } = self;
        let folder = data.join("notify");
        let store = Store::open(&folder)?;
        let secrets = Secrets {
            master: Arc::new(master(&folder).map_err(NotifyError::Secret)?),
            folder: terms.secrets.clone(),
            beside: Secrets::beside(accounts.iter()),
        };
        let sender = Sender::new(Guard::new(&terms.allow));
        let warm = sender.clone();
        // Nobody waits for it: who comes first makes it, or waits for whoever does.
        drop(tokio::task::spawn_blocking(move || warm.warm()));
        let shared = Shared {
            keys: Keys::of(&accounts),
            log,
            tools: Tools { moments, store, sender, metrics, clock, chance },
            secrets,
            stopping: CancellationToken::new(),
            accounts,
            known: RwLock::default(),
            turn: Mutex::default(),
            look: watch::Sender::new(0),
            looked: watch::Sender::new(0),
            unread: AtomicBool::new(false),
        };
        let notifier = Notifier { shared: Arc::new(shared) };
        for (of, subscription) in notifier.shared.wanted(&mut BTreeMap::new()).await.0 {
            if subscription.entry.is_enabled() {
                notifier.shared.begin(&of).await;
            }
        }
        Ok(notifier)
    }
}

impl Shared {
    /// The subscriptions of the settings in force, and the accounts that could be looked at. `read` holds what was read of each.
    async fn wanted(&self, read: &mut BTreeMap<String, Told>) -> (BTreeMap<Arc<str>, Known>, BTreeSet<Arc<str>>) {
        let (mut wanted, mut looked, mut unread) = (BTreeMap::new(), BTreeSet::new(), false);
        for account in &self.accounts {
            match self.settings(account, read).await {
                Ok(settings) => {
                    let name: Arc<str> = account.name.as_str().into();
                    for entry in Entry::all(&settings) {
                        let (of, account) = (entry.of(&name), name.clone());
                        wanted.insert(of, Known { account, entry, broken: None, stopped: None, commands: None });
                    }
                    looked.insert(name);
                }
                Err(error) => {
                    unread = true;
                    if self.unread.swap(true, Ordering::Relaxed) {
                        tracing::debug!(account = account.name, %error, "settings cannot be read still");
                    } else {
                        tracing::warn!(account = account.name, %error, "settings cannot be read; the last known stay until they can");
                    }
                    // Nor can those of others.
                    if matches!(error, ReadError::Unavailable(_)) {
                        break;
                    }
                }
            }
        }
        if !unread && self.unread.swap(false, Ordering::Relaxed) {
            tracing::info!("settings can be read again");
        }
        (wanted, looked)
    }

    async fn settings(&self, account: &Account, read: &mut BTreeMap<String, Told>) -> Result<Arc<Settings>, ReadError> {
        let told = read.entry(account.name.clone()).or_default();
        told.look(&self.log, &account.name, (self.tools.clock)()).await?;
        let settings = told.in_force().map(|told| Arc::clone(&told.settings));
        Ok(settings.or_else(|| account.settings.clone().map(Arc::new)).unwrap_or_default())
    }

    /// What the configuration says of an account's settings.
    pub fn configured(&self, account: &str) -> Option<Settings> {
        self.accounts.iter().find(|it| it.name == account)?.settings.clone()
    }

    /// A subscription that was never told anything is told what happens from now on.
    async fn begin(&self, of: &Arc<str>) {
        let tools = &self.tools;
        let begun = async {
            if tools.store.start(of).await?.place.is_none() {
                let (log, last) = (tools.moments.identity(0).await?, tools.moments.last_sequence(0).await?);
                tools.store.commit(of, vec![Change::Place(last), Change::Log(log)]).await?;
            }
            Ok::<_, WorkError>(())
        };
        if let Err(error) = begun.await {
            tracing::warn!(webhook = &**of, %error, "it is not told before this is mended");
        }
    }

    pub fn known(&self, kind: Kind, account: &str, name: &str) -> Option<(Arc<str>, Known)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get_key_value(&kind.of(account, name)).map(|(of, known)| (of.clone(), known.clone()))
    }

    fn note(&self, of: &Arc<str>, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.known.write().unwrap_or_else(PoisonError::into_inner).get_mut(of) {
            change(known);
        }
    }
}

/// What a worker is to work for; nothing: to stop.
type Wish = Option<Arc<Subscription>>;

/// Workers by subscription.
struct Crew {
    shared: Arc<Shared>,
    wishes: BTreeMap<Arc<str>, (watch::Sender<Wish>, Entry, Vec<String>)>,
    tasks: JoinSet<()>,
}

impl Notifier {
    /// What is served over HTTP: subscriptions and the stream of events.
    pub fn routes(&self) -> Router {
        routes::routes(self.shared.clone())
    }

    /// Delivers until `shutdown`; attempts under way are finished.
    pub async fn run(self, shutdown: CancellationToken) {
        let shared = self.shared;
        let mut crew = Crew { shared: shared.clone(), wishes: BTreeMap::new(), tasks: JoinSet::new() };
        let (mut looks, mut read) = (shared.look.subscribe(), BTreeMap::new());
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = *looks.borrow_and_update();
            let (wanted, looked) = shared.wanted(&mut read).await;
            crew.follow(wanted, &looked).await;
            shared.looked.send_replace(asked);
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = ticks.tick() => {}
                _ = looks.changed() => {}
            }
        }
        shared.stopping.cancel();
        crew.wishes.clear();
        while crew.tasks.join_next().await.is_some() {}
    }
}

impl Crew {
    /// Starts, changes and stops workers until they are those that are wanted. Subscriptions of accounts that were not looked
    /// at stay as they are; those that are gone are forgotten.
    async fn follow(&mut self, wanted: BTreeMap<Arc<str>, Known>, looked: &BTreeSet<Arc<str>>) {
        let gone: Vec<Arc<str>> = {
            let known = self.shared.known.read().unwrap_or_else(PoisonError::into_inner);
            let gone = known.iter().filter(|(of, it)| looked.contains(&it.account) && !wanted.contains_key(*of));
            gone.map(|(of, _)| of.clone()).collect()
        };
        for of in gone {
            tracing::info!(webhook = &*of, "subscription removed");
            self.shared.known.write().unwrap_or_else(PoisonError::into_inner).remove(&of);
            self.wishes.remove(&of);
            if let Err(error) = self.shared.tools.store.commit(&of, vec![Change::Forget]).await {
                tracing::warn!(webhook = &*of, %error, "what it was told is still on disk");
            }
        }
        for (of, known) in wanted {
            self.follow_one(of, known).await;
        }
    }

    async fn follow_one(&mut self, of: Arc<str>, mut known: Known) {
        let shared = self.shared.clone();
        let Ok(stopped) = shared.tools.store.stopped(&of).await else { return };
        known.stopped = stopped;
        let on = known.entry.is_enabled() && known.stopped.is_none();
        // A secret that is a file's may change, though the settings do not.
        let secrets = shared.secrets.marks(&of, &known.account, &known.entry);
        let same = |(wish, entry, marks): &(watch::Sender<Wish>, Entry, Vec<String>)| {
            wish.borrow().is_some() && *entry == known.entry && *marks == secrets
        };
        // One that stopped by itself, and was switched on again since, works no more.
        let before = shared.known(known.entry.kind(), &known.account, known.entry.name());
        let works = before.is_some_and(|(_, before)| before.stopped.is_none());
        if on && works && self.wishes.get(&of).is_some_and(same) {
            return;
        }
        let subscription = Subscription::new(&known.account, &known.entry, &shared.secrets);
        known.broken = subscription.as_ref().err().map(ToString::to_string);
        let wish = match subscription {
            Ok(subscription) if on => Some(Arc::new(subscription)),
            _ => None,
        };
        let mut all = shared.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = all.get(&of);
        if let Some(why) = &known.broken
            && before.is_none_or(|before| before.broken.as_ref() != Some(why))
        {
            tracing::warn!(webhook = &*of, reason = why, "subscription cannot be used");
        }
        known.commands = before.and_then(|before| before.commands.clone());
        all.insert(of.clone(), known.clone());
        drop(all);
        match (wish, self.wishes.get_mut(&of)) {
            (wish, Some((sender, entry, marks))) => {
                (*entry, *marks) = (known.entry, secrets);
                sender.send_if_modified(|now| {
                    let changes = wish.is_some() || now.is_some();
                    *now = wish;
                    changes
                });
            }
            (Some(wish), None) => {
                let (sender, wishes) = watch::channel(Some(wish));
                let (commands, queue) = mpsc::channel(COMMANDS);
                shared.note(&of, |known| known.commands = Some(commands));
                self.tasks.spawn(attend(shared, of.clone(), wishes, queue));
                self.wishes.insert(of, (sender, known.entry, secrets));
            }
            (None, None) => {}
        }
    }
}

/// Works for one subscription as its wishes change, until nobody wishes any more. A fault of ours begins it again from what is
/// on disk.
async fn attend(
    shared: Arc<Shared>,
    of: Arc<str>,
    mut wishes: watch::Receiver<Wish>,
    mut commands: mpsc::Receiver<Command>,
) {
    let mut pause = PAUSE_FIRST;
    loop {
        let wish = wishes.borrow_and_update().clone();
        let Some(subscription) = wish else {
            if wishes.changed().await.is_err() {
                return;
            }
            continue;
        };
        let (stop, began) = (CancellationToken::new(), Instant::now());
        let work = async {
            let worker = Worker::new(subscription, shared.tools.clone()).await?;
            worker.run(&stop, &mut commands).await
        };
        let mut work = std::pin::pin!(work);
        let mut changed = Ok(());
        let ended = tokio::select! {
            ended = &mut work => ended,
            it = wishes.changed() => {
                changed = it;
                stop.cancel();
                work.await
            }
        };
        match ended {
            Ok(End::Stopped) => {}
            Ok(End::Gone) => {
                let why = "its receiver answered 410: it wants nothing any more".to_owned();
                tracing::warn!(webhook = &*of, "switched off: its receiver answered 410");
                if let Err(error) = shared.tools.store.commit(&of, vec![Change::Stop(why.clone())]).await {
                    tracing::error!(webhook = &*of, %error, "it is switched off until the next start only");
                }
                shared.note(&of, |known| known.stopped = Some(why));
                // Whoever switches it on again wishes anew.
                changed = changed.and(wishes.changed().await);
            }
            Err(error) => {
                if began.elapsed() > PAUSE_MOST {
                    pause = PAUSE_FIRST;
                }
                tracing::error!(webhook = &*of, %error, pause_ms = pause.as_millis() as u64, "beginning again");
                tokio::select! {
                    () = sleep(pause) => {}
                    it = wishes.changed() => changed = changed.and(it),
                }
                pause = (pause * 2).min(PAUSE_MOST);
            }
        }
        if changed.is_err() {
            return;
        }
    }
}
