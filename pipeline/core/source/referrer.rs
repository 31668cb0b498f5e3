//! Where a referrer leads back to.

use std::borrow::Cow;

use super::tables::{site_of_app, site_of_host};
use super::url::{UrlParts, url_parts, without_www};

const REFERRAL: &str = "referral";

/// The source and medium of a referrer. Nothing where there is none to tell: it is no web address nor an Android app's,
/// or it is the page's own host, `www.` aside.
pub(super) fn origin<'a>(referrer: &'a str, page: &UrlParts<'_>) -> Option<(Cow<'a, str>, &'static str)> {
    let parts = url_parts(referrer);
    let scheme = |name: &str| parts.scheme.eq_ignore_ascii_case(name);
    if scheme("android-app") {
        let package = parts.host_name()?;
        return Some(match site_of_app(&package) {
            Some(site) => (Cow::Borrowed(site.name), site.kind.medium()),
            None => (package, REFERRAL),
        });
    }
    if !(scheme("https") || scheme("http") || parts.scheme.is_empty()) {
        return None;
    }
    let host = without_www(parts.host_name()?);
    if page.host_name().is_some_and(|own| without_www(own) == host) {
        return None;
    }
    Some(match site_of_host(&host) {
        Some(site) => (Cow::Borrowed(site.name), site.kind.medium()),
        None => (host, REFERRAL),
    })
}
