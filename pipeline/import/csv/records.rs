//! The records of a CSV in bounded memory, and the line that each begins in.

use std::io::{self, Read};

/// A record of more bytes than this comes from a quotation mark that was never closed.
pub(super) const RECORD_BYTES_MOST: u64 = 4 * 1024 * 1024;

/// Lets through so many bytes until it is told that a record is complete.
struct Bounded<R> {
    inner: R,
    left: u64,
    /// What it let through last, in which the end of the latest record stands; nothing at the end of the file.
    last: Vec<u8>,
    /// Bytes that it let through in all.
    given: u64,
}

impl<R> Bounded<R> {
    /// Whether a line end stands before this byte of the file. Only what was let through last is known.
    fn is_behind_line_end(&self, byte: u64) -> bool {
        let begin = self.given - self.last.len() as u64;
        let at = byte.checked_sub(begin + 1).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.last.get(at)) == Some(&b'\n')
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.left -= read as u64;
        self.given += read as u64;
        self.last.clear();
        self.last.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

/// Reads records, and counts lines itself: the reader gives a record the line at which the one before it was over, which is another where
/// empty lines stand between them, and wherever lines end with CR LF.
pub(super) struct Records<R> {
    reader: ::csv::Reader<Bounded<R>>,
    /// Lines that stand above what is read.
    above: u64,
    next: u64,
}

impl<R: Read> Records<R> {
    /// `above`: how many lines of the file stand before what `inner` gives.
    pub fn new(inner: R, delimiter: u8, above: u64) -> Records<R> {
        let bounded = Bounded { inner, left: RECORD_BYTES_MOST, last: Vec::new(), given: 0 };
        let reader =
            ::csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(bounded);
        Records { reader, above, next: above + 1 }
    }

    /// Reads a record; the line that it begins in, counted from 1, or `None` at the end of the file.
    ///
    /// # Errors
    /// With the line that it may have begun in.
    pub fn read(&mut self, record: &mut ::csv::ByteRecord) -> Result<Option<u64>, (u64, ::csv::Error)> {
        match self.reader.read_byte_record(record) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err((self.next, error)),
        }
        let (byte, line) = (self.reader.position().byte(), self.reader.position().line());
        let bounded = self.reader.get_mut();
        bounded.left = RECORD_BYTES_MOST;
        // The line end behind it is counted already, unless that is the second byte of CR LF or the file ends without one.
        let over = self.above + line - u64::from(bounded.is_behind_line_end(byte));
        self.next = over + 1;
        let within = record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
        Ok(Some(over - within))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, above: u64) -> Vec<u64> {
        let mut records = Records::new(text.as_bytes(), b',', above);
        let mut record = ::csv::ByteRecord::new();
        let mut lines = Vec::new();
        while let Some(line) = records.read(&mut record).expect("readable") {
            lines.push(line);
        }
        lines
    }

    #[test]
    fn a_record_has_the_line_that_it_begins_in() {
        for (text, expected) in [
            ("", vec![]),
            ("\n\n", vec![]),
            ("a,b\nc,d\n", vec![1, 2]),
            ("a,b\nc,d", vec![1, 2]),
            ("\na,b\n\n\nc,d\ne,f", vec![2, 5, 6]),
            ("a,\"b\nb\n\nb\"\n\nc,d\ne,f\n", vec![1, 6, 7]),
            ("\u{feff}\na,b\nc,d\n", vec![2, 3]),
        ] {
            for (end, text) in [("LF", text.to_owned()), ("CR LF", text.replace('\n', "\r\n"))] {
                assert_eq!(lines(&text, 0), expected, "{text:?} with {end}");
                let below: Vec<u64> = expected.iter().map(|line| line + 7).collect();
                assert_eq!(lines(&text, 7), below, "{text:?} with {end}");
            }
        }
    }

    /// Records of every length around that of the reader's buffer: the line end may be the last or the first byte of what it reads at once.
    #[test]
    fn lines_are_counted_across_buffers() {
        for width in 8_180..8_200 {
            for end in ["\n", "\r\n"] {
                let record = format!("{}{end}{end}", "a".repeat(width));
                assert_eq!(lines(&record.repeat(4), 0), [1, 3, 5, 7], "{width} bytes, {end:?}");
            }
        }
    }
}
