//! What browsers post (docs/collect.md): `POST /v1/web` takes events of a page and tells its numbers, `POST /v1/number`
//! tells numbers alone, also to servers with a key.
//!
//! No key lets a browser in: its page does, by the origin that browsers tell with each request, if it is one of the
//! site's. Whoever is no browser can tell any origin, so nothing depends on it but who may read an answer; what bounds
//! strangers are rates by address and by site.

mod answer;
mod cors;
mod hit;
mod made;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use callweave_core::limits::USER_AGENT_BYTES_MAX;
use tokio::time::Instant;
use uuid::Uuid;

use self::answer::Told;
use self::hit::{Events as Sent, Hit};
use self::made::Browser;
use super::accounts::InForce;
use super::body::{self, Packing};
use super::cookie;
use super::events::Events;
use super::intake::Terms;
use super::pace::Paces;
use super::peer::address_of;
use super::replies::Refusal;
use super::server::Peer;
use super::sites::SiteInForce;
use crate::config::{Limits, Network};
use crate::log;

/// What the events of pages are marked with in the log.
const ORIGIN: &str = "/v1/web";

/// What the handlers share.
pub struct Web {
    events: Arc<Events>,
    paces: Paces,
    /// A browser's body is shorter than that of others.
    limits: Limits,
    trusted: Vec<Network>,
}

/// Which of the two endpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Web,
    Number,
}

/// Who asks, and for which site.
enum Party<'a> {
    /// A page, of an origin that the site allows.
    Page { site: &'a SiteInForce, secure: bool },
    /// A server with a key of the account.
    Server { site: Option<&'a SiteInForce> },
}

impl Web {
    pub fn new(events: Arc<Events>, trusted: Vec<Network>) -> Arc<Web> {
        let limits = events.limits.clone();
        let paces = Paces::new(limits.address_requests_per_second);
        let body_bytes = limits.body_bytes.min(hit::BODY_BYTES_MAX);
        Arc::new(Web { paces, limits: Limits { body_bytes, ..limits }, trusted, events })
    }

    pub fn routes(self: Arc<Web>) -> Router {
        let web = async |State(web): State<Arc<Web>>, peer: Extension<Peer>, request: Request| {
            web.answer(Ask::Web, peer.0, request).await
        };
        let number = async |State(web): State<Arc<Web>>, peer: Extension<Peer>, request: Request| {
            web.answer(Ask::Number, peer.0, request).await
        };
        let preflight = async |State(web): State<Arc<Web>>, peer: Extension<Peer>, headers: HeaderMap| {
            web.preflight(peer.0, &headers)
        };
        Router::new()
            .route("/v1/web", post(web).options(preflight))
            .route("/v1/number", post(number).options(preflight))
            .with_state(self)
    }

    fn preflight(&self, peer: Peer, headers: &HeaderMap) -> Response {
        let known = |origin: &&axum::http::HeaderValue| {
            origin.to_str().is_ok_and(|origin| self.events.accounts.any_site_at(origin))
        };
        let allowed = self
            .pace(address_of(peer.0, headers, &self.trusted))
            .and_then(|()| cors::origin(headers).filter(known).map(cors::preflight).ok_or(Refusal::Origin));
        allowed.unwrap_or_else(|refusal| {
            let mut response = refusal.into_response();
            cors::seal(&mut response);
            response
        })
    }

    async fn answer(&self, ask: Ask, peer: Peer, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let answered = self.handle(ask, peer, &parts, body).await;
        let refused = answered.as_ref().err().map(|refusal| matches!(refusal, Refusal::Origin));
        let mut response = answered.unwrap_or_else(|refusal| {
            tracing::debug!(reason = %refusal, "request of a page refused");
            refusal.into_response()
        });
        cors::seal(&mut response);
        // Also what went wrong is for a page to read, if it may be one of ours.
        let readable = match refused {
            None => true,
            Some(of_its_origin) => !of_its_origin && !response.status().is_redirection(),
        };
        if let Some(origin) = cors::origin(&parts.headers).filter(|_| readable)
            && (refused.is_none() || origin.to_str().is_ok_and(|text| self.events.accounts.any_site_at(text)))
        {
            cors::allow(&mut response, origin);
        }
        response
    }

    fn pace(&self, address: IpAddr) -> Result<(), Refusal> {
        self.paces.take(address, Instant::now()).map_err(|wait| {
            self.events.admission.turn_away("address_rate");
            let per_second = self.limits.address_requests_per_second;
            Refusal::TooOften { who: "address", per_second, wait }
        })
    }

    async fn handle(&self, ask: Ask, peer: Peer, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        let address = address_of(peer.0, &parts.headers, &self.trusted);
        let admitted = self.events.admission.enter().and_then(|place| {
            // A key has a rate of its own.
            let key = ask == Ask::Number && super::admission::has_key(&parts.headers);
            let caller = if key { Some(self.events.admission.caller(&parts.headers)?) } else { None };
            if caller.is_none() {
                self.pace(address)?;
            }
            match Packing::of(&parts.headers) {
                Ok(Packing::Plain) => Ok((place, caller)),
                _ => Err(Refusal::Packed),
            }
        });
        let (_place, caller) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                body::discard(body, &parts.headers).await;
                return Err(refusal);
            }
        };
        let mut hold = self.events.admission.memory();
        let bytes = body::read(body, &parts.headers, &self.limits, &mut hold).await?;
        self.events.metrics.collect_received.inc_by(bytes.len() as u64);
        let (hit, sent) = hit::read(&bytes)?;
        let (account, site) = hit.account_and_site();
        let account = match (&caller, account) {
            (Some(caller), Some(account)) if *caller.account != *account => return Err(Refusal::OtherAccount),
            (Some(caller), _) => &caller.account,
            (None, Some(account)) => account,
            (None, None) => return Err(Refusal::Origin),
        };
        let in_force = self.events.accounts.of(account).await.ok_or(Refusal::Origin)?;
        let party = match caller {
            Some(_) => Party::Server { site: server_site(&in_force, site)? },
            None => self.page(&in_force, site, &parts.headers)?,
        };
        match ask {
            Ask::Web => self.web(&party, &in_force, address, &parts.headers, (&hit, &sent, &bytes)).await,
            Ask::Number => Err(Refusal::NotFound),
        }
    }

    /// The site that a page may speak for, if it does not do so too often.
    fn page<'s>(&self, in_force: &'s InForce, site: Option<&str>, headers: &HeaderMap) -> Result<Party<'s>, Refusal> {
        let origin = cors::origin(headers).and_then(|origin| origin.to_str().ok()).ok_or(Refusal::Origin)?;
        let site = in_force.sites.at(site, origin).ok_or(Refusal::Origin)?;
        site.take(Instant::now()).map_err(|(per_second, wait)| {
            self.events.admission.turn_away("site_rate");
            Refusal::TooOften { who: "site", per_second, wait }
        })?;
        Ok(Party::Page { site, secure: origin.starts_with("https://") })
    }

    async fn web(
        &self,
        party: &Party<'_>,
        in_force: &InForce,
        address: IpAddr,
        headers: &HeaderMap,
        (hit, sent, body): (&Hit<'_, ()>, &Sent<'_>, &[u8]),
    ) -> Result<Response, Refusal> {
        let Party::Page { site, secure } = party else { return Err(Refusal::Origin) };
        let received = log::now();
        let visitor = visitor_of(hit, headers);
        let browser = Browser {
            source: &site.source,
            visitor: &visitor,
            session: hit.session_id.as_deref(),
            address,
            user_agent: made::header_text(headers.get(header::USER_AGENT), USER_AGENT_BYTES_MAX),
            correction: made::correction(hit.sent_at.as_deref(), received),
        };
        let terms = Terms {
            account: &in_force.account,
            origin: ORIGIN,
            received,
            events_max: hit::EVENTS_MAX as u64,
            payload_max: self.events.payload_max,
        };
        let intake = made::take_in(sent, body, &browser, &terms)?;
        let answer = self.events.append(intake).await?;
        let told = Told {
            visitor: &visitor,
            server_time: received,
            numbers: &[],
            settings: &site.told,
            refused: &answer.results,
        };
        let mut response = told.response();
        if let Some(cookie) = cookie::set(&visitor, site.site.cookie_domain.as_deref(), *secure) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }
}

fn server_site<'s>(in_force: &'s InForce, name: Option<&str>) -> Result<Option<&'s SiteInForce>, Refusal> {
    match (in_force.sites.named(name), name) {
        (None, Some(_)) => Err(Refusal::NoSite),
        (site, _) => Ok(site),
    }
}

/// Who visits: as the page says, else as the cookie says, else somebody new.
fn visitor_of<'a>(hit: &'a Hit<'_, ()>, headers: &'a HeaderMap) -> std::borrow::Cow<'a, str> {
    let known = hit.visitor_id.as_deref().or_else(|| cookie::visitor(headers));
    known.map_or_else(|| Uuid::now_v7().to_string().into(), Into::into)
}
