//! Rows of candidates: why a call was joined as it was.

use super::Effects;
use super::account::Account;
use super::attribution::{State, seconds};
use super::choice::Decision;
use super::links::percent;
use crate::limits::CANDIDATES_WRITTEN;
use crate::row::{CallRow, CandidateRow};

/// Less likely ones are not remembered as having called.
const LIKELY_PERCENT: u8 = 3;

impl Decision {
    /// Sessions that likely made this call, in hundredths.
    pub fn likely(&self) -> Vec<(u32, u8)> {
        let Some(choice) = &self.choice else { return Vec::new() };
        let all = self.candidates.iter().zip(&choice.probabilities);
        let likely = all.filter_map(|(it, probability)| Some((it.session?, percent(*probability))));
        likely.filter(|(_, percent)| *percent >= LIKELY_PERCENT).collect()
    }
}

impl Account {
    /// The likeliest candidates of a call by rank, and "none of them" with rank 0.
    pub fn emit_candidates(&self, call: &CallRow, decision: &Decision, out: &mut Effects) {
        let Some(choice) = &decision.choice else { return };
        let mut order: Vec<usize> = (0..decision.candidates.len()).collect();
        // Stable: of equals, the latest seen is first.
        order.sort_by(|a, b| choice.probabilities[*b].total_cmp(&choice.probabilities[*a]));
        let none = CandidateRow {
            account: call.account.clone(),
            call_id: call.call_id.clone(),
            revision: call.revision,
            started_at: call.started_at,
            rank: 0,
            probability: choice.none,
            chosen: choice.chosen.is_none(),
            ..CandidateRow::default()
        };
        out.candidates.push(none.clone());
        for (rank, &at) in order.iter().take(CANDIDATES_WRITTEN).enumerate() {
            let it = &decision.candidates[at];
            let evidence = &it.evidence;
            let lease = &self.leases[it.lease];
            out.candidates.push(CandidateRow {
                rank: rank as u32 + 1,
                probability: choice.probabilities[at],
                chosen: choice.chosen == Some(at),
                session_id: it.session.map(|session| self.session_name(session).into()),
                visitor_id: Some(self.visitor_name(it.visitor).into()),
                lease_id: Some(self.text_of(&lease.id).into()),
                granted_at: Some(lease.granted_at),
                last_seen_at: Some(evidence.last_sign),
                delay_seconds: Some(seconds(evidence.delay)),
                lease_active: Some(evidence.is_active()),
                released: Some(evidence.state == State::Released),
                clicked_seconds: evidence.clicked.map(seconds),
                asked: Some(evidence.asked.is_some()),
                known_caller: Some(evidence.link),
                called_already: Some(evidence.spent),
                moved: Some(evidence.moved),
                same_country: evidence.same_country,
                pages: Some(evidence.pages),
                shown_seconds: Some(seconds(evidence.shown)),
                source: it.session.and_then(|session| self.source_of(session)).cloned(),
                ..none.clone()
            });
        }
    }
}
