//! One request, and what was answered. No redirect is followed, no proxy asked, and only addresses are reached that may be.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use callweave_core::settings::Webhook;
use callweave_core::time::{MICROS_PER_SECOND, Time};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use url::Url;

use super::address::{AddressError, Guard};

/// Of an answer so much is kept, for people.
pub const ANSWER_KEPT: usize = 512;
/// Of an answer so much is read, so that its connection can be used again; a longer one is cut.
pub const ANSWER_READ: usize = 64 << 10;
/// Idle connections to one receiver.
const IDLE_MAX: usize = 16;
const AGENT: &str = concat!("callweave/", env!("CARGO_PKG_VERSION"));

/// A request as it goes out. What may hold a secret is shown nowhere.
pub struct Outgoing<'a> {
    pub method: &'static str,
    pub url: &'a Url,
    pub headers: Vec<(&'a str, String)>,
    /// Its type, and the bytes.
    pub body: Option<(&'static str, Vec<u8>)>,
    pub connect_seconds: u32,
    pub answer_seconds: u32,
    /// How much of the answer is kept.
    pub keep: usize,
}

/// What came of one request, or of all that a delivery takes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    pub status: Option<u16>,
    /// Why there is none.
    pub trouble: Option<String>,
    /// That no permitted address was found.
    pub refused: bool,
    pub seconds: f64,
    /// Seconds after which the receiver wants to be asked again.
    pub retry_after: Option<i64>,
    /// The first bytes of the answer's body.
    pub text: String,
    /// What it means, where the status alone does not say.
    pub verdict: Option<Verdict>,
}

/// What the provider of an export means.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Taken,
    /// Nothing was sent, for a reason that stays.
    Skipped(String),
    /// It is not wanted, whenever it is sent.
    Rejected(String),
    /// Another time.
    Again(String),
}

impl Answer {
    /// Where there is none.
    pub fn trouble(trouble: String) -> Answer {
        Answer { trouble: Some(trouble), ..Answer::default() }
    }

    /// Nothing is sent, and why.
    pub fn skipped(why: &str) -> Answer {
        Answer { verdict: Some(Verdict::Skipped(why.to_owned())), ..Answer::default() }
    }

    /// Nothing more is to be done.
    pub fn is_taken(&self) -> bool {
        match &self.verdict {
            Some(verdict) => matches!(verdict, Verdict::Taken | Verdict::Skipped(_)),
            None => self.is_success(),
        }
    }

    fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The receiver wants nothing any more.
    pub fn is_gone(&self) -> bool {
        self.verdict.is_none() && self.status == Some(410)
    }

    pub fn is_rejected(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Rejected(_)))
    }

    /// It failed, though whoever was asked answers well: others may be sent.
    pub fn is_only_early(&self) -> bool {
        let asked_nobody = self.status.is_none() && self.trouble.is_none();
        matches!(self.verdict, Some(Verdict::Again(_))) && (asked_nobody || self.is_success())
    }

    /// In one word, as the metrics have it.
    pub fn outcome(&self) -> &'static str {
        match &self.verdict {
            Some(Verdict::Skipped(_)) => "skipped",
            Some(Verdict::Rejected(_)) => "rejected",
            _ if self.is_taken() => "delivered",
            _ if self.is_gone() => "gone",
            _ if self.refused => "refused",
            _ => "failed",
        }
    }

    /// Why it was not taken, in short; nothing to say of what was delivered.
    pub fn reason(&self) -> String {
        match (&self.verdict, &self.status, &self.trouble) {
            (Some(Verdict::Taken), ..) => String::new(),
            (Some(Verdict::Skipped(why) | Verdict::Rejected(why) | Verdict::Again(why)), ..) => why.clone(),
            (None, Some(status), _) => format!("status {status}"),
            (None, None, Some(trouble)) => trouble.clone(),
            (None, None, None) => "no answer".to_owned(),
        }
    }
}

/// Sends for all subscriptions. Clones share connections.
#[derive(Clone)]
pub struct Sender {
    guard: Guard,
    /// By the seconds that connecting may take: there are few of them.
    clients: Arc<Mutex<BTreeMap<u32, Client>>>,
}

impl Sender {
    pub fn new(guard: Guard) -> Sender {
        Sender { guard, clients: Arc::default() }
    }

    /// Makes the client that most webhooks are sent with: reading the system's certificates takes its time, and no call is to wait
    /// for it.
    pub fn warm(&self) {
        if let Err(error) = self.client(Webhook::default().connect_seconds) {
            tracing::error!(%error, "webhooks cannot be sent: no http client can be built");
        }
    }

    fn client(&self, connect_seconds: u32) -> Result<Client, reqwest::Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&connect_seconds) {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(IDLE_MAX)
            .connect_timeout(Duration::from_secs(connect_seconds.into()))
            .dns_resolver(Arc::new(self.guard.clone()))
            .build()?;
        clients.insert(connect_seconds, client.clone());
        Ok(client)
    }

    /// Asks, once.
    pub async fn send(&self, outgoing: Outgoing<'_>, now: Time) -> Answer {
        let began = Instant::now();
        let mut answer = self.ask(outgoing, now).await;
        answer.seconds = began.elapsed().as_secs_f64();
        answer
    }

    async fn ask(&self, outgoing: Outgoing<'_>, now: Time) -> Answer {
        let mut answer = Answer::default();
        if let Err(error) = self.guard.check(outgoing.url) {
            (answer.trouble, answer.refused) = (Some(error.to_string()), true);
            return answer;
        }
        let sent = async {
            let client = self.client(outgoing.connect_seconds)?;
            let method = Method::from_bytes(outgoing.method.as_bytes()).unwrap_or(Method::POST);
            let mut request = client.request(method, outgoing.url.clone()).header(USER_AGENT, AGENT);
            for (name, value) in &outgoing.headers {
                request = request.header(*name, value);
            }
            if let Some((content_type, bytes)) = outgoing.body {
                request = request.header(CONTENT_TYPE, content_type).body(bytes);
            }
            request.timeout(Duration::from_secs(outgoing.answer_seconds.into())).send().await
        };
        match sent.await {
            Ok(response) => {
                answer.status = Some(response.status().as_u16());
                answer.retry_after = retry_after(response.headers(), now);
                answer.text = beginning(response, outgoing.keep).await;
            }
            Err(error) => {
                let error = error.without_url();
                answer.refused = causes(&error).any(|cause| {
                    matches!(cause.downcast_ref(), Some(AddressError::NoneOf(_) | AddressError::NotPublic(_)))
                });
                answer.trouble = Some(told(&error));
            }
        }
        answer
    }
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The last cause says most; a time limit says it best itself.
fn told(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "it did not connect in time" } else { "it did not answer in time" }.to_owned();
    }
    let last = causes(error).last().map(ToString::to_string);
    let text = last.unwrap_or_else(|| error.to_string());
    text.chars().take(ANSWER_KEPT).collect()
}

/// Reads the answer as far as it is worth it. What fails here changes nothing: the status was told.
async fn beginning(mut response: Response, keep: usize) -> String {
    let (mut kept, mut read) = (Vec::new(), 0);
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        kept.extend(chunk.iter().take(keep - kept.len()));
        if read > ANSWER_READ {
            break;
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: Time) -> Option<i64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(seconds.into());
    }
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some((date.timestamp() - now.0.div_euclid(MICROS_PER_SECOND)).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_says_when_to_come_back() {
        for (text, expected) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(60)),
            ("Wed, 21 Oct 2015 07:26:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a value"))]);
            assert_eq!(retry_after(&headers, Time(1_445_412_420 * MICROS_PER_SECOND)), expected, "{text}");
        }
    }
}
