//! What pages tell of a visitor that no table joins by, and that exports need: the web-analytics client, and consent.

use serde::{Deserialize, Serialize};

use super::account::Account;
use crate::event::PageView;
use crate::moment::{Moment, VisitTold};
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

    /// Tells of each moment's visit what its pages told.
    pub fn add_visits(&self, moments: &mut [Moment]) {
        for moment in moments {
            let visitor = moment.call.as_ref().and_then(|call| call.visitor_id.as_deref());
            let visitor = visitor.and_then(|id| self.find_visitor(id));
            let client = visitor.and_then(|ix| self.visitors[ix].rest.as_ref()?.client.as_ref());
            if let Some(client) = client {
                moment.beside().visit = Some(VisitTold {
                    client_id: client.id.as_deref().map(Into::into),
                    client_session_id: client.session.as_deref().map(Into::into),
                    consent: client.consent.as_deref().and_then(|text| serde_json::from_str(text).ok()),
                });
            }
        }
    }
}
