use callweave_core::row::SessionRow;
use callweave_core::time::Date;

use super::{Row, TableName, campaign, count};
use crate::lake::column::{Column, Erase};

impl Row for SessionRow {
    const TABLE: TableName = TableName::Sessions;

    fn date(&self) -> Date {
        self.started_at.date()
    }

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::<Self>::text("account", "The tenant.", |r| Some(&r.account)).stats(),
            Column::<Self>::time("started_at", "The session's first event.", |r| Some(r.started_at)).stats(),
            Column::<Self>::text("session_id", "The visit: the browser's own name for it, or a made one.", |r| {
                Some(&r.session_id)
            })
            .unique()
            .erase(Erase::Session),
            Column::<Self>::int("revision", "The highest of an account's session_id counts.", |r| count(r.revision))
                .stats(),
            Column::<Self>::bool("retracted", "The session turned out not to exist.", |r| Some(r.retracted)),
            Column::<Self>::text("visitor_id", "The browser, by first-party cookie.", |r| Some(&r.visitor_id))
                .unique()
                .erase(Erase::Visitor),
            Column::<Self>::int("visit_number", "Its place among its visitor's sessions by start.", |r| {
                count(r.visit_number)
            }),
            Column::<Self>::time("ended_at", "The session's last event.", |r| Some(r.ended_at)),
            Column::<Self>::int("pages", "How many page views it has.", |r| count(r.pages)),
            Column::<Self>::text("channel", "Google Analytics 4's default channel group.", |r| {
                r.source.as_ref().map(|source| source.channel.name())
            }),
            Column::<Self>::text("source", "Where it came from, by its first page view.", |r| {
                r.source.as_ref().map(|source| &*source.source)
            }),
            Column::<Self>::text("medium", "How it came.", |r| r.source.as_ref().map(|source| &*source.medium)),
            Column::<Self>::text("campaign", "utm_campaign.", |r| campaign(&r.source)),
            Column::<Self>::text("term", "utm_term.", |r| r.source.as_ref()?.term.as_deref()),
            Column::<Self>::text("content", "utm_content.", |r| r.source.as_ref()?.content.as_deref()),
            Column::<Self>::text("click_id_type", "The URL parameter that carried the click id.", |r| {
                r.click_id_type.map(|kind| kind.name())
            }),
            Column::<Self>::text("click_id", "The advertising system's name for the click.", |r| r.click_id.as_deref())
                .unique()
                .erase(Erase::Null),
            Column::<Self>::text("referrer", "The address of the page before the first.", |r| r.referrer.as_deref())
                .erase(Erase::Query),
            Column::<Self>::text("landing_page", "The first page's address.", |r| r.landing_page.as_deref())
                .erase(Erase::Query),
            Column::<Self>::text("exit_page", "The last page's address.", |r| r.exit_page.as_deref())
                .erase(Erase::Query),
            Column::<Self>::text("experiment_id", "The experiment the visitor was part of.", |r| {
                r.experiment_id.as_deref()
            }),
            Column::<Self>::text("experiment_variant", "The variant of it that was shown.", |r| {
                r.experiment_variant.as_deref()
            }),
            Column::<Self>::text("device", "desktop, mobile, tablet, tv or bot.", |r| r.agent.device.as_deref()),
            Column::<Self>::text("browser", "The browser's name.", |r| r.agent.browser.as_deref()),
            Column::<Self>::text("os", "The operating system's name.", |r| r.agent.os.as_deref()),
            Column::<Self>::text("language", "The browser's first language.", |r| r.language.as_deref()),
            Column::<Self>::text("country", "ISO 3166-1 alpha-2.", |r| r.place.country.as_deref()),
            Column::<Self>::text("region", "The region within the country.", |r| r.place.region.as_deref()),
            Column::<Self>::text("city", "The city.", |r| r.place.city.as_deref()).erase(Erase::Null),
        ]
    }
}
