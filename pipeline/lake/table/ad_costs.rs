use callweave_core::event::AdCost;
use callweave_core::time::Date;

use super::{EventRow, Row, TableName, long};
use crate::lake::column::Column;

pub type AdCostRow<'a> = EventRow<'a, AdCost<'a>>;

impl Row for AdCostRow<'_> {
    const TABLE: TableName = TableName::AdCosts;

    /// The day of the cost itself, not of the event that told it.
    fn date(&self) -> Date {
        self.data.date
    }

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::<Self>::text("account", "The tenant.", |r| Some(&r.event.account)).stats(),
            Column::<Self>::time("time", "When the cost was told; the day it is of is `date`.", |r| Some(r.event.time))
                .stats(),
            Column::<Self>::text("event_id", "With account and event_source the event's name.", |r| Some(&r.event.id))
                .unique(),
            Column::<Self>::text("event_source", "What sent the event.", |r| Some(&r.event.source)),
            Column::<Self>::text("source", "As in `sessions`.", |r| Some(&r.data.source)),
            Column::<Self>::text("medium", "As in `sessions`.", |r| Some(&r.data.medium)),
            Column::<Self>::text("campaign", "As in `sessions`.", |r| r.data.campaign.as_deref()),
            Column::<Self>::text("term", "As in `sessions`.", |r| r.data.term.as_deref()),
            Column::<Self>::text("content", "As in `sessions`.", |r| r.data.content.as_deref()),
            Column::<Self>::money("cost", "In `currency`.", |r| Some(r.data.cost)),
            Column::<Self>::text("currency", "ISO 4217.", |r| Some(&r.data.currency)),
            Column::<Self>::long("clicks", "How often it was clicked.", |r| r.data.clicks.map(long)),
            Column::<Self>::long("impressions", "How often it was shown.", |r| r.data.impressions.map(long)),
            Column::<Self>::time("recorded_time", "When the collector took the event in.", |r| Some(r.event.recorded)),
        ]
    }
}
