//! Where conversions, deals and tasks are sent: the exports of an account, one entry each.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Hidden;
use super::crm::Crm;
use super::shape::{self, Digits, ExportSecret, FileName, MomentName, Slug, Url};
use super::voice::optional;
use crate::event::{Currency, Limited, whole};
use crate::limits::{
    EXPORT_DELAY_HOURS_MAX, EXPORT_SECRETS_MAX, LABEL_BYTES_MAX, WEBHOOK_ANSWER_SECONDS_MAX,
    WEBHOOK_CONNECT_SECONDS_MAX, WEBHOOK_FILTER_BYTES_MAX,
};
use crate::moment::MomentKind;

/// An amount below this has 12 digits before its point.
pub(super) const EXPORT_VALUE_MAX: f64 = 1e12;

/// One export. Exactly one of `ga4`, `google_ads`, `microsoft_ads`, `meta` and `crm` says to whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("name"))]
pub struct Export {
    /// Letters, digits, `-` and `_`. What was sent is kept by this name, whatever else changes.
    #[schemars(with = "Slug")]
    pub name: String,
    /// `call.attributed`, `deal.changed` and so on. `call.attributed` alone if absent; for a CRM what its steps name.
    #[schemars(with = "Vec<MomentName>")]
    pub moments: Vec<String>,
    /// An SQL expression over the row: `is_target AND source = 'google'`. Where it is not true, nothing is sent.
    #[schemars(length(min = 1, max = WEBHOOK_FILTER_BYTES_MAX))]
    pub filter: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub ga4: Option<Ga4>,
    #[serde(deserialize_with = "optional")]
    pub google_ads: Option<GoogleAds>,
    #[serde(deserialize_with = "optional")]
    pub microsoft_ads: Option<MicrosoftAds>,
    #[serde(deserialize_with = "optional")]
    pub meta: Option<Meta>,
    #[serde(deserialize_with = "optional")]
    pub crm: Option<Crm>,
    /// What a conversion is worth. A deal has its revenue, a tag its value; this is for those without.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = EXPORT_VALUE_MAX))]
    pub value: Option<f64>,
    /// Of `value`, ISO 4217; the account's if absent.
    #[schemars(with = "Option<Currency>")]
    pub currency: Option<String>,
    /// What holds where the page told no consent. Absent: it is not known, and who needs consent is not told.
    pub consent: Option<Consented>,
    /// By name, as the provider calls them. They stand in the log as the settings do; better give `secret_file`.
    #[schemars(with = "BTreeMap<String, ExportSecret>", extend("maxProperties" = EXPORT_SECRETS_MAX))]
    pub secrets: BTreeMap<String, Hidden>,
    /// The name of a file in the folder `ACCOUNT` of `notify.secrets`: one `name=value` a line.
    #[schemars(with = "Option<FileName>")]
    pub secret_file: Option<String>,
    /// How long a moment waits before it is sent. Absent: 6 for Google Ads, which refuses younger clicks; 0 for others.
    #[schemars(range(min = 0.0, max = EXPORT_DELAY_HOURS_MAX))]
    pub delay_hours: Option<f64>,
    /// Time to connect. 3 if absent.
    #[serde(deserialize_with = "whole::only")]
    #[schemars(range(min = 1, max = WEBHOOK_CONNECT_SECONDS_MAX))]
    pub connect_seconds: u32,
    /// Time for each answer. 20 if absent.
    #[serde(deserialize_with = "whole::only")]
    #[schemars(range(min = 1, max = WEBHOOK_ANSWER_SECONDS_MAX))]
    pub answer_seconds: u32,
    /// Off, nothing is sent; on again, it goes on where it stopped, as far as the log of moments reaches back.
    pub enabled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Consented {
    Granted,
    Denied,
}

/// Google Analytics 4, by the Measurement Protocol. Secret: `api_secret`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("measurement_id"))]
pub struct Ga4 {
    /// `G-…`, of the web stream.
    #[schemars(regex(pattern = shape::MEASUREMENT_ID))]
    pub measurement_id: String,
    /// The event's name. `phone_call` if absent.
    #[schemars(regex(pattern = shape::GA4_EVENT))]
    pub event: Option<String>,
    /// Another host than `https://www.google-analytics.com`, such as `https://region1.google-analytics.com`.
    #[schemars(with = "Option<Url>")]
    pub url: Option<String>,
}

/// Google Ads, click conversions. Secrets: `developer_token`, `client_id`, `client_secret`, `refresh_token`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("customer_id conversion_action"))]
pub struct GoogleAds {
    /// Ten digits, with or without hyphens.
    #[schemars(regex(pattern = shape::GOOGLE_CUSTOMER))]
    pub customer_id: String,
    /// The manager account through which it is reached.
    #[schemars(regex(pattern = shape::GOOGLE_CUSTOMER))]
    pub login_customer_id: Option<String>,
    /// The number of the conversion action.
    #[schemars(with = "Digits")]
    pub conversion_action: String,
    /// Its name, for the CSV file.
    pub conversion_name: Option<String>,
    /// Of the API. `v26` if absent.
    #[schemars(regex(pattern = shape::GOOGLE_VERSION))]
    pub version: Option<String>,
    /// Another host than `https://googleads.googleapis.com`.
    #[schemars(with = "Option<Url>")]
    pub url: Option<String>,
    /// Another address than `https://oauth2.googleapis.com/token`.
    #[schemars(with = "Option<Url>")]
    pub token_url: Option<String>,
}

/// Microsoft Advertising, offline conversions. Secrets: `developer_token`, `client_id`, `refresh_token`, perhaps `client_secret`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("customer_id account_id conversion_name"))]
pub struct MicrosoftAds {
    #[schemars(with = "Digits")]
    pub customer_id: String,
    #[schemars(with = "Digits")]
    pub account_id: String,
    /// The name of the offline conversion goal.
    #[schemars(with = "Limited<1, LABEL_BYTES_MAX>")]
    pub conversion_name: String,
    /// Another host than `https://campaign.api.bingads.microsoft.com`.
    #[schemars(with = "Option<Url>")]
    pub url: Option<String>,
    /// Another address than `https://login.microsoftonline.com/common/oauth2/v2.0/token`.
    #[schemars(with = "Option<Url>")]
    pub token_url: Option<String>,
}

/// Meta, by the Conversions API. Secret: `access_token`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("pixel_id"))]
pub struct Meta {
    /// The data set (pixel).
    #[schemars(with = "Digits")]
    pub pixel_id: String,
    /// A standard event or one of your own. `Contact` if absent.
    #[schemars(with = "Option<Limited<1, LABEL_BYTES_MAX>>")]
    pub event: Option<String>,
    /// Of the Graph API. `v24.0` if absent.
    #[schemars(regex(pattern = shape::META_VERSION))]
    pub version: Option<String>,
    /// From the Events Manager: what is sent with it shows there and counts nowhere. Tests need it.
    pub test_event_code: Option<String>,
    /// Another host than `https://graph.facebook.com`.
    #[schemars(with = "Option<Url>")]
    pub url: Option<String>,
}

/// To whom an export goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Provider<'s> {
    Ga4(&'s Ga4),
    GoogleAds(&'s GoogleAds),
    MicrosoftAds(&'s MicrosoftAds),
    Meta(&'s Meta),
    Crm(&'s Crm),
}

impl Provider<'_> {
    pub fn name(self) -> &'static str {
        match self {
            Provider::Ga4(_) => "ga4",
            Provider::GoogleAds(_) => "google_ads",
            Provider::MicrosoftAds(_) => "microsoft_ads",
            Provider::Meta(_) => "meta",
            Provider::Crm(_) => "crm",
        }
    }

    /// The secrets that it cannot do without.
    pub fn secrets(self) -> &'static [&'static str] {
        match self {
            Provider::Ga4(_) => &["api_secret"],
            Provider::GoogleAds(_) => &["developer_token", "client_id", "client_secret", "refresh_token"],
            Provider::MicrosoftAds(_) => &["developer_token", "client_id", "refresh_token"],
            Provider::Meta(_) | Provider::Crm(_) => &["access_token"],
        }
    }
}

impl Export {
    pub fn providers(&self) -> Vec<Provider<'_>> {
        let all = [
            self.ga4.as_ref().map(Provider::Ga4),
            self.google_ads.as_ref().map(Provider::GoogleAds),
            self.microsoft_ads.as_ref().map(Provider::MicrosoftAds),
            self.meta.as_ref().map(Provider::Meta),
            self.crm.as_ref().map(Provider::Crm),
        ];
        all.into_iter().flatten().collect()
    }

    /// The one provider; nothing where the settings name none or several.
    pub fn provider(&self) -> Option<Provider<'_>> {
        match self.providers().as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// The names of the moments that are sent.
    pub fn wanted(&self) -> Vec<String> {
        match &self.crm {
            _ if !self.moments.is_empty() => self.moments.clone(),
            Some(crm) => crm.moments(),
            None => vec![MomentKind::CallAttributed.name().to_owned()],
        }
    }

    pub fn delay_hours(&self) -> f64 {
        self.delay_hours.unwrap_or(if self.google_ads.is_some() { 6.0 } else { 0.0 })
    }
}

impl Default for Export {
    fn default() -> Export {
        Export {
            name: String::new(),
            moments: Vec::new(),
            filter: None,
            ga4: None,
            google_ads: None,
            microsoft_ads: None,
            meta: None,
            crm: None,
            value: None,
            currency: None,
            consent: None,
            secrets: BTreeMap::new(),
            secret_file: None,
            delay_hours: None,
            connect_seconds: 3,
            answer_seconds: 20,
            enabled: true,
        }
    }
}
