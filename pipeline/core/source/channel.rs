//! Google Analytics 4's default channel groups.

use serde::{Deserialize, Serialize};

use super::tables::{Kind, kind_of};
use super::url::lower;

/// Google Analytics 4's default channel groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Channel {
    Direct,
    #[serde(rename = "Cross-network")]
    CrossNetwork,
    #[serde(rename = "Paid Shopping")]
    PaidShopping,
    #[serde(rename = "Paid Search")]
    PaidSearch,
    #[serde(rename = "Paid Social")]
    PaidSocial,
    #[serde(rename = "Paid Video")]
    PaidVideo,
    Display,
    #[serde(rename = "Paid Other")]
    PaidOther,
    #[serde(rename = "Organic Shopping")]
    OrganicShopping,
    #[serde(rename = "Organic Social")]
    OrganicSocial,
    #[serde(rename = "Organic Video")]
    OrganicVideo,
    #[serde(rename = "Organic Search")]
    OrganicSearch,
    Email,
    Affiliates,
    Referral,
    Audio,
    #[serde(rename = "SMS")]
    Sms,
    #[serde(rename = "Mobile Push Notifications")]
    MobilePush,
    Unassigned,
    #[serde(rename = "AI Assistant")]
    AiAssistant,
}

impl Channel {
    pub const ALL: [Channel; 20] = [
        Channel::Direct,
        Channel::CrossNetwork,
        Channel::PaidShopping,
        Channel::PaidSearch,
        Channel::PaidSocial,
        Channel::PaidVideo,
        Channel::Display,
        Channel::PaidOther,
        Channel::OrganicShopping,
        Channel::OrganicSocial,
        Channel::OrganicVideo,
        Channel::OrganicSearch,
        Channel::Email,
        Channel::Affiliates,
        Channel::Referral,
        Channel::Audio,
        Channel::Sms,
        Channel::MobilePush,
        Channel::Unassigned,
        Channel::AiAssistant,
    ];

    /// As Google Analytics writes it.
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
            Channel::AiAssistant => "AI Assistant",
        }
    }
}

/// The channel of a source, medium and campaign, by the rules for manual traffic that Google publishes
/// (support.google.com/analytics/answer/9756891, "Default channel group"), in its order and without regard to case.
///
/// What Google knows from its own advertising accounts (the network of an ad, a creative's format) is not known here.
/// Of the channel AI Assistant (since May 2026) Google publishes the medium and some of the sources, but not its place
/// among the rules: here it comes after the paid ones and before the organic ones.
pub fn channel(source: &str, medium: &str, campaign: Option<&str>) -> Channel {
    let (source, medium) = (lower(source), lower(medium));
    let (source, medium) = (source.as_ref(), medium.as_ref());
    if source == "(direct)" && matches!(medium, "(none)" | "(not set)") {
        return Channel::Direct;
    }
    let campaign = lower(campaign.unwrap_or(""));
    if has(&campaign, "cross-network") {
        return Channel::CrossNetwork;
    }
    let kind = kind_of(source);
    let of = |asked: Kind| kind == Some(asked);
    let shopping = of(Kind::Shopping) || is_shopping_campaign(&campaign);
    let paid = has(medium, "cp") || matches!(medium, "ppc" | "retargeting") || medium.starts_with("paid");
    match () {
        () if paid && shopping => Channel::PaidShopping,
        () if paid && of(Kind::Search) => Channel::PaidSearch,
        () if paid && of(Kind::Social) => Channel::PaidSocial,
        () if paid && of(Kind::Video) => Channel::PaidVideo,
        () if matches!(medium, "display" | "banner" | "expandable" | "interstitial" | "cpm") => Channel::Display,
        () if paid => Channel::PaidOther,
        () if medium == "ai-assistant" || of(Kind::Assistant) => Channel::AiAssistant,
        () if shopping => Channel::OrganicShopping,
        () if of(Kind::Social) || is_social_medium(medium) => Channel::OrganicSocial,
        () if of(Kind::Video) || has(medium, "video") => Channel::OrganicVideo,
        () if of(Kind::Search) || medium == "organic" => Channel::OrganicSearch,
        () if matches!(medium, "referral" | "app" | "link") => Channel::Referral,
        () if is_email(source) || is_email(medium) => Channel::Email,
        () if medium == "affiliate" => Channel::Affiliates,
        () if medium == "audio" => Channel::Audio,
        () if source == "sms" || medium == "sms" => Channel::Sms,
        () if medium.ends_with("push") || has(medium, "mobile") || has(medium, "notification") => Channel::MobilePush,
        () if source == "firebase" => Channel::MobilePush,
        () => Channel::Unassigned,
    }
}

/// Google's `^(.*(([^a-df-z]|^)shop|shopping).*)$`: "eshop" and "my-shop" are shops, "workshop" and "bishop" are not.
fn is_shopping_campaign(campaign: &str) -> bool {
    has(campaign, "shopping")
        || campaign.starts_with("shop")
        || campaign
            .as_bytes()
            .windows(5)
            .any(|window| window.ends_with(b"shop") && (!window[0].is_ascii_lowercase() || window[0] == b'e'))
}

/// `contains`, without the searcher that `str` sets up first: these texts are a few letters long, or empty.
fn has(text: &str, part: &str) -> bool {
    text.len() >= part.len() && text.as_bytes().windows(part.len()).any(|window| window == part.as_bytes())
}

fn is_social_medium(medium: &str) -> bool {
    matches!(medium, "social" | "social-network" | "social-media" | "sm" | "social network" | "social media")
}

fn is_email(text: &str) -> bool {
    matches!(text, "email" | "e-mail" | "e_mail" | "e mail")
}

#[cfg(test)]
mod tests {
    use super::Channel::*;
    use super::*;

    #[test]
    fn names_are_those_of_serde() {
        for channel in Channel::ALL {
            assert_eq!(serde_json::to_value(channel).ok(), Some(channel.name().into()));
        }
    }

    /// A handful of each category of Google's list of sources, odd ones among them.
    #[test]
    fn the_published_sources() {
        let cases: [(Channel, &[&str]); 5] = [
            (
                OrganicSocial,
                &[
                    "43things",
                    "43things.com",
                    "bebo",
                    "bit.ly",
                    "blog.goo.ne.jp",
                    "buzzfeed.com",
                    "fc2",
                    "goo.gl",
                    "google+",
                    "Hatena",
                    "ImageShack",
                    "imageshack.us",
                    "livedoorblog",
                    "messages.google.com",
                    "my.opera.com",
                    "niconico",
                    "nicovideo.jp",
                    "plurk.com",
                    "secondlife",
                    "shareit",
                    "social",
                    "stackapps",
                    "superuser",
                    "tinyurl",
                    "video.ibm.com",
                    "wikihow.com",
                    "www.xanga.com",
                    "zooppa.com",
                ],
            ),
            (
                OrganicSearch,
                &[
                    "cnn",
                    "email.seznam.cz",
                    "go.mail.ru",
                    "mail.rambler.ru",
                    "mail.yandex.ru",
                    "secureurl.ukr.net",
                    "webmaster.yandex.ru",
                ],
            ),
            (OrganicShopping, &["Google Shopping", "IGShopping", "s3.amazonaws.com", "shop.app", "uk.shopping.net"]),
            (OrganicVideo, &["d.tube", "fast.wistia.net", "justin.tv", "viadeo.journaldunet.com", "utreon"]),
            (Referral, &["blog.plurk.com", "plurks.com", "mail.seznam.cz", "amazonaws.com"]),
        ];
        for (expected, sources) in cases {
            for source in sources {
                assert_eq!(channel(source, "referral", None), expected, "{source}");
            }
        }
        assert_eq!(channel("plurk", "cpc", None), PaidSocial);
        assert_eq!(channel("niconico", "cpc", None), PaidSocial);
    }

    #[test]
    fn the_published_rules() {
        for (source, medium, campaign, expected) in [
            ("(direct)", "(none)", "", Direct),
            ("(direct)", "(not set)", "", Direct),
            ("(direct)", "(none)", "cross-network", Direct),
            ("(direct)", "email", "", Email),
            ("direct", "(none)", "", Unassigned),
            ("google", "cpc", "2026 Cross-Network", CrossNetwork),
            ("google", "cpc", "spring", PaidSearch),
            ("Google", "CPC", "", PaidSearch),
            ("google", "cpm", "", PaidSearch),
            ("google", "display", "", Display),
            ("google.co.uk", "paid-search", "", PaidSearch),
            ("bing", "ppc", "", PaidSearch),
            ("bing", "ppcx", "", OrganicSearch),
            ("yandex", "cpc", "", PaidSearch),
            ("google", "cpc", "Shopping_DE", PaidShopping),
            ("google", "cpc", "eshop", PaidShopping),
            ("google", "cpc", "my-shop", PaidShopping),
            ("google", "cpc", "workshop", PaidSearch),
            ("amazon", "cpc", "", PaidShopping),
            ("amazon.de", "referral", "", OrganicShopping),
            ("newsletter", "email", "shop", OrganicShopping),
            ("facebook", "paid_social", "", PaidSocial),
            ("fb", "paid", "", PaidSocial),
            ("ig", "cpc", "", PaidSocial),
            ("l.instagram.com", "retargeting", "", PaidSocial),
            ("youtube", "cpv", "", PaidVideo),
            ("youtube", "cpc", "", PaidVideo),
            ("some-dsp", "cpm", "", Display),
            ("some-dsp", "banner", "", Display),
            ("some-dsp", "cpa", "", PaidOther),
            ("taboola", "paid-native", "", PaidOther),
            ("facebook.com", "referral", "", OrganicSocial),
            ("x.com", "(not set)", "", OrganicSocial),
            ("partner", "social network", "", OrganicSocial),
            ("partner", "SM", "", OrganicSocial),
            ("youtube.com", "referral", "", OrganicVideo),
            ("partner", "pre-video-roll", "", OrganicVideo),
            ("duckduckgo", "organic", "", OrganicSearch),
            ("duckduckgo", "whatever", "", OrganicSearch),
            ("partner", "organic", "", OrganicSearch),
            ("chatgpt.com", "(not set)", "", AiAssistant),
            ("claude", "ai-assistant", "", AiAssistant),
            ("partner", "referral", "", Referral),
            ("partner", "app", "", Referral),
            ("partner", "link", "", Referral),
            ("email", "referral", "", Referral),
            ("gmail", "email", "", Email),
            ("e-mail", "blast", "", Email),
            ("crm", "E_Mail", "", Email),
            ("crm", "newsletter", "", Unassigned),
            ("awin", "affiliate", "", Affiliates),
            ("spotify", "audio", "", Audio),
            ("sms", "reminder", "", Sms),
            ("crm", "SMS", "", Sms),
            ("crm", "webpush", "", MobilePush),
            ("crm", "mobile-banner", "", MobilePush),
            ("crm", "notification", "", MobilePush),
            ("firebase", "x", "", MobilePush),
            ("flyer", "print", "", Unassigned),
            ("flyer", "(not set)", "", Unassigned),
            ("", "", "", Unassigned),
        ] {
            assert_eq!(channel(source, medium, Some(campaign)), expected, "{source} / {medium} / {campaign}");
        }
    }
}
