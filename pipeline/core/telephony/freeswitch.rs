//! FreeSWITCH: records of `mod_json_cdr` in its three encodings, and event text of the event socket.
//!
//! There is one record a leg. The A leg's is the call's record; a B leg's adds that and where it rang, and who took it.
//! `*_stamp` are local to the server and ignored; `*_epoch` of 0 is never. Whether a person answered is told by the bridge
//! alone: the A leg's `hangup_cause` is often NORMAL_CLEARING though nobody did.

use std::fmt;

use serde::de::{self, IgnoredAny, MapAccess};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::block::Block;
pub use super::block::Blocks;
use super::body::{Members, checked};
use super::draft::{Draft, label, record, step};
use super::leg::{Callee, End, Message, Step, tell};
use super::number::{Book, Digits, Parties};
use super::outcome::{Legs, Why, cause, code_of};
use super::tag::{Role, Tag};
use super::{Hook, Pass, Refused, Taken, Terms, sign, when};
use crate::event::{CallStatus, Direction, HangupBy, Outcome, Text};
use crate::limits::EXTENSION_BYTES_MAX;
use crate::time::Time;

const SOURCE: &str = "freeswitch";

/// Takes a record. The secret is `user:password`, as `cred` in `json_cdr.conf.xml` has it.
///
/// # Errors
/// Where user or password is another.
pub fn take(hook: &Hook<'_>, terms: &Terms<'_>) -> Result<Taken, Refused> {
    sign::basic(hook, terms.secret, SOURCE)?;
    let mut draft = Draft::of(hook, terms, SOURCE);
    put(&mut draft, hook.body, terms);
    Ok(draft.accepted())
}

/// Takes a record from a file that `mod_json_cdr` wrote, in any of its encodings. `received` is nothing for what may be old.
pub fn record_of(bytes: &[u8], terms: &Terms<'_>, received: Option<Time>) -> Taken {
    let mut draft = Draft::line(bytes, received, terms, SOURCE);
    put(&mut draft, bytes, terms);
    draft.taken()
}

fn put(draft: &mut Draft<'_>, body: &[u8], terms: &Terms<'_>) {
    match unpacked(body).and_then(|json| Record::read(&json)) {
        Err(reason) => draft.reject("", format!("the body {reason}")),
        Ok(record) => leg(draft, &record, terms),
    }
}

/// The JSON, whichever way it came: plain, `cdr=` URL-encoded, `cdr=` in base64 (where `+` is no space). What it is, the
/// body itself tells; the header often lies.
fn unpacked(body: &[u8]) -> Result<Vec<u8>, String> {
    let body = body.trim_ascii();
    let Some(rest) = body.strip_prefix(b"cdr=") else { return Ok(body.to_vec()) };
    match rest.first() {
        // FreeSWITCH writes a space as %20 and a plus as %2B; what hands its records on may write a space as a plus, as forms do.
        Some(b'%') => {
            let spaced: Vec<u8> = rest.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
            Ok(percent_encoding::percent_decode(&spaced).collect())
        }
        Some(b'{') => Ok(percent_encoding::percent_decode(rest).collect()),
        _ => {
            let text = std::str::from_utf8(rest).ok();
            text.and_then(sign::base64).ok_or_else(|| "is neither JSON nor base64 behind cdr=".to_owned())
        }
    }
}

/// What is read of a record.
#[derive(Default)]
struct Record {
    variables: Map<String, Value>,
    direction: Option<String>,
    /// Newest first: the last holds what was dialled.
    profiles: Vec<Value>,
}

impl Record {
    fn read(json: &[u8]) -> Result<Record, String> {
        serde_json::from_str(checked(json)?).map_err(|error| format!("is not a record of mod_json_cdr: {error}"))
    }

    /// A variable, decoded: by default each is URL-encoded inside of the JSON.
    fn get(&self, name: &str) -> Option<String> {
        let text = self.variables.text(name)?;
        let decoded = percent_encoding::percent_decode_str(&text).decode_utf8_lossy().trim().to_owned();
        (!decoded.is_empty()).then_some(decoded)
    }

    fn any(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.get(name))
    }

    /// `start`, `answer`, `bridge`, `progress`, `end`; nothing where it never came to that.
    fn at(&self, what: &str) -> Option<Time> {
        let micros = self.get(&format!("{what}_uepoch")).and_then(|text| when::epoch_micros(&text));
        micros.or_else(|| self.get(&format!("{what}_epoch")).and_then(|text| when::epoch(&text)))
    }

    fn dialled(&self) -> Option<&Value> {
        self.profiles.iter().rev().find_map(|flow| flow.get("caller_profile"))
    }

    /// Whoever dialled this leg, if one did.
    fn originator(&self) -> Option<&Value> {
        let of = |flow: &Value| {
            let originator = flow.get("caller_profile")?.get("originator")?;
            originator.get("originator_caller_profiles")?.get(0).cloned()
        };
        let at = self.profiles.iter().position(|flow| of(flow).is_some())?;
        self.profiles[at].pointer("/caller_profile/originator/originator_caller_profiles/0")
    }

    /// The A leg's id, for a B leg.
    fn parent(&self, own: &str) -> Option<String> {
        let outbound = self.get("direction").or(self.direction.clone()).is_some_and(|it| it == "outbound");
        let named = self.get("originating_leg_uuid").or_else(|| self.originator()?.text("uuid"));
        let parent = named.or_else(|| self.get("call_uuid").filter(|_| outbound));
        parent.filter(|parent| parent != own)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Record, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Record;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            // By hand, since old versions write `callflow` several times over.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let mut record = Record::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "variables" => record.variables = map.next_value()?,
                        "channel_data" => record.direction = map.next_value::<Value>()?.text("direction"),
                        "callflow" => match map.next_value()? {
                            Value::Array(flows) => record.profiles.extend(flows),
                            flow => record.profiles.push(flow),
                        },
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(record)
            }
        }
        from.deserialize_map(Visitor)
    }
}

fn leg(draft: &mut Draft<'_>, record: &Record, terms: &Terms<'_>) {
    let uuid = record.get("uuid").or_else(|| record.dialled()?.text("uuid"));
    let Some(uuid) = uuid else { return draft.missing("variables.uuid") };
    let book = Book::new(terms.rules);
    let tag = record.get("callweave").and_then(|text| Tag::parse(&text));
    if let Some(tag) = tag {
        let call_id = tag.call_id.clone().or_else(|| record.parent(&uuid)).unwrap_or_else(|| uuid.clone());
        return second_leg(draft, record, &book, &uuid, call_id, tag.role, tag.parties);
    }
    match record.parent(&uuid) {
        None => call(draft, record, &book, &uuid),
        Some(parent) => {
            let Some(caller) = record.originator() else { return draft.pass(Pass::Leg) };
            match parties(&book, caller, record, None) {
                Some(parties) => second_leg(draft, record, &book, &uuid, parent, Role::Forward, parties),
                None => draft.pass(Pass::Internal),
            }
        }
    }
}

fn parties(book: &Book<'_>, profile: &Value, record: &Record, told: Option<Direction>) -> Option<Parties> {
    let side = |profile: Option<String>, names: &[&str]| {
        book.side(&profile.or_else(|| record.any(names)).unwrap_or_default(), Digits::National)
    };
    let from = side(profile.text("caller_id_number"), &["sip_from_user"]);
    let to = side(profile.text("destination_number"), &["sip_to_user", "sip_req_user"]);
    book.parties(from, to, told)
}

/// The A leg: the whole call.
fn call(draft: &mut Draft<'_>, leg: &Record, book: &Book<'_>, uuid: &str) {
    let originated = leg.get("direction").or(leg.direction.clone()).is_some_and(|it| it == "outbound");
    let profile = leg.dialled().cloned().unwrap_or(Value::Null);
    let told = originated.then_some(Direction::Outbound);
    let Some(parties) = parties(book, &profile, leg, told) else { return draft.pass(Pass::Internal) };
    let Some(started_at) = leg.at("start") else { return draft.missing("variables.start_epoch") };
    let Some(ended_at) = leg.at("end") else { return draft.missing("variables.end_epoch") };
    let legs = legs(leg);
    let mut record = record(uuid, &parties, started_at, ended_at);
    record.answered_at = leg.at("bridge").filter(|_| legs.bridged);
    // B legs may have told theirs; the call's own word is the last. A caller who gave up is nobody's miss yet.
    record.outcome = legs.outcome().filter(|it| *it != Outcome::AbandonedMenu);
    record.cause = raw_cause(leg, &legs).and_then(label);
    record.hangup_by = hangup_by(leg, &legs, parties.direction);
    record.extension = extension(leg, book, &parties);
    let callee = leg.any(&["last_sent_callee_id_number", "dialed_user"]).filter(|_| legs.bridged);
    let callee = Callee::of_call(book, &parties, callee.as_deref());
    record.agent = callee.agent.and_then(label);
    record.destination = callee.at.and_then(label);
    record.recording_url = leg.get("recording_url").filter(|url| url.starts_with("http")).map(Text::from);
    if let Some(at) = leg.at("answer").filter(|_| legs.menu) {
        let menu = step(uuid, CallStatus::Menu, &parties);
        draft.call(format!("{uuid}/menu"), draft.near(at), menu);
    }
    draft.record(format!("{uuid}/record"), 0, record);
}

/// What the A leg tells of all of them.
fn legs(leg: &Record) -> Legs {
    let is_voicemail = |name: &str| leg.get(name).is_some_and(|app| app.eq_ignore_ascii_case("voicemail"));
    let mut legs = Legs {
        bridged: leg.at("bridge").is_some() && leg.get("billsec").is_none_or(|it| it != "0"),
        voicemail: ["last_app", "current_application"].into_iter().any(is_voicemail)
            || leg.any(&["voicemail_account", "voicemail_message_len"]).is_some(),
        ..Legs::default()
    };
    let dialled = leg.any(&["originated_legs", "originate_causes", "originate_disposition", "dialed_user"]).is_some();
    legs.menu = leg.at("answer").is_some() && !legs.bridged && !dialled;
    // `ARRAY::uuid;CAUSE|:uuid;CAUSE`
    for part in leg.get("originate_causes").unwrap_or_default().split("|:") {
        legs.note(part.rsplit(';').next().and_then(cause));
    }
    for name in ["originate_disposition", "hangup_cause"] {
        legs.note(leg.get(name).and_then(|word| cause(&word)));
    }
    legs
}

/// The word that tells most: how the last leg went where none was bridged, else how this one ended.
fn raw_cause(leg: &Record, legs: &Legs) -> Option<String> {
    let of_legs = leg.get("originate_disposition").filter(|word| !legs.bridged && word != "SUCCESS");
    of_legs.or_else(|| leg.any(&["hangup_cause", "hangup_cause_q850"]))
}

/// Who ended the A leg: the side that it belongs to, or the switch on behalf of the other side.
fn hangup_by(leg: &Record, legs: &Legs, direction: Direction) -> Option<HangupBy> {
    let (near, far) = match direction {
        Direction::Outbound => (HangupBy::Agent, HangupBy::Caller),
        Direction::Inbound | Direction::Callback => (HangupBy::Caller, HangupBy::Agent),
    };
    let disposition = leg.get("sip_hangup_disposition")?;
    match disposition.split_once('_')?.0 {
        "recv" => Some(near),
        "send" if legs.bridged => Some(far),
        "send" => Some(HangupBy::System),
        _ => None,
    }
}

/// The keys that the caller pressed, where the number's pool knows extensions of as many digits: others chose in a menu.
fn extension(leg: &Record, book: &Book<'_>, parties: &Parties) -> Option<Text<'static>> {
    let digits = leg.get("digits_dialed").filter(|it| it.len() <= EXTENSION_BYTES_MAX)?;
    let number = book.rules().number(parties.to.number()?)?;
    let pool = book.rules().pool(number.pool.as_deref()?)?;
    let fits = digits.bytes().all(|b| b.is_ascii_digit()) && pool.extensions.map(usize::from) == Some(digits.len());
    fits.then(|| Text::from(digits))
}

/// A B leg: where it rang, and whether somebody took it.
fn second_leg(
    draft: &mut Draft<'_>,
    leg: &Record,
    book: &Book<'_>,
    uuid: &str,
    call_id: String,
    role: Role,
    parties: Parties,
) {
    let Some(start) = leg.at("start") else { return draft.missing("variables.start_epoch") };
    let Some(end) = leg.at("end") else { return draft.missing("variables.end_epoch") };
    let callee = leg.dialled().and_then(|profile| profile.text("destination_number"));
    let callee = match parties.direction {
        Direction::Outbound => Callee::default(),
        _ => Callee::new(book, callee.as_deref(), Digits::National),
    };
    let word = leg.get("hangup_cause");
    let message = |what: &str, at: Time, step: Step| Message {
        id: format!("{uuid}/{what}"),
        call_id: call_id.clone(),
        at,
        dialled_at: Some(start),
        answered_at: None,
        step,
        role,
        parties: parties.clone(),
        picked_up_by_person: true,
        callee: callee.clone(),
        cause: word.clone(),
        hangup_by: None,
        recording_url: None,
    };
    tell(draft, message("dialled", start, Step::Dialled));
    let code = word.as_deref().and_then(code_of).unwrap_or(0);
    let ended = Step::Ended(End { why: word.as_deref().and_then(cause), code });
    match leg.at("bridge").or_else(|| leg.at("answer")) {
        Some(at) if role != Role::Agent => tell(draft, message("answered", at, Step::Bridged)),
        Some(_) => tell(draft, message("ended", end, Step::Ended(End { why: Some(Why::Over), code }))),
        None => tell(draft, message("ended", end, ended)),
    }
}

/// Takes one block of event text (`events plain CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_ANSWER CHANNEL_BRIDGE
/// CHANNEL_HANGUP_COMPLETE`), as [`Blocks`] puts it together.
pub fn event_text(block: &Block, terms: &Terms<'_>, received: Time) -> Taken {
    let raw: String = block.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let mut draft = Draft::line(raw.as_bytes(), Some(received), terms, SOURCE);
    let get = |name: &str| {
        let value = percent_encoding::percent_decode_str(block.get(name)?).decode_utf8_lossy().into_owned();
        Some(value)
    };
    if get("Event-Name").as_deref() == Some("CHANNEL_HANGUP_COMPLETE") {
        leg(&mut draft, &of_event(&get, block), terms);
    } else {
        progress(&mut draft, &get, terms);
    }
    draft.taken()
}

/// A hang-up's event as the record that it would be.
fn of_event(get: &dyn Fn(&str) -> Option<String>, block: &Block) -> Record {
    let mut variables = Map::new();
    for (name, value) in &block.headers {
        if let Some(name) = name.strip_prefix("variable_") {
            variables.insert(name.to_owned(), Value::String(value.clone()));
        }
    }
    for (name, header) in [
        ("uuid", "Unique-ID"),
        ("hangup_cause", "Hangup-Cause"),
        ("start_uepoch", "Caller-Channel-Created-Time"),
        ("answer_uepoch", "Caller-Channel-Answered-Time"),
        ("bridge_uepoch", "Caller-Channel-Bridged-Time"),
        ("end_uepoch", "Caller-Channel-Hangup-Time"),
    ] {
        if let Some(value) = get(header)
            && !variables.contains_key(name)
        {
            variables.insert(name.to_owned(), Value::String(value));
        }
    }
    let profile = |caller: &[&str], dialled: &[&str]| {
        let first = |names: &[&str]| names.iter().find_map(|name| get(name)).unwrap_or_default();
        serde_json::json!({ "caller_id_number": first(caller), "destination_number": first(dialled) })
    };
    // What was dialled before any transfer is told by the variables alone.
    let mut own = profile(
        &["Caller-Orig-Caller-ID-Number", "Caller-Caller-ID-Number"],
        &["variable_sip_to_user", "Caller-Destination-Number"],
    );
    if get("Other-Type").as_deref() == Some("originator") {
        let mut other = profile(&["Other-Leg-Caller-ID-Number"], &["Other-Leg-Destination-Number"]);
        other["uuid"] = get("Other-Leg-Unique-ID").unwrap_or_default().into();
        own["originator"] = serde_json::json!({ "originator_caller_profiles": [other] });
    }
    let direction = get("Call-Direction").or_else(|| get("Caller-Direction"));
    Record { variables, direction, profiles: vec![serde_json::json!({ "caller_profile": own })] }
}

/// Everything before the hang-up. A B leg's events name its own parties, and so say nothing yet.
fn progress(draft: &mut Draft<'_>, get: &dyn Fn(&str) -> Option<String>, terms: &Terms<'_>) {
    let step = match get("Event-Name").unwrap_or_default().as_str() {
        "CHANNEL_CREATE" => Step::Dialled,
        "CHANNEL_ANSWER" => Step::PickedUp,
        "CHANNEL_BRIDGE" => Step::Bridged,
        _ => return draft.pass(Pass::Other),
    };
    let Some(uuid) = get("Unique-ID") else { return draft.missing("Unique-ID") };
    let is_second = get("Channel-Call-UUID").is_some_and(|call| call != uuid);
    if is_second || get("Other-Type").as_deref() == Some("originator") {
        return draft.pass(Pass::Leg);
    }
    let at = get("Event-Date-Timestamp").and_then(|text| when::epoch_micros(&text));
    let Some(at) = draft.received_or(at) else { return draft.missing("Event-Date-Timestamp") };
    let book = Book::new(terms.rules);
    let side = |name: &str| book.side(&get(name).unwrap_or_default(), Digits::National);
    let Some(parties) = book.parties(side("Caller-Caller-ID-Number"), side("Caller-Destination-Number"), None) else {
        return draft.pass(Pass::Internal);
    };
    tell(
        draft,
        Message {
            id: format!("{uuid}/{}", get("Event-Name").unwrap_or_default()),
            call_id: uuid,
            at,
            dialled_at: None,
            answered_at: None,
            step,
            role: Role::Main,
            parties,
            picked_up_by_person: false,
            callee: Callee::default(),
            cause: None,
            hangup_by: None,
            recording_url: None,
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_unpacked_whichever_way_they_came() {
        let json = r#"{"a": "+1 2"}"#;
        for body in [
            json,
            r#"cdr={"a": "+1 2"}"#,
            "cdr=%7B%22a%22%3A%20%22%2B1%202%22%7D",
            "cdr=%7B%22a%22%3A+%22%2B1+2%22%7D",
            "cdr=eyJhIjogIisxIDIifQ==",
        ] {
            assert_eq!(unpacked(body.as_bytes()).as_deref(), Ok(json.as_bytes()), "{body}");
        }
    }
}
