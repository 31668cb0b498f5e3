//! The types of events by name.

use std::fmt;

use serde::de;

/// Every `type` of event, in the order of the contract.
pub const TYPES: &[&str] = &[
    "page_view",
    "web_event",
    "heartbeat",
    "lease_granted",
    "lease_renewed",
    "lease_released",
    "pool_exhausted",
    "call",
    "call_record",
    "call_tag",
    "call_note",
    "transcript",
    "deal",
    "ad_cost",
    "account_settings",
    "erase",
];

/// A `type`, in the order of [`TYPES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    PageView,
    WebEvent,
    Heartbeat,
    LeaseGranted,
    LeaseRenewed,
    LeaseReleased,
    PoolExhausted,
    Call,
    CallRecord,
    CallTag,
    CallNote,
    Transcript,
    Deal,
    AdCost,
    AccountSettings,
    Erase,
}

impl Kind {
    pub(super) fn of(name: &str) -> Option<Kind> {
        Some(match name {
            "page_view" => Kind::PageView,
            "web_event" => Kind::WebEvent,
            "heartbeat" => Kind::Heartbeat,
            "lease_granted" => Kind::LeaseGranted,
            "lease_renewed" => Kind::LeaseRenewed,
            "lease_released" => Kind::LeaseReleased,
            "pool_exhausted" => Kind::PoolExhausted,
            "call" => Kind::Call,
            "call_record" => Kind::CallRecord,
            "call_tag" => Kind::CallTag,
            "call_note" => Kind::CallNote,
            "transcript" => Kind::Transcript,
            "deal" => Kind::Deal,
            "ad_cost" => Kind::AdCost,
            "account_settings" => Kind::AccountSettings,
            "erase" => Kind::Erase,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        TYPES[self as usize]
    }
}

impl<'de> de::Deserialize<'de> for Kind {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Kind;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an event type such as page_view")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Kind, E> {
                Kind::of(name).ok_or_else(|| E::unknown_variant(name, TYPES))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_are_in_step() {
        for (at, name) in TYPES.iter().enumerate() {
            let kind = Kind::of(name).expect("every name has a kind");
            assert_eq!((kind as usize, kind.name()), (at, *name));
        }
    }
}
