//! Calls: by visitors while they look and later, by the same callers again, by strangers who dial wrongly, and by
//! readers of print. A call is a chain of steps, one planned at a time.

use callweave_core::event::{CallStatus, Direction, HangupBy, Outcome};
use callweave_core::time::{MICROS_PER_DAY, MICROS_PER_SECOND, Time};

use super::PoolSize;
use super::account::AGENT_EXTENSIONS;
use super::numbers;
use super::optimal::{Book, Dialled, Optimum, Seen};
use super::tables::{self, CAMPAIGNS};
use super::truth::{TrueSource, Truth, Why};
use super::visits::Visit;
use super::world::{Action, World};

/// A call that is to come, goes on, or is still written about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) account: u16,
    pub(super) id: u64,
    /// 0: withheld.
    pub(super) from: u64,
    to: u64,
    /// What the caller will dial after the number; 0: nothing.
    extension: u16,
    direction: Direction,
    why: Why,
    /// 0: nobody's.
    visit: u64,
    session: u64,
    visitor: u64,
    session_started: Option<Time>,
    source: Option<TrueSource>,
    optimum: Option<Optimum>,
    /// What comes next.
    status: CallStatus,
    has_menu: bool,
    as_record: bool,
    outcome: Outcome,
    agent: u8,
    started: Time,
    ringing_seconds: u8,
    /// Of an answered call, or a message on voicemail.
    talk: i64,
    pub(super) answered: Option<Time>,
    pub(super) next_follow_up: u8,
}

const SOURCE_PHONE: &str = "phone/main";
/// Somebody who calls again does so within about so long.
pub(super) const AGAIN_MEAN_SECONDS: f64 = 1.5 * 86_400.0;
pub(super) const AGAIN_MOST: i64 = 14 * MICROS_PER_DAY;
const MENU_SHARE: f64 = 0.3;
const TRANSFER_SHARE: f64 = 0.08;

impl World {
    /// Plans the call of a visitor to the number on the page.
    pub(super) fn call_of_visit(&mut self, at: u32, why: Why, after: i64) {
        let phone = self.phone_of(at);
        let Some(call) = self.visitor_call(at, phone, why) else { return };
        let withheld = self.draw.chance(self.options.withheld_share);
        let dials_extension = call.extension != 0 && self.draw.chance(self.options.extension_share);
        let call = Call {
            from: if withheld { 0 } else { phone },
            extension: if dials_extension { call.extension } else { 0 },
            ..call
        };
        self.plan_call(call, after);
    }

    /// Plans the call that a visitor asked for.
    pub(super) fn callback(&mut self, at: u32, why: Why, after: i64) {
        let phone = self.phone_of(at);
        if let Some(call) = self.visitor_call(at, phone, why) {
            self.plan_call(Call { direction: Direction::Callback, extension: 0, has_menu: false, ..call }, after);
        }
    }

    fn visitor_call(&mut self, at: u32, from: u64, why: Why) -> Option<Call> {
        let visit = self.visits.get(at)?;
        let newsletter = visit.number == self.accounts[usize::from(visit.account)].newsletter;
        let call = self.new_call(visit.account, from, visit.number, if newsletter { Why::Static } else { why });
        Some(Call {
            extension: visit.extension,
            visit: visit.serial,
            session: visit.session,
            visitor: visit.visitor.id,
            session_started: Some(visit.started),
            source: Some(CAMPAIGNS[usize::from(visit.campaign)].truth),
            ..call
        })
    }

    fn new_call(&mut self, account: u16, from: u64, to: u64, why: Why) -> Call {
        Call {
            account,
            id: self.id(),
            from,
            to,
            extension: 0,
            direction: Direction::Inbound,
            why,
            visit: 0,
            session: 0,
            visitor: 0,
            session_started: None,
            source: None,
            optimum: None,
            status: CallStatus::Started,
            has_menu: self.draw.chance(MENU_SHARE),
            as_record: self.draw.chance(self.options.record_share),
            outcome: Outcome::Missed,
            agent: self.draw.below(AGENT_EXTENSIONS.len()) as u8,
            started: self.now,
            ringing_seconds: 0,
            talk: 0,
            answered: None,
            next_follow_up: 0,
        }
    }

    fn plan_call(&mut self, call: Call, after: i64) {
        let at = self.calls.put(call);
        self.plan(after, Action::CallStep(at));
    }

    /// Plans the next call of somebody who never saw the page. It is no busier by day: wrong numbers come at all hours,
    /// and print is read at home.
    pub(super) fn plan_stranger(&mut self, action: Action) {
        let share = match action {
            Action::Misdial(_) => self.options.wrong_number_share,
            _ => self.options.static_share,
        };
        let calls_per_day = self.options.visits_per_day * self.options.call_share * share;
        if calls_per_day > 0.0 && !self.closing() {
            let after = self.draw.exponential(86_400.0 / calls_per_day);
            self.plan(after, action);
        }
    }

    pub(super) fn misdial(&mut self, account: u16) {
        let house = &self.accounts[usize::from(account)];
        // A number of any pool, as likely as any other.
        let of_ads = house.pools[0].numbers.len();
        let at = self.draw.below(of_ads + house.pools[1].numbers.len());
        let to = if at < of_ads { house.pools[0].numbers[at] } else { house.pools[1].numbers[at - of_ads] };
        self.stranger(account, to, Why::WrongNumber, None);
        self.plan_stranger(Action::Misdial(account));
    }

    pub(super) fn print_call(&mut self, account: u16) {
        let to = self.accounts[usize::from(account)].print;
        self.stranger(account, to, Why::Static, Some(tables::PRINT));
        self.plan_stranger(Action::PrintCall(account));
    }

    fn stranger(&mut self, account: u16, to: u64, why: Why, source: Option<TrueSource>) {
        if self.closing() {
            return;
        }
        let withheld = self.draw.chance(self.options.withheld_share);
        let from = if withheld { 0 } else { self.telephone(account) };
        let call = self.new_call(account, from, to, why);
        self.plan_call(Call { source, ..call }, 0);
    }

    pub(super) fn call_step(&mut self, at: u32) {
        let Some(mut call) = self.calls.get(at) else { return };
        if call.as_record {
            return self.record_step(at, call);
        }
        let mut truth = None;
        if call.status == CallStatus::Started {
            self.decide(&mut call);
            truth = Some(self.truth(&call));
        }
        if call.status == CallStatus::Answered {
            call.answered = Some(self.now);
        }
        self.write_step(&call, truth);
        let next = self.next_step(&mut call);
        if let Some(place) = self.calls.get_mut(at) {
            *place = call;
        }
        match next {
            Some(after) => self.plan(after, Action::CallStep(at)),
            None => self.call_over(at, call),
        }
    }

    /// A telephone of somebody whose telephone was not used yet.
    pub(super) fn telephone(&mut self, account: u16) -> u64 {
        let country = self.accounts[usize::from(account)].country;
        if self.draw.chance(self.options.shared_phone_share) {
            return numbers::shared(&mut self.draw, country);
        }
        match self.options.telephones {
            Some(telephones) => numbers::telephone(self.draw.below(telephones), country),
            None => numbers::caller(&mut self.draw, country),
        }
    }

    /// Notes what the log tells of a visit, for the optimal answer.
    pub(super) fn tell_book(&mut self, visit: &Visit, tell: impl FnOnce(&mut Book, Time)) {
        if self.options.optimal && visit.lease.is_some() {
            tell(&mut self.accounts[usize::from(visit.account)].book, self.now);
        }
    }

    /// The visit looks at a page; `before` is the number on the last one, if it was leased.
    pub(super) fn note_page(&mut self, visit: &Visit, before: Option<u64>) {
        if !self.options.optimal {
            return;
        }
        let now = self.now;
        let book = &mut self.accounts[usize::from(visit.account)].book;
        if let Some(number) = before.filter(|number| *number != visit.number) {
            book.moved(number, visit.serial);
        }
        let Visit { serial, session, started, .. } = *visit;
        let seen = Seen { visit: serial, session, visitor: visit.visitor.id, started };
        let mobile = visit.visitor.is_mobile();
        self.tell_book(visit, |book, _| book.page(visit.number, visit.extension, seen, mobile, visit.pages, now));
    }

    /// The best answer to a call to a leased number.
    fn optimum(&mut self, call: &Call) -> Option<Optimum> {
        let account = usize::from(call.account);
        if !self.options.optimal || !self.accounts[account].is_leased(call.to) {
            return None;
        }
        let Call { extension, from, direction, visit, .. } = *call;
        let dialled = Dialled { now: self.now, number: call.to, extension, from, direction, visit };
        let account = &mut self.accounts[account];
        Some(account.book.answer(&dialled, &self.options, &account.rates))
    }

    /// How the call will go.
    fn decide(&mut self, call: &mut Call) {
        let open = self.accounts[usize::from(call.account)].open(self.now);
        let among: [f64; 5] = if open { [0.8, 0.86, 0.95, 0.98, 1.0] } else { [0.2, 0.75, 0.97, 0.98, 1.0] };
        call.started = self.now;
        call.outcome = match self.draw.weighted(&among) {
            0 => Outcome::Answered,
            1 => Outcome::Voicemail,
            2 => Outcome::Missed,
            3 => Outcome::Busy,
            _ if call.has_menu => Outcome::AbandonedMenu,
            _ => Outcome::Missed,
        };
        call.ringing_seconds = 3 + self.draw.below(30) as u8;
        call.talk = match call.outcome {
            Outcome::Answered if call.why == Why::WrongNumber => self.draw.seconds(4.0, 25.0),
            Outcome::Answered => self.draw.seconds(5.0, 20.0) + self.draw.exponential(150.0),
            Outcome::Voicemail => self.draw.seconds(5.0, 60.0),
            _ => 0,
        };
        call.optimum = self.optimum(call);
    }

    fn truth(&self, call: &Call) -> Truth {
        Truth {
            account: self.accounts[usize::from(call.account)].name.clone(),
            call: call.id,
            session: call.session,
            visitor: call.visitor,
            source: call.source,
            why: call.why,
            started_at: call.started,
            session_started_at: call.session_started,
            optimum: call.optimum,
            utilisation: match self.options.pool {
                PoolSize::Utilisation(share) => Some(share),
                PoolSize::Numbers(_) => None,
            },
        }
    }

    /// Goes on to what comes next, and says after how long; nothing after the end.
    fn next_step(&mut self, call: &mut Call) -> Option<i64> {
        let ring = i64::from(call.ringing_seconds) * MICROS_PER_SECOND;
        let (status, after) = match call.status {
            CallStatus::Started if call.has_menu => (CallStatus::Menu, self.draw.seconds(0.3, 0.9)),
            CallStatus::Started => (CallStatus::Ringing, self.draw.seconds(0.2, 0.8)),
            CallStatus::Menu if call.outcome == Outcome::AbandonedMenu => {
                (CallStatus::Ended, self.draw.seconds(3.0, 25.0))
            }
            CallStatus::Menu => (CallStatus::Ringing, self.draw.seconds(4.0, 18.0)),
            CallStatus::Ringing => match call.outcome {
                Outcome::Answered => (CallStatus::Answered, ring),
                Outcome::Voicemail => (CallStatus::Voicemail, 25 * MICROS_PER_SECOND),
                Outcome::Busy => (CallStatus::Ended, MICROS_PER_SECOND),
                _ => (CallStatus::Ended, ring),
            },
            CallStatus::Answered if self.draw.chance(TRANSFER_SHARE) => {
                (CallStatus::Transferred, call.talk / 3000 * 1000)
            }
            CallStatus::Answered => (CallStatus::Ended, call.talk),
            CallStatus::Transferred => (CallStatus::Ended, call.talk - call.talk / 3000 * 1000),
            CallStatus::Voicemail => (CallStatus::Ended, call.talk),
            CallStatus::Ended => return None,
        };
        call.status = status;
        Some(after)
    }

    fn write_step(&mut self, call: &Call, truth: Option<Truth>) {
        self.begin(call.account, SOURCE_PHONE, "call");
        let lines = &mut self.lines;
        lines.id("call_id", 'c', call.id);
        lines.text("status", status_name(call.status));
        self.call_members(call, call.status);
        if call.status == CallStatus::Ended {
            let talk = call.answered.map_or(0, |answered| self.now.since(answered)) as u64;
            self.lines.thousandths("talk_seconds", talk / 1000);
            if call.outcome == Outcome::Busy {
                self.lines.text("outcome", Outcome::Busy.name());
            }
        }
        self.finish(call.account, "call", truth);
    }

    /// What a step and a record tell alike.
    fn call_members(&mut self, call: &Call, status: CallStatus) {
        let lines = &mut self.lines;
        lines.text("direction", call.direction.name());
        lines.phone("from", call.from);
        lines.phone("to", call.to);
        if call.extension != 0 {
            lines.number_text("extension", u64::from(call.extension));
        }
        if status != CallStatus::Started {
            lines.phone("destination", self.accounts[usize::from(call.account)].desk);
        }
        if call.outcome == Outcome::Answered
            && matches!(status, CallStatus::Answered | CallStatus::Transferred | CallStatus::Ended)
        {
            let agent = usize::from(call.agent) + usize::from(status == CallStatus::Transferred);
            lines.text("agent", AGENT_EXTENSIONS[agent % AGENT_EXTENSIONS.len()]);
        }
        if status == CallStatus::Ended {
            let (cause, by) = match call.outcome {
                Outcome::Answered if call.agent.is_multiple_of(3) => ("normal_clearing", HangupBy::Agent),
                Outcome::Answered | Outcome::Voicemail => ("normal_clearing", HangupBy::Caller),
                Outcome::Busy => ("user_busy", HangupBy::System),
                _ => ("originator_cancel", HangupBy::Caller),
            };
            lines.text("cause", cause);
            lines.text("hangup_by", by.name());
            if call.talk > 0 {
                let id = crate::line::hex(call.id);
                let id = std::str::from_utf8(&id).unwrap_or_default();
                lines.texts("recording_url", &["https://recordings.example/", id, ".mp3"]);
            }
        }
    }

    /// A call told in one event waits until its end.
    fn record_step(&mut self, at: u32, mut call: Call) {
        if call.status == CallStatus::Started {
            self.decide(&mut call);
            let ring = i64::from(call.ringing_seconds) * MICROS_PER_SECOND;
            call.answered = (call.outcome == Outcome::Answered).then(|| self.now.plus(ring));
            call.status = CallStatus::Ended;
            if let Some(place) = self.calls.get_mut(at) {
                *place = call;
            }
            return self.plan(ring + call.talk, Action::CallStep(at));
        }
        let truth = self.truth(&call);
        self.begin(call.account, SOURCE_PHONE, "call_record");
        self.lines.id("call_id", 'c', call.id);
        self.call_members(&call, CallStatus::Ended);
        self.lines.time("started_at", call.started);
        if let Some(answered) = call.answered {
            self.lines.time("answered_at", answered);
        }
        self.lines.time("ended_at", self.now);
        self.lines.text("outcome", call.outcome.name());
        self.finish(call.account, "call_record", Some(truth));
        self.call_over(at, call);
    }

    /// The call has ended: what is written about it follows, and perhaps another call.
    fn call_over(&mut self, at: u32, call: Call) {
        let repeats = matches!(call.why, Why::DuringVisit | Why::Later | Why::Repeat) && call.from != 0;
        if repeats && self.draw.chance(self.options.repeat_share) {
            let again = self.new_call(call.account, call.from, call.to, Why::Repeat);
            let again = Call {
                extension: call.extension,
                visit: call.visit,
                session: call.session,
                visitor: call.visitor,
                session_started: call.session_started,
                source: call.source,
                ..again
            };
            let after = (600 * MICROS_PER_SECOND + self.draw.exponential(AGAIN_MEAN_SECONDS)).min(AGAIN_MOST);
            self.plan_call(again, after);
        }
        self.next_follow_up(at, call);
    }
}

fn status_name(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Started => "started",
        CallStatus::Menu => "menu",
        CallStatus::Ringing => "ringing",
        CallStatus::Answered => "answered",
        CallStatus::Transferred => "transferred",
        CallStatus::Voicemail => "voicemail",
        CallStatus::Ended => "ended",
    }
}
