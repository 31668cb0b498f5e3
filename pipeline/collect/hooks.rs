//! What telephone systems post: `GET` and `POST /v1/hooks/PROVIDER/ACCOUNT`, and steps of a call below it.
//!
//! The call comes first. A provider that waits for instructions gets them within seconds whatever the log does, and gets
//! them too if the events can be kept nowhere; all others are told to send again then.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use callweave_core::telephony::{Hook, Refused, Reply, Terms};
use tokio::time::Instant;

use super::admission::{Bucket, Place};
use super::body::{self, Packing};
use super::events::Events;
use super::outbox::{Outbox, OutboxError, Told, Went};
use super::pace::Paces;
use super::peer::address_of;
use super::providers::{self, Provider, Trust};
use super::replies::Refusal;
use super::server::Peer;
use crate::config::{Limits, Network, Telephony};
use crate::log;
use crate::problem::Problem;

pub const PATH: &str = "/v1/hooks/";
/// No telephone system has more to say at once.
const BODY_BYTES_MAX: u64 = 1 << 20;

/// What a collector's hooks are made of.
pub struct HooksOptions {
    pub telephony: BTreeMap<String, Telephony>,
    /// What providers were told; without a slash at the end.
    pub public_url: String,
    pub trusted_proxies: Vec<Network>,
}

pub struct Hooks {
    events: Arc<Events>,
    outbox: Outbox,
    options: HooksOptions,
    limits: Limits,
    by_address: Paces,
    /// By account, so never more than there are.
    by_account: HashMap<String, Mutex<Bucket>>,
}

/// A hook's place in the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ask<'a> {
    provider: &'a str,
    account: &'a str,
    step: &'a str,
}

/// Why a hook is not answered as it wishes.
enum Denied {
    Refusal(Refusal),
    /// The provider's own check says no.
    Provider(&'static Provider, Refused),
    /// Nobody has the events, so they must be sent again.
    Lost(OutboxError),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Denied {
        Denied::Refusal(refusal)
    }
}

fn ask(path: &str) -> Option<Ask<'_>> {
    let mut parts = path.strip_prefix(PATH)?.splitn(3, '/');
    let (provider, account) = (parts.next()?, parts.next()?);
    Some(Ask { provider, account, step: parts.next().unwrap_or("").trim_end_matches('/') })
}

impl Hooks {
    pub fn new<'a>(
        events: Arc<Events>,
        outbox: Outbox,
        accounts: impl IntoIterator<Item = &'a str>,
        options: HooksOptions,
    ) -> Arc<Hooks> {
        let limits = events.limits.clone();
        let limits = Limits { body_bytes: limits.body_bytes.min(BODY_BYTES_MAX), ..limits };
        let bucket = || Mutex::new(Bucket::full(limits.requests_per_second));
        Arc::new(Hooks {
            by_address: Paces::new(limits.address_requests_per_second),
            by_account: accounts.into_iter().map(|name| (name.to_owned(), bucket())).collect(),
            events,
            outbox,
            options,
            limits,
        })
    }

    pub fn routes(self: Arc<Hooks>) -> Router {
        let handle = async |State(hooks): State<Arc<Hooks>>, peer: Extension<Peer>, request: Request| {
            hooks.answer(peer.0, request).await
        };
        Router::new().route("/v1/hooks/{*hook}", any(handle)).with_state(self)
    }

    async fn answer(&self, peer: Peer, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        match self.handle(peer, &parts, body).await {
            Ok(reply) => response_of(reply),
            Err(denied) => denied.into_response(),
        }
    }

    async fn handle(&self, peer: Peer, parts: &Parts, body: Body) -> Result<Reply, Denied> {
        let (provider, asked, _place) = match self.admit(peer, parts) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                body::discard(body, &parts.headers).await;
                return Err(refusal.into());
            }
        };
        let mut hold = self.events.admission.memory();
        let bytes = body::read(body, &parts.headers, &self.limits, &mut hold).await?;
        self.events.metrics.collect_received.inc_by(bytes.len() as u64);
        let settings = self.events.accounts.of(asked.account).await.ok_or(Refusal::NotFound)?;

        let url = parts.uri.path_and_query().map_or(parts.uri.path(), |whole| whole.as_str());
        let url = format!("{}{url}", self.options.public_url);
        let headers = headers_of(&parts.headers);
        let hook = Hook {
            method: parts.method.as_str(),
            url: &url,
            step: asked.step,
            headers: &headers,
            body: &bytes,
            received: log::now(),
        };
        let terms = Terms {
            account: asked.account,
            rules: &settings.rules,
            secret: provider.secret(self.options.telephony.get(asked.account)).map(|secret| secret.reveal()),
            base: &format!("{}{PATH}{}/{}", self.options.public_url, asked.provider, asked.account),
        };
        let taken = (provider.take)(&hook, &terms).map_err(|refused| Denied::Provider(provider, refused))?;

        let told = Told {
            account: asked.account,
            origin: &format!("{PATH}{}", provider.name),
            received: hook.received,
            events: &taken.events,
            rejected: &taken.rejected,
            passed: &taken.passed,
        };
        match self.outbox.take(&told).await {
            Ok(Went::ToSpool) => tracing::debug!(provider = provider.name, "kept on disk"),
            Ok(Went::ToLog | Went::Nowhere) => {}
            Err(error) if provider.answers_calls => {
                tracing::error!(provider = provider.name, %error, "a call was answered, and what it told is lost");
            }
            Err(error) => return Err(Denied::Lost(error)),
        }
        for outgoing in taken.outgoing {
            self.events.callbacks.request(asked.account, outgoing);
        }
        Ok(taken.reply)
    }

    fn admit<'a>(&self, peer: Peer, parts: &'a Parts) -> Result<(&'static Provider, Ask<'a>, Place), Refusal> {
        let admission = &self.events.admission;
        let place = admission.enter()?;
        if !matches!(parts.method.as_str(), "GET" | "POST") {
            return Err(Refusal::Method);
        }
        let now = Instant::now();
        let address = address_of(peer.0, &parts.headers, &self.options.trusted_proxies);
        let slow_down = |who, per_second, wait| {
            admission.turn_away(if who == "address" { "address_rate" } else { "rate" });
            Refusal::TooOften { who, per_second, wait }
        };
        let per_second = self.limits.address_requests_per_second;
        self.by_address.take(address, now).map_err(|wait| slow_down("address", per_second, wait))?;
        let asked = ask(parts.uri.path()).ok_or(Refusal::NotFound)?;
        let provider = providers::find(asked.provider).ok_or(Refusal::NotFound)?;
        let bucket = self.by_account.get(asked.account).ok_or(Refusal::NotFound)?;
        let per_second = self.limits.requests_per_second;
        let taken = bucket.lock().unwrap_or_else(PoisonError::into_inner).take(per_second, now);
        taken.map_err(|wait| slow_down("account", per_second, wait))?;
        if let Trust::Key = provider.trust
            && *admission.caller(&parts.headers)?.account != *asked.account
        {
            return Err(Refusal::WrongKey);
        }
        // Signatures are over the bytes as they came, and no telephone system packs them.
        match Packing::of(&parts.headers)? {
            Packing::Plain => Ok((provider, asked, place)),
            Packing::Gzip => Err(Refusal::Encoding("gzip".to_owned())),
            Packing::Zstd => Err(Refusal::Encoding("zstd".to_owned())),
        }
    }
}

/// Names are in lower case already; what is no text is no header that a provider looks for.
fn headers_of(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?)))
        .collect()
}

fn response_of(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    if reply.content_type.is_empty() {
        return status.into_response();
    }
    let content_type = HeaderValue::from_static(reply.content_type);
    // A proxy that keeps one caller's instructions would give them to the next.
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, headers, reply.body).into_response()
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        match self {
            Denied::Refusal(refusal) => {
                tracing::debug!(reason = %refusal, "hook refused");
                refusal.into_response()
            }
            Denied::Provider(provider, refused) => {
                // Every such request is a call that does not get through, or a stranger at the door.
                tracing::warn!(provider = provider.name, reason = %told(&refused), "hook refused");
                let (status, name) = status_of(&refused);
                let mut response = Problem::new(status, name, told(&refused)).into_response();
                if status == StatusCode::UNAUTHORIZED {
                    let basic = HeaderValue::from_static("Basic realm=\"callweave\", charset=\"UTF-8\"");
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
                }
                response
            }
            Denied::Lost(error) => {
                tracing::error!(%error, "a telephone system has to send again");
                let text = "what was sent could be kept nowhere: send it again".to_owned();
                let mut response = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-kept", text).into_response();
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                response
            }
        }
    }
}

fn status_of(refused: &Refused) -> (StatusCode, &'static str) {
    match refused {
        Refused::NotConfigured(_) => (StatusCode::FORBIDDEN, "not-configured"),
        Refused::NotSigned(_) => (StatusCode::UNAUTHORIZED, "not-signed"),
        Refused::WrongSignature(_) => (StatusCode::FORBIDDEN, "wrong-signature"),
        Refused::TooOld(_) => (StatusCode::FORBIDDEN, "too-old"),
        Refused::NoSuchStep(_) => (StatusCode::NOT_FOUND, "no-such-step"),
    }
}

/// Nothing of what was sent stands in an answer.
fn told(refused: &Refused) -> String {
    match refused {
        Refused::NoSuchStep(_) => "there is no such step of a call".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_provider_account_and_step() {
        let table = [
            ("/v1/hooks/twilio/acme", Some(("twilio", "acme", ""))),
            ("/v1/hooks/twilio/acme/", Some(("twilio", "acme", ""))),
            ("/v1/hooks/twilio/a.b-c/menu/2", Some(("twilio", "a.b-c", "menu/2"))),
            ("/v1/hooks/twilio", None),
            ("/v1/events", None),
        ];
        for (path, expected) in table {
            let expected = expected.map(|(provider, account, step)| Ask { provider, account, step });
            assert_eq!(ask(path), expected, "{path}");
        }
    }

    #[test]
    fn refusals_reflect_nothing() {
        for (refused, status) in [
            (Refused::NotConfigured("twilio"), 403),
            (Refused::NotSigned("x-twilio-signature"), 401),
            (Refused::WrongSignature("x"), 403),
            (Refused::TooOld(400), 403),
            (Refused::NoSuchStep("<script>".to_owned()), 404),
        ] {
            assert_eq!(status_of(&refused).0.as_u16(), status);
            assert!(!told(&refused).contains('<'));
        }
    }
}
