//! The CloudEvents envelope: one pass over the bytes, with `data` read straight into the type that `type` names.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess};

use super::kind::Kind;
use super::{Body, Text, object};
use crate::time::Time;

/// The members of an envelope, each seen or not.
#[derive(Default)]
pub(super) struct Envelope<'a> {
    pub specversion: Option<Text<'a>>,
    pub id: Option<Text<'a>>,
    pub source: Option<Text<'a>>,
    pub kind: Option<Kind>,
    pub time: Option<Time>,
    pub account: Option<Text<'a>>,
    pub recorded: Option<Time>,
    pub data: Data<'a>,
}

#[derive(Default)]
#[expect(clippy::large_enum_variant, reason = "there is one a pass, and a box would cost every event an allocation")]
pub(super) enum Data<'a> {
    #[default]
    Absent,
    /// `data` stood before `type`, and has to be read again now that its type is known.
    Skipped,
    Read(Body<'a>),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Member {
    Specversion,
    Id,
    Source,
    Type,
    Time,
    Account,
    RecordedTime,
    Data,
    #[serde(other)]
    Unknown,
}

/// Reads an envelope into one that is there already: an event is large, and moving it about costs as much as reading it.
pub(super) struct Reader<'e, 'de> {
    /// The type of the data, if that is known from an earlier pass.
    pub kind: Option<Kind>,
    pub into: &'e mut Envelope<'de>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> de::Visitor<'de> for Reader<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let envelope = self.into;
        while let Some(member) = map.next_key()? {
            match member {
                Member::Specversion => once(&mut envelope.specversion, "specversion", &mut map)?,
                Member::Id => once(&mut envelope.id, "id", &mut map)?,
                Member::Source => once(&mut envelope.source, "source", &mut map)?,
                Member::Type => once(&mut envelope.kind, "type", &mut map)?,
                Member::Time => once(&mut envelope.time, "time", &mut map)?,
                Member::Account => once(&mut envelope.account, "account", &mut map)?,
                Member::RecordedTime => {
                    if envelope.recorded.is_some() {
                        return Err(de::Error::duplicate_field("recordedtime"));
                    }
                    envelope.recorded = map.next_value()?;
                }
                Member::Data => {
                    if !matches!(envelope.data, Data::Absent) {
                        return Err(de::Error::duplicate_field("data"));
                    }
                    envelope.data = match self.kind.or(envelope.kind) {
                        Some(kind) => Data::Read(map.next_value_seed(kind)?),
                        None => {
                            map.next_value::<IgnoredAny>()?;
                            Data::Skipped
                        }
                    };
                }
                Member::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

fn once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    slot: &mut Option<T>,
    name: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(de::Error::duplicate_field(name));
    }
    *slot = Some(map.next_value()?);
    Ok(())
}

/// Reads the `data` of this type.
impl<'de> DeserializeSeed<'de> for Kind {
    type Value = Body<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Body<'de>, D::Error> {
        Ok(match self {
            Kind::PageView => Body::PageView(object::only(from)?),
            Kind::WebEvent => Body::WebEvent(object::only(from)?),
            Kind::Heartbeat => Body::Heartbeat(object::only(from)?),
            Kind::LeaseGranted => Body::LeaseGranted(object::only(from)?),
            Kind::LeaseRenewed => Body::LeaseRenewed(object::only(from)?),
            Kind::LeaseReleased => Body::LeaseReleased(object::only(from)?),
            Kind::PoolExhausted => Body::PoolExhausted(object::only(from)?),
            Kind::Call => Body::Call(object::only(from)?),
            Kind::CallRecord => Body::CallRecord(object::only(from)?),
            Kind::CallTag => Body::CallTag(object::only(from)?),
            Kind::CallNote => Body::CallNote(object::only(from)?),
            Kind::Transcript => Body::Transcript(object::only(from)?),
            Kind::Deal => Body::Deal(object::only(from)?),
            Kind::AdCost => Body::AdCost(object::only(from)?),
            Kind::AccountSettings => Body::AccountSettings(Box::new(object::only(from)?)),
            Kind::Erase => Body::Erase(object::only(from)?),
        })
    }
}
