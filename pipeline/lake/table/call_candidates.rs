use callweave_core::row::CandidateRow;
use callweave_core::time::Date;

use super::{Row, TableName, campaign, count};
use crate::lake::column::{Column, Erase};

type Candidate = Column<CandidateRow>;

impl Row for CandidateRow {
    const TABLE: TableName = TableName::CallCandidates;

    fn date(&self) -> Date {
        CandidateRow::date(self)
    }

    fn columns() -> Vec<Column<Self>> {
        let mut columns = who_it_is();
        columns.extend(why());
        columns
    }
}

fn who_it_is() -> Vec<Candidate> {
    vec![
        Candidate::text("account", "The tenant.", |r| Some(&r.account)).stats(),
        Candidate::time("started_at", "The call's first ring.", |r| Some(r.started_at)).stats(),
        Candidate::text("call_id", "The call.", |r| Some(&r.call_id)).stats().erase(Erase::Call),
        Candidate::int(
            "revision",
            "The call's in which it was written; the highest of an account's call_id counts.",
            |r| count(r.revision),
        )
        .stats(),
        Candidate::int("rank", "From 1 by probability; 0 is none of them.", |r| count(r.rank)),
        Candidate::double(
            "probability",
            "How likely the session's visitor is the caller; of all rows of a call about 1, unless it has more than 50 candidates: the others have no row.",
            |r| Some(r.probability),
        ),
        Candidate::bool("chosen", "The call was joined to this one.", |r| Some(r.chosen)),
        Candidate::text("session_id", "The visit that held the number.", |r| r.session_id.as_deref())
            .unique()
            .erase(Erase::Session),
        Candidate::text("visitor_id", "Its browser.", |r| r.visitor_id.as_deref()).unique().erase(Erase::Visitor),
        Candidate::text("lease_id", "Its lease of the number: the active one, else the latest.", |r| {
            r.lease_id.as_deref()
        })
        .unique(),
        Candidate::text("source", "Where the session came from.", |r| Some(&*r.source.as_ref()?.source)),
        Candidate::text("medium", "How it came.", |r| Some(&*r.source.as_ref()?.medium)),
        Candidate::text("campaign", "utm_campaign.", |r| campaign(&r.source)),
    ]
}

fn why() -> Vec<Candidate> {
    vec![
        Candidate::time("granted_at", "When that lease began.", |r| r.granted_at),
        Candidate::time("last_seen_at", "The session's last sign of life by the call's start.", |r| r.last_seen_at),
        Candidate::double("delay_seconds", "From then, or from when the lease was given back, to the call.", |r| {
            r.delay_seconds
        }),
        Candidate::bool("lease_active", "The lease was active at the call's start.", |r| r.lease_active),
        Candidate::bool(
            "lease_released",
            "The lease was given back, and nothing was seen of the session since: the page was closed.",
            |r| r.released,
        ),
        Candidate::double(
            "clicked_seconds",
            "From a click on the number to the call, if that was moments before.",
            |r| r.clicked_seconds,
        ),
        Candidate::bool("asked_for_callback", "The visitor asked to be called at the caller's number.", |r| r.asked),
        Candidate::double("known_caller", "How likely the caller's telephone is the visitor's, by other calls.", |r| {
            r.known_caller
        }),
        Candidate::double("called_already", "How likely an earlier call to the number was the session's.", |r| {
            r.called_already
        }),
        Candidate::bool("moved", "The session was shown another number since.", |r| r.moved),
        Candidate::bool("same_country", "The caller's country is the session's; null where one is not known.", |r| {
            r.same_country
        }),
        Candidate::int("pages", "Page views of the session by the call's start.", |r| r.pages.and_then(count)),
        Candidate::double(
            "shown_seconds",
            "From the number's first lease to the session to its last sign of life.",
            |r| r.shown_seconds,
        ),
    ]
}
