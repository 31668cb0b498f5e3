use callweave_core::event::CallNote;
use callweave_core::time::Date;

use super::{EventRow, Row, TableName};
use crate::lake::column::{Column, Erase};

pub type NoteRow<'a> = EventRow<'a, CallNote<'a>>;

impl Row for NoteRow<'_> {
    const TABLE: TableName = TableName::Notes;

    fn date(&self) -> Date {
        self.event.time.date()
    }

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::<Self>::text("account", "The tenant.", |r| Some(&r.event.account)).stats(),
            Column::<Self>::time("time", "When the note was made.", |r| Some(r.event.time)).stats(),
            Column::<Self>::text("event_id", "With account and event_source the event's name.", |r| Some(&r.event.id))
                .unique(),
            Column::<Self>::text("event_source", "What sent the event.", |r| Some(&r.event.source)),
            Column::<Self>::text("call_id", "The call.", |r| Some(&r.data.call_id)).unique().erase(Erase::Call),
            Column::<Self>::text("status", "The state the call was set to.", |r| r.data.status.as_deref()),
            Column::<Self>::text("comment", "What was noted.", |r| r.data.comment.as_deref())
                .unique()
                .erase(Erase::Null),
            Column::<Self>::text("by", "Who made it.", |r| r.data.by.as_deref()),
            Column::<Self>::time("recorded_time", "When the collector took the event in.", |r| Some(r.event.recorded)),
        ]
    }
}
