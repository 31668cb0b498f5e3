//! Contract events as lines of JSON, formatted by hand into one buffer that is used again and again: what makes up
//! millions of events (`import`, `simulate`) spends nothing on trees of values.

use std::io::Write;

use callweave_core::time::{Date, MICROS_PER_DAY, Time};

/// The members of an event beside its data (contract, section 2).
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    pub account: &'a str,
    pub source: &'a str,
    pub kind: &'a str,
    pub time: Time,
    /// Absent: then it is `time`.
    pub recorded: Option<Time>,
}

/// Lines being written. Members of `data` are added between [`begin`](Lines::begin) and [`end`](Lines::end); an absent
/// value writes nothing.
#[derive(Default)]
pub struct Lines {
    bytes: Vec<u8>,
    /// The last day that was formatted: events come in runs of one day.
    day: Option<(Date, [u8; 11])>,
}

impl Lines {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Takes back what was written after the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Adds a line that is complete but for its line feed.
    pub fn line(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
    }

    /// Starts an event whose id is the parts, one after the other.
    pub fn begin(&mut self, envelope: &Envelope<'_>, id: &[&str]) {
        self.bytes.extend_from_slice(b"{\"specversion\":\"1.0\"");
        self.texts("id", id);
        self.text("source", envelope.source);
        self.text("type", envelope.kind);
        self.time("time", envelope.time);
        self.text("account", envelope.account);
        if let Some(recorded) = envelope.recorded {
            self.time("recordedtime", recorded);
        }
        self.object("data");
    }

    pub fn end(&mut self) {
        self.bytes.extend_from_slice(b"}}\n");
    }

    pub fn text(&mut self, name: &'static str, value: &str) {
        self.texts(name, &[value]);
    }

    pub fn text_if(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// One string made of several.
    pub fn texts(&mut self, name: &'static str, parts: &[&str]) {
        self.name(name);
        self.bytes.push(b'"');
        for part in parts {
            escape(&mut self.bytes, part);
        }
        self.bytes.push(b'"');
    }

    /// An id: a letter that tells its kind, and 16 hexadecimal digits.
    pub fn id(&mut self, name: &'static str, letter: char, id: u64) {
        self.name(name);
        self.bytes.push(b'"');
        self.bytes.push(letter as u8);
        self.bytes.extend_from_slice(&hex(id));
        self.bytes.push(b'"');
    }

    /// An E.164 number by its digits; 0 is a withheld one.
    pub fn phone(&mut self, name: &'static str, digits: u64) {
        self.name(name);
        self.phone_value(digits);
    }

    /// A whole number, as a string.
    pub fn number_text(&mut self, name: &'static str, value: u64) {
        self.name(name);
        self.bytes.push(b'"');
        digits(&mut self.bytes, value);
        self.bytes.push(b'"');
    }

    /// An IPv4 address.
    pub fn address(&mut self, name: &'static str, [a, b, c, d]: [u8; 4]) {
        self.name(name);
        // Writing to a Vec cannot fail.
        let _ = write!(self.bytes, "\"{a}.{b}.{c}.{d}\"");
    }

    pub fn phones(&mut self, name: &'static str, numbers: &[u64]) {
        self.name(name);
        self.bytes.push(b'[');
        for (at, &number) in numbers.iter().enumerate() {
            if at > 0 {
                self.bytes.push(b',');
            }
            self.phone_value(number);
        }
        self.bytes.push(b']');
    }

    pub fn time(&mut self, name: &'static str, time: Time) {
        self.name(name);
        self.bytes.push(b'"');
        self.instant(time);
        self.bytes.push(b'"');
    }

    pub fn date(&mut self, name: &'static str, date: Date) {
        self.name(name);
        // Writing to a Vec cannot fail.
        let _ = write!(self.bytes, "\"{date}\"");
    }

    pub fn integer(&mut self, name: &'static str, value: u64) {
        self.name(name);
        digits(&mut self.bytes, value);
    }

    /// A decimal number with three digits after the point.
    pub fn thousandths(&mut self, name: &'static str, value: u64) {
        self.integer(name, value / 1000);
        let rest = value % 1000;
        self.bytes.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
    }

    /// A value that is JSON already.
    pub fn json(&mut self, name: &'static str, json: &str) {
        self.name(name);
        self.bytes.extend_from_slice(json.as_bytes());
    }

    /// The members of an object that is JSON already, without its brackets.
    pub fn members(&mut self, json: &str) {
        if !json.is_empty() {
            if self.bytes.last() != Some(&b'{') {
                self.bytes.push(b',');
            }
            self.bytes.extend_from_slice(json.as_bytes());
        }
    }

    pub fn object(&mut self, name: &'static str) {
        self.name(name);
        self.bytes.push(b'{');
    }

    pub fn array(&mut self, name: &'static str) {
        self.name(name);
        self.bytes.push(b'[');
    }

    /// Starts an object inside an array.
    pub fn item(&mut self) {
        if self.bytes.last() != Some(&b'[') {
            self.bytes.push(b',');
        }
        self.bytes.push(b'{');
    }

    pub fn close_object(&mut self) {
        self.bytes.push(b'}');
    }

    pub fn close_array(&mut self) {
        self.bytes.push(b']');
    }

    /// Names are written as they are: they are literals of this program, without anything to escape.
    fn name(&mut self, name: &'static str) {
        if self.bytes.last() != Some(&b'{') {
            self.bytes.push(b',');
        }
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b"\":");
    }

    fn phone_value(&mut self, number: u64) {
        if number == 0 {
            self.bytes.extend_from_slice(b"\"anonymous\"");
            return;
        }
        self.bytes.extend_from_slice(b"\"+");
        digits(&mut self.bytes, number);
        self.bytes.push(b'"');
    }

    /// RFC 3339 in UTC with milliseconds, or with microseconds where they are not zero.
    fn instant(&mut self, time: Time) {
        let date = time.date();
        let prefix = match self.day {
            Some((day, prefix)) if day == date => prefix,
            _ => {
                let mut prefix = [b'T'; 11];
                // Years 0000 to 9999: ten characters. `Time` of the contract never leaves them.
                for (slot, byte) in prefix.iter_mut().zip(date.to_string().bytes().take(10)) {
                    *slot = byte;
                }
                self.day = Some((date, prefix));
                prefix
            }
        };
        self.bytes.extend_from_slice(&prefix);
        let micros = time.0.rem_euclid(MICROS_PER_DAY) as u64;
        let seconds = micros / 1_000_000;
        let (h, m, s, ms, us) = (seconds / 3600, seconds / 60 % 60, seconds % 60, micros / 1000 % 1000, micros % 1000);
        self.bytes.extend_from_slice(&[
            digit(h / 10),
            digit(h),
            b':',
            digit(m / 10),
            digit(m),
            b':',
            digit(s / 10),
            digit(s),
            b'.',
            digit(ms / 100),
            digit(ms / 10),
            digit(ms),
        ]);
        if us != 0 {
            self.bytes.extend_from_slice(&[digit(us / 100), digit(us / 10), digit(us)]);
        }
        self.bytes.push(b'Z');
    }
}

fn digit(n: u64) -> u8 {
    b'0' + (n % 10) as u8
}

fn digits(out: &mut Vec<u8>, mut n: u64) {
    let mut text = [0u8; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = digit(n);
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

/// 16 lower-case hexadecimal digits.
pub fn hex(n: u64) -> [u8; 16] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|at| HEX[(n >> (60 - 4 * at)) as usize & 15])
}

/// Writes what stands between the quotes of a JSON string (RFC 8259, section 7).
fn escape(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let code = hex(u64::from(byte));
                out.extend_from_slice(b"\\u");
                out.extend_from_slice(&code[12..]);
            }
        }
    }
    out.extend_from_slice(&bytes[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn envelope(time: Time) -> Envelope<'static> {
        Envelope { account: "acme", source: "web/main", kind: "page_view", time, recorded: None }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in any::<String>(), micros in 0..253_402_300_800_000_000i64, n: u64) {
            let mut lines = Lines::default();
            lines.begin(&envelope(Time(micros)), &["a", &text]);
            lines.text("url", &text);
            lines.id("visitor_id", 'v', n);
            lines.integer("clicks", n);
            lines.thousandths("seconds", n);
            lines.phones("numbers", &[n, 0]);
            lines.array("segments");
            for _ in 0..2 {
                lines.item();
                lines.text("text", &text);
                lines.close_object();
            }
            lines.close_array();
            lines.end();
            let value: Value = serde_json::from_slice(lines.bytes()).expect("valid JSON");
            prop_assert_eq!(&value["id"], &Value::from(format!("a{text}")));
            let data = &value["data"];
            prop_assert_eq!(Time::parse(value["time"].as_str().unwrap_or_default()), Ok(Time(micros)));
            prop_assert_eq!(&data["url"], &Value::from(text.clone()));
            prop_assert_eq!(&data["visitor_id"], &Value::from(format!("v{n:016x}")));
            prop_assert_eq!(&data["clicks"], &Value::from(n));
            let phone = if n == 0 { "anonymous".to_owned() } else { format!("+{n}") };
            prop_assert_eq!(&data["numbers"], &serde_json::json!([phone, "anonymous"]));
            prop_assert_eq!(&data["segments"], &serde_json::json!([{"text": text}, {"text": text}]));
        }
    }
}
