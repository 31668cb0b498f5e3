//! Whether a page's visitor may have a cookie, by what its page views tell of consent.

use axum::http::HeaderValue;
use callweave_core::settings::Site;
use serde::Deserialize;
use serde_json::Value;

use super::super::cookie;
use super::hit::{Events, Sent};

/// What becomes of the visitor's cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    Set,
    /// None is set, and none that is there is touched: nothing was told.
    Leave,
    Clear,
}

/// `data` of a page view, as far as consent goes.
#[derive(Deserialize)]
struct View {
    consent: Option<Value>,
}

impl Keeping {
    /// As the last of these page views tells. Its own word goes before Google's Consent Mode, which decides where consent
    /// is required alone (docs/snippet.md).
    pub fn of(site: &Site, events: &Events<'_>) -> Keeping {
        let told = match events {
            Events::Read(events) => last_told(events),
            Events::Raw(events) => {
                let read = events.iter().filter_map(|event| sonic_rs::from_str(event.as_raw_str()).ok());
                last_told(&read.collect::<Vec<Sent<'_>>>())
            }
        };
        let said = |name: &str| told.as_ref().and_then(|told| told.get(name)?.as_str());
        let decides = said("callweave").or_else(|| said("analytics_storage").filter(|_| site.consent_required));
        match decides {
            Some("granted") => Keeping::Set,
            Some("denied") => Keeping::Clear,
            _ if site.consent_required => Keeping::Leave,
            _ => Keeping::Set,
        }
    }

    /// What the answer says of the cookie, if anything.
    pub fn cookie(self, visitor: &str, domain: Option<&str>, secure: bool) -> Option<HeaderValue> {
        match self {
            Keeping::Set => cookie::set(visitor, domain, secure),
            Keeping::Leave => None,
            Keeping::Clear => cookie::clear(domain, secure),
        }
    }
}

fn last_told(events: &[Sent<'_>]) -> Option<Value> {
    let view = events.iter().rfind(|sent| sent.kind.as_str() == "page_view")?;
    sonic_rs::from_str::<View>(view.data.as_raw_str()).ok()?.consent
}

#[cfg(test)]
mod tests {
    use super::super::hit;
    use super::*;

    #[test]
    fn nothing_is_kept_before_consent_where_it_is_required() {
        use Keeping::{Clear, Leave, Set};
        let view = |consent: &str| {
            format!(r#"{{"id":"1","type":"page_view","time":"t","data":{{"url":"https://a.example/"{consent}}}}}"#)
        };
        let told = |consent: &str| view(&format!(r#","consent":{consent}"#));
        let (granted, denied) = (told(r#"{"callweave":"granted"}"#), told(r#"{"callweave":"denied"}"#));
        let beat = r#"{"id":"2","type":"heartbeat","time":"t","data":{}}"#;
        for (events, required, free) in [
            (String::new(), Leave, Set),
            (view(""), Leave, Set),
            (beat.to_owned(), Leave, Set),
            (granted.clone(), Set, Set),
            (denied.clone(), Clear, Clear),
            (told(r#"{"analytics_storage":"granted"}"#), Set, Set),
            // Consent Mode decides nothing where no consent is required.
            (told(r#"{"analytics_storage":"denied"}"#), Clear, Set),
            (told(r#"{"analytics_storage":"denied","callweave":"granted"}"#), Set, Set),
            (told(r#"{"analytics_storage":"granted","callweave":"denied"}"#), Clear, Clear),
            (told(r#"{"ad_storage":"granted","gpc":true}"#), Leave, Set),
            (told("null"), Leave, Set),
            (told("\"granted\""), Leave, Set),
            (told(r#"{"callweave":true}"#), Leave, Set),
            (format!("{denied},{granted},{beat}"), Set, Set),
            (format!("{granted},{denied}"), Clear, Clear),
            (format!("{granted},{}", view("")), Leave, Set),
            // Beside what is no event.
            (format!("7,{granted}"), Set, Set),
            (format!("{denied},7"), Clear, Clear),
        ] {
            let body = format!(r#"{{"events":[{events}]}}"#);
            let (_, read) = hit::read(body.as_bytes()).expect("a body");
            for (consent_required, expected) in [(true, required), (false, free)] {
                let site = Site { consent_required, ..Site::default() };
                assert_eq!(Keeping::of(&site, &read), expected, "{consent_required} {events}");
            }
        }
    }

    #[test]
    fn the_cookie_is_set_left_or_cleared() {
        let all = |keeping: Keeping| {
            let cookie = keeping.cookie("v1", Some("acme.example"), true);
            cookie.and_then(|value| value.to_str().map(str::to_owned).ok())
        };
        let rest = "Path=/; SameSite=Lax; Secure; Domain=acme.example";
        assert_eq!(all(Keeping::Set), Some(format!("cw_v=v1; Max-Age=34190000; {rest}")));
        assert_eq!(all(Keeping::Leave), None);
        assert_eq!(all(Keeping::Clear), Some(format!("cw_v=; Max-Age=0; {rest}")));
    }
}
