//! Cases: what is true of each call, beside what the join makes of the events.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use callweave_core::event::{Body, decode};
use callweave_core::join::{Effects, Join, Mode};
use callweave_core::source::Surveyor;

use super::case::{Answer, Candidate, Case, Truth};

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read the events")]
    Events(#[source] io::Error),
    #[error("cannot read the truth")]
    Truth(#[source] io::Error),
    #[error("line {line} of the truth is not one that `simulate --truth` writes")]
    Line {
        line: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error("the truth has no best answers: it was written by an older program, or no call came to a leased number")]
    NoCases,
    #[error(
        "only {found} of the truth's {calls} calls are among the events, so they are another simulation's: give each --truth the \
         --input that was written with it"
    )]
    Strangers { found: usize, calls: usize },
}

/// Of the truth's calls so many must be among the events: a file that was cut off has the beginning of what the truth tells.
const FOUND_SHARE_MIN: f64 = 0.5;

type Answers = BTreeMap<(String, String), Answer>;

/// Joins events as `run` does, and keeps what the highest revision of each call says.
pub fn answers(events: impl BufRead) -> Result<Answers, ReadError> {
    let (mut join, mut surveyor) = (Join::new(Mode::Bounded), Surveyor::default());
    let (mut effects, mut answers) = (Effects::default(), Answers::new());
    for line in events.split(b'\n') {
        let line = line.map_err(ReadError::Events)?;
        // What cannot be used is no evidence.
        let Ok(event) = decode(&line, None) else { continue };
        let visit = match &event.body {
            Body::PageView(view) => Some(surveyor.visit(view)),
            _ => None,
        };
        join.apply(&event, visit.as_ref(), &mut effects);
        take(&mut effects, &mut answers);
    }
    join.settle(&mut effects);
    take(&mut effects, &mut answers);
    Ok(answers)
}

fn take(effects: &mut Effects, answers: &mut Answers) {
    for row in effects.calls.drain(..) {
        let source = row.source.as_ref().map(|source| {
            (source.source.to_string(), source.medium.to_string(), source.campaign.as_deref().map(str::to_owned))
        });
        let answer = Answer {
            session: row.session_id.as_deref().map(str::to_owned),
            confidence: row.attribution_confidence,
            source,
            source_confidence: row.source_confidence,
            ..Answer::default()
        };
        let held = answers.entry((row.account.to_string(), row.call_id.to_string())).or_default();
        // Candidates are written again only where they are others.
        let (candidates, none) = (std::mem::take(&mut held.candidates), held.none);
        *held = Answer { candidates, none, ..answer };
    }
    for row in effects.candidates.drain(..) {
        let Some(answer) = answers.get_mut(&(row.account.to_string(), row.call_id.to_string())) else { continue };
        match row.granted_at {
            Some(granted_at) => answer.candidates.push(Candidate {
                session: row.session_id.as_deref().map(str::to_owned),
                probability: row.probability,
                active: row.lease_active == Some(true),
                released: row.released == Some(true),
                delay: row.delay_seconds.unwrap_or(0.0),
                known: row.known_caller.unwrap_or(0.0),
                called: row.called_already.unwrap_or(0.0),
                granted_at,
            }),
            None => (answer.none, answer.candidates) = (row.probability, Vec::new()),
        }
    }
    effects.clear();
}

/// Calls to leased numbers in the order in which they were told, each with its answer.
pub fn cases(truth: impl BufRead, mut answers: Answers) -> Result<Vec<Case>, ReadError> {
    let mut cases = Vec::new();
    let (mut certain_before, mut calls, mut found) = (0, 0, 0);
    for (at, line) in truth.lines().enumerate() {
        let line = line.map_err(ReadError::Truth)?;
        let truth: Truth = serde_json::from_str(&line).map_err(|source| ReadError::Line { line: at + 1, source })?;
        let answer = answers.remove(&(truth.account.clone(), truth.call_id.clone()));
        calls += 1;
        found += usize::from(answer.is_some());
        if truth.is_candidate.is_some() {
            let case = Case { truth, answer: answer.unwrap_or_default(), certain_before };
            certain_before += usize::from(case.model().is_certain());
            cases.push(case);
        }
    }
    match cases.is_empty() {
        true => Err(ReadError::NoCases),
        false if (found as f64) < calls as f64 * FOUND_SHARE_MIN => Err(ReadError::Strangers { found, calls }),
        false => Ok(cases),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_to_a_number_that_is_not_leased_is_no_case_whether_its_members_are_null_or_missing() {
        let truth = concat!(
            r#"{"account":"acme","call_id":"a","session_id":"s","why":"later","is_candidate":true,"candidates":1}"#,
            "\n",
            r#"{"account":"acme","call_id":"b","session_id":"s","why":"static","is_candidate":null,"candidates":null}"#,
            "\n",
            r#"{"account":"acme","call_id":"c","why":"static"}"#,
            "\n",
        );
        let answers = ["a", "b", "c"].map(|call| (("acme".to_owned(), call.to_owned()), Answer::default()));
        let cases = cases(truth.as_bytes(), answers.into()).expect("cases");
        assert_eq!(cases.iter().map(|case| case.truth.call_id.as_str()).collect::<Vec<_>>(), ["a"]);
    }
}
