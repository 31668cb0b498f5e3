//! A tracking number is held for a session, for longer, or no more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{Extension, Id};
use super::{Text, whole};
use crate::limits::COUNT_MAX;
use crate::phone::Phone;
use crate::settings::OnExhausted;
use crate::time::Time;

/// A number (and extension, if the pool uses them) is held for a session from now until `expires_at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseGranted<'a> {
    #[serde(borrow)]
    #[schemars(with = "Id")]
    pub lease_id: Text<'a>,
    #[schemars(with = "Id")]
    pub pool: Text<'a>,
    pub number: Phone,
    /// The digits a caller dials after the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Extension>")]
    pub extension: Option<Text<'a>>,
    #[schemars(with = "Id")]
    pub visitor_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Id>")]
    pub session_id: Option<Text<'a>>,
    pub expires_at: Time,
}

/// The lease is held until a new `expires_at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseRenewed<'a> {
    #[serde(borrow)]
    #[schemars(with = "Id")]
    pub lease_id: Text<'a>,
    pub expires_at: Time,
}

/// The lease is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseReleased<'a> {
    #[serde(borrow)]
    #[schemars(with = "Id")]
    pub lease_id: Text<'a>,
}

/// A visitor came for whom a pool had no number left. Told at most once a minute by each collector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolExhausted<'a> {
    #[serde(borrow)]
    #[schemars(with = "Id")]
    pub pool: Text<'a>,
    /// Lines of the pool: numbers, or with extensions numbers times codes.
    #[serde(deserialize_with = "whole::only")]
    #[schemars(range(max = COUNT_MAX))]
    pub size: u64,
    /// Lines that a session holds; the rest rests after one.
    #[serde(deserialize_with = "whole::only")]
    #[schemars(range(max = COUNT_MAX))]
    pub held: u64,
    /// What the visitor saw instead: `overflow` or `share`.
    pub on_exhausted: OnExhausted,
}
