//! The click ids that advertising systems append to the links they are paid for.

use serde::{Deserialize, Serialize};

/// The click ids of advertising systems, in the order in which they decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    Sccid,
    RdtCid,
    Epik,
}

impl ClickIdType {
    pub const ALL: [ClickIdType; 13] = [
        ClickIdType::Gclid,
        ClickIdType::Gbraid,
        ClickIdType::Wbraid,
        ClickIdType::Dclid,
        ClickIdType::Msclkid,
        ClickIdType::Fbclid,
        ClickIdType::Ttclid,
        ClickIdType::Twclid,
        ClickIdType::LiFatId,
        ClickIdType::Yclid,
        ClickIdType::Sccid,
        ClickIdType::RdtCid,
        ClickIdType::Epik,
    ];

    /// The parameter's name in lower case, which is how tables name the type.
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
            ClickIdType::Sccid => "sccid",
            ClickIdType::RdtCid => "rdt_cid",
            ClickIdType::Epik => "epik",
        }
    }

    /// The source and medium that the click id stands for, where the URL names none.
    ///
    /// Each vendor's help says which id its auto-tagging appends. `dclid` comes from Google's display side (Campaign
    /// Manager 360, Display & Video 360). Its medium is `display` and not `cpm`: a medium with "cp" in it is a paid
    /// one to Google Analytics, and `google / cpm` would count as Paid Search.
    pub fn source_and_medium(self) -> (&'static str, &'static str) {
        match self {
            ClickIdType::Gclid | ClickIdType::Gbraid | ClickIdType::Wbraid => ("google", "cpc"),
            ClickIdType::Dclid => ("google", "display"),
            ClickIdType::Msclkid => ("bing", "cpc"),
            ClickIdType::Fbclid => ("facebook", "paid_social"),
            ClickIdType::Ttclid => ("tiktok", "paid_social"),
            ClickIdType::Twclid => ("twitter", "paid_social"),
            ClickIdType::LiFatId => ("linkedin", "paid_social"),
            ClickIdType::Yclid => ("yandex", "cpc"),
            ClickIdType::Sccid => ("snapchat", "paid_social"),
            ClickIdType::RdtCid => ("reddit", "paid_social"),
            ClickIdType::Epik => ("pinterest", "paid_social"),
        }
    }

    /// The type of a parameter, whatever its case: Snapchat writes `ScCid`.
    pub(super) fn of_parameter(name: &str) -> Option<ClickIdType> {
        ClickIdType::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_in_the_order_in_which_they_decide() {
        assert!(ClickIdType::ALL.is_sorted());
        for kind in ClickIdType::ALL {
            assert_eq!(serde_json::to_value(kind).ok(), Some(kind.name().into()));
            assert_eq!(ClickIdType::of_parameter(&kind.name().to_ascii_uppercase()), Some(kind));
        }
    }
}
