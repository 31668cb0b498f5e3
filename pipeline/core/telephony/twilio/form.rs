//! `application/x-www-form-urlencoded` (WHATWG URL, section 5.1), decoded whole: what is signed are the decoded values,
//! blank ones too.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::limits::TWILIO_PARAMETERS_MAX;

/// What may stand in a query as it is (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Names and values in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Form<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Form<'a> {
    /// Nothing where there are more than [`TWILIO_PARAMETERS_MAX`].
    pub fn parse(bytes: &'a [u8]) -> Option<Form<'a>> {
        let mut pairs = Vec::new();
        for pair in bytes.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == TWILIO_PARAMETERS_MAX {
                return None;
            }
            let (name, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &pair[..0]),
            };
            pairs.push((decoded(name), decoded(value)));
        }
        Some(Form { pairs })
    }

    /// The first value of this name, if there is something in it.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.pairs.iter().find(|(held, _)| held == name).map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty())
    }

    pub fn pairs(&self) -> &[(Cow<'a, str>, Cow<'a, str>)] {
        &self.pairs
    }
}

fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    if bytes.contains(&b'+') {
        let spaced: Vec<u8> = bytes.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
        return Cow::Owned(percent_decode(&spaced).decode_utf8_lossy().into_owned());
    }
    percent_decode(bytes).decode_utf8_lossy()
}

/// What follows the first `?` of a URL.
pub(super) fn query(url: &str) -> &str {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('#').next().unwrap_or(query)
}

/// A form, or a query without its `?`.
pub(super) fn written(pairs: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.extend(utf8_percent_encode(value, RESERVED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded_as_they_were_written() {
        for (bytes, expected) in [
            (&b""[..], &[][..]),
            (b"a=b", &[("a", "b")]),
            (b"a=&b&=c&&d==e", &[("a", ""), ("b", ""), ("", "c"), ("d", "=e")]),
            (b"From=%2B14155550123&City=S%C3%A3o+Paulo", &[("From", "+14155550123"), ("City", "São Paulo")]),
            (b"a=%zz&b=%f", &[("a", "%zz"), ("b", "%f")]),
            (b"a=%ff", &[("a", "\u{fffd}")]),
        ] {
            let form = Form::parse(bytes).unwrap();
            let got: Vec<(&str, &str)> = form.pairs().iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(got, expected);
        }
        let form = Form::parse(b"a=&b=+&c= x &c=2").unwrap();
        assert_eq!((form.get("a"), form.get("b"), form.get("c"), form.get("d")), (None, None, Some("x"), None));
        let many = vec!["a=b"; TWILIO_PARAMETERS_MAX + 1].join("&");
        assert!(Form::parse(many.as_bytes()).is_none());
        assert_eq!(written(&[("a", "+1 ü&=".into()), ("b", "-._~".into())]), "a=%2B1%20%C3%BC%26%3D&b=-._~");
        assert_eq!(query("https://a.example/x?y=1?z#w"), "y=1?z");
    }
}
