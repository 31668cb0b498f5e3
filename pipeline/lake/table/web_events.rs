use callweave_core::event::WebEvent;
use callweave_core::time::Date;

use super::{EventRow, Row, TableName};
use crate::lake::batch::show_phone;
use crate::lake::column::{Column, Erase};

pub type WebEventRow<'a> = EventRow<'a, WebEvent<'a>>;

impl Row for WebEventRow<'_> {
    const TABLE: TableName = TableName::WebEvents;

    fn date(&self) -> Date {
        self.event.time.date()
    }

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::<Self>::text("account", "The tenant.", |r| Some(&r.event.account)).stats(),
            Column::<Self>::time("time", "When it happened.", |r| Some(r.event.time)).stats(),
            Column::<Self>::text("event_id", "With account and event_source the event's name.", |r| Some(&r.event.id))
                .unique(),
            Column::<Self>::text("event_source", "What sent the event.", |r| Some(&r.event.source)),
            Column::<Self>::text("visitor_id", "The browser, by first-party cookie.", |r| Some(&r.data.visitor_id))
                .unique()
                .erase(Erase::Visitor),
            Column::<Self>::text("session_id", "The visit, as the browser told it.", |r| r.data.session_id.as_deref())
                .unique(),
            Column::<Self>::text("name", "click_to_call, form_submit, callback_request, or any.", |r| {
                Some(&r.data.name)
            })
            .stats(),
            Column::<Self>::text("url", "The page's address.", |r| r.data.url.as_deref()).erase(Erase::Query),
            Column::<Self>::show("number", "The tracking number that was clicked, E.164.", |r, to| {
                r.data.number.map(|number| show_phone(number, to)).is_some()
            }),
            Column::<Self>::money("value", "What it is worth, in `currency`.", |r| r.data.value),
            Column::<Self>::text("currency", "ISO 4217.", |r| r.data.currency.as_deref().or(r.currency)),
            Column::<Self>::show("properties", "Everything else that the page told, as JSON.", |r, to| {
                let text = r.data.properties.as_ref().and_then(|map| serde_json::to_string(map).ok());
                text.map(|text| to.push_str(&text)).is_some()
            })
            .unique()
            .erase(Erase::Telling),
            Column::<Self>::time("recorded_time", "When the collector took the event in.", |r| Some(r.event.recorded)),
        ]
    }
}
