//! One page view, looked over.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memchr2;

use super::agent::{Agent, Agents};
use super::place::{Place, Places, PlacesError};
use super::referrer::{is_own, origin};
use super::url::{UrlParts, url_parts, without_query};
use super::utm::{Utm, tags};
use super::{Channel, ClickIdType, channel};
use crate::event::PageView;

/// What a page view's URL, referrer, user agent and address say.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit<'a> {
    pub utm: Utm<'a>,
    pub click_id: Option<(ClickIdType, Cow<'a, str>)>,
    pub channel: Channel,
    /// `(direct)` where nothing names one.
    pub source: Cow<'a, str>,
    /// `(none)` where nothing names a source, `(not set)` where `utm_source` stands without `utm_medium`.
    pub medium: Cow<'a, str>,
    /// As it was told; nothing where it is the page's own host, which is no referrer.
    pub referrer: Option<&'a str>,
    pub agent: Arc<Agent>,
    pub place: Arc<Place>,
    /// The first language tag of `language`.
    pub language: Option<Cow<'a, str>>,
}

impl<'a> Visit<'a> {
    /// Without what could name the visitor: what is left of it in the rows of people who were erased.
    pub fn nameless(&self) -> Visit<'a> {
        let place = Place { city: None, ..(*self.place).clone() };
        Visit { click_id: None, referrer: self.referrer.map(without_query), place: Arc::new(place), ..self.clone() }
    }
}

/// Looks page views over. Holds caches and tables, no state that could change an answer: make one for each worker.
#[derive(Default)]
pub struct Surveyor {
    agents: Agents,
    places: Places,
}

impl Surveyor {
    /// A surveyor that finds places in a MaxMind-format database (City or Country), which all surveyors may share.
    pub fn with_places(database: Arc<[u8]>) -> Result<Surveyor, PlacesError> {
        Ok(Surveyor { agents: Agents::default(), places: Places::new(database)? })
    }

    /// Another one for another worker: what is read only is shared, the caches are its own.
    pub fn another(&self) -> Surveyor {
        Surveyor { agents: Agents::default(), places: self.places.another() }
    }

    pub fn visit<'a>(&mut self, page_view: &'a PageView<'a>) -> Visit<'a> {
        let url = url_parts(&page_view.url);
        let (utm, click_id) = tags(url.query);
        let told = page_view.referrer.as_deref().filter(|told| !told.is_empty()).map(|told| (told, url_parts(told)));
        let (referrer, parts) = told.filter(|(_, parts)| !is_own(parts, &url)).unzip();
        let (source, medium) = source(&utm, click_id.as_ref().map(|(kind, _)| *kind), parts);
        let channel = match (source.as_ref(), medium.as_ref()) {
            (DIRECT, NONE) => Channel::Direct,
            (source, medium) => channel(source, medium, utm.campaign.as_deref()),
        };
        let agent = self.agents.read(page_view.user_agent.as_deref());
        let place = self.places.of(page_view.ip.as_deref());
        let language = page_view.language.as_deref().and_then(language);
        Visit { utm, click_id, channel, source, medium, referrer, agent, place, language }
    }
}

const DIRECT: &str = "(direct)";
const NONE: &str = "(none)";
const NOT_SET: &str = "(not set)";

fn source<'a>(
    utm: &Utm<'a>,
    click: Option<ClickIdType>,
    referrer: Option<UrlParts<'a>>,
) -> (Cow<'a, str>, Cow<'a, str>) {
    if let Some(source) = &utm.source {
        return (source.clone(), utm.medium.clone().unwrap_or(Cow::Borrowed(NOT_SET)));
    }
    if let Some(click) = click {
        let (source, medium) = click.source_and_medium();
        return (Cow::Borrowed(source), Cow::Borrowed(medium));
    }
    match referrer.and_then(|referrer| origin(&referrer)) {
        Some((source, medium)) => (source, Cow::Borrowed(medium)),
        None => (Cow::Borrowed(DIRECT), Cow::Borrowed(NONE)),
    }
}

/// The first tag of a list such as `en-US,en;q=0.9`.
fn language(list: &str) -> Option<Cow<'_, str>> {
    let end = memchr2(b',', b';', list.as_bytes()).unwrap_or(list.len());
    let tag = list[..end].trim_ascii();
    (!matches!(tag, "" | "*")).then_some(Cow::Borrowed(tag))
}
