//! Access logs in the combined log format of Apache (`%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`) and
//! nginx, and in the common one, which lacks the last two; either may begin with the virtual host (`%v:%p` or `%v`), as Debian's
//! `vhost_combined` does.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use callweave_core::time::Time;

use super::agents::Agents;
use super::page::{self, Kind};
use super::{ImportError, Run, repeats};

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request<'a> {
    pub(super) address: &'a [u8],
    /// The virtual host and its port, where the line tells them.
    pub(super) vhost: Option<Vhost<'a>>,
    pub(super) time: Time,
    /// Empty where the request line is none, as when somebody speaks TLS to a port that does not.
    pub(super) method: Cow<'a, [u8]>,
    /// The path with its query, or an absolute URL (RFC 9112, section 3.2).
    pub(super) target: Cow<'a, [u8]>,
    pub(super) status: u16,
    pub(super) referrer: Option<Cow<'a, [u8]>>,
    /// Nothing in the common log format, which does not tell; empty where the client sent none.
    pub(super) agent: Option<Cow<'a, [u8]>>,
}

pub(super) fn import(run: &mut Run<'_>) -> Result<(), ImportError> {
    let site = site(run.options.site.as_deref())?;
    let mut agents = Agents::default();
    run.each_line(|run, number, line| {
        let request = match parse(line) {
            Ok(request) => request,
            Err(reason) => return run.reject(number, reason, line),
        };
        match page::kind(&request, &mut agents) {
            Kind::Bot => run.counts.bots += 1,
            Kind::Internal => run.counts.internal += 1,
            Kind::OtherMethod => run.counts.other_methods += 1,
            Kind::Redirect => run.counts.redirects += 1,
            Kind::Error => run.counts.errors += 1,
            Kind::Static => run.counts.static_files += 1,
            Kind::Page => match write(run, &site, &request, line) {
                Some(reason) => return run.reject(number, &reason, line),
                None => run.counts.page_views += 1,
            },
        }
        run.written()
    })
}

/// Scheme and host, without a slash at the end.
pub(super) fn site(given: Option<&str>) -> Result<String, ImportError> {
    let given = given.ok_or(ImportError::NoSite)?;
    let bare = given.trim_end_matches('/');
    let host = bare.strip_prefix("https://").or_else(|| bare.strip_prefix("http://")).unwrap_or_default();
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '@')) {
        return Err(ImportError::Site(given.to_owned()));
    }
    Ok(bare.to_owned())
}

/// Scheme and host of a virtual host's pages. The port is the server's own, which browsers do not see behind a proxy: it tells
/// no more than the scheme.
fn vhost_site(site: &str, host: &str, port: Option<u16>) -> String {
    let scheme = if port == Some(443) || site.starts_with("https://") { "https" } else { "http" };
    format!("{scheme}://{}", host.to_ascii_lowercase())
}

/// Writes the page view; what is wrong with it is returned.
fn write(run: &mut Run<'_>, site: &str, request: &Request<'_>, line: &[u8]) -> Option<String> {
    let address = String::from_utf8_lossy(request.address);
    let agent = request.agent.as_deref().map(String::from_utf8_lossy);
    let visitor = repeats::name(&[&run.options.salt, &address, agent.as_deref().unwrap_or_default()]);
    let id = run.repeats.id(line);
    run.begin("page_view", request.time, &id);
    run.lines.text("visitor_id", &visitor);
    let vhost = request.vhost.map(|(host, port)| vhost_site(site, host, port));
    run.lines.texts("url", &[vhost.as_deref().unwrap_or(site), &url_part(page::path_and_query(&request.target))]);
    if let Some(referrer) = request.referrer.as_deref().filter(|referrer| !matches!(*referrer, b"" | b"-")) {
        run.lines.text("referrer", &url_part(referrer));
    }
    if let Some(agent) = agent.filter(|agent| !agent.is_empty()) {
        run.lines.text("user_agent", &agent);
    }
    // A log may hold host names instead (HostnameLookups).
    if address.parse::<IpAddr>().is_ok() {
        run.lines.text("ip", &address);
    }
    run.finish()
}

/// Bytes that no URL may hold, percent-encoded (RFC 3986, section 2.1).
fn url_part(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'"' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Reads one line; an error says what is wrong with it.
pub(super) fn parse(line: &[u8]) -> Result<Request<'_>, &'static str> {
    let first_end = line.iter().position(|&b| b == b' ').ok_or("has no space: this is no access log")?;
    let (mut address, mut vhost, rest) = (&line[..first_end], None, &line[first_end..]);
    if let Some((host, next)) = after_vhost(address, rest) {
        (address, vhost) = (next, host);
    }
    let (time, rest) = time(rest).ok_or("has no time such as [17/May/2015:10:05:03 +0000]")?;
    let (request, rest) = quoted(rest).ok_or("the request does not end in a quotation mark")?;
    let rest = rest.trim_ascii_start();
    let status = rest.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u16>().ok());
    let status = status.filter(|s| (100..600).contains(s) && matches!(rest.get(3), None | Some(b' ')));
    let status = status.ok_or("has no status of three digits after the request")?;
    let mut rest = rest[3..].trim_ascii_start();
    let bytes_end = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
    rest = rest[bytes_end..].trim_ascii_start();
    let (mut referrer, mut agent) = (None, None);
    if !rest.is_empty() {
        let (first, after) = quoted(rest).ok_or("the referrer does not end in a quotation mark")?;
        let (second, _) = quoted(after).ok_or("the user agent does not end in a quotation mark")?;
        referrer = Some(first);
        agent = Some(if &*second == b"-" { Cow::Borrowed(&b""[..]) } else { second });
    }
    let (method, target) = request_line(request);
    Ok(Request { address, vhost, time, method, target, status, referrer, agent })
}

type Vhost<'a> = (&'a str, Option<u16>);

/// Where a line begins with a virtual host and not with who asked: the host (nothing if it names none, as `_` and `-` do), and
/// who asked, which is the next field. That is so where the first field is no address and the next is one, for no other format
/// has an address there; and where the first has a port and the next is a name (HostnameLookups).
fn after_vhost<'a>(first: &'a [u8], rest: &'a [u8]) -> Option<(Option<Vhost<'a>>, &'a [u8])> {
    let first = std::str::from_utf8(first).ok().filter(|first| first.parse::<IpAddr>().is_err())?;
    let (host, port) = match first.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
        None => (first, None),
    };
    let is_name =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if !is_name && bare.is_none_or(|host| host.parse::<Ipv6Addr>().is_err()) {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let next = &rest[..rest.iter().position(|&b| b == b' ')?];
    let is_address = std::str::from_utf8(next).is_ok_and(|next| next.parse::<IpAddr>().is_ok());
    let is_somebody = next.iter().any(u8::is_ascii_alphanumeric) && !next.starts_with(b"[");
    let named = host.bytes().any(|b| b.is_ascii_alphanumeric());
    (is_address || port.is_some() && is_somebody).then_some((named.then_some((host, port)), next))
}

/// The time in brackets, wherever it first stands: a user's name may hold spaces and brackets.
fn time(line: &[u8]) -> Option<(Time, &[u8])> {
    let mut from = 0;
    while let Some(open) = line[from..].iter().position(|&b| b == b'[') {
        let inside = from + open + 1;
        if let Some(time) = line.get(inside..inside + 26).and_then(instant)
            && line.get(inside + 26) == Some(&b']')
        {
            return Some((time, &line[inside + 27..]));
        }
        from = inside;
    }
    None
}

/// `17/May/2015:10:05:03 +0000`.
fn instant(text: &[u8]) -> Option<Time> {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    if text[2] != b'/' || text[6] != b'/' || text[11] != b':' || text[20] != b' ' {
        return None;
    }
    let month = 1 + MONTHS.iter().position(|name| *name == &text[3..6])?;
    let part = |range: std::ops::Range<usize>| std::str::from_utf8(&text[range]).ok();
    let (year, day, clock) = (part(7..11)?, part(0..2)?, part(12..20)?);
    let (hours, minutes) = (part(21..24)?, part(24..26)?);
    Time::parse(&format!("{year}-{month:02}-{day}T{clock}{hours}:{minutes}")).ok()
}

/// A string in quotation marks, and what follows it. Apache escapes as in C, and bytes that cannot be printed as
/// `\xHH`; nginx writes `\xHH` alone.
fn quoted(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let text = text.trim_ascii_start().strip_prefix(b"\"")?;
    let mut end = 0;
    let mut escapes = false;
    while *text.get(end)? != b'"' {
        let escape = text[end] == b'\\';
        escapes |= escape;
        end += 1 + usize::from(escape);
    }
    let (inside, rest) = (&text[..end], &text[end + 1..]);
    Some((if escapes { Cow::Owned(unescaped(inside)) } else { Cow::Borrowed(inside) }, rest))
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let (byte, used) = match (text[at], text.get(at + 1)) {
            (b'\\', Some(b'x')) => match text.get(at + 2..at + 4).and_then(hex_byte) {
                Some(byte) => (byte, 4),
                None => (b'\\', 1),
            },
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(&other)) if matches!(other, b'"' | b'\\') => (other, 2),
            (byte, _) => (byte, 1),
        };
        out.push(byte);
        at += used;
    }
    out
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    Some((value(digits[0])? * 16 + value(digits[1])?) as u8)
}

/// Method and target of `GET /path HTTP/1.1`; both empty where it is no such thing.
fn request_line(request: Cow<'_, [u8]>) -> (Cow<'_, [u8]>, Cow<'_, [u8]>) {
    let space = request.iter().position(|&b| b == b' ').unwrap_or(0);
    let method = &request[..space];
    if method.is_empty() || !method.iter().all(u8::is_ascii_alphabetic) {
        return (Cow::Borrowed(b""), Cow::Borrowed(b""));
    }
    // A client that does not encode spaces sends a target with spaces.
    let rest = &request[space + 1..];
    let end = rest.windows(6).rposition(|window| window == b" HTTP/").unwrap_or(rest.len());
    let (from, to) = (space + 1, space + 1 + end);
    match request {
        Cow::Borrowed(request) => (Cow::Borrowed(&request[..space]), Cow::Borrowed(&request[from..to])),
        Cow::Owned(request) => (Cow::Owned(request[..space].to_vec()), Cow::Owned(request[from..to].to_vec())),
    }
}
