use std::fmt::Write;

use callweave_core::event::{Event, PageView};
use callweave_core::source::Visit;
use callweave_core::time::Date;

use super::{Row, TableName};
use crate::lake::column::{Column, Erase};

/// A page view and what its URL, referrer, user agent and address say.
#[derive(Debug, Clone, Copy)]
pub struct PageViewRow<'a> {
    pub event: &'a Event<'a>,
    pub view: &'a PageView<'a>,
    pub visit: &'a Visit<'a>,
    /// The address as far as the account's `ip_precision` lets it be shown.
    pub ip: Option<&'a str>,
}

impl Row for PageViewRow<'_> {
    const TABLE: TableName = TableName::PageViews;

    fn date(&self) -> Date {
        self.event.time.date()
    }

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::<Self>::text("account", "The tenant.", |r| Some(&r.event.account)).stats(),
            Column::<Self>::time("time", "When the page was shown.", |r| Some(r.event.time)).stats(),
            Column::<Self>::text("event_id", "With account and event_source the event's name.", |r| Some(&r.event.id))
                .unique(),
            Column::<Self>::text("event_source", "What sent the event.", |r| Some(&r.event.source)),
            Column::<Self>::text("visitor_id", "The browser, by first-party cookie.", |r| Some(&r.view.visitor_id))
                .unique()
                .erase(Erase::Visitor),
            Column::<Self>::text(
                "session_id",
                "The visit, as the browser told it; made sessions are in `sessions`.",
                |r| r.view.session_id.as_deref(),
            )
            .unique(),
            Column::<Self>::text("page_view_id", "The page view, as it was told; of the script's the event.", |r| {
                r.view.page_view_id.as_deref()
            })
            .unique(),
            Column::<Self>::text("url", "The page's address.", |r| Some(&r.view.url)).erase(Erase::Query),
            Column::<Self>::text("referrer", "The address of the page before.", |r| r.view.referrer.as_deref())
                .erase(Erase::Query),
            Column::<Self>::text("title", "The page's title.", |r| r.view.title.as_deref()),
            Column::<Self>::text("user_agent", "What the browser calls itself.", |r| r.view.user_agent.as_deref())
                .erase(Erase::Null),
            Column::<Self>::text("device", "desktop, mobile, tablet, tv or bot.", |r| r.visit.agent.device.as_deref()),
            Column::<Self>::text("browser", "The browser's name.", |r| r.visit.agent.browser.as_deref()),
            Column::<Self>::text("os", "The operating system's name.", |r| r.visit.agent.os.as_deref()),
            Column::<Self>::text("language", "The browser's first language.", |r| r.visit.language.as_deref()),
            Column::<Self>::text("ip", "The visitor's address, as far as the account keeps it.", |r| r.ip)
                .unique()
                .erase(Erase::Null),
            Column::<Self>::text("country", "ISO 3166-1 alpha-2.", |r| r.visit.place.country.as_deref()),
            Column::<Self>::text("region", "The region within the country.", |r| r.visit.place.region.as_deref()),
            Column::<Self>::text("city", "The city.", |r| r.visit.place.city.as_deref()).erase(Erase::Null),
            Column::<Self>::phones("numbers", "The tracking numbers on the page, E.164.", |r| {
                r.view.numbers.as_deref()
            }),
            Column::<Self>::text("channel", "Google Analytics 4's default channel group.", |r| {
                Some(r.visit.channel.name())
            }),
            Column::<Self>::text("source", "Where the visit of this page came from.", |r| Some(&r.visit.source)),
            Column::<Self>::text("medium", "How it came.", |r| Some(&r.visit.medium)),
            Column::<Self>::text("campaign", "utm_campaign.", |r| r.visit.utm.campaign.as_deref()),
            Column::<Self>::text("term", "utm_term.", |r| r.visit.utm.term.as_deref()),
            Column::<Self>::text("content", "utm_content.", |r| r.visit.utm.content.as_deref()),
            Column::<Self>::text("click_id_type", "The URL parameter that carried the click id.", |r| {
                r.visit.click_id.as_ref().map(|(kind, _)| kind.name())
            }),
            Column::<Self>::text("click_id", "The advertising system's name for the click.", |r| {
                r.visit.click_id.as_ref().map(|(_, id)| id.as_ref())
            })
            .unique()
            .erase(Erase::Null),
            Column::<Self>::text("experiment_id", "The experiment the page was part of.", |r| {
                r.view.experiment_id.as_deref()
            }),
            Column::<Self>::text("experiment_variant", "The variant of it that was shown.", |r| {
                r.view.experiment_variant.as_deref()
            }),
            Column::<Self>::text("client_id", "The web-analytics client.", |r| r.view.client_id.as_deref())
                .unique()
                .erase(Erase::Null),
            Column::<Self>::text("user_id", "The user, where the site knows them.", |r| r.view.user_id.as_deref())
                .unique()
                .erase(Erase::Null),
            Column::<Self>::show("consent", "What the visitor consented to, as JSON.", |r, to| {
                r.view.consent.as_ref().is_some_and(|consent| write!(to, "{consent}").is_ok())
            })
            .erase(Erase::Null),
            Column::<Self>::time("recorded_time", "When the collector took the event in.", |r| Some(r.event.recorded)),
        ]
    }
}
