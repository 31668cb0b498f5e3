//! Calls, put together from progress events and records in any order.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::links::Person;
use super::name::Name;
use super::session::Written;
use super::tags::Tagging;
use super::timers::Due;
use super::{Effects, Mode};
use crate::event::{Call, CallRecord, CallStatus, Direction, Event, HangupBy, Outcome, Text};
use crate::moment::{Moment, MomentKind};
use crate::phone::{Party, Phone};
use crate::row::Str;
use crate::time::{MICROS_PER_SECOND, Time};

/// A member as the latest event that has it tells it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Told<T>(Option<(Time, T)>);

impl<T> Default for Told<T> {
    fn default() -> Self {
        Told(None)
    }
}

impl<T> Told<T> {
    fn tell(&mut self, at: Time, value: T) {
        if self.0.as_ref().is_none_or(|(before, _)| at >= *before) {
            self.0 = Some((at, value));
        }
    }

    fn tell_if(&mut self, at: Time, value: Option<T>) {
        if let Some(value) = value {
            self.tell(at, value);
        }
    }

    pub fn get(&self) -> Option<&T> {
        self.0.as_ref().map(|(_, value)| value)
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct CallState {
    pub id: Name,
    first_event: Time,
    pub last_event: Time,
    pub direction: Told<Direction>,
    from: Told<Party>,
    to: Told<Party>,
    pub extension: Told<Str>,
    pub destination: Told<Str>,
    pub agent: Told<Str>,
    pub cause: Told<Str>,
    pub hangup_by: Told<HangupBy>,
    talk_seconds: Told<f64>,
    pub recording_url: Told<Str>,
    outcome: Told<Outcome>,
    pub spam_score: Told<f64>,
    record_started_at: Told<Time>,
    record_answered_at: Told<Time>,
    record_ended_at: Told<Time>,
    started: Option<Time>,
    ringing: Option<Time>,
    answered: Option<Time>,
    ended: Option<Time>,
    menu: bool,
    voicemail: bool,
    /// The caller and the country of their number, looked up once.
    pub country: Option<(Party, Option<Str>)>,
    /// Under which number and start the call is filed.
    pub line: Option<(Phone, Time)>,
    /// Under which caller and start it is filed.
    pub filed_caller: Option<(Phone, Time)>,
    /// Sessions that are candidates as of the last decision, by number.
    pub candidates: Vec<u32>,
    /// Those of them that are likely its own, in thousandths.
    pub likely: Vec<(u32, u16)>,
    /// The session that its row names, and how many pages of it.
    pub named: Option<(u32, u32)>,
    /// Whose it is by itself, as its caller's calls before it heard.
    pub tells: Option<(Person, u16)>,
    pub tagging: Option<Box<Tagging>>,
    /// What was last written of its candidates, by hash; 0: nothing.
    pub candidates_written: u64,
    pub decided: bool,
    moments: Moments,
    pub due: Due,
    pub written: Written,
}

/// Which moments were told.
#[derive(Default, Serialize, Deserialize)]
struct Moments {
    started: bool,
    answered: bool,
    ended: bool,
    missed: bool,
    recorded: bool,
}

fn earlier(held: &mut Option<Time>, at: Time) {
    *held = Some(held.map_or(at, |held| held.min(at)));
}

impl CallState {
    fn new(id: Name, at: Time) -> CallState {
        CallState {
            id,
            first_event: at,
            last_event: at,
            direction: Told::default(),
            from: Told::default(),
            to: Told::default(),
            extension: Told::default(),
            destination: Told::default(),
            agent: Told::default(),
            cause: Told::default(),
            hangup_by: Told::default(),
            talk_seconds: Told::default(),
            recording_url: Told::default(),
            outcome: Told::default(),
            spam_score: Told::default(),
            record_started_at: Told::default(),
            record_answered_at: Told::default(),
            record_ended_at: Told::default(),
            started: None,
            ringing: None,
            answered: None,
            ended: None,
            menu: false,
            voicemail: false,
            country: None,
            line: None,
            filed_caller: None,
            candidates: Vec::new(),
            likely: Vec::new(),
            named: None,
            tells: None,
            tagging: None,
            candidates_written: 0,
            decided: false,
            moments: Moments::default(),
            due: Due::default(),
            written: Written::default(),
        }
    }

    /// `started_at` of its record, else its `started` event, else its earliest event.
    pub fn start(&self) -> Time {
        self.record_started_at.get().copied().or(self.started).unwrap_or(self.first_event)
    }

    /// Within the call. Who tells of an answer may have another clock than who tells of the start and the end.
    pub fn answered_at(&self) -> Option<Time> {
        let told = self.record_answered_at.get().copied().or(self.answered)?;
        Some(told.min(self.ended_at().unwrap_or(told)).max(self.start()))
    }

    /// Not before the start. A record that says so is rejected; of two events, each of which can be, nobody knows which clock is off.
    pub fn ended_at(&self) -> Option<Time> {
        let told = self.record_ended_at.get().copied().or(self.ended)?;
        Some(told.max(self.start()))
    }

    pub fn is_over(&self) -> bool {
        self.ended_at().is_some()
    }

    pub fn direction(&self) -> Direction {
        self.direction.get().copied().unwrap_or(Direction::Inbound)
    }

    pub fn caller(&self) -> Party {
        let party = if self.direction() == Direction::Outbound { &self.to } else { &self.from };
        party.get().copied().unwrap_or(Party::Anonymous)
    }

    pub fn tracking_number(&self) -> Party {
        let party = if self.direction() == Direction::Outbound { &self.from } else { &self.to };
        party.get().copied().unwrap_or(Party::Anonymous)
    }

    /// The first that fits: as told, answered, voicemail, left during the greeting, left in the menu, missed. Nothing
    /// for a call that is not over, unless it was told or answered.
    pub fn outcome(&self, greeting_seconds: f64) -> Option<Outcome> {
        if let Some(told) = self.outcome.get() {
            return Some(*told);
        }
        if self.answered_at().is_some() {
            return Some(Outcome::Answered);
        }
        let ended = self.ended_at()?;
        if self.voicemail {
            return Some(Outcome::Voicemail);
        }
        let is_menus = self.menu && self.ringing.is_none();
        if !is_menus && self.talk_seconds.get().is_some_and(|told| *told > 0.0) {
            return Some(Outcome::Answered);
        }
        let by_caller = self.hangup_by.get() == Some(&HangupBy::Caller);
        if by_caller && seconds_between(self.start(), ended) <= greeting_seconds {
            return Some(Outcome::AbandonedGreeting);
        }
        if is_menus {
            return Some(Outcome::AbandonedMenu);
        }
        Some(Outcome::Missed)
    }

    pub fn talk_seconds(&self) -> f64 {
        if let Some(told) = self.talk_seconds.get() {
            return *told;
        }
        match (self.answered_at(), self.ended_at()) {
            (Some(answered), Some(ended)) => seconds_between(answered, ended),
            _ => 0.0,
        }
    }

    /// From the first `ringing` (else the start) to the answer (else the end).
    pub fn ring_seconds(&self) -> Option<f64> {
        let until = self.answered_at().or(self.ended_at())?;
        Some(seconds_between(self.ringing.unwrap_or(self.start()), until))
    }

    pub fn total_seconds(&self) -> Option<f64> {
        Some(seconds_between(self.start(), self.ended_at()?))
    }

    /// A session is no more.
    pub fn let_go(&mut self, session: u32) {
        self.candidates.retain(|held| *held != session);
        self.likely.retain(|(held, _)| *held != session);
        self.named = self.named.filter(|(held, _)| *held != session);
    }

    fn progress(&mut self, at: Time, call: &Call<'_>) {
        match call.status {
            CallStatus::Started => earlier(&mut self.started, at),
            CallStatus::Menu => self.menu = true,
            CallStatus::Ringing => earlier(&mut self.ringing, at),
            CallStatus::Answered => earlier(&mut self.answered, at),
            CallStatus::Transferred => {}
            CallStatus::Voicemail => self.voicemail = true,
            CallStatus::Ended => self.ended = Some(self.ended.map_or(at, |held| held.max(at))),
        }
        self.direction.tell(at, call.direction);
        self.from.tell(at, call.from);
        self.to.tell(at, call.to);
        self.extension.tell_if(at, text(&call.extension));
        self.destination.tell_if(at, text(&call.destination));
        self.agent.tell_if(at, text(&call.agent));
        self.cause.tell_if(at, text(&call.cause));
        self.hangup_by.tell_if(at, call.hangup_by);
        self.talk_seconds.tell_if(at, call.talk_seconds);
        self.recording_url.tell_if(at, text(&call.recording_url));
        self.outcome.tell_if(at, call.outcome);
        self.spam_score.tell_if(at, call.spam_score);
    }

    fn record(&mut self, at: Time, record: &CallRecord<'_>) {
        self.record_started_at.tell(at, record.started_at);
        self.record_answered_at.tell_if(at, record.answered_at);
        self.record_ended_at.tell(at, record.ended_at);
        self.direction.tell(at, record.direction);
        self.from.tell(at, record.from);
        self.to.tell(at, record.to);
        self.extension.tell_if(at, text(&record.extension));
        self.destination.tell_if(at, text(&record.destination));
        self.agent.tell_if(at, text(&record.agent));
        self.cause.tell_if(at, text(&record.cause));
        self.hangup_by.tell_if(at, record.hangup_by);
        self.recording_url.tell_if(at, text(&record.recording_url));
        self.outcome.tell_if(at, record.outcome);
    }
}

fn text(told: &Option<Text<'_>>) -> Option<Str> {
    told.as_deref().map(Str::from)
}

/// Seconds with their fraction; clocks that disagree make no negative ones.
pub(super) fn seconds_between(from: Time, to: Time) -> f64 {
    to.since(from).max(0) as f64 / MICROS_PER_SECOND as f64
}

impl Account {
    pub fn call_event(&mut self, event: &Event<'_>, call: &Call<'_>, out: &mut Effects) {
        let ix = self.call_state(&call.call_id, event.time);
        self.calls[ix].progress(event.time, call);
        self.call_changed(ix);
        let tell = |told: &mut bool| !std::mem::replace(told, true);
        let state = &mut self.calls[ix];
        let untouched = !state.moments.answered && !state.moments.ended;
        let kind = match call.status {
            CallStatus::Started | CallStatus::Menu | CallStatus::Ringing => {
                (untouched && tell(&mut state.moments.started)).then_some(MomentKind::CallStarted)
            }
            CallStatus::Answered => tell(&mut state.moments.answered).then_some(MomentKind::CallAnswered),
            CallStatus::Transferred => {
                // Nobody hears of a beginning behind that.
                state.moments.started = true;
                Some(MomentKind::CallTransferred)
            }
            CallStatus::Ended => tell(&mut state.moments.ended).then_some(MomentKind::CallEnded),
            CallStatus::Voicemail => None,
        };
        let is_over = state.is_over();
        self.write_and_tell(ix, is_over, kind, event, out);
    }

    pub fn call_record(&mut self, event: &Event<'_>, record: &CallRecord<'_>, out: &mut Effects) {
        let ix = self.call_state(&record.call_id, event.time);
        self.calls[ix].record(event.time, record);
        self.call_changed(ix);
        let is_new = !std::mem::replace(&mut self.calls[ix].moments.ended, true);
        self.write_and_tell(ix, true, is_new.then_some(MomentKind::CallEnded), event, out);
    }

    /// Writes the row of a live call that is over, and tells what `event` is by itself (`kind`) and what follows from it.
    fn write_and_tell(
        &mut self,
        ix: u32,
        is_over: bool,
        kind: Option<MomentKind>,
        event: &Event<'_>,
        out: &mut Effects,
    ) {
        let told = out.moments.len();
        if is_over && self.mode == Mode::Live {
            self.emit_call(ix, out);
        }
        let corrected = out.moments.len();
        if let Some(kind) = kind {
            self.tell(ix, kind, event, out);
        }
        self.tell_what_follows(ix, event, out);
        // What happened comes before what it corrects.
        out.moments[told..].rotate_left(corrected - told);
    }

    /// The moments of a call that is over without an answer, and of a recording.
    fn tell_what_follows(&mut self, ix: u32, event: &Event<'_>, out: &mut Effects) {
        let greeting_seconds = self.rules(self.calls[ix].start()).settings().greeting_seconds;
        let call = &mut self.calls[ix];
        let outcome = call.outcome(greeting_seconds);
        let unanswered = call.is_over() && outcome.is_some_and(|outcome| outcome != Outcome::Answered);
        let missed = unanswered && !std::mem::replace(&mut call.moments.missed, true);
        let has_recording = call.recording_url.get().is_some();
        let recorded = has_recording && !std::mem::replace(&mut call.moments.recorded, true);
        if missed {
            self.tell(ix, MomentKind::CallMissed, event, out);
        }
        if recorded {
            self.tell(ix, MomentKind::CallRecorded, event, out);
        }
    }

    fn tell(&mut self, ix: u32, kind: MomentKind, event: &Event<'_>, out: &mut Effects) {
        let id = self.text_of(&self.calls[ix].id);
        let row = (self.mode == Mode::Live).then(|| self.current_row(ix));
        let moment = Moment::told_by(event, kind, &self.name, &id);
        out.moments.push(moment.of_call(Some(id), row));
    }

    fn call_state(&mut self, id: &str, at: Time) -> u32 {
        if let Some(ix) = self.find_call(id) {
            let call = &mut self.calls[ix];
            call.first_event = call.first_event.min(at);
            call.last_event = call.last_event.max(at);
            return ix;
        }
        let id = self.shared.name(id);
        let ix = self.calls.insert(CallState::new(id, at));
        let calls = &self.calls;
        self.call_ids.list(id.hash(), ix, |ix| calls[ix].id.hash());
        ix
    }

    /// Files the call where its number, caller and start have it now, and opens its decision.
    fn call_changed(&mut self, ix: u32) {
        let call = &mut self.calls[ix];
        let caller = call.caller();
        if call.country.as_ref().is_none_or(|(party, _)| *party != caller) {
            let country = caller.number().and_then(Phone::country).map(|code| {
                let code = self.shared.texts.intern(&code);
                self.shared.text(code)
            });
            self.calls[ix].country = Some((caller, country));
        }
        self.refile_line(ix);
        self.refile_caller(ix);
        self.touch_call(ix);
    }

    /// Whoever calls is nobody from now on.
    pub fn hide_caller(&mut self, ix: u32) {
        let call = &mut self.calls[ix];
        let caller = if call.direction() == Direction::Outbound { &mut call.to } else { &mut call.from };
        caller.0 = caller.0.map(|(at, _)| (at, Party::Anonymous));
        call.recording_url = Told::default();
        self.call_changed(ix);
    }

    fn refile_line(&mut self, ix: u32) {
        let call = &self.calls[ix];
        let attributed = call.direction() != Direction::Outbound;
        let line = call.tracking_number().number().filter(|_| attributed).map(|number| (number, call.start()));
        if line == call.line {
            return;
        }
        // Later calls there count it no more, and those where it is filed now do, even if its own answer stays.
        let counts = !self.calls[ix].likely.is_empty();
        if counts {
            self.touch_calls_after(ix);
        }
        self.unfile_line(ix);
        if let Some((number, start)) = line {
            let line = self.line(number);
            self.lines[line].add_call(start, ix);
        }
        self.calls[ix].line = line;
        if counts {
            self.touch_calls_after(ix);
        }
    }

    /// Decides the calls anew that came to the number at the same time or later.
    fn touch_calls_after(&mut self, ix: u32) {
        let Some((number, start)) = self.calls[ix].line else { return };
        let Some(line) = self.find_line(number) else { return };
        let calls = self.lines[line].calls();
        let later = calls.partition_point(|(at, _)| *at < start);
        let later: Vec<u32> = calls[later..].iter().map(|(_, call)| *call).filter(|call| *call != ix).collect();
        for call in later {
            self.touch_call(call);
        }
    }

    fn unfile_line(&mut self, ix: u32) {
        let Some((number, _)) = self.calls[ix].line.take() else { return };
        if let Some(line) = self.find_line(number) {
            self.lines[line].drop_call(ix);
            self.tidy_line(line);
        }
    }

    /// Takes a call out of the state. Its caller still counts it.
    pub fn forget_call(&mut self, ix: u32) {
        if self.calls.get(ix).is_none() {
            return;
        }
        self.unfile_line(ix);
        for (session, likely) in std::mem::take(&mut self.calls[ix].likely) {
            // The number may be another session's by now, if its own was erased.
            if let Some(held) = self.sessions.get_mut(session).filter(|it| it.calls().contains(&ix)) {
                held.has_called(likely);
                self.unsettle(session);
            }
        }
        self.set_candidates(ix, Vec::new());
        self.leave_caller(ix);
        if let Some(call) = self.calls.remove(ix) {
            self.call_ids.unlist(call.id.hash(), ix);
            self.shared.let_go(1);
        }
    }

    /// Notes which sessions have likely called: later calls on the number are hardly theirs.
    pub fn set_likely(&mut self, ix: u32, likely: Vec<(u32, u16)>) {
        if self.calls[ix].likely == likely {
            return;
        }
        self.calls[ix].likely = likely;
        self.touch_calls_after(ix);
    }

    /// Notes for which calls each session is a candidate.
    pub fn set_candidates(&mut self, ix: u32, mut sessions: Vec<u32>) {
        sessions.sort_unstable();
        let mut before = std::mem::take(&mut self.calls[ix].candidates);
        // States of earlier programs have them in another order.
        before.sort_unstable();
        for &session in before.iter().filter(|session| sessions.binary_search(session).is_err()) {
            let Some(session_of) = self.sessions.get_mut(session) else { continue };
            session_of.drop_call(ix);
            self.look_at_session_again(session);
        }
        for &session in sessions.iter().filter(|session| before.binary_search(session).is_err()) {
            self.sessions[session].add_call(ix);
        }
        self.calls[ix].candidates = sessions;
    }
}
