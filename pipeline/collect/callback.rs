//! Calls back: what a page asks for (`callback_request`) is asked of the telephone provider over HTTP.
//!
//! A call that was started twice rings somebody's phone twice, so a request is made again only where it is certain that
//! the provider did not take it: no connection, or an answer that says so. The same wish is carried out once by one
//! collector; of two collectors that a page tells the same, each would.
//!
//! Whoever wishes has been told that it is taken: what is not asked for, because too many wait, the collector stops or the
//! account's settings do not let it, is a call that failed. What is no call, without a telephone or a number of the
//! account, is counted and logged.

mod wish;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use callweave_core::event::{Body, Call, CallStatus, Direction, Event, Outcome, decode};
use callweave_core::phone::{Party, Phone};
use callweave_core::telephony::twilio::{Callback, start_callback};
use callweave_core::telephony::{Outgoing, Terms};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::accounts::Accounts;
use super::hooks::PATH;
use super::outbox::{Outbox, Told};
use crate::config::Telephony;
use crate::log;
use crate::telemetry::metrics::{Metrics, Reason};

/// Jobs that were handed over and not looked at yet; more are told to nobody but the program's log.
const QUEUE: usize = 1_000;
/// Requests that wait for their turn; more are calls that failed.
const WAITING: usize = 1_000;
/// Requests at once.
const AT_ONCE: usize = 16;
/// Wishes that are recognised when they come again.
const KNOWN: usize = 10_000;
/// As market.md has it of the best webhooks: 3 s to connect, 10 s to answer.
const CONNECT_TIME: Duration = Duration::from_secs(3);
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Waits before each further try.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];
/// Whom a provider's password may be given to, unless the configuration names another.
const HOSTS: [&str; 2] = [".twilio.com", ".signalwire.com"];
const ORIGIN: &str = "callback";

/// What others hand wishes to. Clones share it.
#[derive(Clone)]
pub struct Callbacks {
    queue: mpsc::Sender<Job>,
    metrics: Metrics,
}

/// One thing to do.
pub enum Job {
    /// A `callback_request`, as the log has it.
    Wish(Vec<u8>),
    /// What a provider's own file wants of it.
    Request { account: String, outgoing: Outgoing },
}

/// The other end: carries them out.
pub struct Caller {
    pub queue: mpsc::Receiver<Job>,
    pub telephony: BTreeMap<String, Telephony>,
    pub public_url: String,
    pub outbox: Outbox,
    pub metrics: Metrics,
    /// Time, from the order to stop on, in which what waits is still asked for.
    pub drain: Duration,
}

/// Why a provider is not even asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Unasked {
    #[error("more are wished for than the provider takes in time, and too many wait already")]
    TooMany,
    #[error("more are wished for at once than can be looked at, and no row tells of it")]
    Unseen,
    #[error("the collector stops, and limits.drain_seconds are over")]
    Stopping,
}

/// Why a provider does not start a call.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the provider cannot be reached: {0}")]
    Unreachable(String),
    #[error("the provider takes nothing now: status {0}")]
    NotNow(u16),
    #[error("the provider did not answer, and may have taken it: {0}")]
    Unknown(String),
    #[error("the provider refuses it: status {0}")]
    Refused(u16),
    #[error("{0} is no provider's address: give accounts.NAME.twilio_api_url if it is")]
    Host(String),
}

impl Failure {
    /// Whether it is certain that nobody's phone will ring.
    fn may_be_made_again(&self) -> bool {
        matches!(self, Failure::Unreachable(_) | Failure::NotNow(_))
    }
}

/// Whether an event asks for a call back.
pub fn is_wish(body: &Body<'_>) -> bool {
    matches!(body, Body::WebEvent(it) if it.name.as_str() == "callback_request")
}

impl Callbacks {
    pub fn new(metrics: Metrics) -> (Callbacks, mpsc::Receiver<Job>) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        (Callbacks { queue, metrics }, jobs)
    }

    /// A `callback_request` that the log has.
    pub fn wish(&self, event: Vec<u8>) {
        self.put(Job::Wish(event));
    }

    pub fn request(&self, account: &str, outgoing: Outgoing) {
        self.put(Job::Request { account: account.to_owned(), outgoing });
    }

    fn put(&self, job: Job) {
        let (job, reason) = match self.queue.try_send(job) {
            Ok(()) => return,
            Err(TrySendError::Full(job)) => (job, Unasked::Unseen),
            Err(TrySendError::Closed(job)) => (job, Unasked::Stopping),
        };
        let (account, id) = job.name();
        not_made(&account, &id, reason, &self.metrics);
    }
}

/// The id alone: no number of a person stands in the program's log.
fn not_made(account: &str, id: &str, reason: Unasked, metrics: &Metrics) {
    metrics.callbacks.get_or_create(&Reason { reason: "failed" }).inc();
    tracing::error!(account, id, %reason, "a call back is not made");
}

/// What its sender calls a wish.
fn id_of(event: &Event<'_>) -> String {
    format!("{}/{}", event.source.as_str(), event.id.as_str())
}

impl Job {
    /// Account and id.
    fn name(&self) -> (String, String) {
        match self {
            Job::Wish(event) => {
                let event = decode(event, None);
                event.map(|event| (event.account.as_str().to_owned(), id_of(&event))).unwrap_or_default()
            }
            Job::Request { account, outgoing } => (account.clone(), outgoing.id.clone()),
        }
    }
}

/// The next job; nothing once all are taken and `served` tells that no more come.
async fn next(queue: &mut mpsc::Receiver<Job>, served: &CancellationToken) -> Option<Job> {
    tokio::select! {
        biased;
        job = queue.recv() => return job,
        () = served.cancelled() => {}
    }
    queue.close();
    queue.recv().await
}

/// Wishes that were seen; the oldest are forgotten.
#[derive(Default)]
struct Known {
    order: VecDeque<String>,
    ids: HashSet<String>,
}

impl Known {
    /// Whether it is new.
    fn add(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// One request, and what to tell where it fails for good.
struct Task {
    account: String,
    outgoing: Outgoing,
    /// Of a wish: the visitor's phone and the number to call from.
    wish: Option<(Phone, Phone)>,
}

/// A wish that comes to nothing.
struct Failed {
    account: String,
    id: String,
    phone: Phone,
    number: Phone,
}

impl Caller {
    /// Carries out what is asked for until `served` tells, some time after `shutdown`, that nobody asks any more. What
    /// waits for its turn when the drain is over is a call that failed; requests on their way are finished.
    pub async fn run(mut self, accounts: &Accounts, shutdown: CancellationToken, served: CancellationToken) {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIME)
            .timeout(ANSWER_TIME)
            .build();
        let client = match client {
            Ok(client) => client,
            Err(error) => return tracing::error!(%error, "no calls back can be made: no HTTP client can be built"),
        };
        let (room, tasks, mut known) = (Arc::new(Semaphore::new(AT_ONCE)), TaskTracker::new(), Known::default());
        let (mut waiting, mut is_open) = (VecDeque::new(), true);
        let drain = self.drain;
        let mut late = std::pin::pin!(async {
            shutdown.cancelled().await;
            sleep(drain).await;
        });
        while is_open || !waiting.is_empty() {
            tokio::select! {
                () = late.as_mut() => break,
                job = next(&mut self.queue, &served), if is_open => match job {
                    Some(job) => {
                        let task = self.task_of(job, accounts, &mut known, &tasks).await;
                        let Some(task) = task else { continue };
                        if waiting.len() < WAITING {
                            waiting.push_back(task);
                        } else {
                            self.give_up(task, Unasked::TooMany, &tasks).await;
                        }
                    }
                    None => is_open = false,
                },
                place = room.clone().acquire_owned(), if !waiting.is_empty() => {
                    let Ok(place) = place else { break };
                    let Some(task) = waiting.pop_front() else { continue };
                    let base = self.telephony.get(&task.account).and_then(|telephony| telephony.twilio_api_url.clone());
                    let (client, outbox, metrics, shutdown) =
                        (client.clone(), self.outbox.clone(), self.metrics.clone(), shutdown.clone());
                    tasks.spawn(async move {
                        task.carry_out(&client, base.as_deref(), &outbox, &metrics, &shutdown).await;
                        drop(place);
                    });
                }
            }
        }
        while let Some(job) = next(&mut self.queue, &served).await {
            waiting.extend(self.task_of(job, accounts, &mut known, &tasks).await);
        }
        for task in waiting {
            self.give_up(task, Unasked::Stopping, &tasks).await;
        }
        tasks.close();
        tasks.wait().await;
    }

    /// What a job comes to, unless it is known already.
    async fn task_of(&self, job: Job, accounts: &Accounts, known: &mut Known, tasks: &TaskTracker) -> Option<Task> {
        match job {
            Job::Wish(event) => self.task_of_wish(&event, accounts, known, tasks).await,
            Job::Request { account, outgoing } => {
                let is_new = known.add(&format!("{account}/{}", outgoing.id));
                is_new.then_some(Task { account, outgoing, wish: None })
            }
        }
    }

    /// It is not asked for, and a call that failed tells so where it was wished for.
    async fn give_up(&self, task: Task, reason: Unasked, tasks: &TaskTracker) {
        not_made(&task.account, &task.outgoing.id, reason, &self.metrics);
        if let Some(failed) = task.failed() {
            self.tell(failed, tasks).await;
        }
    }

    /// Tells of it beside other work. Where many are being told already, it waits.
    async fn tell(&self, failed: Failed, tasks: &TaskTracker) {
        if tasks.len() < WAITING {
            let outbox = self.outbox.clone();
            tasks.spawn(async move { failed.tell(&outbox).await });
        } else {
            failed.tell(&self.outbox).await;
        }
    }

    /// What a wish comes to, where the account's settings let it.
    async fn task_of_wish(
        &self,
        event: &[u8],
        accounts: &Accounts,
        known: &mut Known,
        tasks: &TaskTracker,
    ) -> Option<Task> {
        let event = decode(event, None).ok()?;
        let Body::WebEvent(asked) = &event.body else { return None };
        let account = event.account.as_str();
        let settings = accounts.of(account).await?;
        let id = id_of(&event);
        if !known.add(&format!("{account}/{id}")) {
            return None;
        }
        let secret = self.telephony.get(account).and_then(|telephony| telephony.secret("twilio_auth_token"));
        let terms = Terms {
            account,
            rules: &settings.rules,
            secret: secret.map(|secret| secret.reveal()),
            base: &format!("{}{PATH}twilio/{account}", self.public_url),
        };
        let wish = wish::parties(asked, &settings.rules);
        let started = wish.clone().and_then(|(phone, number)| {
            let callback = Callback { id: &id, phone, number, at: log::now() };
            start_callback(&callback, &terms).map_err(wish::Refused::from)
        });
        match started {
            Ok(outgoing) => Some(Task { account: account.to_owned(), outgoing, wish: wish.ok() }),
            Err(reason) => {
                self.metrics.callbacks.get_or_create(&Reason { reason: "refused" }).inc();
                if reason.is_as_usual() {
                    tracing::info!(account, id = id.as_str(), %reason, "no call back is made");
                } else {
                    tracing::warn!(account, id = id.as_str(), %reason, "no call back is made");
                }
                if let Some((phone, number)) = wish.ok().filter(|_| reason.is_failed_call()) {
                    self.tell(Failed { account: account.to_owned(), id, phone, number }, tasks).await;
                }
                None
            }
        }
    }
}

impl Task {
    async fn carry_out(
        &self,
        client: &reqwest::Client,
        base: Option<&str>,
        outbox: &Outbox,
        metrics: &Metrics,
        shutdown: &CancellationToken,
    ) {
        let mut pauses = PAUSES.iter();
        let failure = loop {
            let failure = match ask(client, &self.outgoing, base).await {
                Ok(()) => {
                    metrics.callbacks.get_or_create(&Reason { reason: "started" }).inc();
                    return;
                }
                Err(failure) => failure,
            };
            let (account, id) = (&self.account, &self.outgoing.id);
            tracing::warn!(account, id, reason = %failure, "a call back was not started");
            let Some(pause) = pauses.next().filter(|_| failure.may_be_made_again()) else { break failure };
            tokio::select! {
                () = shutdown.cancelled() => break failure,
                () = sleep(*pause) => {}
            }
        };
        metrics.callbacks.get_or_create(&Reason { reason: "failed" }).inc();
        // Where it may have been taken, the provider itself tells what comes of it.
        if !matches!(failure, Failure::Unknown(_))
            && let Some(failed) = self.failed()
        {
            failed.tell(outbox).await;
        }
    }

    /// What to tell where it comes to nothing.
    fn failed(&self) -> Option<Failed> {
        let (phone, number) = self.wish?;
        Some(Failed { account: self.account.clone(), id: self.outgoing.id.clone(), phone, number })
    }
}

impl Failed {
    /// That the call came to nothing is told like any other call's end.
    async fn tell(&self, outbox: &Outbox) {
        let now = log::now();
        let call = Call {
            call_id: callweave_core::telephony::twilio::callback::call_id(&self.id).into(),
            status: CallStatus::Ended,
            direction: Direction::Callback,
            from: Party::Number(self.phone),
            to: Party::Number(self.number),
            extension: None,
            destination: None,
            agent: None,
            cause: Some("not-started".into()),
            hangup_by: None,
            talk_seconds: None,
            recording_url: None,
            outcome: Some(Outcome::Failed),
            spam_score: None,
        };
        let event = Event {
            account: self.account.clone().into(),
            source: ORIGIN.into(),
            id: format!("{:032x}", callweave_core::id::Key::of(&[&self.id]).0).into(),
            time: now,
            recorded: now,
            body: Body::Call(call),
        };
        let told = Told {
            account: &self.account,
            origin: ORIGIN,
            received: now,
            events: &[event],
            rejected: &[],
            passed: &[],
        };
        if let Err(error) = outbox.take(&told).await {
            let (account, id) = (&self.account, &self.id);
            tracing::error!(account, id, %error, "what became of a call back is lost");
        }
    }
}

/// Makes one request. `base` stands in for the provider's own scheme, host and port.
async fn ask(client: &reqwest::Client, outgoing: &Outgoing, base: Option<&str>) -> Result<(), Failure> {
    let url = address(&outgoing.url, base).ok_or_else(|| Failure::Host(outgoing.url.clone()))?;
    let request = client
        .request(if outgoing.method == "GET" { reqwest::Method::GET } else { reqwest::Method::POST }, url)
        .basic_auth(&outgoing.user, Some(&outgoing.password))
        .header(reqwest::header::CONTENT_TYPE, outgoing.content_type)
        .body(outgoing.body.clone());
    let answer = request.send().await.map_err(|error| {
        // Its address holds no secret, but it is long and says nothing new.
        let error = error.without_url();
        let text = error.to_string();
        if error.is_connect() { Failure::Unreachable(text) } else { Failure::Unknown(text) }
    })?;
    match answer.status().as_u16() {
        200..=299 => Ok(()),
        status @ (429 | 503) => Err(Failure::NotNow(status)),
        status @ 500..=599 => Err(Failure::Unknown(format!("status {status}"))),
        status => Err(Failure::Refused(status)),
    }
}

fn address(url: &str, base: Option<&str>) -> Option<Url> {
    let url = Url::parse(url).ok()?;
    match base {
        Some(base) => {
            let mut moved = Url::parse(base).ok()?;
            let path = format!("{}{}", moved.path().trim_end_matches('/'), url.path());
            moved.set_path(&path);
            moved.set_query(url.query());
            Some(moved)
        }
        None => {
            let host = url.host_str()?;
            (url.scheme() == "https" && HOSTS.iter().any(|known| host.ends_with(known))).then_some(url)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_goes_to_providers_alone() {
        let table = [
            ("https://api.twilio.com/2010-04-01/x", None, Some("https://api.twilio.com/2010-04-01/x")),
            ("https://api.dublin.ie1.twilio.com/x", None, Some("https://api.dublin.ie1.twilio.com/x")),
            ("http://api.twilio.com/x", None, None),
            ("https://eviltwilio.com/x", None, None),
            ("https://169.254.169.254/x", None, None),
            ("https://x@evil.example/x?.twilio.com", None, None),
            ("https://api.twilio.com/a/b?c=d", Some("http://127.0.0.1:7"), Some("http://127.0.0.1:7/a/b?c=d")),
            ("https://api.twilio.com/a", Some("http://127.0.0.1:7/base"), Some("http://127.0.0.1:7/base/a")),
        ];
        for (url, base, expected) in table {
            assert_eq!(address(url, base).map(String::from).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn a_wish_is_known_again_until_many_others_came() {
        let mut known = Known::default();
        assert!(known.add("a") && !known.add("a"));
        (0..KNOWN).for_each(|at| assert!(known.add(&at.to_string())));
        assert!(known.add("a") && known.ids.len() == KNOWN);
    }

    #[test]
    fn a_job_is_named_by_its_account_and_id() {
        let wish = r#"{"specversion":"1.0","id":"w1","source":"web/main","type":"web_event","account":"acme",
            "time":"2026-11-20T12:00:00Z","data":{"visitor_id":"v","name":"callback_request"}}"#;
        assert_eq!(Job::Wish(wish.as_bytes().to_vec()).name(), ("acme".to_owned(), "web/main/w1".to_owned()));
        assert_eq!(Job::Wish(b"{".to_vec()).name(), (String::new(), String::new()));
    }

    #[tokio::test]
    async fn what_was_handed_over_is_taken_when_nobody_asks_any_more() {
        let (callbacks, mut queue) = Callbacks::new(Metrics::new());
        let failed = || callbacks.metrics.callbacks.get_or_create(&Reason { reason: "failed" }).get();
        (0..QUEUE).for_each(|_| callbacks.wish(Vec::new()));
        assert_eq!(failed(), 0);
        callbacks.wish(Vec::new());
        assert_eq!(failed(), 1, "there is no room for it");
        let served = CancellationToken::new();
        served.cancel();
        for _ in 0..QUEUE {
            assert!(next(&mut queue, &served).await.is_some());
        }
        assert!(next(&mut queue, &served).await.is_none());
        callbacks.wish(Vec::new());
        assert_eq!(failed(), 2, "nobody takes it");
    }

    #[test]
    fn only_what_surely_failed_is_made_again() {
        for (failure, again) in [
            (Failure::Unreachable(String::new()), true),
            (Failure::NotNow(429), true),
            (Failure::Unknown(String::new()), false),
            (Failure::Refused(400), false),
            (Failure::Host(String::new()), false),
        ] {
            assert_eq!(failure.may_be_made_again(), again, "{failure}");
        }
    }
}
