//! Times as telephone systems write them.

use chrono::offset::LocalResult;
use chrono::{DateTime, Duration, NaiveDateTime, TimeZone};
use chrono_tz::Tz;

use crate::time::{MICROS_PER_SECOND, Time};

/// RFC 3339, and what passes for it: an offset without its colon (Asterisk's ARI), no seconds (Bandwidth's documents).
pub(super) fn rfc(text: &str) -> Option<Time> {
    let text = text.trim();
    if let Ok(at) = Time::parse(text) {
        return Some(at);
    }
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 11 {
        return None;
    }
    let zone_at = text[10..].find(['Z', 'z', '+', '-']).map(|at| at + 10)?;
    let (time, zone) = text.split_at(zone_at);
    let time = if time.len() == 16 { format!("{time}:00") } else { time.to_owned() };
    let zone = match zone.len() {
        5 => format!("{}:{}", &zone[..3], &zone[3..]),
        _ => zone.to_owned(),
    };
    Time::parse(&format!("{time}{zone}")).ok()
}

/// RFC 2822, as Twilio and TeXML have it; or what [`rfc`] reads.
pub(super) fn stamp(text: &str) -> Option<Time> {
    rfc(text)
        .or_else(|| DateTime::parse_from_rfc2822(text.trim()).ok().and_then(|at| from_micros(at.timestamp_micros())))
}

/// `2020-08-27 11:02:40`, with fractions or slashes, by the clock on the wall of `zone`. Of an hour that comes twice the
/// first is meant; one that never comes counts as the hour after.
pub(super) fn local(text: &str, zone: Tz) -> Option<Time> {
    local_from(text, zone, None)
}

/// What happened at `from` or later: of an hour that comes twice the second is meant where the first would be before that.
pub(super) fn local_from(text: &str, zone: Tz, from: Option<Time>) -> Option<Time> {
    let text = text.trim().replace('/', "-");
    pattern_local(&text, "%Y-%m-%d %H:%M:%S%.f", zone, from)
}

/// By a pattern of `strftime`: with a zone of its own, or by the clock on the wall of `zone`.
pub(super) fn pattern(text: &str, pattern: &str, zone: Tz) -> Option<Time> {
    match DateTime::parse_from_str(text.trim(), pattern) {
        Ok(at) => from_micros(at.timestamp_micros()),
        Err(_) => pattern_local(text.trim(), pattern, zone, None),
    }
}

fn pattern_local(text: &str, pattern: &str, zone: Tz, from: Option<Time>) -> Option<Time> {
    let wall = NaiveDateTime::parse_from_str(text, pattern).ok()?;
    let at = match zone.from_local_datetime(&wall) {
        LocalResult::Ambiguous(first, second) if from.is_some_and(|from| first.timestamp_micros() < from.0) => second,
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at,
        LocalResult::None => zone.from_local_datetime(&wall.checked_add_signed(Duration::hours(1))?).earliest()?,
    };
    from_micros(at.timestamp_micros())
}

/// Seconds since 1970, with up to six digits after the point. Zero is never.
pub(super) fn epoch(text: &str) -> Option<Time> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}")[..6].parse().ok()?;
    from_micros(whole.parse::<i64>().ok()?.checked_mul(MICROS_PER_SECOND)?.checked_add(micros)?)
}

/// Microseconds since 1970. Zero is never (FreeSWITCH).
pub(super) fn epoch_micros(text: &str) -> Option<Time> {
    from_micros(text.trim().parse().ok()?)
}

/// Nothing for zero and below, and for what no calendar holds.
pub(super) fn from_micros(micros: i64) -> Option<Time> {
    (micros > 0 && micros <= crate::limits::LATEST_TIME.0).then_some(Time(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_as_systems_write_them() {
        let berlin: Tz = "Europe/Berlin".parse().unwrap();
        let told = |at: Option<Time>| at.map_or("none".to_owned(), |at| at.to_string());
        for (read, text, expected) in [
            (rfc as fn(&str) -> _, "2016-09-12T13:53:48.919+0200", "2016-09-12T11:53:48.919000Z"),
            (rfc, "2022-06-17T22:20Z", "2022-06-17T22:20:00.000000Z"),
            (rfc, "2021-04-28 21:51:18.731479Z", "2021-04-28T21:51:18.731479Z"),
            (rfc, "2018-02-19T13:41:00.236-05:00", "2018-02-19T18:41:00.236000Z"),
            (rfc, "2018-02-19", "none"),
            (rfc, "zzzzzzzzzzzzzzZ", "none"),
            (rfc, "ääääääääääää", "none"),
            (stamp, "Wed, 13 May 2026 12:34:19 +0000", "2026-05-13T12:34:19.000000Z"),
            (epoch, "1335310195.513823", "2012-04-24T23:29:55.513823Z"),
            (epoch, "1335310195", "2012-04-24T23:29:55.000000Z"),
            (epoch, "1335310195.1234567", "2012-04-24T23:29:55.123456Z"),
            (epoch, "0", "none"),
            (epoch, "-5", "none"),
            (epoch, ".5", "none"),
            (epoch, "99999999999999999999", "none"),
            (epoch_micros, "1515666344534355", "2018-01-11T10:25:44.534355Z"),
            (epoch_micros, "0", "none"),
        ] {
            assert_eq!(told(read(text)), expected, "{text}");
        }
        for (text, expected) in [
            ("2020-08-27 11:02:40", "2020-08-27T09:02:40.000000Z"),
            ("2023/09/19 13:33:54", "2023-09-19T11:33:54.000000Z"),
            ("2026-10-25 02:30:00", "2026-10-25T00:30:00.000000Z"),
            ("2026-03-29 02:30:00", "2026-03-29T01:30:00.000000Z"),
            ("2020-08-27", "none"),
            ("", "none"),
        ] {
            assert_eq!(told(local(text, berlin)), expected, "{text}");
        }
        // Berlin's clocks are put back at 3:00.
        let start = local("2026-10-25 02:50:00", berlin);
        for (text, expected) in [
            ("2026-10-25 02:55:00", "2026-10-25T00:55:00.000000Z"),
            ("2026-10-25 02:05:00", "2026-10-25T01:05:00.000000Z"),
            ("2026-10-25 03:05:00", "2026-10-25T02:05:00.000000Z"),
        ] {
            assert_eq!(told(local_from(text, berlin, start)), expected, "{text}");
        }
        let ctm = pattern("2013-05-01 11:48 PM -04:00", "%Y-%m-%d %I:%M %p %:z", berlin);
        assert_eq!(told(ctm), "2013-05-02T03:48:00.000000Z");
        assert_eq!(told(pattern("01.05.2013 23:48", "%d.%m.%Y %H:%M", berlin)), "2013-05-01T21:48:00.000000Z");
        assert_eq!(pattern("x", "%Q", berlin), None);
    }
}
