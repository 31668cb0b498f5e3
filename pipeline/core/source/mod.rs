//! Where a page view came from: its URL and referrer become source, medium and channel; its user agent and address
//! become device and place.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::PageView;

/// Google Analytics 4's default channel groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Channel {
    Direct,
    CrossNetwork,
    PaidShopping,
    PaidSearch,
    PaidSocial,
    PaidVideo,
    Display,
    PaidOther,
    OrganicShopping,
    OrganicSocial,
    OrganicVideo,
    OrganicSearch,
    Email,
    Affiliates,
    Referral,
    Audio,
    Sms,
    MobilePush,
    Unassigned,
}

/// The click ids of advertising systems, in the order in which they decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ClickIdType {
    Gclid,
    Gbraid,
    Wbraid,
    Dclid,
    Msclkid,
    Fbclid,
    Ttclid,
    Twclid,
    LiFatId,
    Yclid,
}

/// What the visitor browses with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Agent {
    /// `desktop`, `mobile`, `tablet`, `tv`, `bot` or another word for it.
    pub device: Option<Arc<str>>,
    pub browser: Option<Arc<str>>,
    pub os: Option<Arc<str>>,
}

/// Where the visitor's address is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country: Option<Arc<str>>,
    pub region: Option<Arc<str>>,
    pub city: Option<Arc<str>>,
}

/// The `utm_*` parameters of a URL, decoded; an empty one is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Utm<'a> {
    pub source: Option<Cow<'a, str>>,
    pub medium: Option<Cow<'a, str>>,
    pub campaign: Option<Cow<'a, str>>,
    pub term: Option<Cow<'a, str>>,
    pub content: Option<Cow<'a, str>>,
}

/// What a page view's URL, referrer, user agent and address say.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit<'a> {
    pub utm: Utm<'a>,
    pub click_id: Option<(ClickIdType, Cow<'a, str>)>,
    pub channel: Channel,
    pub source: Cow<'a, str>,
    pub medium: Cow<'a, str>,
    pub agent: Arc<Agent>,
    pub place: Arc<Place>,
    /// The first language tag of `language`.
    pub language: Option<Cow<'a, str>>,
}

/// Looks page views over. Holds caches and tables, no state that could change an answer.
#[derive(Default)]
pub struct Surveyor {}

impl Surveyor {
    pub fn visit<'a>(&mut self, page_view: &'a PageView<'a>) -> Visit<'a> {
        let _ = page_view;
        unimplemented!()
    }
}

impl Channel {
    /// The name that Google Analytics 4 shows for it.
    pub fn name(self) -> &'static str {
        match self {
            Channel::Direct => "Direct",
            Channel::CrossNetwork => "Cross-network",
            Channel::PaidShopping => "Paid Shopping",
            Channel::PaidSearch => "Paid Search",
            Channel::PaidSocial => "Paid Social",
            Channel::PaidVideo => "Paid Video",
            Channel::Display => "Display",
            Channel::PaidOther => "Paid Other",
            Channel::OrganicShopping => "Organic Shopping",
            Channel::OrganicSocial => "Organic Social",
            Channel::OrganicVideo => "Organic Video",
            Channel::OrganicSearch => "Organic Search",
            Channel::Email => "Email",
            Channel::Affiliates => "Affiliates",
            Channel::Referral => "Referral",
            Channel::Audio => "Audio",
            Channel::Sms => "SMS",
            Channel::MobilePush => "Mobile Push Notifications",
            Channel::Unassigned => "Unassigned",
        }
    }
}

impl ClickIdType {
    /// The URL parameter that carries it.
    pub fn name(self) -> &'static str {
        match self {
            ClickIdType::Gclid => "gclid",
            ClickIdType::Gbraid => "gbraid",
            ClickIdType::Wbraid => "wbraid",
            ClickIdType::Dclid => "dclid",
            ClickIdType::Msclkid => "msclkid",
            ClickIdType::Fbclid => "fbclid",
            ClickIdType::Ttclid => "ttclid",
            ClickIdType::Twclid => "twclid",
            ClickIdType::LiFatId => "li_fat_id",
            ClickIdType::Yclid => "yclid",
        }
    }
}

/// The channel of a source that is known otherwise than from a URL, such as a static number's.
pub fn channel(source: &str, medium: &str, campaign: Option<&str>) -> Channel {
    let _ = (source, medium, campaign);
    unimplemented!()
}
