//! Web sites: where their pages come from, and how those behave.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shape;
use crate::event::whole;
use crate::limits::{
    HEARTBEAT_SECONDS_MAX, HEARTBEAT_SECONDS_MIN, HOST_BYTES, ID_BYTES_MAX, NUMBER_TIMEOUT_MS_MAX,
    NUMBER_TIMEOUT_MS_MIN,
};

/// A web site whose pages show tracking numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Site {
    /// What pages (`data-site="ACCOUNT/SITE"`), pools and routes call it.
    #[schemars(length(min = 1, max = ID_BYTES_MAX), regex(pattern = shape::SITE_NAME))]
    pub name: String,
    /// Where its pages come from, such as `https://www.example.com`; `https://*.example.com` is every host below that
    /// one, and not that one itself. Other pages are refused.
    #[schemars(length(min = 1), inner(regex(pattern = shape::ORIGIN)))]
    pub origins: Vec<String>,
    /// The domain of the visitor's cookie, so that `shop.example.com` and `www.example.com` know one visitor
    /// (`example.com`). Absent: each host has visitors of its own.
    #[schemars(length(max = HOST_BYTES), regex(pattern = shape::DOMAIN))]
    pub cookie_domain: Option<String>,
    /// Nothing is stored or sent before the page tells that the visitor consents.
    #[serde(default)]
    pub consent_required: bool,
    /// Visitors whose browser sends Do Not Track are left alone.
    #[serde(default)]
    pub honour_dnt: bool,
    /// Visitors whose browser sends Global Privacy Control are left alone; so if absent.
    #[serde(default = "yes")]
    pub honour_gpc: bool,
    /// How long a page waits for its numbers before it shows its own. 800 if absent.
    #[serde(default = "number_timeout_ms", deserialize_with = "whole::only")]
    #[schemars(range(min = NUMBER_TIMEOUT_MS_MIN, max = NUMBER_TIMEOUT_MS_MAX))]
    pub number_timeout_ms: u32,
    /// How often a page that is looked at tells so. 30 if absent.
    #[serde(default = "heartbeat_seconds", deserialize_with = "whole::only")]
    #[schemars(range(min = HEARTBEAT_SECONDS_MIN, max = HEARTBEAT_SECONDS_MAX))]
    pub heartbeat_seconds: u32,
}

fn yes() -> bool {
    true
}

fn number_timeout_ms() -> u32 {
    800
}

fn heartbeat_seconds() -> u32 {
    30
}

impl Default for Site {
    fn default() -> Site {
        Site {
            name: String::new(),
            origins: Vec::new(),
            cookie_domain: None,
            consent_required: false,
            honour_dnt: false,
            honour_gpc: yes(),
            number_timeout_ms: number_timeout_ms(),
            heartbeat_seconds: heartbeat_seconds(),
        }
    }
}

impl Site {
    /// Whether a page of this origin, as browsers write it in the `Origin` header, is one of the site's.
    pub fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| covers(allowed, origin))
    }
}

/// `https://*.example.com` stands for any host with at least one more label; everything else for itself alone.
fn covers(allowed: &str, origin: &str) -> bool {
    let Some((scheme, below)) = allowed.split_once("://*.") else { return allowed == origin };
    let Some((own_scheme, host)) = origin.split_once("://") else { return false };
    let Some(labels) = host.strip_suffix(below).and_then(|rest| rest.strip_suffix('.')) else { return false };
    own_scheme == scheme && is_host_name(labels)
}

/// What is wrong with an origin, in words that follow it. The form is that of RFC 6454, section 6.2, as browsers send it.
pub(super) fn origin_mistake(origin: &str) -> Option<String> {
    let wrong = |what: &str| Some(what.to_owned());
    let Some((scheme, rest)) = origin.split_once("://") else {
        return wrong("is not an origin such as https://www.example.com");
    };
    if !matches!(scheme, "http" | "https") {
        return wrong("is neither https:// nor http://");
    }
    if let Some((authority, _)) = rest.split_once(['/', '?', '#']) {
        return Some(format!("has more than scheme, host and port; write {scheme}://{authority}"));
    }
    if rest.contains('@') {
        return wrong("has a user in it; leave it out");
    }
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, after)) => (address, after.strip_prefix(':').or(Some(""))),
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    match (scheme, port) {
        (_, None) => {}
        ("https", Some("443")) | ("http", Some("80")) => {
            return wrong("names the port that is usual anyway, which browsers leave out; leave it out, too");
        }
        (_, Some(port)) if port.parse::<u16>().is_err() || port.starts_with(['0', '+']) => {
            return wrong("has no port number after its colon");
        }
        _ => {}
    }
    if rest.starts_with('[') {
        return if host.parse::<std::net::Ipv6Addr>().is_ok() {
            None
        } else {
            wrong("has no IPv6 address in brackets")
        };
    }
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        return Some(format!("has capital letters, which browsers never send; write {}", origin.to_lowercase()));
    }
    let fixed = host.strip_prefix("*.").unwrap_or(host);
    if fixed.contains('*') {
        return wrong("has a * elsewhere than before the first dot, as in https://*.example.com");
    }
    if !is_host_name(fixed) {
        return wrong("has no host such as www.example.com (international names in punycode, xn--…)");
    }
    if fixed.len() < host.len() && psl::domain_str(fixed).is_none() {
        return wrong("stands for the sites of others, too: name the domain that is yours");
    }
    None
}

/// What is wrong with a cookie's domain, in words that follow it. Browsers refuse cookies for domains that many share
/// (RFC 6265, section 5.3, step 5), and for those that the page is not below.
pub(super) fn cookie_domain_mistake(domain: &str, origins: &[String]) -> Option<String> {
    if !is_host_name(domain) || !domain.contains('.') {
        return Some("is not a domain such as example.com".to_owned());
    }
    if psl::domain_str(domain).is_none() {
        return Some("is a domain that many sites share: browsers keep no cookie for it".to_owned());
    }
    let outside = |origin: &&String| {
        let rest = origin.split_once("://").map_or("", |(_, rest)| rest);
        let host = rest.split(':').next().unwrap_or(rest);
        host != domain && !host.strip_suffix(domain).is_some_and(|before| before.ends_with('.'))
    };
    let origin = origins.iter().find(outside)?;
    Some(format!(
        "is no domain of {}: browsers would keep no cookie there",
        origin.chars().take(80).collect::<String>()
    ))
}

/// Lower-case labels of letters, digits and inner dashes (RFC 1123, section 2.1), and underscores as some have them.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    text.len() <= HOST_BYTES && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_checked() {
        for (origin, expected) in [
            ("https://www.example.com", None),
            ("https://*.example.com", None),
            ("https://*.example.co.uk:8443", None),
            ("http://localhost:8080", None),
            ("http://127.0.0.1:3000", None),
            ("http://[::1]:3000", None),
            ("https://xn--bcher-kva.example", None),
            ("www.example.com", Some("is not an origin")),
            ("*", Some("is not an origin")),
            ("ftp://example.com", Some("is neither https:// nor http://")),
            ("https://example.com/", Some("has more than scheme, host and port; write https://example.com")),
            ("https://example.com?x", Some("has more than")),
            ("https://me@example.com", Some("has a user in it")),
            ("https://example.com:443", Some("names the port that is usual")),
            ("http://example.com:80", Some("names the port that is usual")),
            ("https://example.com:0443", Some("has no port number")),
            ("https://example.com:", Some("has no port number")),
            ("https://example.com:99999", Some("has no port number")),
            ("https://Example.com", Some("has capital letters, which browsers never send; write https://example.com")),
            ("https://bücher.example", Some("has no host such as")),
            ("https://", Some("has no host such as")),
            ("https://a..b", Some("has no host such as")),
            ("https://[::g]", Some("has no IPv6 address")),
            ("https://[::1]8443", Some("has no port number")),
            ("https://*", Some("has a * elsewhere")),
            ("https://www.*.com", Some("has a * elsewhere")),
            ("https://*.*.com", Some("has a * elsewhere")),
            ("https://*.com", Some("stands for the sites of others")),
            ("https://*.co.uk", Some("stands for the sites of others")),
        ] {
            let found = origin_mistake(origin);
            let fits = match expected {
                None => found.is_none(),
                Some(words) => found.as_deref().is_some_and(|told| told.starts_with(words)),
            };
            assert!(fits, "{origin}: {found:?}");
        }
    }

    #[test]
    fn a_site_takes_its_own_pages_alone() {
        let origins = ["https://www.example.com", "https://*.example.org", "http://localhost:8080"];
        let site = Site { origins: origins.map(str::to_owned).to_vec(), ..Site::default() };
        for (origin, expected) in [
            ("https://www.example.com", true),
            ("http://www.example.com", false),
            ("https://www.example.com:8443", false),
            ("https://example.com", false),
            ("https://www.example.com.evil.test", false),
            ("https://a.example.org", true),
            ("https://a.b.example.org", true),
            ("https://example.org", false),
            ("https://.example.org", false),
            ("https://evilexample.org", false),
            ("https://evil.test/.example.org", false),
            ("https://evil.test:1.example.org", false),
            ("https://u@.example.org", false),
            ("http://a.example.org", false),
            ("http://localhost:8080", true),
            ("http://localhost", false),
            ("https://*.example.org", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(site.allows(origin), expected, "{origin}");
        }
    }

    #[test]
    fn cookies_belong_to_one_domain() {
        let origins = ["https://www.example.com", "https://*.shop.example.com:8443"].map(str::to_owned);
        for (domain, expected) in [
            ("example.com", None),
            ("com", Some("is not a domain")),
            (".example.com", Some("is not a domain")),
            ("co.uk", Some("is a domain that many sites share")),
            ("www.example.com", Some("is no domain of https://*.shop")),
            ("ample.com", Some("is no domain of https://www")),
        ] {
            let found = cookie_domain_mistake(domain, &origins);
            let fits = match expected {
                None => found.is_none(),
                Some(words) => found.as_deref().is_some_and(|told| told.starts_with(words)),
            };
            assert!(fits, "{domain}: {found:?}");
        }
    }
}
