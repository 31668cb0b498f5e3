//! Forget this person.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Text;
use crate::phone::Phone;

/// Names a visitor, a phone, or both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Erase<'a> {
    #[serde(borrow)]
    pub visitor_id: Option<Text<'a>>,
    pub phone: Option<Phone>,
}
