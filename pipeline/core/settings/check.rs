//! Settings looked over whole: every mistake at once, in the user's words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::route::unmeetable;
use super::site::{cookie_domain_mistake, origin_mistake};
use super::{LocalTime, Number, NumberKind, OnExhausted, Pool, Route, Settings, Site, TagRule, mapping};
use crate::event::{has_controls, is_currency, outcomes};
use crate::limits::{
    ATTRIBUTION_WINDOW_HOURS_MAX, CALL_SECONDS_MAX, CALL_TIMEOUT_MINUTES_MAX, COOLDOWN_MINUTES_MAX,
    EXTENSION_DIGITS_MAX, EXTENSION_DIGITS_MIN, GREETING_SECONDS_MAX, HEARTBEAT_SECONDS_MAX, HEARTBEAT_SECONDS_MIN,
    HOLD_MINUTES_MAX, ID_BYTES_MAX, LABEL_BYTES_MAX, LATENESS_SECONDS_MAX, MAPPINGS_MAX, NUMBER_TIMEOUT_MS_MAX,
    NUMBER_TIMEOUT_MS_MIN, RETENTION_DAYS_MAX, SALES_CYCLE_DAYS_MAX, SESSION_TIMEOUT_MINUTES_MAX, SPAM_NUMBERS_MAX,
    TARGET_SECONDS_MAX,
};
use crate::phone::Phone;
use crate::time::shortened;

/// Something in an account's settings that cannot be, or (as a warning) hardly be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The member, such as `pools[0].overflow_number`.
    pub path: String,
    /// What is wrong and how to mend it, in words that follow the path.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

impl Settings {
    /// Whether these settings can be used.
    ///
    /// # Errors
    /// With every mistake there is, in the order of the members.
    pub fn check(&self) -> Result<(), Vec<Mistake>> {
        let mut check = Check::new(self);
        check.basics();
        check.spans();
        check.hours();
        self.sites.iter().enumerate().for_each(|(at, site)| check.site(at, site));
        self.numbers.iter().enumerate().for_each(|(at, number)| check.number(at, number));
        self.pools.iter().enumerate().for_each(|(at, pool)| check.pool(at, pool));
        self.routes.iter().enumerate().for_each(|(at, route)| check.route(at, route));
        self.tag_rules.iter().enumerate().for_each(|(at, rule)| check.tag_rule(at, rule));
        check.mistakes.extend(super::voice::mistakes(self));
        check.mistakes.extend(super::login::mistakes(&self.logins));
        check.people();
        check.spam_numbers();
        check.mappings();
        check.mistakes.extend(super::webhook::mistakes(&self.webhooks));
        check.mistakes.extend(super::export_check::mistakes(&self.exports));
        if check.mistakes.is_empty() { Ok(()) } else { Err(check.mistakes) }
    }

    /// What can be used but is hardly meant.
    pub fn warnings(&self) -> Vec<Mistake> {
        let mut warnings = Check::new(self);
        for (at, pool) in self.pools.iter().enumerate() {
            if !self.numbers.iter().any(|number| number.pool.as_deref() == Some(&pool.name)) {
                warnings.say(format!("pools[{at}]"), format!("no number belongs to the pool {}", quoted(&pool.name)));
            }
        }
        for (at, number) in self.numbers.iter().enumerate() {
            if number.kind == NumberKind::Static && number.source.is_none() {
                let message = "a static number without a source: calls to it will have none".to_owned();
                warnings.say(format!("numbers[{at}].source"), message);
            }
        }
        for (at, pool) in self.pools.iter().enumerate() {
            warnings.overflow(at, pool);
            warnings.pool_site(at, pool);
        }
        for (at, number) in self.numbers.iter().enumerate() {
            warnings.forward(at, number);
        }
        for (at, site) in self.sites.iter().enumerate() {
            warnings.foreign_cookie(at, site);
        }
        let catches_all = |route: &Route| Route { pool: None, number: None, ..route.clone() } == Route::default();
        if let Some(at) = self.routes.iter().position(catches_all)
            && at + 1 < self.routes.len()
        {
            let message = "has no condition, so the routes after it are never reached".to_owned();
            warnings.say(format!("routes[{at}]"), message);
        }
        for (at, route) in self.routes.iter().enumerate() {
            for (member, message) in unmeetable(route) {
                warnings.say(format!("routes[{at}].{member}"), message);
            }
        }
        if self.retention_days.is_some_and(|days| f64::from(days) * 24.0 < self.attribution_window_hours) {
            let message = "is shorter than attribution_window_hours: sessions go before their calls can come";
            warnings.say("retention_days", message.to_owned());
        }
        warnings.mistakes
    }
}

pub(super) struct Check<'s> {
    settings: &'s Settings,
    kinds: BTreeMap<Phone, NumberKind>,
    pools: BTreeSet<&'s str>,
    sites: BTreeSet<&'s str>,
    seen_numbers: BTreeSet<Phone>,
    seen_pools: BTreeSet<&'s str>,
    seen_sites: BTreeSet<&'s str>,
    mistakes: Vec<Mistake>,
}

pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

impl<'s> Check<'s> {
    fn new(settings: &'s Settings) -> Check<'s> {
        Check {
            settings,
            kinds: settings.numbers.iter().map(|number| (number.number, number.kind)).collect(),
            pools: settings.pools.iter().map(|pool| pool.name.as_str()).collect(),
            sites: settings.sites.iter().map(|site| site.name.as_str()).collect(),
            seen_numbers: BTreeSet::new(),
            seen_pools: BTreeSet::new(),
            seen_sites: BTreeSet::new(),
            mistakes: Vec::new(),
        }
    }

    pub(super) fn say(&mut self, path: impl Into<String>, message: String) {
        self.mistakes.push(Mistake { path: path.into(), message });
    }

    fn basics(&mut self) {
        let settings = self.settings;
        if chrono_tz::Tz::from_str(&settings.timezone).is_err() {
            let message = format!("{} is not an IANA time zone such as Europe/Berlin", quoted(&settings.timezone));
            self.say("timezone", message);
        }
        if !is_currency(&settings.currency) {
            let code = quoted(&settings.currency);
            self.say("currency", format!("{code} is not a currency code of three capital letters such as EUR"));
        }
        if let Some(days) = settings.retention_days
            && !(1..=RETENTION_DAYS_MAX).contains(&days)
        {
            let message = format!("{days} is not between 1 and {RETENTION_DAYS_MAX} days; leave it out to keep all");
            self.say("retention_days", message);
        }
    }

    fn spans(&mut self) {
        let settings = self.settings;
        for (path, value, max, may_be_zero) in [
            ("target_seconds", settings.target_seconds, TARGET_SECONDS_MAX, true),
            ("greeting_seconds", settings.greeting_seconds, GREETING_SECONDS_MAX, true),
            ("sales_cycle_days", settings.sales_cycle_days, SALES_CYCLE_DAYS_MAX, true),
            ("session_timeout_minutes", settings.session_timeout_minutes, SESSION_TIMEOUT_MINUTES_MAX, false),
            ("attribution_window_hours", settings.attribution_window_hours, ATTRIBUTION_WINDOW_HOURS_MAX, false),
            ("attribution_threshold", settings.attribution_threshold.unwrap_or(0.0), 1.0, true),
            ("lateness_seconds", settings.lateness_seconds, LATENESS_SECONDS_MAX, true),
            ("call_timeout_minutes", settings.call_timeout_minutes, CALL_TIMEOUT_MINUTES_MAX, false),
        ] {
            self.span(path, value, max, may_be_zero);
        }
    }

    /// The unit stands in the member's name.
    fn span(&mut self, path: impl Into<String>, value: f64, max: f64, may_be_zero: bool) {
        if !(0.0..=max).contains(&value) {
            self.say(path, format!("{value} is not between 0 and {max}"));
        } else if value == 0.0 && !may_be_zero {
            self.say(path, "must be more than 0".to_owned());
        }
    }

    fn hours(&mut self) {
        let Some(hours) = &self.settings.business_hours else { return };
        for (day, intervals) in hours {
            let mut sorted: Vec<(LocalTime, LocalTime)> = Vec::with_capacity(intervals.len());
            for (at, &(from, to)) in intervals.iter().enumerate() {
                let path = format!("business_hours.{}[{at}]", day.name());
                if from == to {
                    self.say(path, format!("{from} to {to} is no time at all; all day is 00:00 to 24:00"));
                } else if from > to {
                    let message = format!(
                        "{from} to {to} ends before it starts; split it at midnight: {from} to 24:00, and 00:00 to \
                         {to} on the next day"
                    );
                    self.say(path, message);
                } else {
                    sorted.push((from, to));
                }
            }
            sorted.sort_unstable();
            for pair in sorted.windows(2) {
                if let [(a, b), (c, d)] = pair
                    && c < b
                {
                    let path = format!("business_hours.{}", day.name());
                    self.say(path, format!("{a} to {b} and {c} to {d} overlap; join them into one"));
                }
            }
        }
    }

    fn site(&mut self, at: usize, site: &'s Site) {
        let path = |member: &str| format!("sites[{at}].{member}");
        self.name(path("name"), &site.name);
        if !self.seen_sites.insert(&site.name) {
            self.say(path("name"), format!("two sites are called {}", quoted(&site.name)));
        }
        if site.name.contains('/') {
            self.say(path("name"), format!("{} has a slash in it: pages name ACCOUNT/SITE", quoted(&site.name)));
        }
        if site.origins.is_empty() {
            self.say(path("origins"), "is empty: name the site's origins, such as https://www.example.com".to_owned());
        }
        for (place, origin) in site.origins.iter().enumerate() {
            if let Some(mistake) = origin_mistake(origin) {
                self.say(format!("sites[{at}].origins[{place}]"), format!("{} {mistake}", quoted(origin)));
            }
        }
        if let Some(domain) = &site.cookie_domain
            && let Some(mistake) = cookie_domain_mistake(domain, &site.origins)
        {
            self.say(path("cookie_domain"), format!("{} {mistake}", quoted(domain)));
        }
        for (member, value, min, max) in [
            ("number_timeout_ms", site.number_timeout_ms, NUMBER_TIMEOUT_MS_MIN, NUMBER_TIMEOUT_MS_MAX),
            ("heartbeat_seconds", site.heartbeat_seconds, HEARTBEAT_SECONDS_MIN, HEARTBEAT_SECONDS_MAX),
        ] {
            if !(min..=max).contains(&value) {
                self.say(path(member), format!("{value} is not between {min} and {max}"));
            }
        }
    }

    fn number(&mut self, at: usize, number: &'s Number) {
        let path = |member: &str| format!("numbers[{at}].{member}");
        if !self.seen_numbers.insert(number.number) {
            self.say(path("number"), format!("{} is listed twice", number.number));
        }
        match (number.kind, &number.pool) {
            (NumberKind::Pool, None) => {
                self.say(path("pool"), format!("{} is of kind pool: name the pool it belongs to", number.number));
            }
            (NumberKind::Pool, Some(pool)) => self.known_pool(path("pool"), pool),
            // An overflow or static number may say which pool it stands beside.
            (_, Some(pool)) => self.known_pool(path("pool"), pool),
            (_, None) => {}
        }
        for (member, text) in [
            ("label", &number.label),
            ("source", &number.source),
            ("medium", &number.medium),
            ("campaign", &number.campaign),
        ] {
            self.label(path(member), text.as_deref());
        }
    }

    fn pool(&mut self, at: usize, pool: &'s Pool) {
        let path = |member: &str| format!("pools[{at}].{member}");
        self.name(path("name"), &pool.name);
        if !self.seen_pools.insert(&pool.name) {
            self.say(path("name"), format!("two pools are called {}", quoted(&pool.name)));
        }
        self.label(path("site"), pool.site.as_deref());
        self.span(path("hold_minutes"), pool.hold_minutes, HOLD_MINUTES_MAX, false);
        self.span(path("cooldown_minutes"), pool.cooldown_minutes, COOLDOWN_MINUTES_MAX, true);
        if let Some(digits) = pool.extensions
            && !(EXTENSION_DIGITS_MIN..=EXTENSION_DIGITS_MAX).contains(&digits)
        {
            let message = format!(
                "{digits} is not a number of digits between {EXTENSION_DIGITS_MIN} and {EXTENSION_DIGITS_MAX}; leave \
                 it out for a pool without extensions"
            );
            self.say(path("extensions"), message);
        }
    }

    /// Before there were `sites`, a pool's site was a mere label.
    fn pool_site(&mut self, at: usize, pool: &Pool) {
        if let Some(site) = &pool.site
            && !self.sites.is_empty()
            && !self.sites.contains(site.as_str())
        {
            let message = format!("there is no site called {}: no page will show this pool's numbers", quoted(site));
            self.say(format!("pools[{at}].site"), message);
        }
    }

    fn overflow(&mut self, at: usize, pool: &Pool) {
        let path = format!("pools[{at}].overflow_number");
        match pool.overflow_number {
            None if pool.on_exhausted == OnExhausted::Overflow => {
                let message = "is missing: a visitor for whom the pool has no number left sees the page's own; name a \
                               number, or set on_exhausted to share";
                self.say(path, message.to_owned());
            }
            Some(number) => match self.kinds.get(&number) {
                Some(NumberKind::Overflow) => {}
                Some(other) => self.say(path, format!("{number} is of kind {}, not overflow", other.name())),
                None => self.say(path, format!("{number} is not among the numbers; list it with kind overflow")),
            },
            None => {}
        }
    }

    /// Browsers send a cookie to every host below its domain.
    fn foreign_cookie(&mut self, at: usize, site: &Site) {
        let mut others = self.settings.sites.iter().filter(|other| other.cookie_domain != site.cookie_domain);
        let found = others.find_map(|other| {
            let domain = other.cookie_domain.as_deref()?;
            let is_below = |origin: &&String| cookie_domain_mistake(domain, std::slice::from_ref(*origin)).is_none();
            Some((site.origins.iter().find(is_below)?, domain, &other.name))
        });
        if let Some((origin, domain, other)) = found {
            let message = format!(
                "{} lies in {domain}, the cookie_domain of the site {}: its pages would read that site's cookie; give \
                 this site the same cookie_domain",
                quoted(origin),
                quoted(other)
            );
            self.say(format!("sites[{at}].cookie_domain"), message);
        }
    }

    fn forward(&mut self, at: usize, number: &Number) {
        if let Some(target) = &number.forward_to
            && !is_target(target)
        {
            let message = format!(
                "{} is neither a number such as +14155550123 nor an address such as sip:sales@example.com",
                quoted(target)
            );
            self.say(format!("numbers[{at}].forward_to"), message);
        }
        if number.forward_to.as_deref() == Some(&*number.number.to_string()) {
            let message = "is the number itself: its calls would go round; name where they are to ring".to_owned();
            self.say(format!("numbers[{at}].forward_to"), message);
        }
    }

    fn route(&mut self, at: usize, route: &Route) {
        let path = |member: &str| format!("routes[{at}].{member}");
        match (&route.pool, route.number) {
            (None, None) => self.say(format!("routes[{at}]"), "names neither a pool nor a number".to_owned()),
            (Some(_), Some(_)) => {
                self.say(format!("routes[{at}]"), "names a pool and a number; one of them".to_owned());
            }
            (Some(pool), None) => self.known_pool(path("pool"), pool),
            (None, Some(number)) => self.known_number(path("number"), number),
        }
        if let Some(site) = &route.site {
            self.route_site(path("site"), site, route);
        }
        for (member, text) in [
            ("source", &route.source),
            ("medium", &route.medium),
            ("campaign", &route.campaign),
            ("referrer_host", &route.referrer_host),
            ("landing_path", &route.landing_path),
            ("country", &route.country),
            ("region", &route.region),
            ("city", &route.city),
            ("language", &route.language),
            ("device", &route.device),
        ] {
            self.label(path(member), text.as_deref());
        }
        for (name, value) in route.url_parameters.iter().flatten() {
            self.name(path("url_parameters"), name);
            self.label(format!("routes[{at}].url_parameters.{}", shortened(name)), Some(value));
        }
    }

    fn route_site(&mut self, path: String, site: &str, route: &Route) {
        let pool = self.settings.pools.iter().find(|pool| Some(&pool.name) == route.pool.as_ref());
        if !self.sites.contains(site) {
            self.say(path, format!("there is no site called {}", quoted(site)));
        } else if let Some(other) = pool.and_then(|pool| pool.site.as_deref())
            && other != site
        {
            let message =
                format!("is {}, and the pool belongs to {}: it would never match", quoted(site), quoted(other));
            self.say(path, message);
        }
    }

    fn tag_rule(&mut self, at: usize, rule: &TagRule) {
        let path = |member: &str| format!("tag_rules[{at}].{member}");
        self.name(path("category"), &rule.category);
        if let Some(outcome) = &rule.outcome
            && !outcomes().any(|name| name == outcome)
        {
            let known: Vec<&str> = outcomes().collect();
            self.say(path("outcome"), format!("{} is not one of {}", quoted(outcome), known.join(", ")));
        }
        if let Some(number) = rule.tracking_number {
            self.known_number(path("tracking_number"), number);
        }
        if let Some(seconds) = rule.min_talk_seconds {
            self.span(path("min_talk_seconds"), seconds, CALL_SECONDS_MAX, true);
        }
        self.label(path("source"), rule.source.as_deref());
        self.label(path("transcript_contains"), rule.transcript_contains.as_deref());
    }

    fn people(&mut self) {
        for (key, name) in &self.settings.agents {
            self.name("agents", key);
            self.label(format!("agents.{}", shortened(key)), Some(name));
        }
    }

    fn spam_numbers(&mut self) {
        let listed = &self.settings.spam_numbers;
        if listed.len() > SPAM_NUMBERS_MAX {
            self.say("spam_numbers", format!("has {} entries, and may have {SPAM_NUMBERS_MAX} at most", listed.len()));
        }
        let is_one = |text: &str| {
            let digits = text.strip_prefix('+').map(|it| it.strip_suffix('*').unwrap_or(it));
            digits.is_some_and(|it| (1..=15).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_digit()))
        };
        if let Some((at, text)) = listed.iter().enumerate().find(|(_, text)| !is_one(text)) {
            let message = format!("{} is no number; give +14155550123, or +1900* for all that begin so", quoted(text));
            self.say(format!("spam_numbers[{at}]"), message);
        }
    }

    fn mappings(&mut self) {
        let mappings = &self.settings.mappings;
        if mappings.len() > MAPPINGS_MAX {
            self.say("mappings", format!("has {} entries, and may have {MAPPINGS_MAX} at most", mappings.len()));
        }
        for (at, mapping) in mappings.iter().enumerate().take(MAPPINGS_MAX) {
            let path = format!("mappings[{at}]");
            if mappings[..at].iter().any(|before| before.name == mapping.name) {
                self.say(format!("{path}.name"), format!("two mappings are called {}", quoted(&mapping.name)));
            }
            mapping::look_over(self, &path, mapping);
        }
    }

    fn known_pool(&mut self, path: String, pool: &str) {
        if !self.pools.contains(pool) {
            self.say(path, format!("there is no pool called {}", quoted(pool)));
        }
    }

    fn known_number(&mut self, path: String, number: Phone) {
        if !self.kinds.contains_key(&number) {
            self.say(path, format!("{number} is not among the numbers"));
        }
    }

    /// Something that is looked up by.
    pub(super) fn name(&mut self, path: impl Into<String>, text: &str) {
        if text.is_empty() {
            self.say(path, "is empty".to_owned());
        } else if text.len() > ID_BYTES_MAX {
            self.say(path, format!("has {} bytes, and may have {ID_BYTES_MAX} at most", text.len()));
        } else if has_controls(text) {
            self.say(path, format!("{} has control characters in it", quoted(text)));
        }
    }

    fn label(&mut self, path: String, text: Option<&str>) {
        if let Some(text) = text
            && text.len() > LABEL_BYTES_MAX
        {
            self.say(path, format!("has {} bytes, and may have {LABEL_BYTES_MAX} at most", text.len()));
        }
    }
}

/// A phone number, or a SIP or telephone URI.
pub(super) fn is_target(text: &str) -> bool {
    let uri = ["sip:", "sips:", "tel:"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let printable = text.bytes().all(|b| b.is_ascii_graphic());
    text.len() <= LABEL_BYTES_MAX
        && printable
        && (Phone::parse(text).is_ok() || uri.is_some_and(|rest| !rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_reads_the_cookie_of_another_is_warned_of() {
        const MAIN: &str = r#"{"name":"main","origins":["https://www.example.com"],"cookie_domain":"example.com"}"#;
        let words = "sites[1].cookie_domain: \"https://shop.example.com:8443\" lies in example.com, the cookie_domain \
                     of the site \"main\"";
        let shop = |origins: &str, domain: &str| format!(r#"{{"name":"shop","origins":[{origins}]{domain}}}"#);
        for (other, expected) in [
            (shop(r#""https://shop.example.com:8443""#, ""), Some(words)),
            (shop(r#""https://shop.example.org","https://shop.example.com:8443""#, ""), Some(words)),
            (shop(r#""https://shop.example.com:8443""#, r#","cookie_domain":"shop.example.com""#), Some(words)),
            (
                shop(r#""https://*.example.com""#, ""),
                Some(r#"sites[1].cookie_domain: "https://*.example.com" lies in example.com"#),
            ),
            (
                shop(r#""https://example.com""#, ""),
                Some(r#"sites[1].cookie_domain: "https://example.com" lies in example.com"#),
            ),
            (shop(r#""https://shop.example.com:8443""#, r#","cookie_domain":"example.com""#), None),
            (shop(r#""https://shop.example.org""#, ""), None),
            (shop(r#""https://badexample.com""#, ""), None),
            (shop(r#""http://localhost:3000""#, ""), None),
        ] {
            let settings: Settings =
                serde_json::from_str(&format!(r#"{{"sites":[{MAIN},{other}]}}"#)).expect("settings");
            assert_eq!(settings.check(), Ok(()), "{other}");
            let told: Vec<String> = settings.warnings().iter().map(ToString::to_string).collect();
            let fits = match expected {
                None => told.is_empty(),
                Some(words) => {
                    told.len() == 1 && told[0].starts_with(words) && told[0].contains("the same cookie_domain")
                }
            };
            assert!(fits, "{other}: {told:?}");
        }
    }
}
