//! Events of a request, decoded to tell which are taken, and put in their order into one submission to the log. Settings
//! have one of their own, before the others: its last entry tells collectors what is in force.

use std::borrow::Cow;
use std::collections::BTreeMap;

use callweave_core::event::{Body, decode};
use callweave_core::settings::{Mistake, Settings};
use callweave_core::time::Time;
use serde::Deserialize;

use super::callback::is_wish;
use super::elements::{Element, Form, TooMany, split};
use super::replies::{Answer, Fate, LISTED_MAX, REFUSED_LISTED_MAX, Refusal, Status};
use crate::log::Kind;
use crate::log::batching::{Submission, SubmitError};
use crate::log::frame::{self, MAX_EVENT_BYTES, Record};

/// Bytes of a frame around its first record.
const FRAME_HEAD: usize = 16;
/// Reasons and paths are for people: what is longer is cut.
const TEXT_BYTES_MAX: usize = 4096;
/// Longer elements are not looked through for an id to answer with.
const ID_SEARCH_BYTES_MAX: usize = 64 << 10;
/// Calls back that one request can ask for; nobody on a page asks for more.
const CALLBACKS_MAX: usize = 16;
/// Longer ids are none (as in an event).
const ID_BYTES_MAX: usize = callweave_core::limits::ID_BYTES_MAX;

/// Looks for what is wrong in settings beyond what the decoder tells: filters, which only those can read who have an engine.
pub type LookOver = fn(&Settings) -> Vec<Mistake>;

/// What holds for a whole request.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    pub account: &'a str,
    /// What the events are marked with in the log: the endpoint.
    pub origin: &'static str,
    /// When its body was there.
    pub received: Time,
    pub events_max: u64,
    /// The largest frame the log takes.
    pub payload_max: usize,
}

/// A request ready for the log, and the answer that holds once the log has it.
pub struct Intake {
    /// Goes first.
    pub settings: Submission,
    pub submission: Submission,
    /// Events that ask for a call back.
    pub callbacks: Vec<Vec<u8>>,
    pub answer: Answer,
    pub taken_by_type: BTreeMap<&'static str, u64>,
    pub refused_by_reason: BTreeMap<&'static str, u64>,
}

/// Why one event is refused.
struct Refused<'a> {
    class: &'static str,
    path: String,
    reason: String,
    id: Option<Cow<'a, str>>,
}

/// Decodes a body.
///
/// # Errors
/// It holds no event, or too many.
pub fn take_in(body: &[u8], form: Form, terms: &Terms<'_>, look: LookOver) -> Result<Intake, Refusal> {
    if body.trim_ascii().is_empty() {
        return Err(Refusal::Empty);
    }
    let max = usize::try_from(terms.events_max).unwrap_or(usize::MAX);
    let elements = split(body, form, max).map_err(|TooMany| Refusal::TooMany { limit: terms.events_max })?;
    let mut intake = Intake::new(terms.account);
    let all = elements.len() <= LISTED_MAX;
    for (index, element) in elements.iter().enumerate() {
        intake.add(index, element, terms, look, all)?;
    }
    Ok(intake)
}

impl Intake {
    /// Of a request of an account; nothing is in it yet.
    pub fn new(account: &str) -> Intake {
        Intake {
            settings: Submission::new(account),
            submission: Submission::new(account),
            callbacks: Vec::new(),
            answer: Answer::default(),
            taken_by_type: BTreeMap::new(),
            refused_by_reason: BTreeMap::new(),
        }
    }

    fn add(
        &mut self,
        index: usize,
        element: &Element<'_>,
        terms: &Terms<'_>,
        look: LookOver,
        listed: bool,
    ) -> Result<(), Refusal> {
        match judge(element, terms, look) {
            Ok((body, id)) => {
                self.push_event(&body, element.bytes, terms)?;
                if listed {
                    let id = Some(id.into_owned());
                    self.answer.results.push(Fate { index, id, status: Status::Taken, path: None, reason: None });
                }
                Ok(())
            }
            Err(refused) => self.push_refused(index, element.bytes, refused, terms, listed),
        }
    }

    /// Takes an event that the collector has put together itself of what was sent. Where it cannot be used, `sent` is
    /// kept of it, and it is listed in the answer.
    ///
    /// # Errors
    /// The log takes nothing so long.
    pub fn add_made(
        &mut self,
        index: usize,
        made: &[u8],
        sent: impl FnOnce() -> Vec<u8>,
        terms: &Terms<'_>,
    ) -> Result<(), Refusal> {
        match judge(&Element { bytes: made, broken: None }, terms, |_| Vec::new()) {
            Ok((body, _)) => self.push_event(&body, made, terms),
            Err(refused) => self.push_refused(index, &sent(), refused, terms, false),
        }
    }

    /// Keeps what cannot even be made an event.
    ///
    /// # Errors
    /// The log takes nothing so long.
    pub fn add_unusable(
        &mut self,
        index: usize,
        sent: &[u8],
        (path, reason): (&str, &str),
        terms: &Terms<'_>,
    ) -> Result<(), Refusal> {
        let class = if path.is_empty() { "syntax" } else { "envelope" };
        let refused = Refused { class, path: path.to_owned(), reason: reason.to_owned(), id: id_of(sent) };
        self.push_refused(index, sent, refused, terms, false)
    }

    fn push_event(&mut self, body: &Body<'_>, bytes: &[u8], terms: &Terms<'_>) -> Result<(), Refusal> {
        self.push(kind_of(body), &Record::Event { received: terms.received, origin: terms.origin, bytes })?;
        if is_wish(body) && self.callbacks.len() < CALLBACKS_MAX {
            self.callbacks.push(bytes.to_vec());
        }
        self.answer.taken += 1;
        *self.taken_by_type.entry(body.type_name()).or_default() += 1;
        Ok(())
    }

    fn push_refused(
        &mut self,
        index: usize,
        bytes: &[u8],
        refused: Refused<'_>,
        terms: &Terms<'_>,
        listed: bool,
    ) -> Result<(), Refusal> {
        self.push(Kind::Other, &kept(bytes, &refused, terms))?;
        self.answer.refused += 1;
        self.answer.of_other_accounts += usize::from(refused.class == "account");
        *self.refused_by_reason.entry(refused.class).or_default() += 1;
        if listed || self.answer.results.len() < REFUSED_LISTED_MAX {
            let Refused { path, reason, id, .. } = refused;
            self.answer.results.push(Fate {
                index,
                id: id.map(Cow::into_owned),
                status: Status::Refused,
                path: Some(path).filter(|path| !path.is_empty()),
                reason: Some(reason),
            });
        }
        Ok(())
    }

    fn push(&mut self, kind: Kind, record: &Record<'_>) -> Result<(), Refusal> {
        let to = if kind == Kind::Settings { &mut self.settings } else { &mut self.submission };
        to.push(kind, record).map_err(|_| {
            let bytes = frame::size_of(record);
            Refusal::Log(SubmitError::TooLarge { bytes, limit: MAX_EVENT_BYTES })
        })
    }
}

/// The event, if it may be taken.
fn judge<'a>(
    element: &Element<'a>,
    terms: &Terms<'_>,
    look: LookOver,
) -> Result<(Body<'a>, Cow<'a, str>), Refused<'a>> {
    let bytes = element.bytes;
    let refuse =
        |class, path: String, reason: String, id| Err(Refused { class, path: cut(path), reason: cut(reason), id });
    if let Some(broken) = element.broken {
        return refuse("syntax", String::new(), broken.to_owned(), id_of(bytes));
    }
    let event = match decode(bytes, Some(terms.received)) {
        Ok(event) => event,
        Err(rejected) => {
            let class = match rejected.path.as_str() {
                "" => "syntax",
                path if path == "data" || path.starts_with("data.") || path.starts_with("data[") => "data",
                _ => "envelope",
            };
            return refuse(class, rejected.path, rejected.reason, id_of(bytes));
        }
    };
    if event.account.as_str() != terms.account {
        let reason = format!("is {}, and the key is one of {}", quoted(&event.account), quoted(terms.account));
        return refuse("account", "account".to_owned(), reason, Some(event.id.0));
    }
    if let Body::AccountSettings(settings) = &event.body
        && let mistakes = look(settings)
        && let Some(first) = mistakes.first()
    {
        let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        return refuse("data", format!("data.{}", first.path), all.join("; "), Some(event.id.0));
    }
    let size = FRAME_HEAD + frame::size_of(&Record::Event { received: terms.received, origin: terms.origin, bytes });
    if size > terms.payload_max {
        let reason = format!(
            "has {} bytes, and with {} around it more than the {} that the log takes at once",
            bytes.len(),
            size - bytes.len(),
            terms.payload_max
        );
        return refuse("size", String::new(), reason, Some(event.id.0));
    }
    Ok((event.body, event.id.0))
}

/// What is kept of a refused event: its bytes as they came, as far as one frame of the log can hold them.
fn kept<'a>(bytes: &'a [u8], refused: &'a Refused<'_>, terms: &Terms<'a>) -> Record<'a> {
    let record = |bytes| Record::Rejected {
        received: terms.received,
        origin: terms.origin,
        account: Some(terms.account),
        reason: &refused.reason,
        path: &refused.path,
        bytes,
    };
    let room = terms.payload_max.saturating_sub(FRAME_HEAD + frame::size_of(&record(&[])));
    record(&bytes[..bytes.len().min(room).min(MAX_EVENT_BYTES)])
}

/// Who waits for what: pages can wait for others to share an append with, the rest goes at once.
fn kind_of(body: &Body<'_>) -> Kind {
    match body {
        Body::PageView(_) | Body::WebEvent(_) | Body::Heartbeat(_) => Kind::Page,
        Body::Call(_) | Body::CallRecord(_) | Body::CallTag(_) | Body::CallNote(_) | Body::Transcript(_) => Kind::Call,
        // A lease that arrives as an event was granted elsewhere: its subject is not compared with.
        Body::LeaseGranted(_) | Body::LeaseRenewed(_) | Body::LeaseReleased(_) => Kind::Other,
        Body::PoolExhausted(_) | Body::Deal(_) | Body::AdCost(_) | Body::Erase(_) => Kind::Other,
        Body::AccountSettings(_) => Kind::Settings,
    }
}

/// The id of something that is no event, if it has one all the same: so its sender finds it again.
fn id_of(bytes: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    if bytes.len() > ID_SEARCH_BYTES_MAX {
        return None;
    }
    serde_json::from_slice::<Named<'_>>(bytes).ok().map(|named| named.id).filter(|id| id.len() <= ID_BYTES_MAX)
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::frame::FrameBuilder;

    fn event(id: &str, account: &str, kind: &str, data: &str) -> String {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"t\",\"type\":\"{kind}\",\
             \"time\":\"2026-11-20T12:00:00Z\",\"account\":\"{account}\",\"data\":{data}}}"
        )
    }

    const TERMS: Terms<'_> = Terms {
        account: "acme",
        origin: "/v1/events",
        received: Time(1_795_176_001_000_000),
        events_max: 100,
        payload_max: 1 << 20,
    };

    #[test]
    fn every_event_has_its_fate() {
        let view = event("1", "acme", "page_view", r#"{"visitor_id":"v","url":"https://a.example/"}"#);
        let other = event("2", "globex", "heartbeat", r#"{"visitor_id":"v"}"#);
        let unknown = event("3", "acme", "fax", "{}");
        let bad = event("4", "acme", "page_view", r#"{"visitor_id":7,"url":"https://a.example/"}"#);
        let body = format!("{view}\n{other}\n{unknown}\nhello\n{bad}\n");
        let intake = take_in(body.as_bytes(), Form::Any, &TERMS, |_| vec![]).expect("five elements");
        let told: Vec<_> = intake
            .answer
            .results
            .iter()
            .map(|fate| (fate.index, fate.id.as_deref(), fate.status == Status::Taken, fate.path.as_deref()))
            .collect();
        let expected = [
            (0, Some("1"), true, None),
            (1, Some("2"), false, Some("account")),
            (2, Some("3"), false, Some("type")),
            (3, None, false, None),
            (4, Some("4"), false, Some("data.visitor_id")),
        ];
        assert_eq!(told, expected);
        assert!(intake.answer.results[1..].iter().all(|fate| fate.reason.is_some()));
        assert_eq!((intake.answer.taken, intake.answer.refused, intake.answer.of_other_accounts), (1, 4, 1));
        assert_eq!(intake.taken_by_type, [("page_view", 1)].into());
        assert_eq!(intake.refused_by_reason, [("account", 1), ("data", 1), ("envelope", 1), ("syntax", 1)].into());
        assert_eq!(intake.submission.records(), 5, "the log gets all of them");
    }

    #[test]
    fn settings_that_others_find_wrong_are_refused() {
        let settings = event("1", "acme", "account_settings", r#"{"timezone":"Europe/Berlin"}"#);
        let look: LookOver = |settings| {
            let told = |path: &str| Mistake { path: path.into(), message: settings.timezone.clone() };
            vec![told("webhooks[0].filter"), told("exports[1].filter")]
        };
        let intake = take_in(settings.as_bytes(), Form::Any, &TERMS, look).expect("one element");
        let fate = &intake.answer.results[0];
        assert_eq!((fate.status == Status::Taken, fate.path.as_deref()), (false, Some("data.webhooks[0].filter")));
        let reason = "webhooks[0].filter: Europe/Berlin; exports[1].filter: Europe/Berlin";
        assert_eq!((fate.reason.as_deref(), intake.settings.records()), (Some(reason), 0));
    }

    #[test]
    fn settings_go_alone() {
        let view = event("1", "acme", "page_view", r#"{"visitor_id":"v","url":"https://a.example/"}"#);
        let settings = event("2", "acme", "account_settings", r#"{"timezone":"Europe/Berlin"}"#);
        let body = format!("{view}\n{settings}\n{view}");
        let intake = take_in(body.as_bytes(), Form::Any, &TERMS, |_| vec![]).expect("three elements");
        assert_eq!((intake.settings.records(), intake.submission.records(), intake.answer.taken), (1, 2, 3));
    }

    #[test]
    fn large_requests_list_what_was_refused() {
        let good = event("g", "acme", "heartbeat", r#"{"visitor_id":"v"}"#);
        let body = vec![good.as_str(); LISTED_MAX].join("\n") + "\nbad";
        let terms = Terms { events_max: 2000, ..TERMS };
        let intake = take_in(body.as_bytes(), Form::Lines, &terms, |_| vec![]).expect("many elements");
        assert_eq!((intake.answer.taken, intake.answer.refused), (LISTED_MAX, 1));
        assert_eq!(intake.answer.results.iter().map(|fate| fate.index).collect::<Vec<_>>(), [LISTED_MAX]);
        let few = Terms { events_max: LISTED_MAX as u64, ..TERMS };
        assert!(matches!(
            take_in(body.as_bytes(), Form::Lines, &few, |_| vec![]),
            Err(Refusal::TooMany { limit: 1000 })
        ));
    }

    #[test]
    fn nothing_outgrows_a_frame_of_the_log() {
        let long = event("1", "acme", "heartbeat", &format!("{{\"visitor_id\":\"v\",\"x\":\"{}\"}}", "x".repeat(9000)));
        let noise = "x".repeat(9000);
        let terms = Terms { payload_max: 8192, ..TERMS };
        let body = format!("{long}\n{noise}");
        let intake = take_in(body.as_bytes(), Form::Lines, &terms, |_| vec![]).expect("two elements");
        assert_eq!((intake.answer.taken, intake.answer.refused), (0, 2));
        assert_eq!(intake.refused_by_reason, [("size", 1), ("syntax", 1)].into());

        let refused = Refused { class: "syntax", path: String::new(), reason: "r".repeat(100), id: None };
        let mut frame = FrameBuilder::new();
        frame.push(&kept(noise.as_bytes(), &refused, &terms)).expect("within the limits");
        assert!(frame.len() <= 8192 && frame.len() > 8000, "{} bytes", frame.len());
    }

    #[test]
    fn long_reasons_are_cut_at_a_character() {
        let text = cut("ü".repeat(TEXT_BYTES_MAX));
        assert!(text.len() <= TEXT_BYTES_MAX && text.ends_with("ü…"));
    }
}
