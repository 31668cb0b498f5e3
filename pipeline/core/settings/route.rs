//! Which number a page shows: the first row of the account's `routes` that fits what is known of the visit.
//!
//! Source-based, URL-based and session-based tracking, numbers by place and static ones are all rows of that one table.
//! A condition on something that is not known of the visit (no places configured, no referrer) is not met, not even by `*`.
//! Text is compared without regard to case, but for the landing path and the values of URL parameters.

use std::str::Chars;

use percent_encoding::percent_decode_str;

use super::check::quoted;
use super::{Pool, Route, Rules};
use crate::event::PageView;
use crate::phone::Phone;
use crate::source::{DEVICES, Visit, decode, host_of, url_parts, without_www};

/// What is known of a visit, for one number on its page. Everything is the landing page's.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteAsk<'a> {
    /// Nothing where the page names no site and none is known by its origin: then a pool of any site will do.
    pub site: Option<&'a str>,
    /// The number on the page that is to be replaced.
    pub replaces: Option<Phone>,
    pub source: &'a str,
    pub medium: &'a str,
    pub campaign: Option<&'a str>,
    /// Of another site; the page's own is no referrer.
    pub referrer: Option<&'a str>,
    /// Its path and its parameters count.
    pub landing_url: &'a str,
    pub country: Option<&'a str>,
    pub region: Option<&'a str>,
    pub city: Option<&'a str>,
    pub language: Option<&'a str>,
    pub device: Option<&'a str>,
}

/// What a route shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shows<'r> {
    /// A number leased from this pool.
    Pool(&'r Pool),
    /// This number, to everybody.
    Number(Phone),
}

impl<'a> RouteAsk<'a> {
    /// Of a page view and what the [`crate::source::Surveyor`] says of it, so that who asks classifies as the join does.
    pub fn of(page_view: &'a PageView<'_>, visit: &'a Visit<'_>, site: Option<&'a str>) -> RouteAsk<'a> {
        RouteAsk {
            site,
            replaces: None,
            source: &visit.source,
            medium: &visit.medium,
            campaign: visit.utm.campaign.as_deref(),
            referrer: page_view.referrer.as_deref(),
            landing_url: &page_view.url,
            country: visit.place.country.as_deref(),
            region: visit.place.region.as_deref(),
            city: visit.place.city.as_deref(),
            language: visit.language.as_deref(),
            device: visit.agent.device.as_deref(),
        }
    }

    /// The same visit, for another number on its page.
    pub fn replacing(self, number: Option<Phone>) -> RouteAsk<'a> {
        RouteAsk { replaces: number, ..self }
    }
}

impl Rules {
    /// What the page shows in place of this number; nothing: what stands there.
    ///
    /// The first route that fits decides. A route to a pool of another site does not fit. An account without routes shows
    /// the first pool that is this site's, or everybody's.
    pub fn route(&self, ask: &RouteAsk<'_>) -> Option<Shows<'_>> {
        let settings = self.settings();
        if settings.routes.is_empty() {
            return settings.pools.iter().find(|pool| is_of_site(pool, ask)).map(Shows::Pool);
        }
        settings.routes.iter().find_map(|route| self.shown_by(route, ask))
    }

    fn shown_by(&self, route: &Route, ask: &RouteAsk<'_>) -> Option<Shows<'_>> {
        let shows = match (&route.pool, route.number) {
            (Some(name), _) => Shows::Pool(self.pool(name).filter(|pool| is_of_site(pool, ask))?),
            (None, number) => Shows::Number(number?),
        };
        fits(route, ask).then_some(shows)
    }
}

fn is_of_site(pool: &Pool, ask: &RouteAsk<'_>) -> bool {
    match (&pool.site, ask.site) {
        (Some(own), Some(site)) => own == site,
        _ => true,
    }
}

fn fits(route: &Route, ask: &RouteAsk<'_>) -> bool {
    let text = |condition: &Option<String>, value: Option<&str>| {
        condition.as_ref().is_none_or(|pattern| value.is_some_and(|value| matches(pattern, value, Case::Same)))
    };
    route.site.as_deref().is_none_or(|site| ask.site == Some(site))
        && route.replaces.is_none_or(|number| ask.replaces == Some(number))
        && text(&route.source, Some(ask.source))
        && text(&route.medium, Some(ask.medium))
        && text(&route.campaign, ask.campaign)
        && text(&route.country, ask.country)
        && text(&route.region, ask.region)
        && text(&route.city, ask.city)
        && text(&route.device, ask.device)
        && route.language.as_ref().is_none_or(|range| ask.language.is_some_and(|tag| speaks(range, tag)))
        && route.referrer_host.as_ref().is_none_or(|host| comes_from(host, ask))
        && route.landing_path.as_ref().is_none_or(|path| lands_on(path, ask.landing_url))
        && route.url_parameters.iter().flatten().all(|(name, value)| has_parameter(name, value, ask.landing_url))
}

/// Conditions that nothing can meet that is ever known of a visit: each member with what it should be.
pub(super) fn unmeetable(route: &Route) -> Vec<(&'static str, String)> {
    let exact = |pattern: &str| !pattern.contains('*');
    let letters = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    let country = |it: &str| exact(it) && !letters(it, 2..=2);
    let device = |it: &str| !DEVICES.iter().any(|device| matches(it, device, Case::Same));
    let language = |it: &str| exact(it) && !it.split('-').next().is_some_and(|first| letters(first, 2..=3));
    let host = |it: &str| it.contains(['/', ':']);
    let path = |it: &str| !it.starts_with(['/', '*']) || it.contains(['?', '#']);
    let devices = format!("one of {}", DEVICES.join(", "));
    [
        (
            "country",
            &route.country,
            &country as &dyn Fn(&str) -> bool,
            "a country's two letters (ISO 3166-1), such as DE",
        ),
        ("device", &route.device, &device, &devices),
        ("language", &route.language, &language, "a language tag, such as de or de-AT"),
        ("referrer_host", &route.referrer_host, &host, "a host alone, such as news.example.net"),
        ("landing_path", &route.landing_path, &path, "a path from / on without parameters, such as /offers/*"),
    ]
    .into_iter()
    .filter_map(|(member, pattern, is_unmeetable, wanted)| {
        let pattern = pattern.as_deref().filter(|pattern| is_unmeetable(pattern))?;
        Some((member, format!("no visit ever meets {}; give {wanted}", quoted(pattern))))
    })
    .collect()
}

/// Basic filtering of RFC 4647, section 3.3.1: `de` is met by `de` and `de-AT`, not by `den`.
fn speaks(range: &str, tag: &str) -> bool {
    let prefix = || tag.get(..range.len()).filter(|_| tag[range.len()..].starts_with('-'));
    matches(range, tag, Case::Same) || prefix().is_some_and(|prefix| matches(range, prefix, Case::Same))
}

/// With and without `www.`, so that `*.example.com` and `example.com` both mean what they say.
fn comes_from(pattern: &str, ask: &RouteAsk<'_>) -> bool {
    let Some(host) = ask.referrer.and_then(host_of) else { return false };
    let bare = without_www(host.clone());
    if host_of(ask.landing_url).is_some_and(|own| without_www(own) == bare) {
        return false;
    }
    let wanted = pattern.strip_prefix("www.").unwrap_or(pattern);
    matches(wanted, &bare, Case::Same) || matches(pattern, &host, Case::Same)
}

/// The path as it is written, or with its percent signs decoded.
fn lands_on(pattern: &str, url: &str) -> bool {
    let path = match url_parts(url).path {
        "" => "/",
        path => path,
    };
    matches(pattern, path, Case::Counts)
        || (path.contains('%') && matches(pattern, &percent_decode_str(path).decode_utf8_lossy(), Case::Counts))
}

/// Names are compared without case, as everywhere. Of several of one name, one is enough.
fn has_parameter(name: &str, pattern: &str, url: &str) -> bool {
    url_parts(url)
        .params()
        .any(|(key, value)| same(&decode(key), name) && matches(pattern, &decode(value), Case::Counts))
}

fn same(a: &str, b: &str) -> bool {
    a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

#[derive(Clone, Copy)]
enum Case {
    Counts,
    /// `Google` is `google`.
    Same,
}

/// Whether the text is the pattern, in which `*` stands for any text, the empty one too. The time is the product of both
/// lengths at worst: when what follows a star does not fit, only the last star takes one letter more.
fn matches(pattern: &str, text: &str, case: Case) -> bool {
    let alike = |a: char, b: char| match case {
        Case::Counts => a == b,
        Case::Same => a == b || a.to_lowercase().eq(b.to_lowercase()),
    };
    let (mut wanted, mut rest) = (pattern.chars(), text.chars());
    let mut last_star: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        let (mut after, mut left) = (wanted.clone(), rest.clone());
        match (after.next(), left.next()) {
            (Some('*'), _) => {
                last_star = Some((after.clone(), rest.clone()));
                wanted = after;
                continue;
            }
            (Some(a), Some(b)) if alike(a, b) => {
                (wanted, rest) = (after, left);
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((after_star, taken)) = &mut last_star else { return false };
        if taken.next().is_none() {
            return false;
        }
        (wanted, rest) = (after_star.clone(), taken.clone());
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
