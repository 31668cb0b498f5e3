//! What a day of advertising cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Text;
use crate::row::Money;
use crate::time::Date;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdCost<'a> {
    pub date: Date,
    #[serde(borrow)]
    pub source: Text<'a>,
    pub medium: Text<'a>,
    pub campaign: Option<Text<'a>>,
    pub term: Option<Text<'a>>,
    pub content: Option<Text<'a>>,
    pub cost: Money,
    /// ISO 4217.
    pub currency: Text<'a>,
    pub clicks: Option<u64>,
    pub impressions: Option<u64>,
}
