//! What is on disk, and how it is read. Only the writer changes it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::RwLock;

use bytes::Bytes;
use callweave_core::time::Time;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTableMetadata, TableDefinition, TableError};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::log::{Entry, ReadError, Subject, frame};

/// Partition and sequence -> entry, as [`write_value`] lays it out.
pub(super) const ENTRIES: TableDefinition<(u16, u64), &[u8]> = TableDefinition::new("entries");
/// Partition and subject -> sequence of its newest entry that is still there.
pub(super) const SUBJECTS: TableDefinition<(u16, &str), u64> = TableDefinition::new("subjects");
/// Partition, subject and sequence of each entry of settings that is still there.
pub(super) const SETTINGS: TableDefinition<(u16, &str, u64), ()> = TableDefinition::new("settings");
/// Partition and sequence -> message id and time of appending, within the window of duplicates.
pub(super) const IDS: TableDefinition<(u16, u64), (u128, i64)> = TableDefinition::new("ids");
/// Partition -> first and last sequence, bytes, time of the last append.
pub(super) const PARTITIONS: TableDefinition<u16, (u64, u64, u64, i64)> = TableDefinition::new("partitions");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// One row: what the log is known by.
const IDENTITY: TableDefinition<(), u128> = TableDefinition::new("identity");

const FORMAT: u64 = 1;
/// Memory for pages of the file, read and written.
const CACHE_BYTES: usize = 64 << 20;
/// A reader gets at most about this many bytes, and this many entries, at once.
const READ_BYTES: usize = 1 << 20;
const READ_ENTRIES: usize = 4096;

/// Checksum, time, and length of the subject stand before the subject and the payload.
const CHECKSUM: usize = 8;
const SUBJECT: usize = CHECKSUM + 8 + 2;

/// The sequences that are there: `first..=last`, none where `first` is `last + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Bounds {
    /// Whether who has read up to `after` can go on.
    pub(super) fn check(self, partition: u16, after: u64) -> Result<(), ReadError> {
        if after > self.last {
            return Err(ReadError::Rewound { partition, after, last: self.last });
        }
        if after + 1 < self.first {
            return Err(ReadError::Lost { partition, after, first: self.first });
        }
        Ok(())
    }
}

/// What went wrong with the file.
#[derive(Debug)]
pub(super) enum Fault {
    InUse,
    Format(u64),
    Damaged(String),
    Full(String),
    Io(io::Error),
    /// Closed, or closed for now: after a failed write it is opened again.
    Closed,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::InUse => f.write_str("another process has the file open"),
            Fault::Format(format) => write!(f, "its format {format} is newer than this program"),
            Fault::Damaged(reason) | Fault::Full(reason) => f.write_str(reason),
            Fault::Io(error) => fmt::Display::fmt(error, f),
            Fault::Closed => f.write_str("the file is closed"),
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Fault {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Fault::InUse,
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => Fault::Closed,
            redb::Error::Io(error) => of_io(error),
            redb::Error::UpgradeRequired(version) => Fault::Damaged(format!("it has redb's old format {version}")),
            other => Fault::Damaged(other.to_string()),
        }
    }
}

fn of_io(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Fault::Full(error.to_string())
        }
        // redb reads past the end of a file that was cut, and says so when it is no redb file.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Fault::Damaged(error.to_string()),
        _ => Fault::Io(error),
    }
}

type OpenDatabase = dyn Fn() -> Result<Database, DatabaseError> + Send + Sync;
type Probe = dyn Fn(u64) -> io::Result<()> + Send + Sync;

/// Where the file lies. A test puts a failing disk in its place.
pub(super) struct Backing {
    pub(super) open: Box<OpenDatabase>,
    /// Whether so many bytes can be written now.
    pub(super) probe: Box<Probe>,
}

impl Backing {
    pub(super) fn of_file(path: PathBuf) -> Backing {
        let probe_path = path.with_extension("probe");
        Backing {
            open: Box::new(move || Database::builder().set_cache_size(CACHE_BYTES).create(&path)),
            probe: Box::new(move |bytes| {
                let written = std::fs::File::create(&probe_path).and_then(|mut file| {
                    io::copy(&mut io::Read::take(io::repeat(0xA5), bytes), &mut file)?;
                    file.sync_data()
                });
                std::fs::remove_file(&probe_path)?;
                written
            }),
        }
    }
}

pub(super) struct Store {
    backing: Backing,
    /// `None` once it is closed, or while a failed write is mended.
    database: RwLock<Option<Database>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    pub(super) fn open(backing: Backing) -> Result<Store, Fault> {
        let database = (backing.open)()?;
        Ok(Store { backing, database: RwLock::new(Some(database)) })
    }

    /// Makes the tables of a new file, and tells how many partitions the log has.
    pub(super) fn prepare(&self, wanted: u16) -> Result<u16, Fault> {
        self.with(|database| {
            let written = {
                let read = database.begin_read()?;
                match read.open_table(META) {
                    Ok(meta) => Some((number(meta.get("format")?), number(meta.get("partitions")?))),
                    Err(TableError::TableDoesNotExist(_)) => None,
                    Err(error) => return Err(error.into()),
                }
            };
            match written {
                Some((FORMAT, partitions)) => u16::try_from(partitions)
                    .ok()
                    .filter(|&partitions| partitions > 0)
                    .ok_or_else(|| Fault::Damaged(format!("it claims {partitions} partitions"))),
                Some((format, _)) => Err(Fault::Format(format)),
                None => make_tables(database, wanted).map(|()| wanted),
            }
        })
    }

    /// What the log is known by: made with it. One that was made before logs had identities has none of its own, so that each copy
    /// of it has the same.
    pub(super) fn identity(&self) -> Result<Uuid, Fault> {
        self.with(|database| {
            let known = match database.begin_read()?.open_table(IDENTITY) {
                Ok(table) => table.get(())?.map(|found| found.value()),
                Err(TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(error.into()),
            };
            if let Some(known) = known {
                return Ok(Uuid::from_u128(known));
            }
            let write = database.begin_write()?;
            let has_entries = !write.open_table(PARTITIONS)?.is_empty()?;
            let identity = if has_entries { Uuid::nil() } else { Uuid::new_v4() };
            write.open_table(IDENTITY)?.insert((), identity.as_u128())?;
            write.commit()?;
            Ok(identity)
        })
    }

    /// A callweave of before [`SETTINGS`] appended without it: of each subject of settings the last entry is known all the same.
    pub(super) fn find_settings(&self, partitions: u16) -> Result<(), Fault> {
        self.with(|database| {
            let mut unknown = Vec::new();
            let there = {
                let read = database.begin_read()?;
                let subjects = read.open_table(SUBJECTS)?;
                let settings = match read.open_table(SETTINGS) {
                    Ok(table) => Some(table),
                    Err(TableError::TableDoesNotExist(_)) => None,
                    Err(error) => return Err(error.into()),
                };
                for partition in 0..partitions {
                    let prefix = Subject::settings_of(partition);
                    for found in subjects.range((partition, prefix.as_str())..)? {
                        let (key, sequence) = found?;
                        let ((number, subject), sequence) = (key.value(), sequence.value());
                        if number != partition || !subject.starts_with(&prefix) {
                            break;
                        }
                        let known = match &settings {
                            Some(settings) => settings.get((partition, subject, sequence))?.is_some(),
                            None => false,
                        };
                        if !known {
                            unknown.push((partition, subject.to_owned(), sequence));
                        }
                    }
                }
                settings.is_some()
            };
            if there && unknown.is_empty() {
                return Ok(());
            }
            let write = database.begin_write()?;
            {
                let mut settings = write.open_table(SETTINGS)?;
                for (partition, subject, sequence) in &unknown {
                    settings.insert((*partition, subject.as_str(), *sequence), ())?;
                }
            }
            Ok(write.commit()?)
        })
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, Fault> {
        // A panic elsewhere leaves the lock poisoned and the database as it was: its own state is transactional.
        let guard = self.database.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        act(guard.as_ref().ok_or(Fault::Closed)?)
    }

    pub(super) fn close(&self) {
        *self.database.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
    }

    /// After a failed write redb refuses everything until the file is opened anew, from its last commit.
    pub(super) fn reopen(&self) -> Result<(), Fault> {
        let mut guard = self.database.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        *guard = None;
        *guard = Some((self.backing.open)()?);
        Ok(())
    }

    pub(super) fn has_room(&self, bytes: u64) -> bool {
        (self.backing.probe)(bytes).is_ok()
    }

    /// Entries after `after` up to `last`, as many as fit a batch.
    pub(super) fn read(&self, partition: u16, after: u64, last: u64) -> Result<Vec<Entry>, Fault> {
        self.with(|database| {
            let entries = database.begin_read()?.open_table(ENTRIES)?;
            let (mut batch, mut bytes) = (Vec::new(), 0);
            for found in entries.range((partition, after + 1)..=(partition, last))? {
                let (key, value) = found?;
                let (partition, sequence) = key.value();
                let expected = after + 1 + batch.len() as u64;
                if sequence != expected {
                    // The oldest may have been trimmed since the reader looked; later gaps cannot be.
                    if batch.is_empty() {
                        break;
                    }
                    return Err(Fault::Damaged(format!("entry {sequence} follows {}", expected - 1)));
                }
                let entry = read_value(partition, sequence, value.value())?;
                bytes += entry.payload.len() + entry.subject.len();
                batch.push(entry);
                if bytes >= READ_BYTES || batch.len() >= READ_ENTRIES {
                    break;
                }
            }
            Ok(batch)
        })
    }

    pub(super) fn last_of_subject(&self, subject: &Subject) -> Result<Option<Entry>, Fault> {
        let partition = subject.partition();
        self.with(|database| {
            let read = database.begin_read()?;
            let Some(sequence) = read.open_table(SUBJECTS)?.get((partition, subject.as_str()))? else {
                return Ok(None);
            };
            let sequence = sequence.value();
            match read.open_table(ENTRIES)?.get((partition, sequence))? {
                Some(value) => read_value(partition, sequence, value.value()).map(Some),
                None => Err(Fault::Damaged(format!("entry {sequence} of {subject} is missing"))),
            }
        })
    }

    pub(super) fn next_settings(&self, subject: &Subject, after: u64) -> Result<Option<Entry>, Fault> {
        let (partition, text) = (subject.partition(), subject.as_str());
        self.with(|database| {
            let read = database.begin_read()?;
            let (settings, entries) = (read.open_table(SETTINGS)?, read.open_table(ENTRIES)?);
            let behind = (partition, text, after.saturating_add(1))..=(partition, text, u64::MAX);
            for found in settings.range(behind)? {
                let (key, _) = found?;
                let (_, _, sequence) = key.value();
                // A callweave of before this table forgets entries and leaves what names them.
                if let Some(value) = entries.get((partition, sequence))? {
                    return read_value(partition, sequence, value.value()).map(Some);
                }
            }
            Ok(None)
        })
    }
}

fn number(found: Option<redb::AccessGuard<'_, u64>>) -> u64 {
    found.map_or(0, |found| found.value())
}

fn make_tables(database: &Database, partitions: u16) -> Result<(), Fault> {
    let write = database.begin_write()?;
    {
        write.open_table(ENTRIES)?;
        write.open_table(SUBJECTS)?;
        write.open_table(SETTINGS)?;
        write.open_table(IDS)?;
        write.open_table(PARTITIONS)?;
        let mut meta = write.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("partitions", u64::from(partitions))?;
    }
    Ok(write.commit()?)
}

/// Bytes of an entry on disk.
pub(super) fn value_size(subject: &str, payload: &[u8]) -> usize {
    SUBJECT + subject.len() + payload.len()
}

/// Lays an entry out in `to`, which has [`value_size`] bytes. The checksum is seeded with the entry's place, so that a
/// page that turns up elsewhere is found out too.
pub(super) fn write_value(to: &mut [u8], place: (u16, u64), appended: Time, subject: &str, payload: &[u8]) {
    to[CHECKSUM..CHECKSUM + 8].copy_from_slice(&appended.0.to_le_bytes());
    // Subjects are at most MAX_SUBJECT_BYTES long.
    to[CHECKSUM + 8..SUBJECT].copy_from_slice(&(subject.len() as u16).to_le_bytes());
    to[SUBJECT..SUBJECT + subject.len()].copy_from_slice(subject.as_bytes());
    to[SUBJECT + subject.len()..].copy_from_slice(payload);
    let checksum = checksum(place, to);
    to[..CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
}

fn checksum((partition, sequence): (u16, u64), value: &[u8]) -> u64 {
    xxh3_64_with_seed(&value[CHECKSUM..], sequence ^ (u64::from(partition) << 48))
}

/// The parts of an entry on disk.
pub(super) struct Value<'a> {
    pub(super) appended: Time,
    pub(super) subject: &'a str,
    pub(super) payload: &'a [u8],
}

pub(super) fn parse_value(place: (u16, u64), value: &[u8]) -> Option<Value<'_>> {
    let stored = u64::from_le_bytes(value.get(..CHECKSUM)?.try_into().ok()?);
    if stored != checksum(place, value) {
        return None;
    }
    let appended = i64::from_le_bytes(value.get(CHECKSUM..CHECKSUM + 8)?.try_into().ok()?);
    let length = u16::from_le_bytes(value.get(CHECKSUM + 8..SUBJECT)?.try_into().ok()?);
    let (subject, payload) = value.get(SUBJECT..)?.split_at_checked(usize::from(length))?;
    Some(Value { appended: Time(appended), subject: std::str::from_utf8(subject).ok()?, payload })
}

fn read_value(partition: u16, sequence: u64, value: &[u8]) -> Result<Entry, Fault> {
    let Some(value) = parse_value((partition, sequence), value) else {
        return Err(Fault::Damaged(format!("entry {sequence} of partition {partition} has a wrong checksum")));
    };
    Ok(Entry {
        sequence,
        subject: value.subject.to_owned(),
        appended: value.appended,
        payload: frame::unpack(Bytes::copy_from_slice(value.payload)),
    })
}
