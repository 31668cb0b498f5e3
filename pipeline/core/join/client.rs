//! What pages tell of a visitor that no table joins by, and that exports need: the web-analytics client, and consent.

use serde::{Deserialize, Serialize};

use super::account::Account;
use crate::event::PageView;
use crate::moment::{Moment, VisitTold};
use crate::row::Str;
use crate::time::Time;

/// By the latest page view that told any of it.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Client {
    at: Option<Time>,
    id: Option<Box<str>>,
    session: Option<Box<str>>,
    /// JSON.
    consent: Option<Box<str>>,
}

impl Account {
    pub fn note_client(&mut self, visitor: u32, at: Time, view: &PageView<'_>) {
        if view.client_id.is_none() && view.consent.is_none() {
            return;
        }
        let client = self.visitors[visitor].rest().client.get_or_insert_default();
        if client.at.is_some_and(|last| at < last) {
            return;
        }
        client.at = Some(at);
        if let Some(id) = &view.client_id {
            client.id = Some((**id).into());
            client.session = view.client_session_id.as_deref().map(Into::into);
        }
        if let Some(consent) = &view.consent {
            client.consent = Some(consent.to_string().into());
        }
    }

    /// The visitor's latest session that began by then.
    fn session_at(&self, visitor: u32, at: Time) -> Option<Str> {
        let mut visits = self.visitors[visitor].visits.iter().rev();
        visits.find(|&&ix| self.sessions[ix].started_at() <= at).map(|&ix| self.session_name(ix))
    }

    /// Tells of each moment's visit what its pages told.
    pub fn add_visits(&self, moments: &mut [Moment]) {
        for moment in moments {
            let visitor = moment.call.as_ref().and_then(|call| call.visitor_id.as_deref());
            let visitor = visitor.and_then(|id| self.find_visitor(id));
            let told = visitor.and_then(|ix| Some((ix, self.visitors[ix].rest.as_ref()?.client.as_ref()?)));
            if let Some((visitor, client)) = told {
                let session = moment.call.as_ref().and_then(|call| call.session_id.clone());
                let is_of_session = client.at.and_then(|at| self.session_at(visitor, at)) == session;
                moment.beside().visit = Some(VisitTold {
                    client_id: client.id.as_deref().map(Into::into),
                    client_session_id: client.session.as_deref().filter(|_| is_of_session).map(Into::into),
                    consent: client.consent.as_deref().and_then(|text| serde_json::from_str(text).ok()),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::event::decode;
    use crate::join::{Effects, Join, Mode};
    use crate::moment::{Beside, Moment, MomentKind};

    const NUMBER: &str = "+14155550100";

    fn event(kind: &str, id: &str, time: &str, data: Value) -> Value {
        let time = format!("2026-11-20T12:{time}Z");
        json!({"specversion": "1.0", "id": id, "source": "t", "type": kind, "time": time, "account": "acme", "data": data})
    }

    fn view(id: &str, time: &str, more: Value) -> Value {
        let mut data = json!({"visitor_id": "v", "session_id": "s", "url": "https://a.example/"});
        data.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        event("page_view", id, time, data)
    }

    fn call(status: &str, time: &str, agent: &str) -> Value {
        let data = json!({"call_id": "c", "status": status, "direction": "inbound", "from": "+14155550199", "to": NUMBER, "agent": agent});
        event("call", &format!("{status} {time}"), time, data)
    }

    /// All moments, after a snapshot in the middle.
    fn moments(events: &[Value]) -> Vec<Moment> {
        let numbers = json!([{"number": NUMBER, "kind": "pool", "pool": "p"}]);
        let settings =
            event("account_settings", "settings", "00:00", json!({"numbers": numbers, "pools": [{"name": "p"}]}));
        let lease = json!({"lease_id": "l", "pool": "p", "number": NUMBER, "visitor_id": "v", "session_id": "s",
            "expires_at": "2026-11-20T13:00:00Z"});
        let lease = event("lease_granted", "lease", "00:02", lease);
        let (mut join, mut out) = (Join::new(Mode::Live), Effects::default());
        for event in [&settings, &lease].into_iter().chain(events) {
            let text = event.to_string();
            join.apply(&decode(text.as_bytes(), None).expect("an event"), None, &mut out);
            join = Join::restore(&join.snapshot().expect("a snapshot")).expect("the same");
        }
        out.moments
    }

    fn beside(moments: &[Moment], kind: MomentKind) -> Vec<Beside> {
        moments
            .iter()
            .filter(|it| it.kind == kind)
            .map(|it| it.beside.as_deref().cloned().unwrap_or_default())
            .collect()
    }

    #[test]
    fn a_call_tells_what_its_visits_pages_told_last() {
        let told = moments(&[
            view(
                "1",
                "00:01",
                json!({"client_id": "1.2", "client_session_id": "77", "consent": {"ad_user_data": "denied"}}),
            ),
            view("2", "02:00", json!({"consent": {"ad_user_data": "granted"}})),
            view("3", "01:00", json!({"client_id": "late", "consent": {"ad_user_data": "denied"}})),
            call("started", "03:00", "Ann"),
        ]);
        let visit = beside(&told, MomentKind::CallStarted)[0].visit.clone().expect("a visit");
        assert_eq!((visit.client_id.as_deref(), visit.client_session_id.as_deref()), (Some("1.2"), Some("77")));
        assert_eq!(visit.consent, Some(json!({"ad_user_data": "granted"})));
        let nothing = moments(&[view("1", "00:01", json!({})), call("started", "03:00", "Ann")]);
        assert_eq!(beside(&nothing, MomentKind::CallStarted), [Beside::default()]);
    }

    #[test]
    fn the_clients_session_is_that_of_the_calls_visit() {
        let later = |session: &str| {
            let told = moments(&[
                view("1", "00:01", json!({"client_id": "1.2", "client_session_id": "77"})),
                view("2", "05:00", json!({"session_id": session, "client_id": "1.2", "client_session_id": "78"})),
                call("started", "06:00", "Ann"),
            ]);
            beside(&told, MomentKind::CallStarted)[0].visit.clone().expect("a visit")
        };
        assert_eq!(later("s").client_session_id.as_deref(), Some("78"));
        // Of the visit that came later nothing is told but who it was.
        let visit = later("s2");
        assert_eq!((visit.client_id.as_deref(), visit.client_session_id), (Some("1.2"), None));
    }

    #[test]
    fn a_call_that_was_decided_before_is_told_as_a_correction() {
        let told = moments(&[
            view("1", "00:01", json!({"client_id": "1.2"})),
            call("started", "03:00", "Ann"),
            call("ended", "04:00", "Ann"),
            event("heartbeat", "later", "20:00", json!({"visitor_id": "w"})),
            call("answered", "03:30", "Bob"),
            event("heartbeat", "much later", "40:00", json!({"visitor_id": "w"})),
        ]);
        let told = beside(&told, MomentKind::CallAttributed);
        assert_eq!(told.iter().map(|it| it.correction).collect::<Vec<_>>(), [false, true], "{told:?}");
        assert!(told.iter().all(|it| it.visit.is_some()));
    }

    #[test]
    fn tags_transcripts_and_deals_are_told_as_they_were() {
        let long = "x".repeat(15_000);
        let segments: Vec<Value> =
            (0..20).map(|at| json!({"speaker": "agent", "start_seconds": at, "text": long})).collect();
        let told = moments(&[
            call("started", "03:00", "Ann"),
            event("call_tag", "t", "03:01", json!({"call_id": "c", "category": "sale", "value": 5, "origin": "rule"})),
            event("transcript", "s", "03:02", json!({"call_id": "c", "segments": segments})),
            event("deal", "d", "03:03", json!({"deal_id": "d1", "call_id": "c", "stage": "won", "revenue": "9.50"})),
        ]);
        let tag = beside(&told, MomentKind::CallTagged)[0].tag.clone().expect("a tag");
        assert_eq!((&tag["category"], &tag["origin"]), (&json!("sale"), &json!("rule")));
        let said = beside(&told, MomentKind::CallTranscribed)[0].transcript.clone().expect("a transcript");
        assert_eq!((said["segments"].as_array().map(Vec::len), &said["is_cut"]), (Some(8), &json!(true)));
        let deal = beside(&told, MomentKind::DealChanged)[0].deal.clone().expect("a deal");
        assert_eq!((&deal["stage"], &deal["deal_id"]), (&json!("won"), &json!("d1")));
    }
}
