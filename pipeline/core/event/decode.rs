//! Bytes -> event, or a rejection that says what is wrong, where, and keeps the bytes.

use serde::de::DeserializeSeed;

use super::check::{self, Problem};
use super::envelope::{Data, Envelope, Reader};
use super::{Event, explain, plain};
use crate::limits::{EVENT_BYTES_MAX, NESTING_MAX};
use crate::time::Time;

/// Something that arrived and cannot be used. It lands in the table `rejected`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    /// The account, where the bytes still tell.
    pub account: Option<String>,
    /// What is wrong and how to mend it, for a person.
    pub reason: String,
    /// The offending member, such as `data.expires_at` or `data.segments[3].text`; empty for the whole.
    pub path: String,
    /// The bytes as they came, without the line feed.
    pub raw: Vec<u8>,
}

/// Decodes one event. `received` is when the bytes were taken in, where that is known: a live collector's clock.
///
/// `recorded` of the event is its `recordedtime`, else `received`, else its `time`; where `received` is known, it is
/// never later than that.
///
/// # Errors
/// With what is wrong, for everything that is no event of the contract: not JSON, not of the schema, over a limit
/// ([`crate::limits`]), or at an impossible time.
pub fn decode(bytes: &[u8], received: Option<Time>) -> Result<Event<'_>, Box<Rejected>> {
    read(bytes, received, plain::read).map_err(|failure| Box::new(explain::rejected(bytes, failure)))
}

/// Why an event was not read.
pub(super) enum Failure {
    /// The bytes could not be parsed: they are looked at again, slowly, to say why.
    Unread(sonic_rs::Error),
    NotUtf8,
    Problem(Box<Problem>),
}

fn read<'a>(
    bytes: &'a [u8],
    received: Option<Time>,
    quick: fn(&'a str, &mut Envelope<'a>) -> Option<()>,
) -> Result<Event<'a>, Failure> {
    if bytes.len() > EVENT_BYTES_MAX {
        // Whoever reads lines may have cut it off behind the limit, so how many it has is not known here.
        let reason = format!("has more than {EVENT_BYTES_MAX} bytes, and an event may have no more");
        return Err(Failure::Problem(Problem::new("", reason)));
    }
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| Failure::NotUtf8)?;
    let mut envelope = Envelope::default();
    if quick(text, &mut envelope).is_none() {
        envelope = Envelope::default();
        read_any(text, &mut envelope)?;
    }
    let event = complete(envelope, received).map_err(Failure::Problem)?;
    check::event(&event, bytes.len()).map_err(Failure::Problem)?;
    Ok(event)
}

/// Reads all of JSON.
fn read_any<'a>(text: &'a str, envelope: &mut Envelope<'a>) -> Result<(), Failure> {
    if nests_deeper_than(text.as_bytes(), NESTING_MAX) {
        let reason = format!("nests more than {NESTING_MAX} arrays and objects in each other");
        return Err(Failure::Problem(Problem::new("", reason)));
    }
    parse(text, Reader { kind: None, into: envelope }).map_err(Failure::Unread)?;
    if matches!(envelope.data, Data::Skipped)
        && let Some(kind) = envelope.kind
    {
        *envelope = Envelope::default();
        parse(text, Reader { kind: Some(kind), into: envelope }).map_err(Failure::Unread)?;
    }
    Ok(())
}

fn parse<'a>(text: &'a str, reader: Reader<'_, 'a>) -> Result<(), sonic_rs::Error> {
    let mut json = sonic_rs::Deserializer::from_str(text);
    reader.deserialize(&mut json)?;
    json.end()
}

/// An envelope with every member that must be there.
fn complete<'a>(envelope: Envelope<'a>, received: Option<Time>) -> Result<Event<'a>, Box<Problem>> {
    let missing = |name: &'static str| move || Problem::new(name, "is missing".to_owned());
    let version = envelope.specversion.ok_or_else(missing("specversion"))?;
    if version.as_str() != "1.0" {
        return Err(Problem::new("specversion", format!("{} is not \"1.0\"", check::quoted(&version))));
    }
    let id = envelope.id.ok_or_else(missing("id"))?;
    let source = envelope.source.ok_or_else(missing("source"))?;
    envelope.kind.ok_or_else(missing("type"))?;
    let time = envelope.time.ok_or_else(missing("time"))?;
    let account = envelope.account.ok_or_else(missing("account"))?;
    let Data::Read(body) = envelope.data else {
        return Err(missing("data")());
    };
    let recorded = match (envelope.recorded, received) {
        (Some(recorded), Some(received)) => recorded.min(received),
        (Some(recorded), None) => recorded,
        (None, received) => received.unwrap_or(time),
    };
    Ok(Event { account, source, id, time, recorded, body })
}

/// Whether brackets nest deeper than `max`. Exact where it matters: an event with no more than `max` opening brackets
/// in all cannot, and counting those costs next to nothing. For whoever reads JSON of strangers: readers recurse.
pub fn nests_deeper_than(bytes: &[u8], max: usize) -> bool {
    openings(bytes) > max && depth(bytes) > max
}

/// How many `[` and `{` there are: the two differ in one bit. Counted in bytes, in pieces that cannot overflow one, so
/// that the compiler looks at many at once.
fn openings(bytes: &[u8]) -> usize {
    const PIECE: usize = 192;
    let count = |piece: &[u8]| piece.iter().fold(0u8, |n, &b| n.wrapping_add(u8::from(b | 0x20 == b'{')));
    bytes.chunks(PIECE).map(|piece| usize::from(count(piece))).sum()
}

fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for &b in bytes {
        if in_string {
            in_string = escaped || b != b'"';
            escaped = !escaped && b == b'\\';
            continue;
        }
        match b {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: &[&str] = &[
        "visitor_id",
        "session_id",
        "page_view_id",
        "url",
        "referrer",
        "numbers",
        "name",
        "number",
        "lease_id",
        "pool",
        "expires_at",
        "extension",
        "consent",
    ];

    /// Lines as programs write them, and as they are when something is amiss.
    fn lines() -> impl Strategy<Value = String> {
        let member = prop_oneof![
            Just(r#""specversion":"1.0""#.to_owned()),
            "[\"]id[\"]:[\"][a-z\\\\ü]{0,4}[\"]",
            Just(r#""source":"web""#.to_owned()),
            Just(r#""account":"acme""#.to_owned()),
            Just(r#""time":"2026-11-20T12:34:56.789Z""#.to_owned()),
            Just(r#""recordedtime":"2026-11-20T12:34:57Z""#.to_owned()),
            Just(r#""recordedtime":null"#.to_owned()),
            Just(r#""more":[{}]"#.to_owned()),
        ];
        let kind = prop::sample::select(super::super::TYPES);
        let value = prop_oneof![
            8 => "[\"](v-1|https://a.example/|[+]14155550123|2026-11-20T12:34:56Z|\\\\n|)[\"]",
            1 => Just("null".to_owned()),
            1 => Just("[]".to_owned()),
            2 => Just(r#"["+14155550123","+14155550124"]"#.to_owned()),
            1 => Just("{}".to_owned()),
        ];
        let data = prop::collection::vec((prop::sample::select(NAMES), value), 0..8);
        let comma = prop_oneof![30 => Just(","), 1 => Just(""), 1 => Just(", "), 1 => Just(",,")];
        (prop::collection::vec(member, 5..8), kind, data, comma, any::<bool>(), 0..40usize).prop_map(
            |(mut members, kind, data, comma, whole, cut)| {
                if whole {
                    members = [
                        "specversion\":\"1.0",
                        "id\":\"a",
                        "source\":\"web",
                        "account\":\"acme",
                        "time\":\"2026-11-20T12:34:56Z",
                    ]
                    .map(|member| format!("\"{member}\""))
                    .to_vec();
                }
                let data: Vec<String> = data.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                members.push(format!("\"type\":\"{kind}\""));
                members.push(format!("\"data\":{{{}}}", data.join(comma)));
                let mut line = format!("{{{}}}", members.join(comma));
                if cut < 3 {
                    line.truncate(line.floor_char_boundary(line.len() - cut));
                }
                line
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn the_quick_way_says_what_the_other_says(line in lines()) {
            let slow = read(line.as_bytes(), None, |_, _| None).map_err(|failure| explain::rejected(line.as_bytes(), failure));
            let quick = read(line.as_bytes(), None, plain::read).map_err(|failure| explain::rejected(line.as_bytes(), failure));
            prop_assert_eq!(quick, slow, "{}", line);
        }
    }

    #[test]
    fn what_browsers_send_goes_the_quick_way() {
        let line = r#"{"specversion":"1.0","id":"a","source":"web","type":"page_view","time":"2026-11-20T12:34:56Z","account":"acme","data":{"visitor_id":"v","url":"https://a.example/","numbers":["+14155550123"]}}"#;
        assert_eq!(plain::read(line, &mut Envelope::default()), Some(()));
        assert_eq!(plain::read(&line.replace("acme", "ac\\u006de"), &mut Envelope::default()), None);
    }

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        for (json, expected) in [
            ("", 0),
            ("{}", 1),
            (r#"{"a":[{}],"b":[[]]}"#, 3),
            (r#"{"a":"[[[["}"#, 1),
            (r#"{"a":"\"[[[["}"#, 1),
            (r#"{"a":"\\","b":[[]]}"#, 3),
            ("]]]][", 1),
            (&"[".repeat(1_000), 1_000),
        ] {
            assert_eq!(depth(json.as_bytes()), expected, "{json}");
            assert_eq!(openings(json.as_bytes()), json.matches(['[', '{']).count(), "{json}");
        }
    }
}
