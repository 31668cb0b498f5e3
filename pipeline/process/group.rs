//! Entries of the log that are applied together, decoded beside the bytes that they borrow from.

use callweave_core::event::Rejected;
use callweave_core::source::{Surveyor, Visit};
use callweave_core::time::Time;
use self_cell::self_cell;

use super::step::{Item, survey};
use crate::log::Entry;
use crate::log::frame::Record;

/// What stands in the entries, in order.
struct Read<'a> {
    items: Vec<Item<'a>>,
    /// Times that pass, each before the item of this number.
    ticks: Vec<(usize, Time)>,
}

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
    surveyed: Surveyed,
}

impl Group {
    /// Nothing where there are no entries.
    pub fn new(entries: Vec<Entry>, surveyor: &mut Surveyor) -> Option<Group> {
        let upto = entries.last()?.sequence;
        let decoded = Decoded::new(entries, |entries| read(entries));
        let surveyed = Surveyed::new(decoded, |decoded| survey(surveyor, &decoded.borrow_dependent().items));
        Some(Group { upto, surveyed })
    }

    pub fn items(&self) -> &[Item<'_>] {
        &self.surveyed.borrow_owner().borrow_dependent().items
    }

    pub fn visits(&self) -> &[Option<Visit<'_>>] {
        self.surveyed.borrow_dependent()
    }

    pub fn ticks(&self) -> &[(usize, Time)] {
        &self.surveyed.borrow_owner().borrow_dependent().ticks
    }
}

fn read(entries: &[Entry]) -> Read<'_> {
    let mut read = Read { items: Vec::new(), ticks: Vec::new() };
    for entry in entries {
        for record in entry.records() {
            match record {
                Ok(Record::Tick { time }) => read.ticks.push((read.items.len(), time)),
                Ok(record) => read.items.push(item(record)),
                Err(error) => read.items.push(unreadable(entry, &error.to_string())),
            }
        }
    }
    read
}

fn item(record: Record<'_>) -> Item<'_> {
    match record {
        Record::Event { received, origin, bytes } => Item::decode(bytes, Some(received), received, || origin.into()),
        Record::Rejected { received, origin, account, reason, path, bytes } => Item {
            what: Err(Box::new(Rejected {
                account: account.map(str::to_owned),
                reason: reason.to_owned(),
                path: path.to_owned(),
                raw: bytes.to_vec(),
            })),
            received,
            origin: origin.into(),
        },
        Record::Tick { .. } => unreachable!("ticks are no items"),
    }
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
        received: entry.appended,
        origin: entry.subject.as_str().into(),
    }
}
