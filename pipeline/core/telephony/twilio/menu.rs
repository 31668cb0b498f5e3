//! Keys that the caller presses: the extension of a pool's number, and the voice menu.

use super::answer::digits;
use super::tags::Leg;
use super::twiml::{Attempt, dial, forward, gather, response};
use super::work::Work;
use super::xml::Xml;
use crate::event::CallStatus;
use crate::settings::Target;

const EXTENSION_PROMPT: &str = "Please enter the extension.";

pub(super) fn ask_extension(work: &mut Work<'_>, xml: &mut Xml, is_first: bool) {
    let Some(count) = digits(work) else { return after_extension(work, xml) };
    tell_menu(work, is_first);
    let prompt = work.voice().extension_prompt.as_deref().unwrap_or(EXTENSION_PROMPT);
    let step = if is_first { "extension/1" } else { "extension/2" };
    gather(work, xml, step, &work.next(), Some(count), prompt);
}

pub(super) fn ask_key(work: &mut Work<'_>, xml: &mut Xml, is_first: bool) {
    let Some(menu) = &work.voice().menu else { return forward(work, xml) };
    tell_menu(work, is_first);
    gather(work, xml, if is_first { "menu/1" } else { "menu/2" }, &work.next(), Some(1), &menu.say);
}

/// The caller is in a menu: once they hang up there, nothing else tells so.
fn tell_menu(work: &mut Work<'_>, is_first: bool) {
    if is_first {
        work.tell_call("menu", work.now().plus(2), work.call(CallStatus::Menu));
    }
}

/// Digits of an extension. Which codes are held is the lease desk's to know, so only their number can be wrong here; the
/// call then goes through without one.
pub(super) fn extension(work: &mut Work<'_>, is_first: bool) {
    let mut xml = response();
    let told = work.form.get("Digits").unwrap_or_default().to_owned();
    let fits = digits(work).is_some_and(|count| told.len() == usize::from(count)) && is_dialled(&told);
    if fits {
        work.tags.extension = Some(told);
        work.tell_call("extension", work.now(), work.call(CallStatus::Menu));
        after_extension(work, &mut xml);
    } else if is_first {
        ask_extension(work, &mut xml, false);
    } else {
        after_extension(work, &mut xml);
    }
    work.answer(xml);
}

fn is_dialled(digits: &str) -> bool {
    digits.bytes().all(|b| b.is_ascii_digit())
}

fn after_extension(work: &mut Work<'_>, xml: &mut Xml) {
    if work.voice().menu.is_some() { ask_key(work, xml, true) } else { forward(work, xml) }
}

/// A key of the menu.
pub(super) fn key(work: &mut Work<'_>, is_first: bool) {
    let mut xml = response();
    let told = work.form.get("Digits").unwrap_or_default();
    let keys = work.voice().menu.as_ref().map_or(&[][..], |menu| &menu.keys);
    let target = keys.iter().find(|entry| entry.key == told).and_then(|entry| Target::parse(&entry.forward_to));
    match target {
        Some(target) => dial(work, &mut xml, Attempt { target, leg: Leg::First, before: None }),
        None if is_first && work.voice().menu.is_some() => ask_key(work, &mut xml, false),
        None => forward(work, &mut xml),
    }
    work.answer(xml);
}
