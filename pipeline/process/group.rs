//! Entries of the log that are applied together, decoded beside the bytes that they borrow from.

use callweave_core::event::Rejected;
use callweave_core::source::{Surveyor, Visit};
use callweave_core::time::Time;
use self_cell::self_cell;

use super::step::{Item, Origin, survey};
use crate::log::Entry;
use crate::log::frame::Record;

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
    pub fn new(entries: Vec<Entry>, surveyor: &mut Surveyor) -> Option<Group> {
        let (upto, appended) = entries.last().map(|last| (last.sequence, last.appended))?;
        let decoded = Decoded::new(entries, |entries| read(entries));
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

fn read(entries: &[Entry]) -> Read<'_> {
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
                    Item::decode(bytes, Some(received), received, Origin::Told(origin))
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
