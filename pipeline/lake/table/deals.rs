use callweave_core::event::Deal;
use callweave_core::time::Date;

use super::{EventRow, Row, TableName};
use crate::lake::batch::show_phone;
use crate::lake::column::{Column, Erase};

pub type DealRow<'a> = EventRow<'a, Deal<'a>>;

impl Row for DealRow<'_> {
    const TABLE: TableName = TableName::Deals;

    fn date(&self) -> Date {
        self.event.time.date()
    }

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::<Self>::text("account", "The tenant.", |r| Some(&r.event.account)).stats(),
            Column::<Self>::time("time", "When the deal reached the stage.", |r| Some(r.event.time)).stats(),
            Column::<Self>::text("event_id", "With account and event_source the event's name.", |r| Some(&r.event.id))
                .unique(),
            Column::<Self>::text("event_source", "What sent the event.", |r| Some(&r.event.source)),
            Column::<Self>::text("deal_id", "The deal.", |r| Some(&r.data.deal_id)).unique(),
            Column::<Self>::text("call_id", "The call it came from.", |r| r.data.call_id.as_deref())
                .unique()
                .erase(Erase::Call),
            Column::<Self>::text("visitor_id", "The browser it came from.", |r| r.data.visitor_id.as_deref())
                .unique()
                .erase(Erase::Visitor),
            Column::<Self>::show("phone", "The client, E.164.", |r, to| {
                r.data.phone.map(|phone| show_phone(phone, to)).is_some()
            })
            .unique()
            .erase(Erase::Phone),
            Column::<Self>::text("stage", "The stage, in the business's words.", |r| Some(&r.data.stage)),
            Column::<Self>::money("revenue", "In `currency`.", |r| r.data.revenue),
            Column::<Self>::money("margin", "In `currency`.", |r| r.data.margin),
            Column::<Self>::text("currency", "ISO 4217.", |r| r.data.currency.as_deref().or(r.currency)),
            Column::<Self>::time("closed_at", "When it was closed.", |r| r.data.closed_at),
            Column::<Self>::time("recorded_time", "When the collector took the event in.", |r| Some(r.event.recorded)),
        ]
    }
}
