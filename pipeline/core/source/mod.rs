//! Where a page view came from: its URL and referrer become source, medium and channel; its user agent and address
//! become device and place.
//!
//! The rules are the contract's (section 4, "Source", and its small print). Where the contract is silent:
//! - A `utm_source` without `utm_medium` has the medium `(not set)`, as in Google Analytics.
//! - What `utm_*` say is kept as it was given; the channel is found without regard to case.
//! - A referrer that is a video site or a shop has the medium `referral`, one that is an AI assistant `ai-assistant`.
//! - A referrer that is no address of the web or of an Android app (`about:blank`, `file:`, garbage) is none.

mod agent;
mod cache;
mod channel;
mod click;
mod place;
mod referrer;
mod surveyor;
mod tables;
#[cfg(test)]
mod tests;
mod url;
mod utm;

pub use agent::{Agent, BOT, DEVICES, is_crawler};
pub use channel::{Channel, channel};
pub use click::ClickIdType;
pub use place::{Place, PlacesError};
pub use surveyor::{Surveyor, Visit};
pub use url::{UrlParts, decode, host_of, url_parts, without_query, without_www};
pub use utm::Utm;

/// The click id of a page's URL, as [`Surveyor::visit`] finds it.
pub fn click_id(url: &str) -> Option<(ClickIdType, std::borrow::Cow<'_, str>)> {
    utm::tags(url_parts(url).query).1
}
