//! A line, and how its leases stand in the log.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use callweave_core::phone::Phone;
use callweave_core::time::Time;
use serde::{Deserialize, Serialize};

use crate::log::frame::{FrameBuilder, FrameError, Record};
use crate::log::{Entry, Subject};

/// What the desk's events are marked with in the log, and the `source` of each.
pub const ORIGIN: &str = "lease";
/// Sessions that an event tells to hold one line. Where more share it, those longest unseen are left out; their leases
/// are none the worse for it, but are not renewed any more.
pub const HOLDERS_MAX: usize = 16;

/// A number, or a number and the code that is dialled after it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Line {
    pub number: Phone,
    pub extension: Option<Box<str>>,
}

impl Line {
    pub fn subject(&self, partition: u16, account: &str) -> Subject {
        Subject::lease(partition, account, &self.to_string())
    }
}

/// `+14155550123`, or with a code `+14155550123x1234`.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)?;
        self.extension.as_ref().map_or(Ok(()), |code| write!(f, "x{code}"))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A session that holds a line, or did so last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub lease_id: Arc<str>,
    pub visitor_id: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<Arc<str>>,
    pub granted_at: Time,
    /// Of a released lease its release.
    pub expires_at: Time,
}

/// What the log says of a line: its last event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// 0: the log holds nothing of it.
    pub sequence: u64,
    pub holders: Vec<Holder>,
    /// Nobody may have it before, whoever holds it: what was written could not be read.
    pub kept_until: Option<Time>,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "type")]
    kind: String,
    time: Time,
    data: StoredData,
}

#[derive(Deserialize)]
struct StoredData {
    lease_id: Arc<str>,
    visitor_id: Option<Arc<str>>,
    session_id: Option<Arc<str>>,
    expires_at: Option<Time>,
    holders: Option<Vec<Holder>>,
}

impl Told {
    /// Reads the last entry of a line. What another program wrote there without `holders` is believed as far as it goes:
    /// a grant names one holder, and anything else keeps the line for as long as a lease lasts.
    pub fn of(entry: &Entry, hold: i64) -> Told {
        let sequence = entry.sequence;
        match entry.records().last().and_then(Result::ok).and_then(holders) {
            Some(holders) => Told { sequence, holders, kept_until: None },
            None => Told { sequence, holders: Vec::new(), kept_until: Some(entry.appended.plus(hold)) },
        }
    }
}

fn holders(record: Record<'_>) -> Option<Vec<Holder>> {
    let Record::Event { bytes, .. } = record else { return None };
    let Stored { kind, time, data } = serde_json::from_slice(bytes).ok()?;
    if let Some(mut holders) = data.holders {
        holders.truncate(HOLDERS_MAX);
        return Some(holders);
    }
    let expires_at = data.expires_at.filter(|_| kind == "lease_granted")?;
    let (lease_id, visitor_id, session_id) = (data.lease_id, data.visitor_id?, data.session_id);
    Some(vec![Holder { lease_id, visitor_id, session_id, granted_at: time, expires_at }])
}

/// What is done with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Grant,
    Renew,
    Release,
}

/// A deed that is to be appended, and what the line is then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub line: Line,
    pub deed: Deed,
    /// Whose lease it is about, as it is afterwards.
    pub holder: Holder,
    pub holders: Vec<Holder>,
    /// The line's last event, as far as is known.
    pub expect: u64,
}

#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    time: Time,
    account: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    lease_id: &'a str,
    #[serde(flatten)]
    terms: Option<Terms<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Time>,
    /// No member of the contract's event: what the next desk needs to know.
    holders: &'a [Holder],
}

#[derive(Serialize)]
struct Terms<'a> {
    pool: &'a str,
    number: Phone,
    #[serde(skip_serializing_if = "Option::is_none")]
    extension: Option<&'a str>,
    visitor_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
}

impl Change {
    /// The contract's event as a frame of one record.
    ///
    /// # Errors
    /// It is over the limits of a frame, which no usable visitor id makes it.
    pub fn payload(&self, account: &str, pool: &str, now: Time) -> Result<Bytes, FrameError> {
        let (holder, line) = (&self.holder, &self.line);
        let id = match self.deed {
            Deed::Grant => holder.lease_id.to_string(),
            Deed::Renew => format!("{}/{}", holder.lease_id, holder.expires_at.0),
            Deed::Release => format!("{}/released", holder.lease_id),
        };
        let terms = (self.deed == Deed::Grant).then_some(Terms {
            pool,
            number: line.number,
            extension: line.extension.as_deref(),
            visitor_id: &holder.visitor_id,
            session_id: holder.session_id.as_deref(),
        });
        let (kind, expires_at) = match self.deed {
            Deed::Grant => ("lease_granted", Some(holder.expires_at)),
            Deed::Renew => ("lease_renewed", Some(holder.expires_at)),
            Deed::Release => ("lease_released", None),
        };
        let data = Data { lease_id: &holder.lease_id, terms, expires_at, holders: &self.holders };
        let event = Event { specversion: "1.0", id: &id, source: ORIGIN, kind, time: now, account, data };
        frame(&serde_json::to_vec(&event).unwrap_or_default(), now)
    }
}

/// One event as an entry's payload.
///
/// # Errors
/// It is over the limits of a frame.
pub fn frame(bytes: &[u8], now: Time) -> Result<Bytes, FrameError> {
    let mut frame = FrameBuilder::new();
    frame.push(&Record::Event { received: now, origin: ORIGIN, bytes })?;
    Ok(frame.finish())
}
