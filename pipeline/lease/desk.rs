//! All pools of all accounts, as a collector holds them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use callweave_core::time::{MICROS_PER_SECOND, Time};
use tokio::time::{Instant, MissedTickBehavior};
use xxhash_rust::xxh3::xxh3_64;

use super::line::Line;
use super::pool::Pool;
use super::{Ask, Held, LeaseError, Shown};
use crate::log::{self, AppendError, ReadError, SharedLog, partition_of};
use crate::telemetry::metrics::Metrics;

/// How long a visitor's wish may take: less than what pages wait for, so that the desk still has its say.
const PATIENCE: Duration = Duration::from_millis(700);
/// After the log did not answer, nothing is asked of it for so long.
const PAUSE: Duration = Duration::from_millis(250);
/// How often the desk looks at what others do, and writes its metrics.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Wishes of one visitor are met one after the other; visitors who share a place among these wait for each other.
const QUEUES: usize = 4096;
/// A refresh by the clock is left out where one by need was made just before.
const REFRESH_EVERY: i64 = 10 * MICROS_PER_SECOND;

/// Leases numbers. Share it: what it knows saves it from asking the log. Any number of desks may lease from one log.
pub struct Desk {
    log: SharedLog,
    metrics: Metrics,
    patience: Duration,
    seed: u64,
    accounts: RwLock<HashMap<String, HashMap<String, Arc<Pool>>>>,
    queues: Box<[tokio::sync::Mutex<()>]>,
    /// The log did not answer, and is not asked before then.
    away_until: Mutex<Option<Instant>>,
}

impl Held<'_> {
    pub(super) fn line(&self) -> Line {
        Line { number: self.number, extension: self.extension.map(Into::into) }
    }
}

impl Desk {
    /// A desk that looks after itself. Must be called inside a tokio runtime.
    pub fn new(log: SharedLog, metrics: Metrics) -> Arc<Desk> {
        let desk = Desk::with_patience(log, metrics, PATIENCE);
        let weak = Arc::downgrade(&desk);
        tokio::spawn(async move {
            let mut looks = tokio::time::interval(LOOK_EVERY);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                looks.tick().await;
                let Some(desk) = weak.upgrade() else { return };
                desk.refresh(log::now()).await;
            }
        });
        desk
    }

    /// A desk that waits for the log for as long as this, and does nothing that it is not told.
    pub fn with_patience(log: SharedLog, metrics: Metrics, patience: Duration) -> Arc<Desk> {
        let (seed, _) = uuid::Uuid::new_v4().as_u64_pair();
        let queues = (0..QUEUES).map(|_| tokio::sync::Mutex::default()).collect();
        Arc::new(Desk {
            log,
            metrics,
            patience,
            seed,
            accounts: RwLock::default(),
            queues,
            away_until: Mutex::default(),
        })
    }

    /// The number for a visitor's page: the one that is still theirs, else the one that was held least recently. The log
    /// has it when this returns. A lease that is kept and not yet to be renewed costs microseconds and no append.
    ///
    /// # Errors
    /// There is no number, or the log does not answer in time: the page shows its own.
    pub async fn number(&self, ask: Ask<'_>) -> Result<Shown, LeaseError> {
        let pool = self.pool(&ask)?;
        let shown = match pool.kept(&ask) {
            Some(shown) => Ok(shown),
            None => self.ask_the_log(&pool, &ask).await,
        };
        match &shown {
            Ok(shown) => pool.meters.answered(shown.how),
            Err(LeaseError::NoLines(_) | LeaseError::Exhausted { .. }) => {}
            Err(error) => {
                pool.meters.failures.inc();
                tracing::debug!(account = ask.account, pool = ask.pool, %error, "no number for a visitor");
            }
        }
        shown
    }

    async fn ask_the_log(&self, pool: &Arc<Pool>, ask: &Ask<'_>) -> Result<Shown, LeaseError> {
        let work = async {
            let _turn = self.queue(ask).lock().await;
            // Whoever was before may have done it.
            match pool.kept(ask) {
                Some(shown) => Ok(shown),
                None => pool.number(ask).await,
            }
        };
        // An active lease that cannot be renewed now is theirs all the same.
        self.in_time(work).await.or_else(|error| pool.active(ask).ok_or(error))
    }

    /// Ends a lease before its time, for those who know that its visitor will not call: most let it run out. False where
    /// nobody holds it so.
    ///
    /// # Errors
    /// The log does not answer in time; the lease may be over or not.
    pub async fn release(&self, account: &str, held: Held<'_>, now: Time) -> Result<bool, LeaseError> {
        let line = held.line();
        let pools: Vec<Arc<Pool>> = {
            let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
            accounts.get(account).into_iter().flat_map(HashMap::values).cloned().collect()
        };
        let Some(pool) = pools.into_iter().find(|pool| pool.may_hold(&line)) else { return Ok(false) };
        self.in_time(pool.release(&line, held.lease_id, now)).await
    }

    /// Reads what other desks have done, and writes the metrics.
    pub async fn refresh(&self, now: Time) {
        let pools: Vec<Arc<Pool>> = {
            let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
            accounts.values().flat_map(HashMap::values).cloned().collect()
        };
        for pool in pools {
            if let Err(error) = pool.refresh(now, REFRESH_EVERY).await {
                tracing::debug!(%error, "cannot read a pool's lines again");
            }
            pool.measure(now);
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, LeaseError>>) -> Result<T, LeaseError> {
        if self.away_until().is_some_and(|until| Instant::now() < until) {
            return Err(LeaseError::Away(PAUSE));
        }
        let result = match tokio::time::timeout(self.patience, work).await {
            Ok(result) => result,
            Err(_) => Err(LeaseError::Slow(self.patience)),
        };
        match &result {
            Err(error) if is_the_logs(error) => {
                let before = self.away_until().replace(Instant::now() + PAUSE);
                if before.is_none() {
                    tracing::warn!(%error, "numbers cannot be leased; pages show their own");
                }
            }
            _ => *self.away_until() = None,
        }
        result
    }

    fn away_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.away_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, ask: &Ask<'_>) -> &tokio::sync::Mutex<()> {
        let hash = xxh3_64(ask.visitor_id.as_bytes()) ^ xxh3_64(ask.pool.as_bytes()).rotate_left(1);
        &self.queues[(hash % QUEUES as u64) as usize]
    }

    fn pool(&self, ask: &Ask<'_>) -> Result<Arc<Pool>, LeaseError> {
        if ask.rules.pool(ask.pool).is_none() {
            self.forget(ask);
            return Err(LeaseError::NoSuchPool(ask.pool.to_owned()));
        }
        let known = {
            let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
            accounts.get(ask.account).and_then(|pools| pools.get(ask.pool)).cloned()
        };
        let pool = known.unwrap_or_else(|| self.open(ask));
        pool.follow(ask.rules);
        Ok(pool)
    }

    fn open(&self, ask: &Ask<'_>) -> Arc<Pool> {
        let partition = partition_of(ask.account, self.log.partitions());
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        let pools = accounts.entry(ask.account.to_owned()).or_default();
        // Pools that the settings have no more go when one is added, so that there are never more than settings name.
        pools.retain(|name, _| ask.rules.pool(name).is_some());
        let pool = pools.entry(ask.pool.to_owned());
        pool.or_insert_with(|| Arc::new(Pool::new(self.log.clone(), &self.metrics, partition, ask, self.seed))).clone()
    }

    fn forget(&self, ask: &Ask<'_>) {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(pools) = accounts.get_mut(ask.account) {
            pools.remove(ask.pool);
        }
    }
}

/// The log's trouble, and not this pool's.
fn is_the_logs(error: &LeaseError) -> bool {
    match error {
        LeaseError::Slow(_) => true,
        LeaseError::Append(error) => {
            matches!(error, AppendError::Unavailable(_) | AppendError::Full(_) | AppendError::Damaged(_))
        }
        LeaseError::Read(error) => matches!(error, ReadError::Unavailable(_) | ReadError::Damaged { .. }),
        _ => false,
    }
}
