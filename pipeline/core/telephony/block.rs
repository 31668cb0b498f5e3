//! Event text: blocks of `Name: value` lines with an empty line after each, as Asterisk's AMI and FreeSWITCH's event
//! socket send them, in pieces of any size.

use crate::limits::{BLOCK_HEADERS_MAX, RECORD_LINE_BYTES_MAX};

/// One block. Names may stand in it more than once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Block {
    pub headers: Vec<(String, String)>,
}

impl Block {
    /// The last of this name that says something: Asterisk repeats headers, the later one is the newer.
    pub fn get(&self, name: &str) -> Option<&str> {
        let of = |(held, value): &&(String, String)| held.eq_ignore_ascii_case(name) && !value.is_empty();
        self.headers.iter().rev().find(of).map(|(_, value)| value.as_str())
    }
}

/// Puts blocks together. At most one line and one block are held, both of bounded size: what is beyond is passed over.
#[derive(Debug, Default)]
pub struct Blocks {
    line: Vec<u8>,
    block: Block,
}

impl Blocks {
    /// The blocks that end within these bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Block> {
        let mut found = Vec::new();
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = RECORD_LINE_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                found.extend(self.line_ends());
            }
        }
        found
    }

    /// What is held when the stream ends without an empty line.
    pub fn finish(&mut self) -> Option<Block> {
        let last = if self.line.is_empty() { None } else { self.line_ends() };
        last.or_else(|| self.block_ends())
    }

    fn line_ends(&mut self) -> Option<Block> {
        let line = String::from_utf8_lossy(&self.line).trim_end_matches('\r').to_owned();
        self.line.clear();
        if line.trim().is_empty() {
            return self.block_ends();
        }
        if let Some((name, value)) = line.split_once(':')
            && self.block.headers.len() < BLOCK_HEADERS_MAX
        {
            self.block.headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        None
    }

    fn block_ends(&mut self) -> Option<Block> {
        let block = std::mem::take(&mut self.block);
        (!block.headers.is_empty()).then_some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_in_pieces() {
        let text = "Asterisk Call Manager/5.0\r\nEvent: A\r\nX: 1\r\nX: 2\r\nX:\r\n\r\n\nEvent: B\nY: a: b\n\nEvent: C";
        for size in 1..text.len() {
            let (mut blocks, mut found) = (Blocks::default(), Vec::new());
            text.as_bytes().chunks(size).for_each(|piece| found.extend(blocks.push(piece)));
            found.extend(blocks.finish());
            let told: Vec<_> = found.iter().map(|it| (it.get("event"), it.get("x"), it.get("y"))).collect();
            assert_eq!(told, [(Some("A"), Some("2"), None), (Some("B"), None, Some("a: b")), (Some("C"), None, None)]);
        }
    }

    #[test]
    fn what_has_no_end_is_bounded() {
        let mut blocks = Blocks::default();
        blocks.push(&vec![b'a'; 3 * RECORD_LINE_BYTES_MAX]);
        assert_eq!(blocks.line.len(), RECORD_LINE_BYTES_MAX);
        blocks.push("\n".as_bytes());
        blocks.push("a: b\n".repeat(BLOCK_HEADERS_MAX + 9).as_bytes());
        assert_eq!(blocks.block.headers.len(), BLOCK_HEADERS_MAX);
    }
}
