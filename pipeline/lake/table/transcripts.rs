use callweave_core::event::Transcript;
use callweave_core::time::Date;

use super::{EventRow, Row, TableName};
use crate::lake::column::{Column, Erase};

pub type TranscriptRow<'a> = EventRow<'a, Transcript<'a>>;

impl Row for TranscriptRow<'_> {
    const TABLE: TableName = TableName::Transcripts;

    fn date(&self) -> Date {
        self.event.time.date()
    }

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::<Self>::text("account", "The tenant.", |r| Some(&r.event.account)).stats(),
            Column::<Self>::time("time", "When the transcript was made.", |r| Some(r.event.time)).stats(),
            Column::<Self>::text("event_id", "With account and event_source the event's name.", |r| Some(&r.event.id))
                .unique(),
            Column::<Self>::text("event_source", "What sent the event.", |r| Some(&r.event.source)),
            Column::<Self>::text("call_id", "The call.", |r| Some(&r.data.call_id)).unique().erase(Erase::Call),
            Column::<Self>::text("language", "The language that was spoken.", |r| r.data.language.as_deref()),
            Column::<Self>::segments("segments", "What was said: speaker, seconds from the start, text.", |r| {
                &r.data.segments
            })
            .erase(Erase::Null),
            Column::<Self>::time("recorded_time", "When the collector took the event in.", |r| Some(r.event.recorded)),
        ]
    }
}
