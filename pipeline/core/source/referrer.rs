//! Where a referrer leads back to.

use std::borrow::Cow;

use super::tables::{site_of_app, site_of_host};
use super::url::{UrlParts, without_www};

const REFERRAL: &str = "referral";

/// Whether a referrer is a page of the page's own host, `www.` aside: then it is no referrer.
pub(super) fn is_own(referrer: &UrlParts<'_>, page: &UrlParts<'_>) -> bool {
    // Of an app the host is the package.
    !is_scheme(referrer, ANDROID_APP) && site(referrer).is_some_and(|own| Some(own) == site(page))
}

/// The host without `www.`.
fn site<'a>(parts: &UrlParts<'a>) -> Option<Cow<'a, str>> {
    parts.host_name().map(without_www)
}

/// The source and medium of a referrer that is not the page's own host. Nothing where there is none to tell: it is no web address
/// nor an Android app's.
pub(super) fn origin<'a>(referrer: &UrlParts<'a>) -> Option<(Cow<'a, str>, &'static str)> {
    if is_scheme(referrer, ANDROID_APP) {
        let package = referrer.host_name()?;
        return Some(match site_of_app(&package) {
            Some(site) => (Cow::Borrowed(site.name), site.kind.medium()),
            None => (package, REFERRAL),
        });
    }
    if !(is_scheme(referrer, "https") || is_scheme(referrer, "http") || referrer.scheme.is_empty()) {
        return None;
    }
    let host = site(referrer)?;
    Some(match site_of_host(&host) {
        Some(site) => (Cow::Borrowed(site.name), site.kind.medium()),
        None => (host, REFERRAL),
    })
}

const ANDROID_APP: &str = "android-app";

fn is_scheme(parts: &UrlParts<'_>, name: &str) -> bool {
    parts.scheme.eq_ignore_ascii_case(name)
}
