//! What became of a call in the business's own books.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Text;
use crate::phone::Phone;
use crate::row::Money;
use crate::time::Time;

/// A deal is at a stage. It names a call, a visitor or a phone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deal<'a> {
    #[serde(borrow)]
    pub deal_id: Text<'a>,
    pub call_id: Option<Text<'a>>,
    pub visitor_id: Option<Text<'a>>,
    pub phone: Option<Phone>,
    pub stage: Text<'a>,
    pub revenue: Option<Money>,
    pub margin: Option<Money>,
    /// ISO 4217.
    pub currency: Option<Text<'a>>,
    pub closed_at: Option<Time>,
}
