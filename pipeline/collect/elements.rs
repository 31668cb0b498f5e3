//! A body told apart into events, each with exactly the bytes that came.

/// One event of a request, as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    pub bytes: &'a [u8],
    /// What is wrong with the body at this place, whatever the bytes themselves hold.
    pub broken: Option<&'static str>,
}

/// How events stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One event, an array, or lines: by what is there.
    Any,
    /// One event a line.
    Lines,
}

/// More events than one request may have.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

const NOT_CLOSED: &str = "the body ends inside its array: close the array with ]";
const BEHIND: &str = "stands behind the end of the array: send one array, or one event a line";

/// The form that a content type names. Types that clients set by themselves say nothing, and the body is looked at.
/// `None`: a type that never holds events.
pub fn form_of(content_type: Option<&str>) -> Option<Form> {
    let name = content_type.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match name.as_str() {
        "application/json" | "application/cloudevents+json" | "application/cloudevents-batch+json" => Some(Form::Any),
        "" | "text/plain" | "application/octet-stream" | "application/x-www-form-urlencoded" => Some(Form::Any),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            Some(Form::Lines)
        }
        _ => None,
    }
}

/// The events of a body, in order. An array whose elements are not JSON is still told apart, so that one bad event
/// leaves its neighbours alone.
///
/// # Errors
/// There are more than `max`.
pub fn split(body: &[u8], form: Form, max: usize) -> Result<Vec<Element<'_>>, TooMany> {
    let body = body.strip_prefix(crate::files::BYTE_ORDER_MARK).unwrap_or(body);
    let start = body.trim_ascii_start();
    match (form, start.first()) {
        (_, None) => Ok(Vec::new()),
        (Form::Any, Some(b'[')) => array(start, max),
        (Form::Any, Some(b'{')) if is_one(start) => Ok(vec![Element { bytes: body.trim_ascii(), broken: None }]),
        _ => lines(body, max),
    }
}

fn lines(body: &[u8], max: usize) -> Result<Vec<Element<'_>>, TooMany> {
    let mut elements = Vec::new();
    for bytes in body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        push(&mut elements, Element { bytes, broken: None }, max)?;
    }
    Ok(elements)
}

fn push<'a>(elements: &mut Vec<Element<'a>>, element: Element<'a>, max: usize) -> Result<(), TooMany> {
    if elements.len() >= max {
        return Err(TooMany);
    }
    elements.push(element);
    Ok(())
}

/// Whether a body that begins with `{` is that object alone; cut short, it is taken for one where it has one line.
fn is_one(body: &[u8]) -> bool {
    let mut scan = Scan::default();
    match body.iter().position(|byte| scan.step(*byte) && scan.depth == 0) {
        Some(end) => body[end + 1..].trim_ascii().is_empty(),
        None => !body.trim_ascii_end().contains(&b'\n'),
    }
}

fn array(body: &[u8], max: usize) -> Result<Vec<Element<'_>>, TooMany> {
    let mut elements = Vec::new();
    let mut scan = Scan::default();
    let mut from = 1;
    for (at, byte) in body.iter().enumerate() {
        let outside = scan.step(*byte);
        let ends = outside && (scan.depth == 0 || (scan.depth == 1 && *byte == b','));
        if !ends {
            continue;
        }
        let bytes = body[from..at].trim_ascii();
        // `[]` holds nothing; `[1,]` holds an element that is missing.
        if scan.depth == 1 || !bytes.is_empty() || !elements.is_empty() {
            push(&mut elements, Element { bytes, broken: None }, max)?;
        }
        from = at + 1;
        if scan.depth == 0 {
            let rest = body[from..].trim_ascii();
            if !rest.is_empty() {
                push(&mut elements, Element { bytes: rest, broken: Some(BEHIND) }, max)?;
            }
            return Ok(elements);
        }
    }
    push(&mut elements, Element { bytes: body[from..].trim_ascii(), broken: Some(NOT_CLOSED) }, max)?;
    Ok(elements)
}

/// How deep in brackets a place is, strings aside. Brackets of both kinds count alike: whether they pair up is for the
/// decoder to say.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Takes one byte; whether it stands outside of strings.
    fn step(&mut self, byte: u8) -> bool {
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bodies_are_told_apart() {
        use Form::{Any, Lines};
        type Case = (Form, &'static str, &'static [(&'static str, Option<&'static str>)]);
        let table: &[Case] = &[
            (Any, "", &[]),
            (Any, " \r\n ", &[]),
            (Any, "{\"a\":1}", &[("{\"a\":1}", None)]),
            (Any, "\u{feff}{\"a\":\n \"}\" }\n", &[("{\"a\":\n \"}\" }", None)]),
            (Any, "{\"a\":1}\n{\"b\":2}\r\n\n", &[("{\"a\":1}", None), ("{\"b\":2}\r", None)]),
            (Any, "{\"a\":1", &[("{\"a\":1", None)]),
            (Any, "{\"a\":1\n{\"b\":2}", &[("{\"a\":1", None), ("{\"b\":2}", None)]),
            (Any, "[]", &[]),
            (Any, " [ ] ", &[]),
            (Any, "[{\"a\":[1,2]} , {\"b\":\"],\\\"\"}]", &[("{\"a\":[1,2]}", None), ("{\"b\":\"],\\\"\"}", None)]),
            (Any, "[{\"a\":1},]", &[("{\"a\":1}", None), ("", None)]),
            // Any closing bracket ends the array: whether it is the right one is not looked at.
            (Any, "[1,,x}]", &[("1", None), ("", None), ("x", None), ("]", Some(BEHIND))]),
            (Any, "[{\"a\":1},{\"b\"", &[("{\"a\":1}", None), ("{\"b\"", Some(NOT_CLOSED))]),
            (Any, "[1] [2]", &[("1", None), ("[2]", Some(BEHIND))]),
            (Any, "hello", &[("hello", None)]),
            (Lines, "[1,2]\n{\"a\":\n1}", &[("[1,2]", None), ("{\"a\":", None), ("1}", None)]),
        ];
        for (form, body, expected) in table {
            let found = split(body.as_bytes(), *form, 10).expect("few elements");
            let found: Vec<_> = found
                .iter()
                .map(|element| (std::str::from_utf8(element.bytes).expect("text"), element.broken))
                .collect();
            assert_eq!(found, *expected, "{body}");
        }
        assert_eq!(split(b"[1,2,3]", Any, 2), Err(TooMany));
        assert_eq!(split(b"1\n2\n3", Lines, 2), Err(TooMany));
    }

    #[test]
    fn content_types_name_forms() {
        for (content_type, form) in [
            (None, Some(Form::Any)),
            (Some("application/json; charset=utf-8"), Some(Form::Any)),
            (Some("Application/X-NDJSON"), Some(Form::Lines)),
            (Some("application/x-www-form-urlencoded"), Some(Form::Any)),
            (Some("multipart/form-data; boundary=x"), None),
            (Some("image/png"), None),
        ] {
            assert_eq!(form_of(content_type), form, "{content_type:?}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![any::<i64>().prop_map(Into::into), any::<String>().prop_map(Into::into)];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
                prop::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn arrays_come_apart_as_they_were_put_together(values in prop::collection::vec(json(), 0..6), pretty: bool) {
            let whole = serde_json::Value::Array(values.clone());
            let text = if pretty { serde_json::to_string_pretty(&whole) } else { serde_json::to_string(&whole) };
            let text = text.expect("JSON");
            let found = split(text.as_bytes(), Form::Any, 100).expect("few elements");
            let found: Vec<serde_json::Value> =
                found.iter().map(|element| serde_json::from_slice(element.bytes).expect("whole elements")).collect();
            prop_assert_eq!(found, values);
        }

        #[test]
        fn nothing_is_lost_of_noise(noise in prop::collection::vec(prop::sample::select(&b"[]{},\"\\ \n1a\xff"[..]), 0..40)) {
            let kept: usize = split(&noise, Form::Any, 1000).expect("few elements").iter().map(|e| e.bytes.len()).sum();
            let blank = noise.iter().filter(|byte| b" \n[],}".contains(byte)).count();
            prop_assert!(kept + blank >= noise.len(), "{} of {}", kept, noise.len());
        }
    }
}
