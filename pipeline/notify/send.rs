//! One request: a body is posted, and the answer told. No redirect is followed, no proxy asked, and only addresses are reached that may be.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use callweave_core::settings::Webhook;
use callweave_core::time::{MICROS_PER_SECOND, Time};
use callweave_core::webhook::{Body, signatures};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use super::address::{AddressError, Guard};
use super::subscription::Subscription;

/// Of an answer so much is kept, for people.
const ANSWER_KEPT: usize = 512;
/// Of an answer so much is read, so that its connection can be used again; a longer one is cut.
const ANSWER_READ: usize = 64 << 10;
/// Idle connections to one receiver.
const IDLE_MAX: usize = 16;
const AGENT: &str = concat!("callweave/", env!("CARGO_PKG_VERSION"));

/// What came of one request.
#[derive(Debug, Clone, PartialEq)]
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
}

impl Answer {
    pub fn is_taken(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The receiver wants nothing any more.
    pub fn is_gone(&self) -> bool {
        self.status == Some(410)
    }

    /// Why it was not taken, in short.
    pub fn reason(&self) -> String {
        match (&self.status, &self.trouble) {
            (Some(status), _) => format!("status {status}"),
            (None, Some(trouble)) => trouble.clone(),
            (None, None) => "no answer".to_owned(),
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

    /// Posts a body. `id` is the same on every try, `now` what the signature tells as its time.
    pub async fn send(&self, to: &Subscription, id: &str, now: Time, body: &Body) -> Answer {
        let began = Instant::now();
        let mut answer = self.ask(to, id, now, body).await;
        answer.seconds = began.elapsed().as_secs_f64();
        answer
    }

    async fn ask(&self, to: &Subscription, id: &str, now: Time, body: &Body) -> Answer {
        let mut answer = Answer {
            status: None,
            trouble: None,
            refused: false,
            seconds: 0.0,
            retry_after: None,
            text: String::new(),
        };
        if let Err(error) = self.guard.check(&to.url) {
            (answer.trouble, answer.refused) = (Some(error.to_string()), true);
            return answer;
        }
        let timestamp = now.0.div_euclid(MICROS_PER_SECOND);
        let sent = async {
            let client = self.client(to.webhook.connect_seconds)?;
            let mut request = client.post(to.url.clone()).header(USER_AGENT, AGENT);
            for (name, value) in &to.webhook.headers {
                request = request.header(name, value.reveal());
            }
            request
                .header(CONTENT_TYPE, body.content_type)
                .header("webhook-id", id)
                .header("webhook-timestamp", timestamp)
                .header("webhook-signature", signatures(&to.keys, id, timestamp, &body.bytes))
                .timeout(Duration::from_secs(to.webhook.answer_seconds.into()))
                .body(body.bytes.clone())
                .send()
                .await
        };
        match sent.await {
            Ok(response) => {
                answer.status = Some(response.status().as_u16());
                answer.retry_after = retry_after(response.headers(), now);
                answer.text = beginning(response).await;
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
async fn beginning(mut response: Response) -> String {
    let (mut kept, mut read) = (Vec::new(), 0);
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        kept.extend(chunk.iter().take(ANSWER_KEPT - kept.len()));
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
