//! What became of a call in the business's own books.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Text;
use super::schema::{Currency, Id, Limited, some_of};
use crate::limits::LABEL_BYTES_MAX;
use crate::phone::Phone;
use crate::row::Money;
use crate::time::Time;

/// A deal is at a stage. It names a call, a visitor or a phone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = some_of(&["call_id", "visitor_id", "phone"])))]
pub struct Deal<'a> {
    #[serde(borrow)]
    #[schemars(with = "Id")]
    pub deal_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Id>")]
    pub call_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Id>")]
    pub visitor_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<Phone>,
    #[schemars(with = "Limited<1, LABEL_BYTES_MAX>")]
    pub stage: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revenue: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<Money>,
    /// ISO 4217.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Currency>")]
    pub currency: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Time>,
}
