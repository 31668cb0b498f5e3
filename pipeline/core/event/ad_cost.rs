//! What a day of advertising cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Text;
use super::schema::{Currency, Limited};
use crate::limits::{COUNT_MAX, LABEL_BYTES_MAX};
use crate::row::Money;
use crate::time::Date;

/// What one source, campaign and word cost on one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdCost<'a> {
    pub date: Date,
    #[serde(borrow)]
    #[schemars(with = "Limited<1, LABEL_BYTES_MAX>")]
    pub source: Text<'a>,
    #[schemars(with = "Limited<1, LABEL_BYTES_MAX>")]
    pub medium: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub campaign: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub term: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub content: Option<Text<'a>>,
    #[schemars(range(min = 0), extend("pattern" = "^[0-9]{1,12}(\\.[0-9]{1,6})?$"))]
    pub cost: Money,
    /// ISO 4217.
    #[schemars(with = "Currency")]
    pub currency: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = COUNT_MAX))]
    pub clicks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = COUNT_MAX))]
    pub impressions: Option<u64>,
}
