//! What a browser tells: page views, other events of a page, and that the page is still open.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Text;
use super::schema::{Currency, Id, Ip, Limited};
use crate::limits::{LANGUAGE_BYTES_MAX, PAGE_NUMBERS_MAX, TITLE_BYTES_MAX, URL_BYTES_MAX, USER_AGENT_BYTES_MAX};
use crate::phone::Phone;
use crate::row::Money;

/// A page was shown.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PageView<'a> {
    #[serde(borrow)]
    #[schemars(with = "Id")]
    pub visitor_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Id>")]
    pub session_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Id>")]
    pub page_view_id: Option<Text<'a>>,
    #[schemars(with = "Limited<1, URL_BYTES_MAX>")]
    pub url: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, URL_BYTES_MAX>>")]
    pub referrer: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, TITLE_BYTES_MAX>>")]
    pub title: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, USER_AGENT_BYTES_MAX>>")]
    pub user_agent: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Ip>")]
    pub ip: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LANGUAGE_BYTES_MAX>>")]
    pub language: Option<Text<'a>>,
    /// The tracking numbers on the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = PAGE_NUMBERS_MAX))]
    pub numbers: Option<Vec<Phone>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Id>")]
    pub experiment_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Id>")]
    pub experiment_variant: Option<Text<'a>>,
    /// The web-analytics client, such as Google Analytics' `client_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Id>")]
    pub client_id: Option<Text<'a>>,
    /// The client's session there, such as Google Analytics' `session_id`: for exports alone, no table holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Id>")]
    pub client_session_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Id>")]
    pub user_id: Option<Text<'a>>,
    /// Any JSON: what the visitor consented to, as the page tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<serde_json::Value>,
}

/// Something else happened on a page: `click_to_call`, `form_submit`, `callback_request`, or any name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct WebEvent<'a> {
    #[serde(borrow)]
    #[schemars(with = "Id")]
    pub visitor_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Id>")]
    pub session_id: Option<Text<'a>>,
    #[schemars(with = "Id")]
    pub name: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<1, URL_BYTES_MAX>>")]
    pub url: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<Phone>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Money>,
    /// ISO 4217.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Currency>")]
    pub currency: Option<Text<'a>>,
    /// Any JSON object; `phone` of a `callback_request` is the client's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The page is still open.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat<'a> {
    #[serde(borrow)]
    #[schemars(with = "Id")]
    pub visitor_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Id>")]
    pub session_id: Option<Text<'a>>,
}
