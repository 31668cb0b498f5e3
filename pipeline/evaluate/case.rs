//! One call: what is true of it, what the join says, and what could be said at best.

use callweave_core::time::Time;
use serde::Deserialize;

/// One line of the file that `simulate --truth` writes. Members of other kinds of calls are passed over.
#[derive(Debug, Clone, Deserialize)]
pub struct Truth {
    pub account: String,
    pub call_id: String,
    session_id: Option<String>,
    visitor_id: Option<String>,
    session_started_at: Option<String>,
    pub source: Option<String>,
    pub medium: Option<String>,
    pub campaign: Option<String>,
    pub why: String,
    /// The share of the pools' numbers that is asked for, as the simulation was told.
    pub utilisation: Option<f64>,
    pub candidates: Option<u32>,
    /// Whether the true session is one of the candidates; nothing for calls to numbers that are not leased.
    pub is_candidate: Option<bool>,
    optimal_session_id: Option<String>,
    optimal_visitor_id: Option<String>,
    optimal_started_at: Option<String>,
    pub optimal_probability: Option<f64>,
    pub true_probability: Option<f64>,
}

/// A session without a name of its own is called by its visitor and start (contract, docs/decisions.md).
fn name(id: &Option<String>, visitor: &Option<String>, started: &Option<String>) -> Option<String> {
    let made = || Some(format!("{}.{}", visitor.as_ref()?, Time::parse(started.as_ref()?).ok()?.0));
    id.clone().or_else(made)
}

impl Truth {
    /// The session that the right answer names: nothing where it is none of the candidates.
    pub fn session(&self) -> Option<String> {
        let named = name(&self.session_id, &self.visitor_id, &self.session_started_at);
        named.filter(|_| self.is_candidate == Some(true))
    }

    pub fn optimal_session(&self) -> Option<String> {
        name(&self.optimal_session_id, &self.optimal_visitor_id, &self.optimal_started_at)
    }
}

/// What the join says of a call.
#[derive(Debug, Clone)]
pub struct Answer {
    pub session: Option<String>,
    pub confidence: Option<f64>,
    pub source: Option<(String, String, Option<String>)>,
    pub source_confidence: Option<f64>,
    pub candidates: Vec<Candidate>,
    /// The probability of none of them.
    pub none: f64,
}

#[derive(Debug, Clone)]
pub struct Candidate {
    pub session: Option<String>,
    pub probability: f64,
    pub active: bool,
    pub released: bool,
    pub granted_at: Time,
    /// Seconds since its last sign of life.
    pub delay: f64,
    /// How likely the telephone is its visitor's, and how likely it had called before.
    pub known: f64,
    pub called: f64,
}

impl Default for Answer {
    /// Of a call without candidates.
    fn default() -> Answer {
        Answer {
            session: None,
            confidence: None,
            source: None,
            source_confidence: None,
            candidates: Vec::new(),
            none: 1.0,
        }
    }
}

/// A call to a leased number.
#[derive(Debug, Clone)]
pub struct Case {
    pub truth: Truth,
    pub answer: Answer,
    /// How many calls of this run before it were certain: see [`Given::is_certain`].
    pub certain_before: usize,
}

/// One way to answer, and how it did on one call.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    pub named: bool,
    pub right: bool,
    /// Of the answer that was given.
    pub probability: f64,
    /// Of the right answer.
    pub of_truth: f64,
}

/// What is at least as likely is certain.
pub const CERTAIN: f64 = 0.9;

impl Given {
    /// Whether the answer, be it a session or none of them, is all but sure by its own account.
    pub fn is_certain(&self) -> bool {
        self.probability >= CERTAIN
    }
}

impl Case {
    fn is_right(&self, session: Option<&str>) -> bool {
        self.truth.session().as_deref() == session
    }

    pub fn model(&self) -> Given {
        let answer = &self.answer;
        let right = self.truth.session();
        let of_truth = match &right {
            None => answer.none,
            Some(right) => {
                let candidate = answer.candidates.iter().find(|it| it.session.as_ref() == Some(right));
                candidate.map_or(0.0, |it| it.probability)
            }
        };
        Given {
            named: answer.session.is_some(),
            right: self.is_right(answer.session.as_deref()),
            probability: answer.confidence.unwrap_or(answer.none),
            of_truth,
        }
    }

    pub fn optimal(&self) -> Given {
        let session = self.truth.optimal_session();
        Given {
            named: session.is_some(),
            right: self.is_right(session.as_deref()),
            probability: self.truth.optimal_probability.unwrap_or(0.0),
            of_truth: self.truth.true_probability.unwrap_or(0.0),
        }
    }

    fn plain(&self, candidate: Option<&Candidate>) -> Given {
        let session = candidate.and_then(|it| it.session.as_deref());
        let right = self.is_right(session);
        Given { named: session.is_some(), right, probability: 1.0, of_truth: if right { 1.0 } else { 0.0 } }
    }

    /// Whoever holds the number now; nobody if nobody does.
    pub fn holder(&self) -> Given {
        let active = self.answer.candidates.iter().filter(|it| it.active);
        self.plain(active.max_by_key(|it| it.granted_at))
    }

    /// Who held it last, however long ago.
    pub fn last_holder(&self) -> Given {
        self.plain(self.answer.candidates.iter().max_by_key(|it| it.granted_at))
    }

    /// Whether the named source is the true one, and how sure that is said to be; nothing where none is named.
    pub fn source(&self) -> Option<(f64, bool)> {
        let (source, medium, campaign) = self.answer.source.as_ref()?;
        let truth = &self.truth;
        let right = truth.is_candidate == Some(true)
            && (Some(source), Some(medium), campaign.as_ref())
                == (truth.source.as_ref(), truth.medium.as_ref(), truth.campaign.as_ref());
        Some((self.answer.source_confidence?, right))
    }
}
