//! The workers of a coordinator, and which of them answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use datafusion::common::{DataFusionError, Result};
use datafusion_distributed::{GetWorkerInfoRequest, WorkerResolver};
use futures::future::join_all;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use url::Url;

use super::badge::{Badge, Peers};
use super::codec::Codec;
use super::planner::MACHINES_MIN;
use crate::config::Config;
use crate::query::access::MaskKey;
use crate::query::logins::lock;
use crate::telemetry::metrics::Metrics;

/// A worker that does not say who it is within this time is left out.
const ASK_TIME: Duration = Duration::from_secs(20);
/// How often all are asked: so soon does one that was away work again.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// The workers.
pub(in crate::query) struct Crew {
    members: Vec<Member>,
    pub(super) peers: Peers,
    pub(super) codec: Codec,
    /// Bytes of files for which one more machine is asked.
    pub(super) share: u64,
    pub(super) metrics: Metrics,
    asked: tokio::sync::Mutex<Option<Instant>>,
}

struct Member {
    url: Url,
    state: Mutex<State>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Not asked yet.
    Unknown,
    Up,
    /// And why.
    Away(String),
}

impl Crew {
    /// The workers of the configuration; nothing where it names none.
    pub fn of(config: &Config, mask: MaskKey, metrics: Metrics) -> Option<Arc<Crew>> {
        let query = &config.query;
        if query.workers.is_empty() {
            return None;
        }
        if query.workers.len() < MACHINES_MIN {
            tracing::warn!("one worker alone is never asked: name two or more in query.workers");
        }
        let badge = Badge::new(query.workers_secret.as_ref());
        Some(Arc::new(Crew::new(&query.workers, badge, mask, query.worker_share, metrics)))
    }

    pub(super) fn new(urls: &[Url], badge: Badge, mask: MaskKey, share: u64, metrics: Metrics) -> Crew {
        let member = |url: &Url| Member { url: url.clone(), state: Mutex::new(State::Unknown) };
        Crew {
            members: urls.iter().map(member).collect(),
            peers: Peers::new(badge),
            codec: Codec::new(mask),
            share: share.max(1),
            metrics,
            asked: tokio::sync::Mutex::new(None),
        }
    }

    /// Those that answered last.
    pub fn up(&self) -> Vec<Url> {
        let up = self.members.iter().filter(|member| *lock(&member.state) == State::Up);
        up.map(|member| member.url.clone()).collect()
    }

    /// Asks all of them, unless somebody else has done so since this was called.
    pub async fn look(&self) {
        let now = Instant::now();
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|asked| asked > now) {
            return;
        }
        *asked = Some(Instant::now());
        join_all(self.members.iter().map(|member| self.ask(member))).await;
        self.metrics.query_workers.set(self.up().len() as f64);
    }

    /// Why each is left out.
    #[cfg(test)]
    pub(super) fn away(&self) -> Vec<String> {
        let states = self.members.iter().map(|member| lock(&member.state).clone());
        states.filter_map(|state| if let State::Away(reason) = state { Some(reason) } else { None }).collect()
    }

    pub async fn keep_looking(&self, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(ASK_EVERY)).await.is_some() {
            self.look().await;
        }
    }

    async fn ask(&self, member: &Member) {
        let answer = async {
            let mut client = self.peers.client(&member.url)?;
            client.get_worker_info(GetWorkerInfoRequest {}).await
        };
        let state = match timeout(ASK_TIME, answer).await {
            Ok(Ok(_)) => State::Up,
            Ok(Err(error)) => State::Away(reason(&error)),
            Err(_) => State::Away(format!("no answer within {} seconds", ASK_TIME.as_secs())),
        };
        let before = std::mem::replace(&mut *lock(&member.state), state.clone());
        match (&before, &state) {
            (before, state) if before == state => {}
            // Still away, if for another reason than at first.
            (State::Away(_), State::Away(reason)) => {
                tracing::debug!(worker = %member.url, %reason, "worker is left out")
            }
            (_, State::Away(reason)) => tracing::warn!(worker = %member.url, %reason, "worker is left out"),
            _ => tracing::info!(worker = %member.url, "worker is there"),
        }
    }
}

/// What a worker or the way to it said, without what gRPC puts around it.
fn reason(error: &DataFusionError) -> String {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut last = error.to_string();
    while let Some(error) = next {
        match error.downcast_ref::<Status>() {
            Some(status) if !status.message().is_empty() => last = status.message().to_owned(),
            _ => last = error.to_string(),
        }
        next = error.source();
    }
    last
}

/// The workers of one attempt: they stay the same while it is planned and run.
pub(super) struct These(pub Vec<Url>);

impl WorkerResolver for These {
    fn get_urls(&self) -> Result<Vec<Url>, DataFusionError> {
        Ok(self.0.clone())
    }
}
