use callweave_core::phone::{ANONYMOUS, Party};
use callweave_core::row::CallRow;
use callweave_core::time::Date;

use super::{Row, TableName, campaign, count};
use crate::lake::batch::show_phone;
use crate::lake::column::{Column, Erase};

type Call = Column<CallRow>;

fn show_party(party: Party, to: &mut String) -> bool {
    match party {
        Party::Number(phone) => show_phone(phone, to),
        Party::Anonymous => to.push_str(ANONYMOUS),
    }
    true
}

impl Row for CallRow {
    const TABLE: TableName = TableName::Calls;

    fn date(&self) -> Date {
        CallRow::date(self)
    }

    fn columns() -> Vec<Column<Self>> {
        let mut columns = what_happened();
        columns.extend(how_it_was_joined());
        columns.extend(where_it_came_from());
        columns.extend(what_kind_it_is());
        columns
    }
}

fn what_happened() -> Vec<Call> {
    vec![
        Call::text("account", "The tenant.", |r| Some(&r.account)).stats(),
        Call::time("started_at", "The first ring.", |r| Some(r.started_at)).stats(),
        Call::text("call_id", "The call.", |r| Some(&r.call_id)).stats().erase(Erase::Call),
        Call::int("revision", "The highest of an account's call_id counts.", |r| count(r.revision)).stats(),
        Call::text("direction", "inbound, outbound or callback.", |r| Some(r.direction.name())),
        Call::time("answered_at", "When somebody took it.", |r| r.answered_at),
        Call::time("ended_at", "The hang-up.", |r| r.ended_at),
        Call::show("caller", "The person outside, E.164, or anonymous.", |r, to| show_party(r.caller, to))
            .erase(Erase::Phone),
        Call::text("caller_country", "ISO 3166-1 alpha-2, by the caller's number.", |r| r.caller_country.as_deref()),
        Call::show("tracking_number", "The number shown in place of the business's own, E.164.", |r, to| {
            show_party(r.tracking_number, to)
        }),
        Call::text("extension", "The digits the caller dialled after the number.", |r| r.extension.as_deref()),
        Call::text("destination", "Where the call went: a number, a SIP URI, a queue.", |r| r.destination.as_deref())
            .erase(Erase::Caller),
        Call::text("agent", "Who took it.", |r| r.agent.as_deref()).erase(Erase::Caller),
        Call::text("outcome", "How it went.", |r| r.outcome.map(|outcome| outcome.name())),
        Call::text("cause", "Why it ended, in the telephone system's words.", |r| r.cause.as_deref()),
        Call::text("hangup_by", "caller, agent or system.", |r| r.hangup_by.map(|by| by.name())),
        Call::double("ring_seconds", "From the first ringing to the answer or end.", |r| r.ring_seconds),
        Call::double("talk_seconds", "As told, or from answer to end.", |r| Some(r.talk_seconds)),
        Call::double("total_seconds", "From start to end.", |r| r.total_seconds),
        Call::bool("in_business_hours", "By the account's hours and holidays, in its time zone.", |r| {
            Some(r.in_business_hours)
        }),
        Call::text("recording_url", "Where the recording is.", |r| r.recording_url.as_deref()).erase(Erase::Null),
        Call::double("spam_score", "0 (a person) to 1 (surely a robot).", |r| r.spam_score),
    ]
}

fn how_it_was_joined() -> Vec<Call> {
    vec![
        Call::text("attribution_method", "static, lease, window, extension, click, caller or none.", |r| {
            Some(r.attribution_method.name())
        }),
        Call::double("attribution_confidence", "The probability that the session's visitor is the caller.", |r| {
            r.attribution_confidence
        }),
        Call::double("source_confidence", "The probability that the source is the call's.", |r| r.source_confidence),
        Call::int("candidates", "How many sessions could have been the caller's.", |r| count(r.candidates)),
        Call::text("lease_id", "The lease the call was joined by.", |r| r.lease_id.as_deref()),
        Call::text("session_id", "The visit the call came from.", |r| r.session_id.as_deref()).erase(Erase::Session),
        Call::text("visitor_id", "The browser it came from.", |r| r.visitor_id.as_deref()).erase(Erase::Visitor),
        Call::text("pool", "The pool the number belongs to.", |r| r.pool.as_deref()),
        Call::text("site", "The site of that pool.", |r| r.site.as_deref()),
    ]
}

fn where_it_came_from() -> Vec<Call> {
    vec![
        Call::text("channel", "Google Analytics 4's default channel group.", |r| {
            r.source.as_ref().map(|source| source.channel.name())
        }),
        Call::text("source", "Where the session came from.", |r| r.source.as_ref().map(|source| &*source.source)),
        Call::text("medium", "How it came.", |r| r.source.as_ref().map(|source| &*source.medium)),
        Call::text("campaign", "utm_campaign.", |r| campaign(&r.source)),
        Call::text("term", "utm_term.", |r| r.source.as_ref()?.term.as_deref()),
        Call::text("content", "utm_content.", |r| r.source.as_ref()?.content.as_deref()),
        Call::text("click_id_type", "The URL parameter that carried the click id.", |r| {
            r.click_id_type.map(|kind| kind.name())
        }),
        Call::text("click_id", "The advertising system's name for the click.", |r| r.click_id.as_deref())
            .erase(Erase::Null),
        Call::text("referrer", "The address of the page before the session's first.", |r| r.referrer.as_deref())
            .erase(Erase::Query),
        Call::text("landing_page", "The session's first page.", |r| r.landing_page.as_deref()).erase(Erase::Query),
        Call::text("call_page", "The session's last page at the call's start.", |r| r.call_page.as_deref())
            .erase(Erase::Query),
        Call::text("experiment_id", "The experiment the visitor was part of.", |r| r.experiment_id.as_deref()),
        Call::text("experiment_variant", "The variant of it that was shown.", |r| r.experiment_variant.as_deref()),
        Call::text("device", "desktop, mobile, tablet, tv or bot.", |r| r.device.as_ref()?.device.as_deref()),
        Call::text("browser", "The browser's name.", |r| r.device.as_ref()?.browser.as_deref()),
        Call::text("os", "The operating system's name.", |r| r.device.as_ref()?.os.as_deref()),
        Call::text("language", "The browser's first language.", |r| r.language.as_deref()),
        Call::text("country", "The session's, ISO 3166-1 alpha-2.", |r| r.place.as_ref()?.country.as_deref()),
        Call::text("region", "The session's region.", |r| r.place.as_ref()?.region.as_deref()),
        Call::text("city", "The session's city.", |r| r.place.as_ref()?.city.as_deref()).erase(Erase::Null),
    ]
}

fn what_kind_it_is() -> Vec<Call> {
    vec![
        Call::int("visit_number", "The session's place among its visitor's.", |r| r.visit_number.and_then(count)),
        Call::time("session_started_at", "The session's first event.", |r| r.session_started_at),
        Call::int(
            "session_pages",
            "The session's page views; those after the call are added once the session is over.",
            |r| r.session_pages.and_then(count),
        ),
        Call::double("seconds_to_call", "From the session's start to the call's.", |r| r.seconds_to_call),
        Call::text("first_channel", "The channel of the visitor's first visit.", |r| {
            r.first_source.as_ref().map(|source| source.channel.name())
        }),
        Call::text("first_source", "The source of the visitor's first visit.", |r| {
            r.first_source.as_ref().map(|source| &*source.source)
        }),
        Call::text("first_medium", "The medium of the visitor's first visit.", |r| {
            r.first_source.as_ref().map(|source| &*source.medium)
        }),
        Call::text("first_campaign", "The campaign of the visitor's first visit.", |r| campaign(&r.first_source)),
        Call::int("caller_calls", "Calls from this caller so far, this one included.", |r| {
            r.kinds.caller_calls.and_then(count)
        }),
        Call::bool("is_unique", "The first call from this number.", |r| Some(r.kinds.is_unique)),
        Call::bool("is_target", "Qualified, and outside the sales cycle of an earlier target call.", |r| {
            Some(r.kinds.is_target)
        }),
        Call::bool("is_repeated", "Qualified, and inside such a cycle.", |r| Some(r.kinds.is_repeated)),
        Call::bool("is_first_target", "The first qualified call ever from this number.", |r| {
            Some(r.kinds.is_first_target)
        }),
        Call::bool("is_unique_target", "Unique and target.", |r| Some(r.kinds.is_unique_target)),
    ]
}
