//! Rows of candidates: why a call was joined as it was.

use super::Effects;
use super::account::Account;
use super::attribution::{Choice, State, seconds};
use super::choice::{Candidate, Decision};
use super::emit::row_hash;
use crate::limits::CANDIDATES_WRITTEN;
use crate::row::{CallRow, CandidateRow};

/// How likely sessions have called is remembered by twentieths, in thousandths: each change decides later calls on the number anew,
/// which finer ones are not worth.
const LIKELY: u16 = 50;

impl Decision {
    /// Sessions that likely made this call, in thousandths.
    pub fn likely(&self) -> Vec<(u32, u16)> {
        let Some(choice) = &self.choice else { return Vec::new() };
        let all = self.candidates.iter().zip(&choice.probabilities);
        let steps = |probability: f64| (probability * 1_000.0 / f64::from(LIKELY)).round() as u16;
        let likely = all.filter_map(|(it, probability)| Some((it.session?, LIKELY * steps(*probability))));
        likely.filter(|(_, likely)| *likely > 0).collect()
    }
}

impl Account {
    /// The likeliest candidates of a call by rank, and "none of them" with rank 0; nothing if they stand as they were written.
    pub fn emit_candidates(&mut self, ix: u32, call: &CallRow, decision: &Decision, out: &mut Effects) {
        let place = out.candidates.len();
        let written = self.calls[ix].candidates_written;
        match &decision.choice {
            Some(choice) => self.push_candidates(call, decision, choice, out),
            // There were some: now it is none of them.
            None if written != 0 => out.candidates.push(none_of_them(call, 1.0, true)),
            None => return,
        }
        let hash = row_hash(&out.candidates[place..], written).max(1);
        if hash == written {
            out.candidates.truncate(place);
            return;
        }
        self.calls[ix].candidates_written = hash;
        out.candidates[place..].iter_mut().for_each(|row| row.revision = call.revision);
    }

    fn push_candidates(&self, call: &CallRow, decision: &Decision, choice: &Choice, out: &mut Effects) {
        let mut order: Vec<usize> = (0..decision.candidates.len()).collect();
        // Stable: of equals, the latest seen is first.
        order.sort_by(|a, b| choice.probabilities[*b].total_cmp(&choice.probabilities[*a]));
        out.candidates.push(none_of_them(call, choice.none, choice.chosen.is_none()));
        for (rank, &at) in order.iter().take(CANDIDATES_WRITTEN).enumerate() {
            let row = self.candidate_row(call, &decision.candidates[at]);
            out.candidates.push(CandidateRow {
                rank: rank as u32 + 1,
                probability: choice.probabilities[at],
                chosen: choice.chosen == Some(at),
                ..row
            });
        }
    }

    fn candidate_row(&self, call: &CallRow, it: &Candidate) -> CandidateRow {
        let evidence = &it.evidence;
        let lease = &self.leases[it.lease];
        CandidateRow {
            session_id: it.session.map(|session| self.session_name(session)),
            visitor_id: Some(self.visitor_name(it.visitor)),
            lease_id: Some(self.text_of(&lease.id)),
            granted_at: Some(lease.granted_at),
            last_seen_at: Some(evidence.last_sign),
            delay_seconds: Some(seconds(evidence.delay)),
            lease_active: Some(evidence.is_active()),
            released: Some(evidence.state == State::Released),
            clicked_seconds: evidence.clicked.map(|click| seconds(click.since)),
            asked: Some(evidence.asked.is_some()),
            known_caller: Some(evidence.link),
            called_already: Some(evidence.spent),
            moved: Some(evidence.moved),
            same_country: evidence.same_country,
            pages: Some(evidence.pages),
            shown_seconds: Some(seconds(evidence.shown)),
            source: it.source.map(|source| self.shared.sources.get(source).clone()),
            ..none_of_them(call, 0.0, false)
        }
    }
}

/// Its revision is still to be told.
fn none_of_them(call: &CallRow, probability: f64, chosen: bool) -> CandidateRow {
    CandidateRow {
        account: call.account.clone(),
        call_id: call.call_id.clone(),
        started_at: call.started_at,
        probability,
        chosen,
        ..CandidateRow::default()
    }
}
