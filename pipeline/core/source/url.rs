//! URLs as they arrive: split without allocating, and without ever failing. What a URL does not have is empty.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use memchr::{memchr, memchr2, memrchr};
use percent_encoding::percent_decode_str;

use crate::limits::HOST_BYTES;

/// The parts of a URL as they are written; nothing is decoded. The fragment is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UrlParts<'a> {
    /// Without its colon; empty for a path or `//host/path`.
    pub scheme: &'a str,
    /// Without user and port. [`UrlParts::host_name`] is the form to compare.
    pub host: &'a str,
    pub path: &'a str,
    /// Without its question mark.
    pub query: &'a str,
}

/// Splits a URL, or whatever stands in its place: a path alone has a path and a query, and garbage is a path.
pub fn url_parts(url: &str) -> UrlParts<'_> {
    let url = url.trim_ascii();
    let url = cut(url, memchr(b'#', url.as_bytes())).0;
    let (rest, query) = cut(url, memchr(b'?', url.as_bytes()));
    let (scheme, rest) = scheme(rest);
    let Some(after) = rest.strip_prefix("//") else {
        return UrlParts { scheme, host: "", path: rest, query };
    };
    let end = memchr2(b'/', b'\\', after.as_bytes()).unwrap_or(after.len());
    let (authority, path) = after.split_at(end);
    UrlParts { scheme, host: host(authority), path, query }
}

/// A URL up to where its parameters, or its fragment, begin.
pub fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// What stands before and after the byte of ASCII at a place.
fn cut(text: &str, at: Option<usize>) -> (&str, &str) {
    at.map_or((text, ""), |at| (&text[..at], &text[at + 1..]))
}

fn scheme(url: &str) -> (&str, &str) {
    let (name, rest) = cut(url, memchr(b':', url.as_bytes()));
    let named = name.len() < url.len()
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if named { (name, rest) } else { ("", url) }
}

fn host(authority: &str) -> &str {
    let host = memrchr(b'@', authority.as_bytes()).map_or(authority, |at| &authority[at + 1..]);
    if host.starts_with('[') {
        return host.find(']').map_or("", |end| &host[..=end]);
    }
    let (name, port) = cut(host, memchr(b':', host.as_bytes()));
    if port.bytes().all(|b| b.is_ascii_digit()) { name } else { "" }
}

impl<'a> UrlParts<'a> {
    /// The host in its one form: lower case, punycode, no final dot. Nothing where there is no host, or no valid one.
    pub fn host_name(&self) -> Option<Cow<'a, str>> {
        host_name(self.host)
    }

    /// The parameters in their order, with names and values as they are written: see [`decode`].
    pub fn params(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        params(self.query)
    }

    /// The decoded value of the first parameter of this name that has one. Names are compared without case.
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        self.params().filter(|(key, _)| decode(key).eq_ignore_ascii_case(name)).find_map(|(_, value)| filled(value))
    }
}

/// The host of a URL in its one form: lower case, punycode, without user, port and final dot.
pub fn host_of(url: &str) -> Option<Cow<'_, str>> {
    url_parts(url).host_name()
}

/// A host without its `www.`.
pub fn without_www(host: Cow<'_, str>) -> Cow<'_, str> {
    match host.strip_prefix("www.") {
        Some(rest) if rest.contains('.') => match host {
            Cow::Borrowed(host) => Cow::Borrowed(&host[4..]),
            Cow::Owned(mut host) => {
                host.drain(..4);
                Cow::Owned(host)
            }
        },
        _ => host,
    }
}

fn host_name(host: &str) -> Option<Cow<'_, str>> {
    if host.starts_with('[') {
        let address: Ipv6Addr = host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
        return Some(Cow::Owned(format!("[{address}]")));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() || host.len() > HOST_BYTES {
        return None;
    }
    match spelling(host) {
        Spelling::Plain => Some(Cow::Borrowed(host)),
        Spelling::Upper => Some(Cow::Owned(host.to_ascii_lowercase())),
        Spelling::EmptyLabel => None,
        Spelling::Other => {
            let decoded = percent_decode_str(host).decode_utf8().ok()?;
            let name = idna::domain_to_ascii_cow(decoded.as_bytes(), idna::AsciiDenyList::URL).ok()?;
            let usable = name.len() <= HOST_BYTES && matches!(spelling(&name), Spelling::Plain);
            usable.then(|| Cow::Owned(name.into_owned()))
        }
    }
}

enum Spelling {
    /// In its one form already.
    Plain,
    Upper,
    /// `a..b`: no name.
    EmptyLabel,
    /// Not ASCII, or percent signs.
    Other,
}

fn spelling(host: &str) -> Spelling {
    let (mut before, mut spelling) = (b'.', Spelling::Plain);
    for byte in host.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
            b'A'..=b'Z' => spelling = Spelling::Upper,
            b'.' if before != b'.' => {}
            b'.' => return Spelling::EmptyLabel,
            _ => return Spelling::Other,
        }
        before = byte;
    }
    if before == b'.' { Spelling::EmptyLabel } else { spelling }
}

/// ASCII lower case, borrowed where it is so already.
pub(super) fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// The parameters of a query in their order, not decoded. One without `=` has an empty value.
pub(super) fn params(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = query;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (pair, after) = cut(rest, memchr(b'&', rest.as_bytes()));
            rest = after;
            if !pair.is_empty() {
                return Some(cut(pair, memchr(b'=', pair.as_bytes())));
            }
        }
        None
    })
}

/// Percent signs and pluses decoded, as in a form; bytes that are no UTF-8 become U+FFFD.
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8_lossy();
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

/// A decoded value, or nothing where it is empty or blank.
pub(super) fn filled(value: &str) -> Option<Cow<'_, str>> {
    let value = decode(value);
    (!value.trim_ascii().is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<'a>(scheme: &'a str, host: &'a str, path: &'a str, query: &'a str) -> UrlParts<'a> {
        UrlParts { scheme, host, path, query }
    }

    #[test]
    fn urls_are_split() {
        for (url, expected) in [
            ("https://example.com/a/b?x=1&y=2#z", parts("https", "example.com", "/a/b", "x=1&y=2")),
            ("https://example.com", parts("https", "example.com", "", "")),
            ("https://example.com?x=1", parts("https", "example.com", "", "x=1")),
            ("https://example.com#a?x=1", parts("https", "example.com", "", "")),
            ("HTTP://u:p@w@Example.COM:8080/", parts("HTTP", "Example.COM", "/", "")),
            ("//cdn.example.com/x", parts("", "cdn.example.com", "/x", "")),
            ("/landing?utm_source=a", parts("", "", "/landing", "utm_source=a")),
            ("https://[2001:db8::1]:443/x", parts("https", "[2001:db8::1]", "/x", "")),
            ("https://example.com\\evil", parts("https", "example.com", "\\evil", "")),
            ("https://host:port/", parts("https", "", "/", "")),
            ("about:blank", parts("about", "", "blank", "")),
            ("  https://example.com/\n", parts("https", "example.com", "/", "")),
            ("not a url: at all?", parts("", "", "not a url: at all", "")),
            ("", parts("", "", "", "")),
        ] {
            assert_eq!(url_parts(url), expected, "{url}");
        }
    }

    #[test]
    fn hosts_have_one_form() {
        for (url, expected) in [
            ("https://WWW.Example.COM./", Some("www.example.com")),
            ("https://bücher.example/", Some("xn--bcher-kva.example")),
            ("https://XN--BCHER-KVA.example/", Some("xn--bcher-kva.example")),
            ("https://b%C3%BCcher.example/", Some("xn--bcher-kva.example")),
            ("https://пример.рф/", Some("xn--e1afmkfd.xn--p1ai")),
            ("https://[2001:DB8::1]/", Some("[2001:db8::1]")),
            ("https://127.0.0.1:80/", Some("127.0.0.1")),
            ("https://[garbage]/", None),
            ("https://[/", None),
            ("https://a..b/", None),
            ("https://./", None),
            ("https://a b/", None),
            ("https://%/", None),
            ("https:///x", None),
            ("/x", None),
        ] {
            assert_eq!(host_of(url).as_deref(), expected, "{url}");
        }
        assert_eq!(host_of(&format!("https://{}.com/", "a".repeat(HOST_BYTES))), None);
    }

    #[test]
    fn nothing_is_allocated_in_the_usual_case() {
        let url = "https://www.example.com/a?b=c";
        assert!(matches!(host_of(url).map(without_www), Some(Cow::Borrowed("example.com"))));
        assert!(matches!(url_parts(url).param("B"), Some(Cow::Borrowed("c"))));
    }

    #[test]
    fn parameters_are_decoded() {
        let url = url_parts("/?a=1&&A=2&b=&b=x+y%20z&c&d=%E4%F6&e%5Ff=g&plus=%2B");
        for (name, expected) in [
            ("a", Some("1")),
            ("b", Some("x y z")),
            ("c", None),
            ("d", Some("\u{fffd}\u{fffd}")),
            ("e_f", Some("g")),
            ("plus", Some("+")),
            ("absent", None),
        ] {
            assert_eq!(url.param(name).as_deref(), expected, "{name}");
        }
    }
}
