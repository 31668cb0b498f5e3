//! What the payload of an entry holds: one or many records.
//!
//! A payload that begins with `{` is one bare event in JSON, published by another program. Every other begins with
//! `CWF` and a version byte. In version 1 records follow until its end; in version 2 their length (LEB128), and zstd's frame of
//! them: many events say much the same, and take a seventh of the log. Readers get entries unpacked ([`unpack`]). A record is a tag byte
//! and its fields:
//!
//! | tag | record | fields |
//! | --- | --- | --- |
//! | 1 | event | received, origin, bytes |
//! | 2 | rejected | received, origin, account, reason, path, bytes |
//! | 3 | tick | time |
//!
//! A time is 8 bytes, little-endian: microseconds since 1970. Text and bytes are their length (LEB128) and their bytes;
//! account is the same with one more than its length, and 0 where there is none.

use std::cell::RefCell;

use bytes::{BufMut, Bytes, BytesMut};
use callweave_core::time::Time;
use zstd::bulk::{Compressor, Decompressor};

const MAGIC: &[u8; 3] = b"CWF";
const VERSION: u8 = 1;
const PACKED: u8 = 2;
const HEADER: [u8; 4] = [MAGIC[0], MAGIC[1], MAGIC[2], VERSION];
/// Smaller frames gain little.
const PACKED_FROM: usize = 4 << 10;
/// The quickest of zstd's own: half a microsecond an event, and a fifth of one to unpack it.
const LEVEL: i32 = 1;

/// The bytes of an event, as they came: at most 16 MiB, so that a damaged length cannot ask for more.
pub const MAX_EVENT_BYTES: usize = 16 << 20;
/// Origin, account, reason and path: at most 64 KiB each.
pub const MAX_TEXT_BYTES: usize = 64 << 10;

/// Records of a packed frame: one of the largest, and then some.
const MAX_RECORDS_BYTES: usize = MAX_EVENT_BYTES + 8 * MAX_TEXT_BYTES;

const EVENT: u8 = 1;
const REJECTED: u8 = 2;
const TICK: u8 = 3;

/// One thing that the log was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// An event as it came, not yet decoded.
    Event {
        /// When it was taken in: the collector's clock, or of a bare event the log's.
        received: Time,
        /// Where it came from: an endpoint, a file, of a bare event its subject.
        origin: &'a str,
        bytes: &'a [u8],
    },
    /// What the collector already knows to be unusable.
    Rejected {
        received: Time,
        origin: &'a str,
        account: Option<&'a str>,
        reason: &'a str,
        /// The offending member; empty for the whole.
        path: &'a str,
        bytes: &'a [u8],
    },
    /// Time has passed up to here, though nothing else may have arrived.
    Tick { time: Time },
}

/// Why a record cannot be written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the payload is neither a JSON object nor a callweave frame")]
    NotAFrame,
    #[error("the frame has version {0}, this program reads up to {PACKED}: use a newer callweave")]
    Version(u8),
    #[error("the frame is packed, and cannot be unpacked")]
    Packed,
    #[error("the frame ends inside a record that begins at byte {at}")]
    Cut { at: usize },
    #[error("the record at byte {at} has the unknown tag {tag}: use a newer callweave")]
    UnknownRecord { at: usize, tag: u8 },
    #[error("the record at byte {at} holds text that is not UTF-8")]
    NotText { at: usize },
    #[error("the record at byte {at} holds a length that no frame has")]
    Length { at: usize },
    #[error("a field of {bytes} bytes is over the limit of {limit}")]
    TooLong { bytes: usize, limit: usize },
}

/// Bytes that a record adds to a frame, at most.
pub fn size_of(record: &Record<'_>) -> usize {
    const TIME: usize = 8;
    // A length is at most 4 bytes: the limits are below 2^28.
    const LENGTH: usize = 4;
    1 + match record {
        Record::Event { origin, bytes, .. } => TIME + 2 * LENGTH + origin.len() + bytes.len(),
        Record::Rejected { origin, account, reason, path, bytes, .. } => {
            let texts = origin.len() + account.map_or(0, str::len) + reason.len() + path.len();
            TIME + 5 * LENGTH + texts + bytes.len()
        }
        Record::Tick { .. } => TIME,
    }
}

/// Writes a frame.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    buffer: BytesMut,
    records: usize,
}

impl FrameBuilder {
    pub fn new() -> FrameBuilder {
        FrameBuilder::default()
    }

    /// Adds a record, or nothing on an error.
    pub fn push(&mut self, record: &Record<'_>) -> Result<(), FrameError> {
        check_limits(record)?;
        self.begin(size_of(record));
        let to = &mut self.buffer;
        match *record {
            Record::Event { received, origin, bytes } => {
                to.put_u8(EVENT);
                to.put_i64_le(received.0);
                put_field(to, origin.as_bytes());
                put_field(to, bytes);
            }
            Record::Rejected { received, origin, account, reason, path, bytes } => {
                to.put_u8(REJECTED);
                to.put_i64_le(received.0);
                put_field(to, origin.as_bytes());
                put_length(to, account.map_or(0, |account| account.len() + 1));
                to.put_slice(account.unwrap_or_default().as_bytes());
                put_field(to, reason.as_bytes());
                put_field(to, path.as_bytes());
                put_field(to, bytes);
            }
            Record::Tick { time } => {
                to.put_u8(TICK);
                to.put_i64_le(time.0);
            }
        }
        self.records += 1;
        Ok(())
    }

    /// Adds all records of another frame behind its own.
    pub fn extend(&mut self, other: &FrameBuilder) {
        if other.records > 0 {
            self.begin(other.buffer.len());
            self.buffer.put_slice(&other.buffer[HEADER.len()..]);
            self.records += other.records;
        }
    }

    fn begin(&mut self, more: usize) {
        if self.buffer.is_empty() {
            self.buffer.reserve(HEADER.len() + more);
            self.buffer.put_slice(&HEADER);
        }
    }

    /// Bytes of the frame so far.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub fn records(&self) -> usize {
        self.records
    }

    /// What it holds so far, as it is before it is packed.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The payload. One without records is empty, and no frame.
    pub fn finish(self) -> Bytes {
        pack(&self.buffer).unwrap_or_else(|| self.buffer.freeze())
    }
}

thread_local! {
    // Both take longer to make than to use.
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Nothing where it would not be smaller.
fn pack(frame: &[u8]) -> Option<Bytes> {
    let records = frame.strip_prefix(&HEADER[..]).filter(|_| frame.len() >= PACKED_FROM)?;
    let packed = PACKER.with_borrow_mut(|packer| {
        if packer.is_none() {
            *packer = Compressor::new(LEVEL).ok();
        }
        packer.as_mut()?.compress(records).ok()
    });
    let packed = packed.filter(|packed| packed.len() + HEADER.len() < records.len())?;
    let mut payload = BytesMut::with_capacity(HEADER.len() + 4 + packed.len());
    payload.put_slice(MAGIC);
    payload.put_u8(PACKED);
    put_length(&mut payload, records.len());
    payload.put_slice(&packed);
    Some(payload.freeze())
}

/// A payload as it was before it was packed. One that cannot be unpacked stays as it is: its records say so.
pub fn unpack(payload: Bytes) -> Bytes {
    let Some(packed) = payload.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(&[PACKED])) else {
        return payload;
    };
    let unpacked = || {
        let mut reader = Reader { rest: packed, at: 0 };
        let length = reader.length().ok().filter(|length| *length <= MAX_RECORDS_BYTES)?;
        let records = UNPACKER.with_borrow_mut(|unpacker| {
            if unpacker.is_none() {
                *unpacker = Decompressor::new().ok();
            }
            unpacker.as_mut()?.decompress(reader.rest, length).ok()
        })?;
        (records.len() == length).then(|| Bytes::from([&HEADER[..], &records].concat()))
    };
    unpacked().unwrap_or(payload)
}

fn check_limits(record: &Record<'_>) -> Result<(), FrameError> {
    let text = |text: &str| within(text.len(), MAX_TEXT_BYTES);
    match record {
        Record::Event { origin, bytes, .. } => {
            text(origin)?;
            within(bytes.len(), MAX_EVENT_BYTES)
        }
        Record::Rejected { origin, account, reason, path, bytes, .. } => {
            text(origin)?;
            text(account.unwrap_or_default())?;
            text(reason)?;
            text(path)?;
            within(bytes.len(), MAX_EVENT_BYTES)
        }
        Record::Tick { .. } => Ok(()),
    }
}

fn within(bytes: usize, limit: usize) -> Result<(), FrameError> {
    if bytes > limit { Err(FrameError::TooLong { bytes, limit }) } else { Ok(()) }
}

fn put_field(to: &mut BytesMut, bytes: &[u8]) {
    put_length(to, bytes.len());
    to.put_slice(bytes);
}

fn put_length(to: &mut BytesMut, mut length: usize) {
    while length >= 0x80 {
        to.put_u8(length as u8 | 0x80);
        length >>= 7;
    }
    to.put_u8(length as u8);
}

/// The records of a payload, borrowed from it. After an error it ends.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    all: &'a [u8],
    rest: &'a [u8],
    bare: Option<Record<'a>>,
    failed: Option<FrameError>,
}

/// Whether it is an event as somebody else wrote it, in no frame.
pub fn is_bare(payload: &[u8]) -> bool {
    payload.first() == Some(&b'{')
}

impl<'a> Records<'a> {
    /// `appended` and `subject` are the entry's: they stand in for what a bare event does not say.
    pub fn new(payload: &'a [u8], appended: Time, subject: &'a str) -> Records<'a> {
        let mut records = Records { all: payload, rest: &[], bare: None, failed: None };
        if is_bare(payload) {
            records.bare = Some(Record::Event { received: appended, origin: subject, bytes: payload });
        } else if let Some(rest) = payload.strip_prefix(MAGIC) {
            match rest.split_first() {
                Some((&VERSION, records_follow)) => records.rest = records_follow,
                Some((&PACKED, _)) => records.failed = Some(FrameError::Packed),
                Some((&version, _)) => records.failed = Some(FrameError::Version(version)),
                None => records.failed = Some(FrameError::NotAFrame),
            }
        } else {
            records.failed = Some(FrameError::NotAFrame);
        }
        records
    }

    fn record(&mut self) -> Result<Record<'a>, FrameError> {
        let mut reader = Reader { rest: self.rest, at: self.all.len() - self.rest.len() };
        let record = reader.record()?;
        self.rest = reader.rest;
        Ok(record)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(record) = self.bare.take() {
            return Some(Ok(record));
        }
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        if self.rest.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

/// Reads the fields of the record that begins at `at`.
struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn record(&mut self) -> Result<Record<'a>, FrameError> {
        match self.take(1)?[0] {
            EVENT => Ok(Record::Event {
                received: self.time()?,
                origin: self.text()?,
                bytes: self.field(MAX_EVENT_BYTES, 0)?.unwrap_or_default(),
            }),
            REJECTED => Ok(Record::Rejected {
                received: self.time()?,
                origin: self.text()?,
                account: self.optional_text()?,
                reason: self.text()?,
                path: self.text()?,
                bytes: self.field(MAX_EVENT_BYTES, 0)?.unwrap_or_default(),
            }),
            TICK => Ok(Record::Tick { time: self.time()? }),
            tag => Err(FrameError::UnknownRecord { at: self.at, tag }),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(FrameError::Cut { at: self.at })?;
        self.rest = rest;
        Ok(taken)
    }

    fn time(&mut self) -> Result<Time, FrameError> {
        let bytes = self.take(8)?;
        bytes.try_into().map(|bytes| Time(i64::from_le_bytes(bytes))).map_err(|_| FrameError::Cut { at: self.at })
    }

    fn length(&mut self) -> Result<usize, FrameError> {
        let mut length = 0usize;
        for shift in [0, 7, 14, 21] {
            let byte = self.take(1)?[0];
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(length);
            }
        }
        Err(FrameError::Length { at: self.at })
    }

    /// A field whose stored length is its own and `extra`; `None` where it is less than `extra`.
    fn field(&mut self, limit: usize, extra: usize) -> Result<Option<&'a [u8]>, FrameError> {
        let Some(bytes) = self.length()?.checked_sub(extra) else { return Ok(None) };
        within(bytes, limit)?;
        self.take(bytes).map(Some)
    }

    fn text(&mut self) -> Result<&'a str, FrameError> {
        let bytes = self.field(MAX_TEXT_BYTES, 0)?.unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| FrameError::NotText { at: self.at })
    }

    fn optional_text(&mut self) -> Result<Option<&'a str>, FrameError> {
        let Some(bytes) = self.field(MAX_TEXT_BYTES, 1)? else { return Ok(None) };
        std::str::from_utf8(bytes).map(Some).map_err(|_| FrameError::NotText { at: self.at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// An owned record, to generate.
    #[derive(Debug, Clone)]
    enum Made {
        Event(i64, String, Vec<u8>),
        Rejected(i64, String, Option<String>, String, String, Vec<u8>),
        Tick(i64),
    }

    impl Made {
        fn record(&self) -> Record<'_> {
            match self {
                Made::Event(received, origin, bytes) => Record::Event { received: Time(*received), origin, bytes },
                Made::Rejected(received, origin, account, reason, path, bytes) => Record::Rejected {
                    received: Time(*received),
                    origin,
                    account: account.as_deref(),
                    reason,
                    path,
                    bytes,
                },
                Made::Tick(time) => Record::Tick { time: Time(*time) },
            }
        }
    }

    fn made() -> impl Strategy<Value = Made> {
        prop_oneof![
            (any::<i64>(), any::<String>(), vec(any::<u8>(), 0..400)).prop_map(|(a, b, c)| Made::Event(a, b, c)),
            (
                any::<i64>(),
                any::<String>(),
                any::<Option<String>>(),
                any::<String>(),
                any::<String>(),
                vec(any::<u8>(), 0..40)
            )
                .prop_map(|(a, b, c, d, e, f)| Made::Rejected(a, b, c, d, e, f)),
            any::<i64>().prop_map(Made::Tick),
        ]
    }

    fn frame_of(records: &[Made]) -> FrameBuilder {
        let mut builder = FrameBuilder::new();
        for made in records {
            builder.push(&made.record()).unwrap();
        }
        builder
    }

    fn read(payload: &[u8]) -> Vec<Result<Record<'_>, FrameError>> {
        Records::new(payload, Time(7), "a.subject").collect()
    }

    #[test]
    fn what_no_builder_wrote_is_told_apart() {
        let bare = Record::Event { received: Time(7), origin: "a.subject", bytes: b"{\"id\":1}" };
        for (payload, expected) in [
            (&b"{\"id\":1}"[..], vec![Ok(bare)]),
            (b"", vec![Err(FrameError::NotAFrame)]),
            (b"hello", vec![Err(FrameError::NotAFrame)]),
            (b"[{}]", vec![Err(FrameError::NotAFrame)]),
            (b"CWF", vec![Err(FrameError::NotAFrame)]),
            (b"CWF\x02\x05hello", vec![Err(FrameError::Packed)]),
            (b"CWF\x03", vec![Err(FrameError::Version(3))]),
            (b"CWF\x01", vec![]),
            (b"CWF\x01\x09", vec![Err(FrameError::UnknownRecord { at: 4, tag: 9 })]),
            (b"CWF\x01\x03\0\0\0\0\0\0\0", vec![Err(FrameError::Cut { at: 4 })]),
            (
                b"CWF\x01\x03\x05\0\0\0\0\0\0\0\x01",
                vec![Ok(Record::Tick { time: Time(5) }), Err(FrameError::Cut { at: 13 })],
            ),
            (b"CWF\x01\x01\0\0\0\0\0\0\0\0\xff\xff\xff\xff", vec![Err(FrameError::Length { at: 4 })]),
            (b"CWF\x01\x01\0\0\0\0\0\0\0\0\x01\xff\0", vec![Err(FrameError::NotText { at: 4 })]),
        ] {
            assert_eq!(read(payload), expected, "{payload:?}");
        }
    }

    #[test]
    fn limits_hold_and_leave_the_frame_whole() {
        let mut builder = FrameBuilder::new();
        let long = vec![b'x'; MAX_EVENT_BYTES + 1];
        let event = |bytes| Record::Event { received: Time(0), origin: "o", bytes };
        assert_eq!(
            builder.push(&event(&long)),
            Err(FrameError::TooLong { bytes: MAX_EVENT_BYTES + 1, limit: MAX_EVENT_BYTES })
        );
        assert!(builder.is_empty());
        builder.push(&event(&long[1..])).unwrap();
        assert_eq!(read(&unpack(builder.finish())), vec![Ok(event(&long[1..]))]);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(first in vec(made(), 0..8), second in vec(made(), 0..8)) {
            let mut builder = frame_of(&first);
            builder.extend(&frame_of(&second));
            prop_assert_eq!(builder.records(), first.len() + second.len());
            let expected: Vec<_> = first.iter().chain(&second).map(|made| Ok(made.record())).collect();
            let most: usize = first.iter().chain(&second).map(|made| size_of(&made.record())).sum();
            prop_assert!(builder.len() <= HEADER.len() + most);
            let payload = builder.finish();
            if expected.is_empty() {
                prop_assert!(payload.is_empty());
            } else {
                prop_assert_eq!(read(&payload), expected);
            }
        }

        #[test]
        fn damage_never_panics(records in vec(made(), 1..5), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let mut payload = frame_of(&records).finish().to_vec();
            let (at, cut) = (at.index(payload.len()), cut.index(payload.len()));
            prop_assert!(read(&payload[..cut]).len() <= records.len() + 1);
            payload[at] = byte;
            read(&payload);
        }

        #[test]
        fn many_records_are_packed(made in vec(made(), 1..8), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let mut builder = FrameBuilder::new();
            while builder.len() < 3 * PACKED_FROM {
                builder.extend(&frame_of(&made));
            }
            let (plain, payload) = (builder.bytes().to_vec(), builder.finish());
            prop_assert!(payload.len() < plain.len() && payload.starts_with(b"CWF\x02"), "{} of {}", payload.len(), plain.len());
            prop_assert_eq!(&unpack(payload.clone())[..], &plain[..]);
            // As an older callweave left them in the log, however many they are.
            prop_assert_eq!(&unpack(plain.clone().into())[..], &plain[..]);
            prop_assert!(plain.starts_with(b"CWF\x01") && read(&plain).iter().all(Result::is_ok));
            // Damaged, it is another frame or none, and never a panic.
            let (at, cut) = (at.index(payload.len()), cut.index(payload.len()));
            read(&unpack(payload.slice(..cut)));
            let mut damaged = payload.to_vec();
            damaged[at] = byte;
            read(&unpack(damaged.into()));
        }

        #[test]
        fn noise_never_panics(noise in vec(any::<u8>(), 0..200)) {
            read(&noise);
            read(&[&HEADER[..], &noise].concat());
            read(&unpack([&MAGIC[..], &[PACKED], &noise].concat().into()));
        }
    }
}
