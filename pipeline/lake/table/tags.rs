use callweave_core::event::CallTag;
use callweave_core::time::Date;

use super::{EventRow, Row, TableName};
use crate::lake::column::{Column, Erase};

pub type TagRow<'a> = EventRow<'a, CallTag<'a>>;

impl Row for TagRow<'_> {
    const TABLE: TableName = TableName::Tags;

    fn date(&self) -> Date {
        self.event.time.date()
    }

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::<Self>::text("account", "The tenant.", |r| Some(&r.event.account)).stats(),
            Column::<Self>::time("time", "When the tag was given.", |r| Some(r.event.time)).stats(),
            Column::<Self>::text("event_id", "With account and event_source the event's name.", |r| Some(&r.event.id))
                .unique(),
            Column::<Self>::text("event_source", "What sent the event.", |r| Some(&r.event.source)),
            Column::<Self>::text("call_id", "The call.", |r| Some(&r.data.call_id)).unique().erase(Erase::Call),
            Column::<Self>::text("category", "What the call was about.", |r| Some(&r.data.category)),
            Column::<Self>::money("value", "What it is worth, in `currency`.", |r| r.data.value),
            Column::<Self>::text("currency", "ISO 4217.", |r| r.data.currency.as_deref().or(r.currency)),
            Column::<Self>::text("origin", "manual, menu or rule.", |r| Some(r.data.origin.name())),
            Column::<Self>::text("by", "Who gave it.", |r| r.data.by.as_deref()),
            Column::<Self>::time("recorded_time", "When the collector took the event in.", |r| Some(r.event.recorded)),
        ]
    }
}
