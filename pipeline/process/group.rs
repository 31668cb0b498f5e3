//! Entries of the log that are applied together, decoded beside the bytes that they borrow from.

use callweave_core::event::{Body, Rejected};
use callweave_core::source::{Surveyor, Visit};
use callweave_core::time::Time;
use self_cell::self_cell;

use super::step::{Item, Origin, survey};
use crate::log::frame::{Record, is_bare};
use crate::log::{Entry, Kind, Subject, partition_of};

/// What stands in the entries, in order.
struct Read<'a> {
    items: Vec<Item<'a>>,
    cuts: Vec<Cut>,
}

/// Where an entry ends, or time passes inside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The items before this one are from before.
    pub before: usize,
    /// Of the entry.
    pub sequence: u64,
    pub tick: Option<Time>,
}

/// The partition that entries are of, among so many.
#[derive(Debug, Clone, Copy)]
pub struct Home {
    pub partition: u16,
    pub partitions: u16,
}

/// Few events have less, so that room for them is made once.
const BYTES_PER_EVENT: usize = 256;

type Visits<'a> = Vec<Option<Visit<'a>>>;

self_cell! {
    struct Decoded {
        owner: Vec<Entry>,
        #[covariant]
        dependent: Read,
    }
}

self_cell! {
    struct Surveyed {
        owner: Decoded,
        #[covariant]
        dependent: Visits,
    }
}

/// Entries that are ready to be applied.
pub struct Group {
    /// The last entry's.
    pub upto: u64,
    /// When the log took it.
    pub appended: Time,
    surveyed: Surveyed,
}

impl Group {
    /// Nothing where there are no entries.
    pub fn new(entries: Vec<Entry>, home: Home, surveyor: &mut Surveyor) -> Option<Group> {
        let (upto, appended) = entries.last().map(|last| (last.sequence, last.appended))?;
        let decoded = Decoded::new(entries, |entries| read(entries, home));
        let surveyed = Surveyed::new(decoded, |decoded| survey(surveyor, &decoded.borrow_dependent().items));
        Some(Group { upto, appended, surveyed })
    }

    pub fn items(&self) -> &[Item<'_>] {
        &self.surveyed.borrow_owner().borrow_dependent().items
    }

    pub fn visits(&self) -> &[Option<Visit<'_>>] {
        self.surveyed.borrow_dependent()
    }

    /// In order; the last is the end of the last entry.
    pub fn cuts(&self) -> &[Cut] {
        &self.surveyed.borrow_owner().borrow_dependent().cuts
    }
}

fn read(entries: &[Entry], home: Home) -> Read<'_> {
    let bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
    let items = Vec::with_capacity(bytes / BYTES_PER_EVENT + entries.len());
    let mut read = Read { items, cuts: Vec::with_capacity(entries.len()) };
    for entry in entries {
        let sequence = entry.sequence;
        for record in entry.records() {
            let item = match record {
                Ok(Record::Tick { time }) => {
                    read.cuts.push(Cut { before: read.items.len(), sequence, tick: Some(time) });
                    continue;
                }
                Ok(Record::Event { received, origin, bytes }) => {
                    let item = Item::decode(bytes, Some(received), received, Origin::Told(origin));
                    // Ours come in frames, to where they belong.
                    if is_bare(&entry.payload) { at_home(item, &entry.subject, home) } else { item }
                }
                Ok(Record::Rejected { received, origin, account, reason, path, bytes }) => Item {
                    what: Err(Box::new(Rejected {
                        account: account.map(str::to_owned),
                        reason: reason.to_owned(),
                        path: path.to_owned(),
                        raw: bytes.to_vec(),
                    })),
                    bytes,
                    received,
                    origin: Origin::Told(origin),
                },
                Err(error) => unreadable(entry, &error.to_string()),
            };
            read.items.push(item);
        }
        read.cuts.push(Cut { before: read.items.len(), sequence, tick: None });
    }
    read
}

/// An event that somebody else wrote to the log is of its account's partition, or joins nothing there and may count twice; and settings are
/// where all roles look for them.
fn at_home<'a>(mut item: Item<'a>, subject: &str, home: Home) -> Item<'a> {
    let Ok(event) = &item.what else { return item };
    let Home { partition, partitions } = home;
    let own = partition_of(&event.account, partitions);
    let settings = || Subject::events(own, Kind::Settings, Some(&event.account));
    let (reason, path) = if own != partition {
        let reason = format!(
            "account {:?} is of partition {own} of {partitions}, and this came to partition {partition}: publish it to a subject that \
             begins with callweave.events.{own}., or post it to /v1/events",
            event.account
        );
        (reason, "account")
    } else if matches!(event.body, Body::AccountSettings(_)) && settings().as_str() != subject {
        let reason = format!(
            "settings are not looked for at {subject}: publish them to {}, or post them to /v1/events",
            settings()
        );
        (reason, "type")
    } else {
        return item;
    };
    let account = Some(event.account.to_string());
    item.what = Err(Box::new(Rejected { account, reason, path: path.to_owned(), raw: item.bytes.to_vec() }));
    item
}

/// An entry that somebody else wrote, and that is no frame.
fn unreadable<'a>(entry: &'a Entry, error: &str) -> Item<'a> {
    Item {
        what: Err(Box::new(Rejected {
            account: None,
            reason: error.to_owned(),
            path: String::new(),
            raw: entry.payload.to_vec(),
        })),
        bytes: &entry.payload,
        received: entry.appended,
        origin: Origin::Told(&entry.subject),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_another_partition_is_refused() {
        let bare = r#"{"specversion":"1.0","id":"e","source":"s","type":"heartbeat","time":"2026-11-20T12:00:00Z","account":"acme","data":{"visitor_id":"v"}}"#;
        let entries = [Entry {
            sequence: 1,
            subject: "callweave.events.0.other.acme".to_owned(),
            appended: Time(1_795_178_096_000_000),
            payload: bare.into(),
        }];
        let own = partition_of("acme", 2);
        assert!(read(&entries, Home { partition: own, partitions: 2 }).items[0].what.is_ok());
        let read = read(&entries, Home { partition: 1 - own, partitions: 2 });
        let rejected = read.items[0].what.as_ref().expect_err("of another partition");
        assert_eq!((rejected.path.as_str(), rejected.account.as_deref()), ("account", Some("acme")));
        assert!(rejected.reason.contains(&format!("callweave.events.{own}.")), "{}", rejected.reason);
        assert_eq!(rejected.raw, bare.as_bytes());
    }

    #[test]
    fn settings_are_taken_where_all_look_for_them() {
        let bare = r#"{"specversion":"1.0","id":"e","source":"s","type":"account_settings","time":"2026-11-20T12:00:00Z","account":"acme","data":{}}"#;
        let partition = partition_of("acme", 2);
        for (kind, is_taken) in [("settings", true), ("other", false), ("page", false)] {
            let entries = [Entry {
                sequence: 1,
                subject: format!("callweave.events.{partition}.{kind}.acme"),
                appended: Time(1_795_178_096_000_000),
                payload: bare.into(),
            }];
            let read = read(&entries, Home { partition, partitions: 2 });
            assert_eq!(read.items[0].what.is_ok(), is_taken, "{kind}");
            if let Err(rejected) = &read.items[0].what {
                let to = format!("publish them to callweave.events.{partition}.settings.acme");
                assert!(rejected.path == "type" && rejected.reason.contains(&to), "{rejected:?}");
            }
        }
    }
}
