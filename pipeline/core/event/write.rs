//! Event -> JSON, as `import` and `simulate` write it and [`super::decode`] reads it.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Body, Event};

impl Event<'_> {
    /// The event as one line of JSON, `type` before `data` so that it is read in one pass. `recordedtime` stands there
    /// only where it differs from `time`.
    pub fn to_json(&self) -> String {
        // Every key is a string and no member fails to be written, so there is nothing to report.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", "1.0")?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("source", &self.source)?;
        map.serialize_entry("type", self.body.type_name())?;
        map.serialize_entry("time", &self.time)?;
        map.serialize_entry("account", &self.account)?;
        if self.recorded != self.time {
            map.serialize_entry("recordedtime", &self.recorded)?;
        }
        map.serialize_entry("data", &self.body)?;
        map.end()
    }
}

/// The `data` alone.
impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Body::PageView(data) => data.serialize(serializer),
            Body::WebEvent(data) => data.serialize(serializer),
            Body::Heartbeat(data) => data.serialize(serializer),
            Body::LeaseGranted(data) => data.serialize(serializer),
            Body::LeaseRenewed(data) => data.serialize(serializer),
            Body::LeaseReleased(data) => data.serialize(serializer),
            Body::PoolExhausted(data) => data.serialize(serializer),
            Body::Call(data) => data.serialize(serializer),
            Body::CallRecord(data) => data.serialize(serializer),
            Body::CallTag(data) => data.serialize(serializer),
            Body::CallNote(data) => data.serialize(serializer),
            Body::Transcript(data) => data.serialize(serializer),
            Body::Deal(data) => data.serialize(serializer),
            Body::AdCost(data) => data.serialize(serializer),
            Body::AccountSettings(data) => data.serialize(serializer),
            Body::Erase(data) => data.serialize(serializer),
        }
    }
}
