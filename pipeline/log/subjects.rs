//! Where an entry belongs: its partition, and the name under which it stands there.
//!
//! A subject is `callweave.events.<partition>.<kind>.<account>[.<number>]`; that of a tick ends after the kind. Account
//! and number are escaped, so that any text is one token of a NATS subject: ASCII letters, digits and `-_+@:/=,~!` stand
//! for themselves, every other byte of the UTF-8 is `%` and two upper-case hexadecimal digits. `%` alone is the
//! empty text, and `%-` in place of the account means that the entry holds events of several accounts.
//!
//! What subscribers are told stands in a log of its own, under `callweave.moments.<account>.<moment>`. The account is one
//! token, escaped as above; a moment keeps its dot, and so is two: `callweave.moments.acme.call.started`. Of an account
//! that is `callweave.moments.acme.>`, of all accounts `callweave.moments.*.call.started`.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

const PREFIX: &str = "callweave.events.";
const MOMENTS: &str = "callweave.moments.";
const EMPTY: &str = "%";
const SEVERAL: &str = "%-";

/// The partition of an account: xxh3-64 (seed 0) of its UTF-8 bytes, modulo the number of partitions. Collectors and
/// processes on different machines must agree on it for as long as a log lives, so it never changes.
pub fn partition_of(account: &str, partitions: u16) -> u16 {
    (xxh3_64(account.as_bytes()) % u64::from(partitions.max(1))) as u16
}

/// What kind of events an entry holds, for those who subscribe to some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Page views, web events, heartbeats.
    Page,
    /// Calls and what is told of them.
    Call,
    /// One lease event of one number.
    Lease,
    /// An account's settings, alone: its entries tell a collector what is in force.
    Settings,
    /// Everything else, and requests of mixed kinds, whose order must be kept.
    Other,
    /// Time passes.
    Tick,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Page => "page",
            Kind::Call => "call",
            Kind::Lease => "lease",
            Kind::Settings => "settings",
            Kind::Other => "other",
            Kind::Tick => "tick",
        }
    }

    fn parse(name: &str) -> Option<Kind> {
        let all = [Kind::Page, Kind::Call, Kind::Lease, Kind::Settings, Kind::Other, Kind::Tick];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

/// Which of the two logs: what arrived, or what subscribers are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    #[default]
    Events,
    /// One partition, whose order is that in which it was told.
    Moments,
}

impl Family {
    /// All subjects of a partition, as a NATS wildcard.
    pub fn wildcard(self, partition: u16) -> String {
        match self {
            Family::Events => Subject::wildcard(partition),
            Family::Moments => format!("{MOMENTS}>"),
        }
    }
}

/// The name of an entry in its partition. Compare-and-append and [`super::Log::last_of_subject`] go by it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    partition: u16,
    text: Arc<str>,
}

/// A subject taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts<'a> {
    pub partition: u16,
    pub kind: Kind,
    /// `None`: several accounts, or a tick, which is everybody's.
    pub account: Option<Cow<'a, str>>,
    pub number: Option<Cow<'a, str>>,
}

impl Subject {
    /// Events of one account, or of several (`None`).
    pub fn events(partition: u16, kind: Kind, account: Option<&str>) -> Subject {
        let token = account.map_or(Cow::Borrowed(SEVERAL), escape);
        Subject::of(partition, format!("{PREFIX}{partition}.{}.{token}", kind.name()))
    }

    /// The lease events of one number, and of one extension where the pool has them: give both as one text then.
    pub fn lease(partition: u16, account: &str, number: &str) -> Subject {
        let text = format!("{PREFIX}{partition}.{}.{}.{}", Kind::Lease.name(), escape(account), escape(number));
        Subject::of(partition, text)
    }

    /// A moment of an account, such as `call.started`: in the log of moments, which has one partition.
    pub fn moment(account: &str, moment: &str) -> Subject {
        Subject::of(0, format!("{MOMENTS}{}.{moment}", escape(account)))
    }

    /// The account of a [`Subject::moment`].
    pub fn account_of_moment(text: &str) -> Option<Cow<'_, str>> {
        unescape(text.strip_prefix(MOMENTS)?.split('.').next()?)
    }

    pub fn tick(partition: u16) -> Subject {
        Subject::of(partition, format!("{PREFIX}{partition}.{}", Kind::Tick.name()))
    }

    /// All subjects of a partition, as a NATS wildcard.
    pub fn wildcard(partition: u16) -> String {
        format!("{PREFIX}{partition}.>")
    }

    /// What the subjects of all accounts' settings in a partition begin with.
    pub(super) fn settings_of(partition: u16) -> String {
        format!("{PREFIX}{partition}.{}.", Kind::Settings.name())
    }

    /// Whether a subject, as an [`super::Entry`] has it, is one of settings.
    pub(super) fn is_of_settings(text: &str) -> bool {
        text.strip_prefix(PREFIX).and_then(|rest| rest.split('.').nth(1)) == Some(Kind::Settings.name())
    }

    fn of(partition: u16, text: String) -> Subject {
        Subject { partition, text: text.into() }
    }

    pub fn partition(&self) -> u16 {
        self.partition
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Takes the subject of an [`super::Entry`] apart; `None` where another program published under a name of its own.
    pub fn parse(text: &str) -> Option<Parts<'_>> {
        let mut tokens = text.strip_prefix(PREFIX)?.split('.');
        let partition = tokens.next()?.parse().ok()?;
        let kind = Kind::parse(tokens.next()?)?;
        let account = match tokens.next() {
            None if kind == Kind::Tick => None,
            None => return None,
            Some(SEVERAL) => None,
            Some(token) => Some(unescape(token)?),
        };
        let number = tokens.next().map(unescape);
        if tokens.next().is_some() {
            return None;
        }
        let number = match number {
            Some(number) => Some(number?),
            None => None,
        };
        Some(Parts { partition, kind, account, number })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn stands_for_itself(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_+@:/=,~!".contains(&byte)
}

fn escape(text: &str) -> Cow<'_, str> {
    if text.is_empty() {
        return Cow::Borrowed(EMPTY);
    }
    if text.bytes().all(stands_for_itself) {
        return Cow::Borrowed(text);
    }
    let mut token = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if stands_for_itself(byte) {
            token.push(char::from(byte));
        } else {
            token.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(token)
}

fn unescape(token: &str) -> Option<Cow<'_, str>> {
    if token == EMPTY {
        return Some(Cow::Borrowed(""));
    }
    if token.is_empty() || !token.bytes().all(|byte| byte == b'%' || stands_for_itself(byte)) {
        return None;
    }
    if !token.contains('%') {
        return Some(Cow::Borrowed(token));
    }
    let mut text = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            text.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            text.push(byte);
            rest = after;
        }
    }
    String::from_utf8(text).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A log outlives the program's versions: these values may never change. They are what `xxhsum -H3` gives.
    #[test]
    fn partitions_are_pinned() {
        for (account, of_4, of_64) in [("", 2, 2), ("acme", 1, 33), ("globex", 3, 47), ("Bäckerei Süß", 1, 17)] {
            assert_eq!((partition_of(account, 4), partition_of(account, 64)), (of_4, of_64), "{account:?}");
            assert_eq!(partition_of(account, 1), 0);
        }
    }

    #[test]
    fn subjects_are_pinned() {
        for (subject, text) in [
            (Subject::events(3, Kind::Page, Some("acme")), "callweave.events.3.page.acme"),
            (Subject::events(0, Kind::Call, Some("a.b*> c%")), "callweave.events.0.call.a%2Eb%2A%3E%20c%25"),
            (Subject::events(0, Kind::Other, Some("")), "callweave.events.0.other.%"),
            (Subject::events(0, Kind::Page, None), "callweave.events.0.page.%-"),
            (Subject::events(0, Kind::Page, Some("ü")), "callweave.events.0.page.%C3%BC"),
            (Subject::lease(1, "acme", "+14155550123"), "callweave.events.1.lease.acme.+14155550123"),
            (Subject::events(2, Kind::Settings, Some("acme")), "callweave.events.2.settings.acme"),
            (Subject::tick(7), "callweave.events.7.tick"),
            (Subject::moment("acme", "call.started"), "callweave.moments.acme.call.started"),
            (Subject::moment("a.b", "pool.exhausted"), "callweave.moments.a%2Eb.pool.exhausted"),
        ] {
            assert_eq!(subject.as_str(), text);
        }
    }

    #[test]
    fn settings_are_known_by_their_subject() {
        let (settings, other) =
            (Subject::events(7, Kind::Settings, Some("a.b")), Subject::events(7, Kind::Page, Some("settings")));
        assert!(settings.as_str().starts_with(&Subject::settings_of(7)));
        for (text, is) in [
            (settings.as_str(), true),
            (other.as_str(), false),
            ("callweave.moments.acme.settings", false),
            ("callweave.events.7.tick", false),
        ] {
            assert_eq!(Subject::is_of_settings(text), is, "{text}");
        }
    }

    #[test]
    fn a_moment_tells_its_account() {
        for (subject, account) in [
            ("callweave.moments.acme.call.started", Some("acme")),
            ("callweave.moments.a%2Eb.call.started", Some("a.b")),
            ("callweave.events.0.call.acme", None),
            ("callweave.moments.%2.x", None),
        ] {
            assert_eq!(Subject::account_of_moment(subject).as_deref(), account, "{subject}");
        }
    }

    #[test]
    fn foreign_subjects_are_told() {
        for text in [
            "",
            "callweave.events.",
            "callweave.events.0.page",
            "callweave.events.x.page.acme",
            "callweave.events.0.fax.acme",
            "callweave.events.0.page.%2",
            "callweave.events.0.page.%GG",
            "callweave.events.0.page.%FF",
            "callweave.events.0.page.a.b.c",
            "callweave.events.0.page..b",
            "orders.new",
        ] {
            assert_eq!(Subject::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_account_and_number_come_back(account: String, number: String, partition: u16) {
            let subject = Subject::lease(partition, &account, &number);
            for token in subject.as_str().split('.') {
                prop_assert!(!token.is_empty());
                prop_assert!(!token.contains(['*', '>']));
                prop_assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
            }
            let parts = Subject::parse(subject.as_str());
            let expected = Parts {
                partition,
                kind: Kind::Lease,
                account: Some(account.as_str().into()),
                number: Some(number.as_str().into()),
            };
            prop_assert_eq!(parts, Some(expected));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = Subject::parse(&text);
            let _ = Subject::parse(&format!("{PREFIX}1.page.{text}"));
        }
    }
}
