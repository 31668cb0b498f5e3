//! Calls put together from what happens to their channels, one event after the other: AMI, CEL and ARI.
//!
//! The feed is in order, and only what is going on is held: at most [`OPEN_CALLS_MAX`] calls of [`CHANNELS_PER_CALL`]
//! channels each. A call is let go when it ends; where its end never comes, when it is among those
//! longest untouched.

use std::collections::BTreeMap;

use super::draft::{Draft, label, step};
use super::leg::Callee;
use super::number::{Book, Digits, Parties};
use super::outcome::{Legs, Why};
use super::tag::{Role, Tag};
use super::{Pass, Terms, oldest_quarter};
use crate::event::{CallStatus, Direction, HangupBy};
use crate::limits::{CHANNELS_PER_CALL, OPEN_CALLS_MAX};
use crate::time::Time;

#[derive(Default)]
pub(super) struct Tracker {
    calls: BTreeMap<String, Live>,
    /// Which call a channel belongs to.
    channels: BTreeMap<String, String>,
    events: u64,
}

/// One call that goes on.
#[derive(Default)]
struct Live {
    from: String,
    to: String,
    tag: Option<Tag>,
    /// The caller's own channel.
    main: String,
    channels: Vec<String>,
    dialling: usize,
    dialled: bool,
    legs: Legs,
    told_start: bool,
    told_ringing: bool,
    told_answer: bool,
    callee: Option<String>,
    cause: Option<String>,
    hangup_by: Option<HangupBy>,
    touched: u64,
}

/// What an event says of a channel.
pub(super) enum Happening<'e> {
    Opened {
        from: &'e str,
        to: &'e str,
    },
    /// It was picked up.
    Up,
    /// It runs an application that takes a message.
    Voicemail,
    DialBegins {
        callee: Option<&'e str>,
    },
    DialEnds {
        why: Option<Why>,
        word: &'e str,
        callee: Option<&'e str>,
    },
    /// It is connected to another.
    Bridged,
    Transferred,
    HangupAsked,
    /// It is gone. The code is Q.850's.
    Gone {
        code: u16,
        text: &'e str,
    },
    /// All of the call is.
    Over,
}

/// An event: of which call (nothing: the one that its channel belongs to), of which channel, and when.
pub(super) struct Fact<'e> {
    pub call: Option<&'e str>,
    pub channel: &'e str,
    pub at: Time,
    pub tag: Option<Tag>,
    pub what: Happening<'e>,
}

impl Tracker {
    pub fn take(&mut self, draft: &mut Draft<'_>, fact: &Fact<'_>, terms: &Terms<'_>) {
        self.events += 1;
        let known = self.channels.get(fact.channel).cloned();
        let opens = matches!(fact.what, Happening::Opened { .. });
        // A bridge may rename the call of a channel; what it was first is what was told.
        let Some(id) = known.or_else(|| fact.call.map(str::to_owned)) else { return draft.pass(Pass::Leg) };
        if !self.calls.contains_key(&id) {
            // Whose beginning was missed is not known, nor who calls whom.
            if !opens {
                return draft.pass(Pass::Leg);
            }
            self.make_room();
        }
        let events = self.events;
        let live = self.calls.entry(id.clone()).or_default();
        live.touched = events;
        if opens && live.channels.len() < CHANNELS_PER_CALL && !live.channels.iter().any(|held| held == fact.channel) {
            live.channels.push(fact.channel.to_owned());
            self.channels.insert(fact.channel.to_owned(), id.clone());
        }
        let book = Book::new(terms.rules);
        let is_over = live.happens(draft, &book, &id, fact);
        if matches!(fact.what, Happening::Gone { .. }) {
            self.channels.remove(fact.channel);
        }
        if is_over {
            self.forget(&id);
        }
    }

    fn make_room(&mut self) {
        if self.calls.len() < OPEN_CALLS_MAX {
            return;
        }
        let oldest = oldest_quarter(self.calls.values().map(|live| live.touched));
        self.calls.retain(|_, live| live.touched > oldest);
        self.channels.retain(|_, call| self.calls.contains_key(call));
    }

    fn forget(&mut self, id: &str) {
        for channel in self.calls.remove(id).map_or(Vec::new(), |live| live.channels) {
            self.channels.remove(&channel);
        }
    }
}

impl Live {
    /// Takes a fact in and tells what follows; whether the call is over.
    fn happens(&mut self, draft: &mut Draft<'_>, book: &Book<'_>, id: &str, fact: &Fact<'_>) -> bool {
        let at = draft.near(fact.at);
        let is_main = self.main == fact.channel;
        if let Some(tag) = &fact.tag {
            self.tag = Some(tag.clone());
        }
        match &fact.what {
            Happening::Opened { from, to } => {
                if self.main.is_empty() {
                    self.main = fact.channel.to_owned();
                }
                if self.main == fact.channel {
                    fill(&mut self.from, from);
                    fill(&mut self.to, to);
                    self.start(draft, book, id, at);
                }
            }
            Happening::Up if is_main && !self.dialled && !self.legs.menu => self.menu(draft, book, id, at),
            Happening::Up => {}
            Happening::Voicemail => {
                self.legs.voicemail = true;
                self.tell(draft, book, id, at, CallStatus::Voicemail, "voicemail");
            }
            Happening::DialBegins { callee } => {
                (self.dialled, self.dialling) = (true, self.dialling + 1);
                fill(self.callee.get_or_insert_default(), callee.unwrap_or_default());
                self.ringing(draft, book, id, at);
            }
            Happening::DialEnds { why, word, callee } => {
                self.dialling = self.dialling.saturating_sub(1);
                self.dial_ends(*why, word, *callee);
                if *why == Some(Why::Over) {
                    self.answer(draft, book, id, at);
                }
            }
            Happening::Bridged if self.channels.len() > 1 => self.answer(draft, book, id, at),
            Happening::Bridged => {}
            Happening::Transferred => {
                self.tell(draft, book, id, at, CallStatus::Transferred, &format!("transferred/{}", at.0))
            }
            Happening::HangupAsked => {
                // Whoever asks first.
                self.hangup_by = self.hangup_by.or(Some(if is_main { HangupBy::Caller } else { HangupBy::Agent }));
            }
            Happening::Gone { code, text } => return self.gone(draft, book, id, at, fact.channel, (*code, text)),
            Happening::Over => {
                self.end(draft, book, id, at);
                return true;
            }
        }
        false
    }

    fn parties(&self, book: &Book<'_>) -> Option<Parties> {
        if let Some(tag) = &self.tag {
            return Some(tag.parties.clone());
        }
        let side = |text: &str| book.side(text, Digits::National);
        book.parties(side(&self.from), side(&self.to), None)
    }

    fn tell(&self, draft: &mut Draft<'_>, book: &Book<'_>, id: &str, at: Time, status: CallStatus, what: &str) {
        if let Some(parties) = self.parties(book) {
            draft.call(format!("{id}/{what}"), at, step(id, status, &parties));
        }
    }

    /// As soon as it is known who is called.
    fn start(&mut self, draft: &mut Draft<'_>, book: &Book<'_>, id: &str, at: Time) {
        if !self.to.is_empty() && !std::mem::replace(&mut self.told_start, true) {
            self.tell(draft, book, id, at, CallStatus::Started, "started");
        }
    }

    /// The caller's channel was picked up before anybody was dialled.
    fn menu(&mut self, draft: &mut Draft<'_>, book: &Book<'_>, id: &str, at: Time) {
        if self.parties(book).is_some_and(|parties| parties.direction == Direction::Inbound) {
            self.legs.menu = true;
            self.tell(draft, book, id, at, CallStatus::Menu, "menu");
        }
    }

    fn ringing(&mut self, draft: &mut Draft<'_>, book: &Book<'_>, id: &str, at: Time) {
        if !std::mem::replace(&mut self.told_ringing, true) {
            self.tell(draft, book, id, at, CallStatus::Ringing, "ringing");
        }
    }

    fn dial_ends(&mut self, why: Option<Why>, word: &str, callee: Option<&str>) {
        if !self.legs.bridged {
            self.cause = Some(word.to_owned());
        }
        match (why, self.tag.as_ref().map(|tag| tag.role)) {
            (Some(Why::Over), _) => {
                if let Some(callee) = callee {
                    self.callee = Some(callee.to_owned());
                }
            }
            (Some(_), Some(Role::Agent)) => self.legs.agent_missed = true,
            (Some(_), Some(Role::Client)) => self.legs.client_missed = true,
            (why, _) => self.legs.note(why),
        }
    }

    fn answer(&mut self, draft: &mut Draft<'_>, book: &Book<'_>, id: &str, at: Time) {
        self.legs.bridged = true;
        if std::mem::replace(&mut self.told_answer, true) {
            return;
        }
        let Some(parties) = self.parties(book) else { return };
        let mut call = step(id, CallStatus::Answered, &parties);
        let callee = self.callee.clone().filter(|callee| !callee.is_empty());
        let callee = Callee::of_call(book, &parties, callee.as_deref());
        call.agent = callee.agent.and_then(label);
        call.destination = callee.at.and_then(label);
        draft.call(format!("{id}/answered"), at, call);
    }

    fn gone(
        &mut self,
        draft: &mut Draft<'_>,
        book: &Book<'_>,
        id: &str,
        at: Time,
        channel: &str,
        (code, text): (u16, &str),
    ) -> bool {
        let is_main = self.main == channel;
        self.channels.retain(|held| held != channel);
        // The caller's own channel tells how the call went only where nobody was dialled.
        if is_main && !self.dialled {
            self.legs.note(super::outcome::q850(code));
        }
        if is_main && self.cause.is_none() {
            self.cause = Some(if text.is_empty() { code.to_string() } else { text.to_owned() });
        }
        if is_main || self.channels.is_empty() {
            self.end(draft, book, id, at);
            return true;
        }
        false
    }

    fn end(&mut self, draft: &mut Draft<'_>, book: &Book<'_>, id: &str, at: Time) {
        let Some(parties) = self.parties(book) else { return draft.pass(Pass::Internal) };
        // A menu that was left for somebody who was dialled is none that was abandoned.
        let legs = Legs { menu: self.legs.menu && !self.dialled, ..self.legs };
        let mut call = step(id, CallStatus::Ended, &parties);
        call.outcome = legs.told();
        call.cause = self.cause.take().and_then(label);
        call.hangup_by = match (self.hangup_by, parties.direction) {
            (Some(HangupBy::Caller), Direction::Outbound) => Some(HangupBy::Agent),
            (Some(HangupBy::Agent), Direction::Outbound) => Some(HangupBy::Caller),
            (told, _) => told,
        };
        draft.call(format!("{id}/ended"), at, call);
    }
}

/// What is known first stays.
fn fill(held: &mut String, told: &str) {
    if held.is_empty() {
        told.clone_into(held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Rules, Settings};

    #[test]
    fn calls_without_an_end_are_bounded() {
        let rules = Rules::new(Settings::default());
        let terms = Terms { account: "acme", rules: &rules, secret: None, base: "" };
        let mut tracker = Tracker::default();
        let mut draft = Draft::line(b"", None, &terms, "test");
        for call in 0..OPEN_CALLS_MAX * 2 {
            let (id, what) = (call.to_string(), Happening::Opened { from: "1", to: "2" });
            let fact = Fact { call: Some(&id), channel: &id, at: Time(0), tag: None, what };
            tracker.take(&mut draft, &fact, &terms);
            assert!(tracker.calls.len() <= OPEN_CALLS_MAX && tracker.channels.len() <= OPEN_CALLS_MAX);
        }
        assert!(tracker.calls.contains_key(&(OPEN_CALLS_MAX * 2 - 1).to_string()), "the newest stay");
        for channel in 0..CHANNELS_PER_CALL * 2 {
            let (id, what) = (format!("c{channel}"), Happening::Opened { from: "", to: "" });
            let fact = Fact { call: Some("8191"), channel: &id, at: Time(0), tag: None, what };
            tracker.take(&mut draft, &fact, &terms);
        }
        assert_eq!(tracker.calls["8191"].channels.len(), CHANNELS_PER_CALL);
    }
}
