//! Telephone systems: what each sends becomes contract events, and what it is answered. One file a provider.
//!
//! A collector gives a request as a [`Hook`] and gets [`Taken`] back, or [`Refused`]. Nothing is remembered between two
//! requests: whatever order they come in, the events they become carry the provider's own times and ids, and the join
//! makes one call of them.

pub mod asterisk;
pub mod bandwidth;
pub mod block;
mod body;
mod draft;
pub mod freeswitch;
pub mod generic;
mod leg;
mod line;
pub mod number;
pub mod outcome;
mod outgoing;
pub mod plivo;
pub mod sign;
pub mod tag;
pub mod telnyx;
pub mod threecx;
mod track;
pub mod twilio;
pub mod vonage;
mod when;

pub use draft::source_is;
pub use outgoing::Outgoing;
pub use sign::is_public_key;

use crate::event::{Event, Rejected};
use crate::settings::Rules;
use crate::time::Time;

/// One request of a telephone system.
#[derive(Debug, Clone, Copy)]
pub struct Hook<'a> {
    /// `POST` or `GET`.
    pub method: &'a str,
    /// The URL as the provider was told it, query and all: the configured public base URL and the request's own path.
    pub url: &'a str,
    /// What follows the account in the path, without the leading slash: `dial`, `menu/2`; empty for the hook itself.
    pub step: &'a str,
    /// Names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
    pub received: Time,
}

/// What holds for the account that the request's path names.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    pub account: &'a str,
    /// The settings in force at [`Hook::received`].
    pub rules: &'a Rules,
    /// What the provider signs with, or its public key.
    pub secret: Option<&'a str>,
    /// Where the provider reaches this hook, without a slash at the end: `https://t.example/v1/hooks/twilio/acme`.
    pub base: &'a str,
}

/// What a request was.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Taken {
    pub events: Vec<Event<'static>>,
    /// What cannot be used of it, with its bytes: it lands in the table `rejected`.
    pub rejected: Vec<Rejected>,
    pub reply: Reply,
    /// What was understood and makes no event.
    pub passed: Vec<Pass>,
    /// Requests to make of the provider, in order. The call does not depend on them.
    pub outgoing: Vec<Outgoing>,
}

impl Taken {
    /// What another message was, after this one. The reply is this one's.
    pub fn extend(&mut self, other: Taken) {
        self.events.extend(other.events);
        self.rejected.extend(other.rejected);
        self.passed.extend(other.passed);
    }
}

/// Up to which touch a bounded table forgets when it is full: its oldest quarter, so that a full one is not searched for
/// every newcomer.
fn oldest_quarter(touches: impl Iterator<Item = u64>) -> u64 {
    let mut touches: Vec<u64> = touches.collect();
    touches.sort_unstable();
    touches.get(touches.len() / 4).copied().unwrap_or(0)
}

/// Why something that was understood makes no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// A call from one extension to another: no call of the contract.
    Internal,
    /// A leg of a call whose parties its message does not tell; the call's own messages do.
    Leg,
    /// A kind of message that says nothing about a call.
    Other,
}

impl Pass {
    pub fn name(self) -> &'static str {
        match self {
            Pass::Internal => "internal",
            Pass::Leg => "leg",
            Pass::Other => "other",
        }
    }
}

/// What the provider is answered; nothing to say is 204.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Empty where there is no body.
    pub content_type: &'static str,
    pub body: String,
}

impl Default for Reply {
    fn default() -> Reply {
        Reply { status: 204, content_type: "", body: String::new() }
    }
}

/// Why a request is not even looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{0} is not configured for this account: give its secret (docs/configuration.md)")]
    NotConfigured(&'static str),
    #[error("the signature is missing: header {0}")]
    NotSigned(&'static str),
    #[error("the signature does not fit: {0}")]
    WrongSignature(&'static str),
    #[error("the request is signed for another time: {0} seconds off, and 300 are allowed; set the clock")]
    TooOld(i64),
    #[error("there is no such step: {0}")]
    NoSuchStep(String),
}
