//! Bytes -> event, or a rejection that says what is wrong, where, and keeps the bytes.

use super::Event;
use crate::time::Time;

/// Something that arrived and cannot be used. It lands in the table `rejected`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    /// The account, where the bytes still tell.
    pub account: Option<String>,
    /// What is wrong and how to mend it, for a person.
    pub reason: String,
    /// The offending member, such as `data.expires_at` or `data.segments[3].text`; empty for the whole.
    pub path: String,
    /// The bytes as they came, without the line feed.
    pub raw: Vec<u8>,
}

/// Decodes one event. `received` is when the bytes were taken in, where that is known: a live collector's clock.
pub fn decode(bytes: &[u8], received: Option<Time>) -> Result<Event<'_>, Box<Rejected>> {
    let _ = (bytes, received);
    unimplemented!()
}
