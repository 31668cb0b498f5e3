//! An account's settings (contract, section 3), checked whole: every mistake is reported at once.

mod check;
mod crm;
mod export;
mod export_check;
mod local_time;
mod login;
mod mapping;
mod read;
mod route;
mod rules;
mod shape;
mod site;
#[cfg(test)]
mod tests;
mod voice;
mod webhook;
mod weekday;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use check::Mistake;
pub use crm::{Crm, CrmAsk, CrmStep, Preset};
pub use export::{Consented, Export, Ga4, GoogleAds, Meta, MicrosoftAds, Provider};
pub use local_time::{LocalTime, LocalTimeError};
pub use login::{Login, Role, VERIFIER_PREFIX};
pub use mapping::{Mapping, Member};
pub(crate) use mapping::{PASSED, STATUSES};
pub(crate) use read::mistakes;
pub use route::{RouteAsk, Shows};
pub use rules::Rules;
pub use site::Site;
pub use voice::{Api, Assessment, Callbacks, CallerId, Category, Fallback, Menu, MenuKey, Target, Voice, Voicemail};
pub use webhook::{Encoding, Hidden, Webhook};

use crate::event::{Currency, Id, Limited, Outcome, object, whole};
use crate::limits::{
    ATTRIBUTION_WINDOW_HOURS_MAX, CALL_SECONDS_MAX, CALL_TIMEOUT_MINUTES_MAX, COOLDOWN_MINUTES_MAX, EXPORTS_MAX,
    EXTENSION_DIGITS_MAX, EXTENSION_DIGITS_MIN, GREETING_SECONDS_MAX, HOLD_MINUTES_MAX, LABEL_BYTES_MAX,
    LATENESS_SECONDS_MAX, LOGINS_MAX, MAPPINGS_MAX, RETENTION_DAYS_MAX, SALES_CYCLE_DAYS_MAX,
    SESSION_TIMEOUT_MINUTES_MAX, SPAM_NUMBERS_MAX, TARGET_SECONDS_MAX, WEBHOOKS_MAX,
};
use crate::phone::Phone;
use crate::time::Date;

/// An account's whole settings. What is absent has the default that stands with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// IANA name; `UTC` if absent.
    pub timezone: String,
    /// ISO 4217; `USD` if absent.
    #[schemars(with = "Currency")]
    pub currency: String,
    /// A call is qualified from this many seconds of talk on.
    #[schemars(range(min = 0.0, max = TARGET_SECONDS_MAX))]
    pub target_seconds: f64,
    /// A caller who hangs up within this many seconds left during the greeting.
    #[schemars(range(min = 0.0, max = GREETING_SECONDS_MAX))]
    pub greeting_seconds: f64,
    #[schemars(range(min = 0.0, max = SALES_CYCLE_DAYS_MAX))]
    pub sales_cycle_days: f64,
    #[schemars(range(max = SESSION_TIMEOUT_MINUTES_MAX), extend("exclusiveMinimum" = 0.0))]
    pub session_timeout_minutes: f64,
    #[schemars(range(max = ATTRIBUTION_WINDOW_HOURS_MAX), extend("exclusiveMinimum" = 0.0))]
    pub attribution_window_hours: f64,
    /// A session less likely than this (0 to 1) is not named; absent: the likeliest always is, unless none of them is likelier.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub attribution_threshold: Option<f64>,
    /// How long a decision waits for events that come late, in event time.
    #[schemars(range(min = 0.0, max = LATENESS_SECONDS_MAX))]
    pub lateness_seconds: f64,
    /// A live call that stays silent for this long is written as it is.
    #[schemars(range(max = CALL_TIMEOUT_MINUTES_MAX), extend("exclusiveMinimum" = 0.0))]
    pub call_timeout_minutes: f64,
    /// Local opening hours by weekday (`mon` … `sun`); absent: always open.
    pub business_hours: Option<BTreeMap<Weekday, Vec<(LocalTime, LocalTime)>>>,
    /// Local dates on which the business is closed.
    pub holidays: Vec<Date>,
    /// The web sites on which numbers are shown.
    #[serde(deserialize_with = "object::list")]
    pub sites: Vec<Site>,
    #[serde(deserialize_with = "object::list")]
    pub numbers: Vec<Number>,
    #[serde(deserialize_with = "object::list")]
    pub pools: Vec<Pool>,
    /// First match wins.
    #[serde(deserialize_with = "object::list")]
    pub routes: Vec<Route>,
    #[serde(deserialize_with = "object::list")]
    pub tag_rules: Vec<TagRule>,
    /// Telephones of robots: numbers as `+14155550123`, or how they begin, as `+1900*`.
    #[schemars(length(max = SPAM_NUMBERS_MAX), inner(regex(pattern = shape::SPAM_NUMBER)))]
    pub spam_numbers: Vec<String>,
    /// How calls are answered.
    #[serde(deserialize_with = "object::only")]
    pub voice: Voice,
    /// Number or extension to name.
    #[schemars(
        with = "BTreeMap<String, Limited<0, LABEL_BYTES_MAX>>",
        extend("propertyNames" = shape::names())
    )]
    pub agents: BTreeMap<String, String>,
    /// How the messages of systems that callweave does not know become calls; `callrail` and `ctm` come with it.
    #[serde(deserialize_with = "object::list")]
    #[schemars(length(max = MAPPINGS_MAX))]
    pub mappings: Vec<Mapping>,
    /// Who may ask the tables by SQL.
    #[serde(deserialize_with = "object::list")]
    #[schemars(length(max = LOGINS_MAX))]
    pub logins: Vec<Login>,
    /// Who is told of moments, and how.
    #[serde(deserialize_with = "object::list")]
    #[schemars(length(max = WEBHOOKS_MAX))]
    pub webhooks: Vec<Webhook>,
    /// Where conversions, deals and tasks are sent.
    #[serde(deserialize_with = "object::list")]
    #[schemars(length(max = EXPORTS_MAX))]
    pub exports: Vec<Export>,
    /// Rows older than this are deleted; absent: kept for good.
    #[serde(deserialize_with = "whole::optional")]
    #[schemars(range(min = 1, max = RETENTION_DAYS_MAX))]
    pub retention_days: Option<u32>,
    pub ip_precision: IpPrecision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// How much of a visitor's address is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IpPrecision {
    /// The address as it came.
    #[default]
    Full,
    /// The network: 24 bits of IPv4, 48 bits of IPv6; the rest is zero.
    Network,
    /// Nothing.
    None,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Number {
    pub number: Phone,
    pub kind: NumberKind,
    pub pool: Option<String>,
    /// A phone number or a SIP URI.
    pub forward_to: Option<String>,
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub label: Option<String>,
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub source: Option<String>,
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub medium: Option<String>,
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub campaign: Option<String>,
    /// How calls to this number are answered, in place of the account's `voice`.
    #[serde(default, deserialize_with = "voice::boxed")]
    pub voice: Option<Box<Voice>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NumberKind {
    Static,
    Pool,
    Overflow,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pool {
    #[schemars(with = "Id")]
    pub name: String,
    /// The site that it belongs to; absent: all sites.
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub site: Option<String>,
    /// How long a number is held for a session without a sign of life. 30 if absent, as long as a session lasts.
    #[serde(default = "thirty")]
    #[schemars(range(max = HOLD_MINUTES_MAX), extend("exclusiveMinimum" = 0.0))]
    pub hold_minutes: f64,
    /// How long a number then rests before another session gets it, for those who call late. 30 if absent.
    #[serde(default = "thirty")]
    #[schemars(range(min = 0.0, max = COOLDOWN_MINUTES_MAX))]
    pub cooldown_minutes: f64,
    /// How many digits an extension has; absent: the pool uses none. With extensions a number is leased to many sessions at
    /// once, each with a code of its own that the caller dials after it.
    #[serde(default, deserialize_with = "whole::optional")]
    #[schemars(range(min = EXTENSION_DIGITS_MIN, max = EXTENSION_DIGITS_MAX))]
    pub extensions: Option<u8>,
    /// What visitors see when every number is held: `overflow` (if absent) shows `overflow_number`, `share` the number
    /// that has been held for longest.
    #[serde(default)]
    pub on_exhausted: OnExhausted,
    pub overflow_number: Option<Phone>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnExhausted {
    #[default]
    Overflow,
    Share,
}

/// Conditions that must all hold, and what is shown then. An absent condition always holds; one whose value is not known
/// of the visit never does. Text may hold `*` for anything, and is compared without regard to case but in `landing_path`
/// and the values of `url_parameters`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Route {
    /// The name of one of the `sites`.
    pub site: Option<String>,
    /// The number on the page that is replaced; absent: any.
    pub replaces: Option<Phone>,
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub source: Option<String>,
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub medium: Option<String>,
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub campaign: Option<String>,
    /// The host of another site that led here; `www.` aside.
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub referrer_host: Option<String>,
    /// Names and values of the landing page's URL parameters. The value `*` is met by any, an empty one too.
    #[schemars(
        with = "Option<BTreeMap<String, Limited<0, LABEL_BYTES_MAX>>>",
        extend("propertyNames" = shape::names())
    )]
    pub url_parameters: Option<BTreeMap<String, String>>,
    /// The landing page's path, from its first slash on and without parameters.
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub landing_path: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub country: Option<String>,
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub region: Option<String>,
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub city: Option<String>,
    /// A language tag; `de` is met by `de-AT`, too.
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub language: Option<String>,
    /// `desktop`, `mobile`, `tablet`, `tv`, `console`, `watch` or `bot`.
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub device: Option<String>,
    /// The pool to lease from …
    pub pool: Option<String>,
    /// … or the static number to show.
    pub number: Option<Phone>,
}

/// Tags a call whose row meets the conditions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("category"))]
pub struct TagRule {
    #[schemars(with = "Id")]
    pub category: String,
    #[schemars(with = "Option<Outcome>")]
    pub outcome: Option<String>,
    pub tracking_number: Option<Phone>,
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub source: Option<String>,
    #[schemars(range(min = 0.0, max = CALL_SECONDS_MAX))]
    pub min_talk_seconds: Option<f64>,
    /// Words of the transcript, whole and on end, in any case.
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub transcript_contains: Option<String>,
}

fn thirty() -> f64 {
    30.0
}

impl NumberKind {
    pub fn name(self) -> &'static str {
        match self {
            NumberKind::Static => "static",
            NumberKind::Pool => "pool",
            NumberKind::Overflow => "overflow",
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            timezone: "UTC".into(),
            currency: "USD".into(),
            target_seconds: 30.0,
            greeting_seconds: 10.0,
            sales_cycle_days: 7.0,
            session_timeout_minutes: 30.0,
            attribution_window_hours: 72.0,
            attribution_threshold: None,
            lateness_seconds: 60.0,
            call_timeout_minutes: 240.0,
            business_hours: None,
            holidays: Vec::new(),
            sites: Vec::new(),
            numbers: Vec::new(),
            pools: Vec::new(),
            routes: Vec::new(),
            tag_rules: Vec::new(),
            spam_numbers: Vec::new(),
            voice: Voice::default(),
            agents: BTreeMap::new(),
            mappings: Vec::new(),
            logins: Vec::new(),
            webhooks: Vec::new(),
            exports: Vec::new(),
            retention_days: None,
            ip_precision: IpPrecision::default(),
        }
    }
}
