//! What a browser tells: page views, other events of a page, and that the page is still open.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Text;
use crate::phone::Phone;
use crate::row::Money;

/// A page was shown.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PageView<'a> {
    #[serde(borrow)]
    pub visitor_id: Text<'a>,
    pub session_id: Option<Text<'a>>,
    pub page_view_id: Option<Text<'a>>,
    pub url: Text<'a>,
    pub referrer: Option<Text<'a>>,
    pub title: Option<Text<'a>>,
    pub user_agent: Option<Text<'a>>,
    pub ip: Option<Text<'a>>,
    pub language: Option<Text<'a>>,
    /// The tracking numbers on the page.
    pub numbers: Option<Vec<Phone>>,
    pub experiment_id: Option<Text<'a>>,
    pub experiment_variant: Option<Text<'a>>,
    /// The web-analytics client, such as Google Analytics' `client_id`.
    pub client_id: Option<Text<'a>>,
    pub user_id: Option<Text<'a>>,
    /// Any JSON: what the visitor consented to, as the page tells it.
    pub consent: Option<serde_json::Value>,
}

/// Something else happened on a page: `click_to_call`, `form_submit`, `callback_request`, or any name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct WebEvent<'a> {
    #[serde(borrow)]
    pub visitor_id: Text<'a>,
    pub session_id: Option<Text<'a>>,
    pub name: Text<'a>,
    pub url: Option<Text<'a>>,
    pub number: Option<Phone>,
    pub value: Option<Money>,
    /// ISO 4217.
    pub currency: Option<Text<'a>>,
    /// Any JSON object; `phone` of a `callback_request` is the client's number.
    pub properties: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The page is still open.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat<'a> {
    #[serde(borrow)]
    pub visitor_id: Text<'a>,
    pub session_id: Option<Text<'a>>,
}
