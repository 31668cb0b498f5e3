//! Twilio, and SignalWire, which speaks the same: form-encoded requests, answered with TwiML.
//!
//! A call comes in at the hook itself, and the TwiML in answer leads the provider through the steps below it; what a step
//! has to know of the call stands in its URL ([`tags`]). The answer never depends on what becomes of the events, so that
//! a call reaches the business while the log is down.
//!
//! How the legs of a call become one outcome, whatever order their messages come in: an outcome is told only by what ends
//! an attempt, and such requests follow from each other, so that their times rise along the way ([`work::Work::now`]).
//! Callbacks, which come in any order, tell an outcome only where it is the same one ([`calls`]).

mod answer;
mod assessment;
pub mod callback;
mod calls;
mod dialled;
mod form;
mod menu;
mod outcome;
mod party;
mod said;
mod signature;
mod tags;
mod twiml;
mod work;
mod xml;

pub use callback::{Callback, CallbackError, start_callback};
pub use signature::signature;

use crate::telephony::{Hook, Refused, Taken, Terms};
use form::{Form, query};
use tags::Tags;
use work::Work;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    Twilio,
    SignalWire,
}

impl Provider {
    fn name(self) -> &'static str {
        match self {
            Provider::Twilio => "twilio",
            Provider::SignalWire => "signalwire",
        }
    }

    /// The header with the signature, as it is written and as it is looked up.
    fn header(self) -> (&'static str, &'static str) {
        match self {
            Provider::Twilio => ("X-Twilio-Signature", "x-twilio-signature"),
            Provider::SignalWire => ("X-SignalWire-Signature", "x-signalwire-signature"),
        }
    }
}

/// Takes a request of Twilio's.
///
/// # Errors
/// Where it is not signed with the account's auth token, or names no step.
pub fn take(hook: &Hook<'_>, terms: &Terms<'_>) -> Result<Taken, Refused> {
    taken(hook, terms, Provider::Twilio)
}

/// Takes a request of SignalWire's (its "compatibility API", cXML).
///
/// # Errors
/// Where it is not signed with the space's signing key, or names no step.
pub fn take_signalwire(hook: &Hook<'_>, terms: &Terms<'_>) -> Result<Taken, Refused> {
    taken(hook, terms, Provider::SignalWire)
}

fn taken(hook: &Hook<'_>, terms: &Terms<'_>, provider: Provider) -> Result<Taken, Refused> {
    let asked = query(hook.url).to_owned();
    let parsed = Form::parse(asked.as_bytes()).zip(Form::parse(hook.body));
    let Some((in_url, in_body)) = parsed else {
        return Err(Refused::WrongSignature("there are too many parameters to check it"));
    };
    signature::verify(hook, &in_body, terms.secret, provider)?;
    let tags = Tags::read(&in_url);
    let form = if hook.method == "POST" { in_body } else { in_url };
    let mut work = Work::new(hook, terms, provider, form, tags);
    step(&mut work)?;
    Ok(work.finish())
}

fn step(work: &mut Work<'_>) -> Result<(), Refused> {
    match work.hook.step {
        "" => answer::incoming(work),
        "status" => calls::status(work),
        "leg" => calls::leg(work),
        "agent" => calls::agent(work),
        "machine" => calls::machine(work),
        "dial" => dialled::dialled(work),
        "extension/1" => menu::extension(work, true),
        "extension/2" => menu::extension(work, false),
        "menu/1" => menu::key(work, true),
        "menu/2" => menu::key(work, false),
        "whisper" => answer::whisper(work),
        "voicemail" => said::voicemail(work),
        "bye" => dialled::bye(work),
        "recording" => said::recording(work, false),
        "message" => said::recording(work, true),
        "transcript" => said::transcript(work),
        "callback" => callback::agent_answered(work),
        "assess" => assessment::ask(work),
        "assess/1" => assessment::digits(work, true),
        "assess/2" => assessment::digits(work, false),
        other => return Err(Refused::NoSuchStep(other.chars().take(crate::limits::ID_BYTES_MAX).collect())),
    }
    Ok(())
}
