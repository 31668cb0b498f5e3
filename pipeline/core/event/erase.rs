//! Forget this person.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Text;
use super::schema::{Id, some_of};
use crate::phone::Phone;

/// Names a visitor, a phone, or both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = some_of(&["visitor_id", "phone"])))]
pub struct Erase<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Id>")]
    pub visitor_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<Phone>,
}
