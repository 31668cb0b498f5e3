//! What browsers post (docs/collect.md): `POST /v1/web` takes events of a page and tells its numbers, `POST /v1/number`
//! tells numbers alone, also to servers with a key.
//!
//! No key lets a browser in: its page does, by the origin that browsers tell with each request, if it is one of the
//! site's. Whoever is no browser can tell any origin, so nothing depends on it but who may read an answer; what bounds
//! strangers are rates by address and by site.

mod answer;
mod consent;
mod cors;
mod hit;
mod made;
pub mod numbers;
mod written;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use callweave_core::event::{PageView, Text};
use tokio::time::Instant;
use uuid::Uuid;

use self::answer::Told;
use self::consent::Keeping;
use self::hit::{Events as Sent, Hit};
use self::made::Browser;
use self::numbers::{Asking, Dealer};
use super::accounts::InForce;
use super::body::{self, Packing};
use super::cookie;
use super::events::Events;
use super::intake::Terms;
use super::pace::Paces;
use super::peer::address_of;
use super::replies::{Answer, Refusal};
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
    dealer: Dealer,
}

/// Which of the two endpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Web,
    Number,
}

/// Who asks, and for which site.
struct Party<'a> {
    site: &'a SiteInForce,
    /// A page, of an origin that the site allows; and whether it came by https. Otherwise a server with a key of the account.
    page: Option<(&'a HeaderValue, bool)>,
}

/// What was asked.
struct Asked<'a> {
    ask: Ask,
    hit: &'a Hit<'a, ()>,
    sent: &'a Sent<'a>,
    body: &'a [u8],
    headers: &'a HeaderMap,
    /// Where the browser is.
    address: IpAddr,
}

impl Web {
    pub fn new(events: Arc<Events>, dealer: Dealer, trusted: Vec<Network>) -> Arc<Web> {
        let limits = events.limits.clone();
        let paces = Paces::new(limits.address_requests_per_second);
        let body_bytes = limits.body_bytes.min(hit::BODY_BYTES_MAX);
        Arc::new(Web { paces, limits: Limits { body_bytes, ..limits }, trusted, dealer, events })
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
        let allowed = self.pace(address_of(peer.0, headers, &self.trusted)).and_then(|()| {
            let origin = cors::origin(headers).filter(|_| self.is_known(headers));
            origin.map(cors::preflight).ok_or(Refusal::Origin)
        });
        allowed.unwrap_or_else(|refusal| {
            let mut response = refusal.into_response();
            cors::seal(&mut response);
            response
        })
    }

    async fn answer(&self, ask: Ask, peer: Peer, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let answered = self.handle(ask, peer, &parts, body).await;
        // What went wrong is for a page to read, too, if it may be one of ours: no page is told where another belongs, and
        // no flood makes us look for it.
        let readable = match &answered {
            Ok(_) | Err(Refusal::Origin | Refusal::TooOften { .. }) => false,
            Err(_) => self.is_known(&parts.headers),
        };
        let mut response = answered.unwrap_or_else(|refusal| {
            tracing::debug!(reason = %refusal, "request of a page refused");
            refusal.into_response()
        });
        cors::seal(&mut response);
        if let Some(origin) = cors::origin(&parts.headers).filter(|_| readable) {
            cors::allow(&mut response, origin);
        }
        response
    }

    /// Whether the request comes from a page of any site.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let origin = cors::origin(headers).and_then(|origin| origin.to_str().ok());
        origin.is_some_and(|origin| self.events.accounts.any_site_at(origin))
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
            Some(_) => Party { site: in_force.sites.named(site).ok_or(Refusal::NoSite)?, page: None },
            None => self.page(&in_force, site, &parts.headers)?,
        };
        let asked = Asked { ask, hit: &hit, sent: &sent, body: &bytes, headers: &parts.headers, address };
        self.tell(&party, &in_force, &asked).await
    }

    /// The site that a page may speak for, if it does not do so too often.
    fn page<'s>(
        &self,
        in_force: &'s InForce,
        site: Option<&str>,
        headers: &'s HeaderMap,
    ) -> Result<Party<'s>, Refusal> {
        let header = cors::origin(headers).ok_or(Refusal::Origin)?;
        let origin = header.to_str().map_err(|_| Refusal::Origin)?;
        let site = in_force.sites.at(site, origin).ok_or(Refusal::Origin)?;
        site.take(Instant::now()).map_err(|(per_second, wait)| {
            self.events.admission.turn_away("site_rate");
            Refusal::TooOften { who: "site", per_second, wait }
        })?;
        Ok(Party { site, page: Some((header, origin.starts_with("https://"))) })
    }

    /// Takes the events in and deals the numbers, at the same time; tells both once the log has the events.
    async fn tell(&self, party: &Party<'_>, in_force: &InForce, asked: &Asked<'_>) -> Result<Response, Refusal> {
        let (hit, received) = (asked.hit, log::now());
        let visitor = visitor_of(hit, asked.headers);
        let user_agent = match party.page {
            Some(_) => made::user_agent(asked.headers),
            None => hit.user_agent.as_deref(),
        };
        let numbers = async {
            let Some(numbers) = &hit.numbers else { return Vec::new() };
            let asking = Asking {
                in_force,
                site: party.site,
                visitor: &visitor,
                session: hit.session_id.as_deref(),
                landing: asked.landing(party, user_agent),
                numbers,
                now: received,
            };
            self.dealer.deal(&asking).await
        };
        let events = async {
            if asked.ask == Ask::Number {
                return Ok(Answer::default());
            }
            let browser = Browser {
                source: &party.site.source,
                visitor: &visitor,
                session: hit.session_id.as_deref(),
                address: asked.address,
                user_agent,
                correction: made::correction(hit.sent_at.as_deref(), received),
            };
            let terms = Terms {
                account: &in_force.account,
                origin: ORIGIN,
                received,
                events_max: hit::EVENTS_MAX as u64,
                payload_max: self.events.payload_max,
            };
            self.events.append(made::take_in(asked.sent, asked.body, &browser, &terms)?).await
        };
        let (numbers, answer) = tokio::join!(numbers, events);
        let answer = answer?;
        let told = Told {
            visitor: &visitor,
            server_time: received,
            numbers: &numbers,
            settings: &party.site.told,
            refused: &answer.results,
        };
        let mut response = told.response();
        if let Some((origin, secure)) = party.page {
            cors::allow(&mut response, origin);
            let site = &party.site.site;
            let keeping = Keeping::of(site, asked.sent);
            if let Some(cookie) = keeping.cookie(&visitor, site.cookie_domain.as_deref(), secure) {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
        }
        Ok(response)
    }
}

impl<'a> Asked<'a> {
    /// The session's first page as far as it is known, else the page itself.
    fn landing(&self, party: &Party<'_>, user_agent: Option<&'a str>) -> Option<PageView<'a>> {
        let hit = self.hit;
        let seen = self.sent.first_page();
        let here = seen.as_ref().map(|page| (page.url.clone(), page.referrer.clone()));
        let (url, referrer) = match &hit.landing {
            Some(first) => (first.url.clone(), first.referrer.clone()),
            None => here.or_else(|| Some((hit.url.clone()?, hit.referrer.clone())))?,
        };
        let language = seen.and_then(|page| page.language).or_else(|| hit.language.clone());
        let ip = match party.page {
            Some(_) => Some(Text::from(self.address.to_string())),
            None => hit.ip.clone(),
        };
        let language = language.or_else(|| made::accept_language(self.headers).map(Text::from));
        let user_agent = user_agent.map(Text::from);
        Some(PageView { url, referrer, language, ip, user_agent, ..PageView::default() })
    }
}

/// Who visits: as the page says, else as the cookie says, else somebody new.
fn visitor_of<'a>(hit: &'a Hit<'_, ()>, headers: &'a HeaderMap) -> std::borrow::Cow<'a, str> {
    let known = hit.visitor_id.as_deref().or_else(|| cookie::visitor(headers));
    known.map_or_else(|| Uuid::now_v7().to_string().into(), Into::into)
}
