//! What a page sends (docs/collect.md): read in one pass over the body, with each event's `data` left as it came.

use callweave_core::event::{Text, nests_deeper_than};
use callweave_core::limits::NESTING_MAX;
use serde::Deserialize;
use sonic_rs::LazyValue;

use super::super::cookie::is_visitor;
use super::super::replies::Refusal;

/// Bytes of a page's body: browsers let a page that is left send no more (Fetch, "keepalive").
pub const BODY_BYTES_MAX: u64 = 64 << 10;
/// Events of one body.
pub const EVENTS_MAX: usize = 100;

/// One body. `E` is how its events are read: each member by member, or, where one of them cannot be read so, as it came.
#[derive(Deserialize)]
#[serde(bound(deserialize = "E: Deserialize<'de>"))]
pub struct Hit<'a, E> {
    /// `ACCOUNT` or `ACCOUNT/SITE`; with a key also nothing, or `/SITE`.
    #[serde(borrow)]
    pub site: Option<Text<'a>>,
    pub visitor_id: Option<Text<'a>>,
    pub session_id: Option<Text<'a>>,
    /// The browser's clock when it sent this.
    pub sent_at: Option<Text<'a>>,
    #[serde(default = "Vec::new")]
    pub events: Vec<E>,
    pub numbers: Option<Numbers<'a>>,
    /// The session's first page.
    pub landing: Option<Landing<'a>>,
    /// Of `/v1/number`: the page that is asked for.
    pub url: Option<Text<'a>>,
    pub referrer: Option<Text<'a>>,
    pub language: Option<Text<'a>>,
    /// Of a server that asks for its visitor.
    pub ip: Option<Text<'a>>,
    pub user_agent: Option<Text<'a>>,
}

/// An event as the page has it.
#[derive(Deserialize)]
pub struct Sent<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub time: Text<'a>,
    pub data: LazyValue<'a>,
}

#[derive(Deserialize)]
pub struct Landing<'a> {
    #[serde(borrow)]
    pub url: Text<'a>,
    pub referrer: Option<Text<'a>>,
}

/// What the page wants to know of its numbers.
#[derive(Deserialize)]
pub struct Numbers<'a> {
    /// Those that stand on it, in E.164; what is none is passed over, so that no page view is lost for it.
    #[serde(borrow, default)]
    pub replace: Vec<Text<'a>>,
    /// What was told earlier, and is still shown.
    #[serde(borrow, default)]
    pub held: Vec<HeldBefore<'a>>,
    /// False: only what is held is to be held on to.
    #[serde(default = "yes")]
    pub want: bool,
}

#[derive(Deserialize)]
pub struct HeldBefore<'a> {
    #[serde(borrow)]
    pub lease_id: Text<'a>,
    pub pool: Text<'a>,
    pub number: Text<'a>,
    pub extension: Option<Text<'a>>,
    pub replaces: Option<Text<'a>>,
}

fn yes() -> bool {
    true
}

/// What a page view says of its page, as far as routes want to know.
#[derive(Deserialize)]
pub struct Page<'a> {
    #[serde(borrow)]
    pub url: Text<'a>,
    pub referrer: Option<Text<'a>>,
    pub language: Option<Text<'a>>,
}

/// The events of a body.
pub enum Events<'a> {
    Read(Vec<Sent<'a>>),
    /// At least one cannot be read.
    Raw(Vec<LazyValue<'a>>),
}

impl<'a> Events<'a> {
    /// The page of the first page view, where all events can be read.
    pub fn first_page(&'a self) -> Option<Page<'a>> {
        let Events::Read(events) = self else { return None };
        let view = events.iter().find(|sent| sent.kind.as_str() == "page_view")?;
        sonic_rs::from_str(view.data.as_raw_str()).ok()
    }
}

/// Reads a body.
///
/// # Errors
/// It is no such object, or a member of it cannot be used.
pub fn read(body: &[u8]) -> Result<(Hit<'_, ()>, Events<'_>), Refusal> {
    let text = std::str::from_utf8(body).map_err(|error| Refusal::BadBody { at: error.valid_up_to() })?;
    // The envelope around events takes two levels.
    if nests_deeper_than(body, NESTING_MAX + 2) {
        return Err(Refusal::BadMember { path: "the body", reason: "nests too many arrays and objects in each other" });
    }
    let (hit, events) = match sonic_rs::from_str::<Hit<'_, Sent<'_>>>(text) {
        Ok(hit) => hit.apart(Events::Read),
        Err(_) => {
            let hit: Hit<'_, LazyValue<'_>> =
                sonic_rs::from_str(text).map_err(|error| Refusal::BadBody { at: error.offset() })?;
            hit.apart(Events::Raw)
        }
    };
    let count = match &events {
        Events::Read(events) => events.len(),
        Events::Raw(events) => events.len(),
    };
    if count > EVENTS_MAX {
        return Err(Refusal::TooMany { limit: EVENTS_MAX as u64 });
    }
    hit.check()?;
    Ok((hit, events))
}

/// The events of a body that was read before, each as it came.
pub fn raw_events(body: &[u8]) -> Vec<LazyValue<'_>> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    sonic_rs::from_str::<Hit<'_, LazyValue<'_>>>(text).map(|hit| hit.events).unwrap_or_default()
}

impl<'a, E> Hit<'a, E> {
    fn apart(self, events: impl FnOnce(Vec<E>) -> Events<'a>) -> (Hit<'a, ()>, Events<'a>) {
        let Hit {
            site,
            visitor_id,
            session_id,
            sent_at,
            numbers,
            landing,
            url,
            referrer,
            language,
            ip,
            user_agent,
            ..
        } = self;
        let rest = Hit {
            site,
            visitor_id,
            session_id,
            sent_at,
            events: Vec::new(),
            numbers,
            landing,
            url,
            referrer,
            language,
            ip,
            user_agent,
        };
        (rest, events(self.events))
    }
}

impl Hit<'_, ()> {
    /// Account and site that the body names.
    pub fn account_and_site(&self) -> (Option<&str>, Option<&str>) {
        let text = self.site.as_deref().unwrap_or_default();
        let (account, site) = text.split_once('/').unwrap_or((text, ""));
        let filled = |text| Some(text).filter(|text: &&str| !text.is_empty());
        (filled(account), filled(site))
    }

    fn check(&self) -> Result<(), Refusal> {
        let wrong = |path, reason| Err(Refusal::BadMember { path, reason });
        if self.visitor_id.as_ref().is_some_and(|id| !is_visitor(id)) {
            return wrong("visitor_id", "is not 1 to 128 letters, digits, - and _");
        }
        if self.session_id.as_ref().is_some_and(|id| !is_visitor(id)) {
            return wrong("session_id", "is not 1 to 128 letters, digits, - and _");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bodies_are_read_or_refused_with_a_reason() {
        let deep = format!(
            r#"{{"events":[{{"id":"1","type":"t","time":"t","data":{}1{}}}]}}"#,
            "[".repeat(90),
            "]".repeat(90)
        );
        let many = format!(r#"{{"events":[{}1]}}"#, "1,".repeat(EVENTS_MAX));
        for (body, expected) in [
            ("{}", Ok((0, true))),
            (r#"{"site":"acme","unknown":[{"x":{}}],"visitor_id":"v"}"#, Ok((0, true))),
            (r#"{"events":[{"id":"1","type":"t","time":"t","data":{"a":[1]}}]}"#, Ok((1, true))),
            (r#"{"events":[{"id":"1","type":"t","time":"t","data":null},7,{"id":2}]}"#, Ok((3, false))),
            (r#"{"numbers":{"replace":["+14155550100"],"held":[]}}"#, Ok((0, true))),
            ("", Err("bad-body")),
            ("[]", Err("bad-body")),
            ("{\"site\":", Err("bad-body")),
            ("{\"site\":7}", Err("bad-body")),
            ("{} {}", Err("bad-body")),
            (r#"{"numbers":{"replace":["hello"],"held":[]}}"#, Ok((0, true))),
            (r#"{"numbers":{"replace":"hello"}}"#, Err("bad-body")),
            (r#"{"visitor_id":"a b"}"#, Err("visitor_id")),
            (r#"{"visitor_id":""}"#, Err("visitor_id")),
            (r#"{"session_id":"<script>"}"#, Err("session_id")),
            (&deep, Err("the body")),
            (&many, Err("too many")),
        ] {
            let found = match read(body.as_bytes()) {
                Ok((_, Events::Read(events))) => Ok((events.len(), true)),
                Ok((_, Events::Raw(events))) => Ok((events.len(), false)),
                Err(Refusal::BadBody { .. }) => Err("bad-body"),
                Err(Refusal::BadMember { path, .. }) => Err(path),
                Err(Refusal::TooMany { .. }) => Err("too many"),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(found, expected, "{body}");
        }
        assert!(matches!(read(b"{\"site\":\"\xff\"}"), Err(Refusal::BadBody { at: 9 })));
    }

    #[test]
    fn sites_are_told_apart() {
        for (site, expected) in [
            ("acme/main", (Some("acme"), Some("main"))),
            ("acme", (Some("acme"), None)),
            ("acme/", (Some("acme"), None)),
            ("/main", (None, Some("main"))),
            ("a/b/c", (Some("a"), Some("b/c"))),
            ("", (None, None)),
        ] {
            let body = format!(r#"{{"site":"{site}"}}"#);
            assert_eq!(read(body.as_bytes()).expect("a body").0.account_and_site(), expected);
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{},:\"a1\\\\]{0,80}") {
            let _ = read(&noise);
            let _ = read(text.as_bytes());
            let _ = read(format!("{{\"events\":[{text}]}}").as_bytes());
        }
    }
}
