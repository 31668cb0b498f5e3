//! What really happened: one line per call, for holding the join's answers against.

use std::io::{self, Write};
use std::sync::Arc;

use callweave_core::time::Time;

use super::optimal::Optimum;
use crate::line::hex;

/// Why somebody dialled this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    DuringVisit,
    Later,
    WrongNumber,
    Repeat,
    Static,
}

impl Why {
    pub fn name(self) -> &'static str {
        match self {
            Why::DuringVisit => "during_visit",
            Why::Later => "later",
            Why::WrongNumber => "wrong_number",
            Why::Repeat => "repeat",
            Why::Static => "static",
        }
    }
}

/// Where a call came from, as contract section 4 would name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrueSource {
    pub source: &'static str,
    pub medium: &'static str,
    pub campaign: Option<&'static str>,
}

/// The truth about one call.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    pub account: Arc<str>,
    pub(super) call: u64,
    /// 0: nobody's visit, or one whose browser names no session.
    pub(super) session: u64,
    /// 0: nobody who visited.
    pub(super) visitor: u64,
    /// Nothing for wrong numbers.
    pub source: Option<TrueSource>,
    pub why: Why,
    pub started_at: Time,
    /// Nothing for calls that have no session, told or not.
    pub session_started_at: Option<Time>,
    /// The best possible answer; of calls to leased numbers, if it was asked for.
    pub(super) optimum: Option<Optimum>,
    /// The share of the pools that is asked for, where the simulation was told.
    pub(super) utilisation: Option<f64>,
}

impl Truth {
    pub fn call_id(&self) -> String {
        id('c', self.call)
    }

    pub fn session_id(&self) -> Option<String> {
        (self.session != 0).then(|| id('s', self.session))
    }

    pub fn visitor_id(&self) -> Option<String> {
        (self.visitor != 0).then(|| id('v', self.visitor))
    }

    /// Writes one line of JSON. Every line has all members: what a call has nothing of is null, such as the best answer to a call
    /// to a number that is not leased.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let optimum = self.optimum.as_ref();
        let answer = optimum.and_then(|it| it.answer);
        let line = serde_json::json!({
            "account": &*self.account,
            "call_id": self.call_id(),
            "session_id": self.session_id(),
            "visitor_id": self.visitor_id(),
            "source": self.source.map(|s| s.source),
            "medium": self.source.map(|s| s.medium),
            "campaign": self.source.and_then(|s| s.campaign),
            "why": self.why.name(),
            "started_at": self.started_at,
            "session_started_at": self.session_started_at,
            "utilisation": self.utilisation,
            "candidates": optimum.map(|it| it.candidates),
            "is_candidate": optimum.map(|it| it.truth_is_candidate),
            "optimal_session_id": answer.filter(|it| it.session != 0).map(|it| id('s', it.session)),
            "optimal_visitor_id": answer.map(|it| id('v', it.visitor)),
            "optimal_started_at": answer.map(|it| it.started),
            "optimal_probability": optimum.map(|it| it.probability),
            "true_probability": optimum.map(|it| it.of_truth),
        });
        writeln!(out, "{line}")
    }
}

fn id(letter: char, id: u64) -> String {
    let digits = hex(id);
    std::iter::once(letter).chain(digits.iter().map(|&digit| char::from(digit))).collect()
}
