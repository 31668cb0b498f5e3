//! Made-up events for measuring: what varies in life varies here too (browsers, languages, referrers, campaigns, pages).

use callweave_core::time::{MICROS_PER_SECOND, Time};

pub fn uuid(kind: u64, n: u64) -> String {
    let mixed = (n + kind * 77_777).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:08x}-{:04x}-7abc-8def-{n:012x}", mixed >> 32, mixed >> 8 & 0xffff)
}

/// An instant: seconds after the start of the story.
pub fn time(seconds: u64) -> Time {
    Time((1_795_132_800 + seconds as i64) * MICROS_PER_SECOND + (seconds as i64 * 7_919) % 1_000_000)
}

pub fn line(id: u64, kind: &str, at: Time, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"web","type":"{kind}","time":"{at}","account":"acme","data":{data}}}"#
    )
}

const SYSTEMS: [&str; 6] = [
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "Linux; Android 14; Pixel 8",
    "Linux; Android 13; SM-S911B",
    "X11; CrOS x86_64 14541.0.0",
];
const LANGUAGES: [&str; 8] = ["en-US", "en-GB", "de-DE", "fr-FR", "es-ES", "it-IT", "pl-PL", "nl-NL"];
const REFERRERS: [&str; 8] = [
    "https://www.google.com/",
    "https://www.bing.com/",
    "https://duckduckgo.com/",
    "https://www.facebook.com/",
    "https://news.example.org/",
    "https://blog.example.net/",
    "https://t.co/",
    "",
];

/// The `page`-th page view of session `n`; every third session came by an advertisement, with a click id of its own.
pub fn page_view(n: u64, page: u64, with_session: bool) -> String {
    let path = match page {
        0 => n % 500,
        1 => n % 97,
        _ => n % 31,
    };
    let query = match page == 0 && n.is_multiple_of(3) {
        true => format!("?utm_source=google&utm_medium=cpc&utm_campaign=c{}&gclid=Cj0KCQ{n:020}", n % 40),
        false => String::new(),
    };
    let (system, language) = (SYSTEMS[(n / 3 % 6) as usize], LANGUAGES[(n / 7 % 8) as usize]);
    let referrer = REFERRERS[(n / 11 % 8) as usize];
    let session = if with_session { format!(r#""session_id":"{}","#, uuid(2, n)) } else { String::new() };
    format!(
        r#"{{"visitor_id":"{}",{session}"url":"https://www.example.com/page-{path}{query}","referrer":"{referrer}","user_agent":"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36","language":"{language},en;q=0.8"}}"#,
        uuid(1, n),
    )
}

pub fn heartbeat(n: u64) -> String {
    format!(r#"{{"visitor_id":"{}","session_id":"{}"}}"#, uuid(1, n), uuid(2, n))
}

/// A number of 10,000 for session `n`, for half an hour from `at`.
pub fn lease(n: u64, at: Time) -> String {
    format!(
        r#"{{"lease_id":"{}","pool":"main","number":"+1415555{:04}","visitor_id":"{}","session_id":"{}","expires_at":"{}"}}"#,
        uuid(3, n),
        n % 10_000,
        uuid(1, n),
        uuid(2, n),
        at.plus(1_800 * MICROS_PER_SECOND)
    )
}

/// A finished call of caller `n` to `to`, two minutes before `at`.
pub fn call_record(n: u64, to: &str, at: Time) -> String {
    call_record_of(n, n, to, at)
}

/// The same, by a caller who may have called before.
pub fn call_record_of(n: u64, caller: u64, to: &str, at: Time) -> String {
    format!(
        r#"{{"call_id":"{}","direction":"inbound","from":"+49151{caller:08}","to":"{to}","started_at":"{}","answered_at":"{}","ended_at":"{}"}}"#,
        uuid(4, n),
        at.minus(120 * MICROS_PER_SECOND),
        at.minus(100 * MICROS_PER_SECOND),
        at.minus(10 * MICROS_PER_SECOND)
    )
}
