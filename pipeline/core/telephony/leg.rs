//! Providers that tell each leg's steps one by one, in no order, and repeat them: what each step says of the call.
//!
//! Nothing is remembered, so an event's time has to settle who has the last word (the latest event that tells a member
//! counts). A leg that failed tells its outcome as of when it was dialled, less its cause's code in microseconds; one that
//! was answered tells it when it was, and again when it ends. So an answer outlives legs that failed before it, beside it
//! and after it, and two legs that failed at once say the same in any order.

use super::Pass;
use super::draft::{Draft, label, step};
use super::number::{Book, Digits, Parties, Side};
use super::outcome::Why;
use super::tag::{Role, Tag};
use crate::event::{CallStatus, Direction, HangupBy, Outcome, Text};
use crate::time::Time;

/// What happened to a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Dialled,
    Ringing,
    /// Somebody or something picked up.
    PickedUp,
    /// It was joined to the call's other side.
    Bridged,
    Voicemail,
    Ended(End),
    /// A recording can be had: nothing else is told.
    Recorded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub why: Option<Why>,
    /// Q.850; 0 where the system has none.
    pub code: u16,
}

/// One message about one leg.
pub(super) struct Message {
    /// The provider's id of the message, or leg and step.
    pub id: String,
    pub call_id: String,
    pub at: Time,
    /// When the leg was dialled, where it is told.
    pub dialled_at: Option<Time>,
    /// When it was answered, where its end tells.
    pub answered_at: Option<Time>,
    pub step: Step,
    pub role: Role,
    pub parties: Parties,
    /// Whether picking up means a person did, for the call's own leg.
    pub picked_up_by_person: bool,
    /// Whom the leg called.
    pub callee: Callee,
    pub cause: Option<String>,
    pub hangup_by: Option<HangupBy>,
    pub recording_url: Option<String>,
}

/// Whose leg it is, and who the call is between.
pub(super) enum Who {
    Leg(Role, Parties),
    Pass(Pass),
}

/// Reads the role of a leg off its tag, else off its numbers: a leg to where one of the account's numbers is forwarded is
/// the second half of a call to that number.
pub(super) fn who(book: &Book<'_>, tag: Option<&Tag>, sides: (Side, Side), told: Option<Direction>) -> Who {
    if let Some(tag) = tag {
        return Who::Leg(tag.role, tag.parties.clone());
    }
    let (from, to) = sides;
    if told != Some(Direction::Inbound)
        && let Side::Outside(crate::phone::Party::Number(target)) = to
        && book.is_target(target)
    {
        // The caller's own number was passed on, and only one number leads there: both parties are known.
        return match (from, book.forwarded_from(target)) {
            (Side::Outside(caller), Some(number)) => {
                let to = crate::phone::Party::Number(number);
                Who::Leg(Role::Forward, Parties { direction: Direction::Inbound, from: caller, to, extension: None })
            }
            _ => Who::Pass(Pass::Leg),
        };
    }
    match book.parties(from, to, told) {
        Some(parties) => Who::Leg(Role::Main, parties),
        None => Who::Pass(Pass::Internal),
    }
}

/// Whom somebody called, and the agent there, if the settings name one.
#[derive(Debug, Clone, Default)]
pub(super) struct Callee {
    pub at: Option<String>,
    pub agent: Option<String>,
}

impl Callee {
    pub fn new(book: &Book<'_>, text: Option<&str>, digits: Digits) -> Callee {
        let at = text.and_then(|text| book.side(text, digits).label());
        Callee { agent: at.as_deref().and_then(|at| book.agent(at)), at }
    }

    /// Of a whole call: where it went, or (of an outbound one) who made it.
    pub fn of_call(book: &Book<'_>, parties: &Parties, text: Option<&str>) -> Callee {
        match parties.direction {
            Direction::Outbound => {
                let caller = parties.extension.as_deref();
                Callee { at: None, agent: caller.and_then(|at| book.agent(at)) }
            }
            Direction::Inbound | Direction::Callback => Callee::new(book, text, Digits::National),
        }
    }
}

/// Puts what the message says into events.
pub(super) fn tell(draft: &mut Draft<'_>, mut message: Message) {
    message.at = draft.near(message.at);
    message.dialled_at = message.dialled_at.map(|at| draft.near(at).min(message.at));
    message.answered_at = message.answered_at.map(|at| draft.near(at).min(message.at));
    match message.step {
        Step::Recorded => recorded(draft, &message),
        Step::Voicemail => with_outcome(draft, &message, CallStatus::Voicemail, message.at, Some(Outcome::Voicemail)),
        Step::Dialled | Step::Ringing => match message.role {
            Role::Main if message.step == Step::Dialled || message.parties.direction == Direction::Inbound => {
                plain(draft, &message, CallStatus::Started);
            }
            Role::Agent => plain(draft, &message, CallStatus::Started),
            Role::Main | Role::Forward | Role::Client => plain(draft, &message, CallStatus::Ringing),
        },
        Step::PickedUp => picked_up(draft, &message, message.id.clone(), message.at),
        Step::Bridged => answered(draft, &message, message.at),
        Step::Ended(end) => ended(draft, &message, end),
    }
}

fn call(message: &Message, status: CallStatus) -> crate::event::Call<'static> {
    step(&message.call_id, status, &message.parties)
}

fn plain(draft: &mut Draft<'_>, message: &Message, status: CallStatus) {
    draft.call(message.id.clone(), message.at, call(message, status));
}

fn picked_up(draft: &mut Draft<'_>, message: &Message, id: String, at: Time) {
    let by_system = message.parties.direction == Direction::Inbound && !message.picked_up_by_person;
    match message.role {
        Role::Main if by_system => draft.call(id, at, call(message, CallStatus::Menu)),
        // The client is not there yet.
        Role::Agent => draft.call(id, at, call(message, CallStatus::Started)),
        Role::Main | Role::Forward | Role::Client => answered_as(draft, message, id, at),
    }
}

/// A recording says nothing about the call's course: of all steps only `started` changes nothing when it comes later. It
/// is told as of when it began, so that it is no later a start than it must be where the true one was lost.
fn recorded(draft: &mut Draft<'_>, message: &Message) {
    let Some(url) = &message.recording_url else { return draft.pass(Pass::Other) };
    let mut call = call(message, CallStatus::Started);
    call.recording_url = Some(Text::from(url.clone()));
    draft.call(message.id.clone(), message.dialled_at.unwrap_or(message.at), call);
}

fn answered(draft: &mut Draft<'_>, message: &Message, at: Time) {
    answered_as(draft, message, message.id.clone(), at);
}

fn answered_as(draft: &mut Draft<'_>, message: &Message, id: String, at: Time) {
    let mut call = call(message, CallStatus::Answered);
    call.outcome = Some(Outcome::Answered);
    // The join finds the agent's name by the destination: a name told here would stay when a leg without one is joined later.
    if message.role != Role::Main {
        call.destination = message.callee.at.clone().and_then(label);
    }
    draft.call(id, at, call);
}

fn with_outcome(draft: &mut Draft<'_>, message: &Message, status: CallStatus, at: Time, outcome: Option<Outcome>) {
    let mut call = call(message, status);
    call.outcome = outcome;
    call.cause = message.cause.clone().and_then(label);
    draft.call(message.id.clone(), at, call);
}

fn ended(draft: &mut Draft<'_>, message: &Message, end: End) {
    match message.role {
        Role::Main => {
            // Ends tell what messages that were lost would have told.
            if let Some(at) = message.dialled_at {
                draft.call(format!("{}/start", message.id), at, call(message, CallStatus::Started));
            }
            if let Some(at) = message.answered_at {
                picked_up(draft, message, format!("{}/answer", message.id), at);
            }
            let told = match end.why {
                Some(Why::Busy) => Some(Outcome::Busy),
                Some(Why::Failed) => Some(Outcome::Failed),
                _ => None,
            };
            hung_up(draft, message, told);
        }
        Role::Agent => {
            let missed = !matches!(end.why, Some(Why::Over) | None);
            hung_up(draft, message, missed.then_some(Outcome::CallbackAgentMissed));
        }
        Role::Forward | Role::Client => second_leg_ended(draft, message, end),
    }
}

/// The end of the call: told by its own leg alone.
fn hung_up(draft: &mut Draft<'_>, message: &Message, outcome: Option<Outcome>) {
    let mut call = call(message, CallStatus::Ended);
    call.outcome = outcome;
    call.cause = message.cause.clone().and_then(label);
    call.hangup_by = message.hangup_by;
    call.recording_url = message.recording_url.clone().map(Text::from);
    draft.call(message.id.clone(), message.at, call);
}

fn second_leg_ended(draft: &mut Draft<'_>, message: &Message, end: End) {
    let is_client = message.role == Role::Client;
    let outcome = match end.why {
        // A leg that ends in the usual way was answered. The earliest answer counts, so the second changes no time.
        Some(Why::Over) => {
            if let Some(at) = message.answered_at {
                answered_as(draft, message, format!("{}/answer", message.id), at);
            }
            return answered(draft, message, message.at);
        }
        Some(Why::Elsewhere) | None => return draft.pass(Pass::Leg),
        Some(_) if is_client => Outcome::CallbackClientMissed,
        Some(Why::GaveUp) => return draft.pass(Pass::Leg),
        Some(Why::Busy) => Outcome::Busy,
        Some(Why::Missed) => Outcome::Missed,
        Some(Why::Failed) => Outcome::Failed,
    };
    let rank = match outcome {
        Outcome::Failed => 512,
        Outcome::Missed => 256,
        _ => 0,
    };
    let at = message.dialled_at.unwrap_or(message.at).minus(rank + i64::from(end.code));
    with_outcome(draft, message, CallStatus::Ringing, at, Some(outcome));
}
