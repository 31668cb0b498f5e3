//! An account's sites: which pages may speak for them, and what those are told.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use callweave_core::settings::{Settings, Site};
use serde_json::json;
use tokio::time::Instant;

use super::admission::Bucket;

/// The sites of one account.
pub struct Sites {
    own: Vec<SiteInForce>,
    /// What holds for pages of no site in particular.
    nameless: SiteInForce,
}

/// One site, ready for use.
pub struct SiteInForce {
    pub site: Site,
    /// What its events have as `source`.
    pub source: String,
    /// What its pages are told: an object in JSON.
    pub told: String,
    pub number_timeout: Duration,
    per_second: u32,
    pace: Mutex<Bucket>,
}

impl Sites {
    pub fn of(settings: &Settings, per_second: u32) -> Sites {
        let own: Vec<_> = settings.sites.iter().map(|site| SiteInForce::new(site.clone(), per_second)).collect();
        Sites { own, nameless: SiteInForce::new(Site::default(), per_second) }
    }

    /// The site of a page: that of this name, or without one the first that the page's origin belongs to. Where the
    /// settings have none, pages on the visitor's own machine may come, so that trying it out works.
    pub fn at(&self, name: Option<&str>, origin: &str) -> Option<&SiteInForce> {
        if self.own.is_empty() {
            return is_local(origin).then_some(&self.nameless);
        }
        self.own.iter().find(|own| name.is_none_or(|name| own.site.name == name) && own.site.allows(origin))
    }

    /// The site that somebody with a key means; without a name the only one there is, else none in particular. Nothing
    /// where there is none of this name.
    pub fn named(&self, name: Option<&str>) -> Option<&SiteInForce> {
        match (name, self.own.as_slice()) {
            (Some(name), own) => own.iter().find(|own| own.site.name == name),
            (None, [only]) => Some(only),
            (None, _) => Some(&self.nameless),
        }
    }
}

impl SiteInForce {
    pub fn new(site: Site, per_second: u32) -> SiteInForce {
        let told = json!({
            "heartbeat_seconds": site.heartbeat_seconds,
            "number_timeout_ms": site.number_timeout_ms,
            "consent_required": site.consent_required,
            "honour_dnt": site.honour_dnt,
            "honour_gpc": site.honour_gpc,
        });
        SiteInForce {
            source: if site.name.is_empty() { "web".to_owned() } else { format!("web/{}", site.name) },
            told: told.to_string(),
            number_timeout: Duration::from_millis(site.number_timeout_ms.into()),
            per_second,
            pace: Mutex::new(Bucket::full(per_second)),
            site,
        }
    }

    /// Its name; nothing for the one that stands in for a site.
    pub fn name(&self) -> Option<&str> {
        Some(self.site.name.as_str()).filter(|name| !name.is_empty())
    }

    /// Lets one request in.
    ///
    /// # Errors
    /// The site's browsers come too often; with the time after which one may come again.
    pub fn take(&self, now: Instant) -> Result<(), (u32, Duration)> {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.take(self.per_second, now).map_err(|wait| (self.per_second, wait))
    }
}

/// Whether a page lies on the visitor's own machine, on any port.
fn is_local(origin: &str) -> bool {
    let Some(rest) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else { return false };
    let port = ["localhost", "127.0.0.1", "[::1]"].iter().find_map(|host| rest.strip_prefix(host));
    port.is_some_and(|port| port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(text: &str) -> Sites {
        Sites::of(&serde_json::from_str(text).expect("settings"), 10)
    }

    #[test]
    fn pages_belong_to_sites_by_name_and_origin() {
        let two = r#"{"sites":[{"name":"main","origins":["https://www.acme.example","https://*.acme.example"]},
                               {"name":"blog","origins":["https://blog.acme.example","http://localhost:3000"]}]}"#;
        type Case<'a> = (&'a str, Option<&'a str>, &'a str, Option<&'a str>);
        let table: &[Case<'_>] = &[
            (two, Some("main"), "https://www.acme.example", Some("main")),
            (two, Some("main"), "https://blog.acme.example", Some("main")),
            (two, Some("blog"), "https://blog.acme.example", Some("blog")),
            (two, None, "https://blog.acme.example", Some("main")),
            (two, None, "http://localhost:3000", Some("blog")),
            (two, None, "http://localhost:3001", None),
            (two, Some("blog"), "https://www.acme.example", None),
            (two, Some("shop"), "https://www.acme.example", None),
            (two, None, "https://acme.example", None),
            (two, None, "https://acme.example.evil.example", None),
            (two, None, "null", None),
            (two, None, "", None),
            ("{}", None, "http://localhost", Some("")),
            ("{}", Some("anything"), "https://127.0.0.1:8443", Some("")),
            ("{}", None, "http://[::1]:80", Some("")),
            ("{}", None, "http://localhost.evil.example", None),
            ("{}", None, "http://localhost:80.evil.example", None),
            ("{}", None, "http://localhost:", None),
            ("{}", None, "file://localhost", None),
            ("{}", None, "https://www.acme.example", None),
            ("{}", None, "null", None),
        ];
        for (settings, name, origin, expected) in table {
            let sites = sites(settings);
            assert_eq!(sites.at(*name, origin).map(|found| found.site.name.as_str()), *expected, "{name:?} {origin}");
        }
        assert_eq!(sites(two).named(Some("blog")).map(|found| found.source.as_str()), Some("web/blog"));
        assert_eq!(sites(two).named(None).map(|found| found.source.as_str()), Some("web"));
        assert!(sites(two).named(Some("x")).is_none());
        assert_eq!(sites("{}").at(None, "http://localhost").map(|found| found.source.as_str()), Some("web"));
    }
}
