//! A tracking number is held for a session, for longer, or no more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Text;
use crate::phone::Phone;
use crate::time::Time;

/// A number (and extension, if the pool uses them) is held for a session from now until `expires_at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseGranted<'a> {
    #[serde(borrow)]
    pub lease_id: Text<'a>,
    pub pool: Text<'a>,
    pub number: Phone,
    /// The digits a caller dials after the number.
    pub extension: Option<Text<'a>>,
    pub visitor_id: Text<'a>,
    pub session_id: Option<Text<'a>>,
    pub expires_at: Time,
}

/// The lease is held until a new `expires_at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseRenewed<'a> {
    #[serde(borrow)]
    pub lease_id: Text<'a>,
    pub expires_at: Time,
}

/// The lease is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseReleased<'a> {
    #[serde(borrow)]
    pub lease_id: Text<'a>,
}
