//! Files of events, cut into chunks of whole lines, and decoded beside the bytes that they borrow from.

use std::io::{self, Read};
use std::sync::Arc;

use callweave_core::limits::EVENT_BYTES_MAX;
use callweave_core::source::{Surveyor, Visit};
use callweave_core::time::Time;
use self_cell::self_cell;

use super::step::{Item, Origin, survey};

/// Bytes that are decoded together.
const CHUNK_BYTES: usize = 1 << 20;

/// Whole lines of one file.
pub struct Chunk {
    bytes: Vec<u8>,
    file: Arc<str>,
    /// Counted from 1.
    first_line: u64,
}

/// Cuts one file into chunks.
pub struct Chunks<R> {
    reader: R,
    file: Arc<str>,
    line: u64,
    /// The beginning of a line whose end is still to come.
    rest: Vec<u8>,
    /// The rest of a line that was too long is passed over.
    skipping: bool,
    ended: bool,
}

impl<R: Read> Chunks<R> {
    pub fn new(reader: R, file: Arc<str>) -> Chunks<R> {
        Chunks { reader, file, line: 1, rest: Vec::new(), skipping: false, ended: false }
    }

    /// The next chunk; nothing at the end. A line of more than an event may have is cut off one byte beyond that, so
    /// that it is refused as too long, and never held whole.
    pub fn next(&mut self) -> io::Result<Option<Chunk>> {
        while !self.ended {
            let mut bytes = std::mem::take(&mut self.rest);
            let held = bytes.len();
            bytes.reserve(CHUNK_BYTES);
            let read = self.reader.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut bytes)?;
            self.ended = read == 0;
            if self.skipping {
                let Some(end) = memchr::memchr(b'\n', &bytes) else { continue };
                bytes.drain(..=end);
                self.skipping = false;
                self.line += 1;
            }
            let fresh = held.min(bytes.len());
            let end = match memchr::memrchr(b'\n', &bytes[fresh..]) {
                Some(end) => fresh + end + 1,
                None if self.ended => bytes.len(),
                None if bytes.len() > EVENT_BYTES_MAX => {
                    bytes.truncate(EVENT_BYTES_MAX + 1);
                    self.skipping = true;
                    bytes.len()
                }
                None => 0,
            };
            self.rest = bytes.split_off(end);
            if self.rest.capacity() < CHUNK_BYTES {
                self.rest.reserve_exact(CHUNK_BYTES + self.rest.len());
            }
            if !bytes.is_empty() {
                let first_line = self.line;
                self.line += memchr::memchr_iter(b'\n', &bytes).count() as u64;
                return Ok(Some(Chunk { bytes, file: self.file.clone(), first_line }));
            }
        }
        Ok(None)
    }
}

type Items<'a> = Vec<Item<'a>>;
type Visits<'a> = Vec<Option<Visit<'a>>>;

self_cell! {
    /// A chunk and what its lines say.
    struct Decoded {
        owner: Chunk,
        #[covariant]
        dependent: Items,
    }
}

self_cell! {
    struct Surveyed {
        owner: Decoded,
        #[covariant]
        dependent: Visits,
    }
}

/// A chunk that is ready to be applied.
pub struct Ready(Surveyed);

impl Ready {
    /// `now` is told as the time of receipt of what cannot be used.
    pub fn new(chunk: Chunk, now: Time, surveyor: &mut Surveyor) -> Ready {
        let decoded = Decoded::new(chunk, |chunk| items(chunk, now));
        Ready(Surveyed::new(decoded, |decoded| survey(surveyor, decoded.borrow_dependent())))
    }

    pub fn items(&self) -> &[Item<'_>] {
        self.0.borrow_owner().borrow_dependent()
    }

    pub fn visits(&self) -> &[Option<Visit<'_>>] {
        self.0.borrow_dependent()
    }

    pub fn bytes(&self) -> usize {
        self.0.borrow_owner().borrow_owner().bytes.len()
    }
}

fn items(chunk: &Chunk, now: Time) -> Vec<Item<'_>> {
    let mut items = Vec::with_capacity(chunk.bytes.len() / 384 + 1);
    let mut from = 0;
    let mut line = chunk.first_line;
    while from < chunk.bytes.len() {
        let end = memchr::memchr(b'\n', &chunk.bytes[from..]).map_or(chunk.bytes.len(), |at| from + at);
        // Of a line that is too long the same is kept, wherever chunks were cut.
        let bytes = &chunk.bytes[from..end.min(from + EVENT_BYTES_MAX + 1)];
        if !matches!(bytes, b"" | b"\r") {
            items.push(Item::decode(bytes, None, now, Origin::Line { file: &chunk.file, line }));
        }
        from = end + 1;
        line += 1;
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut chunks = Chunks::new(text, "f".into());
        let mut found = Vec::new();
        while let Ok(Some(chunk)) = chunks.next() {
            let lines = chunk.bytes.split(|byte| *byte == b'\n').enumerate();
            let count = chunk.bytes.iter().filter(|byte| **byte == b'\n').count();
            found.extend(
                lines
                    .filter(|(at, line)| !(*at == count && line.is_empty()))
                    .map(|(at, line)| (chunk.first_line + at as u64, line.to_vec())),
            );
        }
        found
    }

    #[test]
    fn cuts_at_line_ends() {
        assert_eq!(lines(b""), vec![]);
        assert_eq!(lines(b"a\nbb\n"), vec![(1, b"a".to_vec()), (2, b"bb".to_vec())]);
        assert_eq!(lines(b"a\n\nlast"), vec![(1, b"a".to_vec()), (2, vec![]), (3, b"last".to_vec())]);
        let many: Vec<u8> = (0..300_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let found = lines(&many);
        assert_eq!(found.len(), 300_000);
        assert!(
            found
                .iter()
                .enumerate()
                .all(|(at, (line, text))| { *line == at as u64 + 1 && *text == format!("line {at}").into_bytes() })
        );
    }

    #[test]
    fn of_a_line_that_is_too_long_the_beginning_is_kept_and_its_size_is_not_made_up() {
        // The first ends in the chunk in which it became too long, the others do not.
        for len in [EVENT_BYTES_MAX + 1, EVENT_BYTES_MAX + CHUNK_BYTES / 2, 3 * EVENT_BYTES_MAX] {
            let text = [b"x\n".repeat(3), vec![b'x'; len], b"\nafter\n".to_vec()].concat();
            let mut chunks = Chunks::new(&text[..], "f".into());
            let mut found = Vec::new();
            while let Ok(Some(chunk)) = chunks.next() {
                found.extend(items(&chunk, Time(0)).into_iter().filter_map(|item| item.what.err()));
            }
            let long: Vec<_> = found.iter().filter(|it| it.raw.len() > 10).collect();
            assert_eq!((found.len(), long.len()), (5, 1), "{len}");
            assert_eq!(long[0].raw.len(), EVENT_BYTES_MAX + 1, "{len}");
            assert_eq!(long[0].reason, "has more than 1048576 bytes, and an event may have no more");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_its_neighbours_are_not() {
        let mut text = b"before\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', 5 * EVENT_BYTES_MAX));
        text.extend(b"\nafter\n");
        let found = lines(&text);
        assert_eq!(found.len(), 3, "{:?}", found.iter().map(|it| (it.0, it.1.len())).collect::<Vec<_>>());
        assert_eq!((found[0].0, &*found[0].1), (1, &b"before"[..]));
        assert_eq!((found[1].0, found[1].1.len()), (2, EVENT_BYTES_MAX + 1));
        assert_eq!((found[2].0, &*found[2].1), (3, &b"after"[..]));
    }
}
