//! Every bound in one place. Lengths are in bytes of UTF-8 unless they say otherwise.

use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE};

// --- events ---

/// One event as it comes in. NATS' default for one message is the same.
pub const EVENT_BYTES_MAX: usize = 1 << 20;
/// How deep arrays and objects stand in each other in an event, in members that nobody knows too: the JSON reader
/// recurses, and so this is what keeps a line of brackets from overflowing the stack.
pub const NESTING_MAX: usize = 64;
/// Ids and names that are looked up by: event and visitor ids, sources, pools, categories, names of web events.
pub const ID_BYTES_MAX: usize = 256;
/// An account's name, which is also part of NATS subjects and of folder names.
pub const ACCOUNT_BYTES_MAX: usize = 64;
/// URLs, referrers, links to recordings.
pub const URL_BYTES_MAX: usize = 8192;
pub const TITLE_BYTES_MAX: usize = 1024;
pub const USER_AGENT_BYTES_MAX: usize = 2048;
/// `Accept-Language` as a browser sends it, or one tag.
pub const LANGUAGE_BYTES_MAX: usize = 256;
/// Short words for people: agents, destinations, causes, stages of a deal, campaigns.
pub const LABEL_BYTES_MAX: usize = 1024;
pub const COMMENT_BYTES_MAX: usize = 16_384;
/// Digits that a caller dials after the number.
pub const EXTENSION_BYTES_MAX: usize = 32;
pub const SEGMENT_TEXT_BYTES_MAX: usize = 16_384;
/// Segments of one transcript.
pub const SEGMENTS_MAX: usize = 10_000;
/// Tracking numbers on one page.
pub const PAGE_NUMBERS_MAX: usize = 100;
/// `properties` of a web event and `consent` of a page view, written as JSON.
pub const PROPERTIES_BYTES_MAX: usize = 65_536;
/// Talk, and the start of a transcript's segment: a week. No call lasts longer.
pub const CALL_SECONDS_MAX: f64 = 7.0 * 86_400.0;
/// Counts that land in signed 64-bit columns.
pub const COUNT_MAX: u64 = i64::MAX as u64;
/// How far an event's time may lie after its receipt, in microseconds (contract, "Impossible times").
pub const AHEAD_MICROS_MAX: i64 = crate::time::MICROS_PER_DAY;
/// 9999-12-31T23:59:59.999999Z: RFC 3339 has four digits for the year. When a deal closes and a lease ends is told up to
/// it, since other systems write it for never.
pub const LATEST_TIME: crate::time::Time = crate::time::Time(253_402_300_799_999_999);
/// 2261-12-31T23:59:59.999999Z, of what happened: SQL engines reckon in 64 bits of nanoseconds, which end on 2262-04-11,
/// and the 100 days between are for time zones and spans that queries add.
pub const LATEST_EVENT_TIME: crate::time::Time = crate::time::Time(9_214_646_399_999_999);

/// Digits of an amount of money before the point, and after it.
pub const MONEY_INTEGER_DIGITS_MAX: usize = 12;
pub const MONEY_FRACTION_DIGITS_MAX: usize = 6;
/// Text of one amount of money: the digits above, a sign, a point, an exponent, and idle zeros.
pub const MONEY_BYTES_MAX: usize = 64;

/// Settings: spans of time in the units of their members.
pub const TARGET_SECONDS_MAX: f64 = 86_400.0;
pub const GREETING_SECONDS_MAX: f64 = 3_600.0;
pub const SALES_CYCLE_DAYS_MAX: f64 = 3_660.0;
pub const SESSION_TIMEOUT_MINUTES_MAX: f64 = 1_440.0;
/// 90 days: state about a session is kept for as long.
pub const ATTRIBUTION_WINDOW_HOURS_MAX: f64 = 2_160.0;
/// Duplicates are recognised for 24 hours, so nothing may wait longer.
pub const LATENESS_SECONDS_MAX: f64 = 86_400.0;
pub const CALL_TIMEOUT_MINUTES_MAX: f64 = 10_080.0;
pub const HOLD_MINUTES_MAX: f64 = 43_200.0;
pub const COOLDOWN_MINUTES_MAX: f64 = 43_200.0;
pub const RETENTION_DAYS_MAX: u32 = 36_500;
/// How long a page waits for its numbers before it shows its own, and how often it tells that it is open.
pub const NUMBER_TIMEOUT_MS_MIN: u32 = 50;
pub const NUMBER_TIMEOUT_MS_MAX: u32 = 10_000;
pub const HEARTBEAT_SECONDS_MIN: u32 = 5;
pub const HEARTBEAT_SECONDS_MAX: u32 = 600;
/// Digits of a pool's extensions.
pub const EXTENSION_DIGITS_MIN: u8 = 1;
pub const EXTENSION_DIGITS_MAX: u8 = 10;
/// Mistakes that one rejection of settings spells out; the rest is counted.
pub const MISTAKES_TOLD_MAX: usize = 50;
/// Settings with mistakes of shape are read again for each, so many bytes in all.
pub const SETTINGS_READ_BYTES_MAX: usize = 8 << 20;

// --- the join: how long things are remembered, and how many of each ---

/// A duplicate of an event is recognised for at least this much event time (contract, section 4, small print).
pub const DUPLICATE_WINDOW: i64 = 24 * MICROS_PER_HOUR;
/// How long after its last use a session, lease or call is kept, so that what comes late still corrects its rows.
pub const LATE_GRACE: i64 = 24 * MICROS_PER_HOUR;
/// What arrives so long after it happened is an archive: nobody looks for visits that go on in it.
pub const ARCHIVE_AGE: i64 = MICROS_PER_HOUR;
/// Nothing is forgotten, and no event id either, before so many events were taken since its last change, by any
/// account: a history that comes in any order is joined exactly as long as it is shorter than this.
pub const EVENTS_REMEMBERED: u64 = 1_000_000;
/// A visitor without a session is remembered for 13 months: as long as the cookie that names them.
pub const VISITOR_MEMORY: i64 = 396 * MICROS_PER_DAY;
/// Sessions of erased visitors whose names are recognised (by hash) as long as the session itself would have been.
pub const ERASED_SESSIONS_KEPT: usize = 10_000;
/// Erased people whose names are recognised (by hash) as long as a visitor is remembered: what is told late of them names nobody.
pub const ERASED_PEOPLE_KEPT: usize = 10_000;
/// Calls that were forgotten and are recognised (by hash), of one account: the latest, and at most twice as many; so many sessions and
/// leases, too.
pub const FORGOTTEN_KEPT: usize = 250_000;
/// Calls of erased people that are recognised (by hash), as long as the people are.
pub const ERASED_CALLS_KEPT: usize = 10_000;
/// A caller who does not call is remembered for five years.
pub const CALLER_MEMORY: i64 = 1_826 * MICROS_PER_DAY;
/// Signs of life other than page views that a session keeps, and renewals that a lease keeps; beyond it they are thinned.
pub const SIGNS_PER_SESSION: usize = 256;
pub const RENEWALS_PER_LEASE: usize = 256;
/// Then one stays of each of so many equal spans of its life, and the latest before each of so many calls, the latest of those to its number.
pub const SIGN_SPANS: usize = 128;
pub const CALLS_PER_THINNING: usize = 64;
/// Visits of a visitor that are forgotten in their order; of more than these, as each is over.
pub const VISITS_IN_ORDER: usize = 256;
/// Page views that a session keeps; beyond it those in the middle are let go, and still counted, but for those that
/// were seen last before the start of a call to their numbers.
pub const PAGES_PER_SESSION: usize = 2_000;
/// How many of them go together.
pub const PAGES_LET_GO_AT_ONCE: usize = 100;
/// Clicks on numbers, and callbacks asked for, that a visitor keeps: the latest count.
pub const CLICKS_PER_VISITOR: usize = 64;
/// Heartbeats kept of a visitor of whom no page view is known yet.
pub const LOOSE_HEARTBEATS_PER_VISITOR: usize = 64;
/// Visitors to whom a caller was joined before: the latest count.
pub const VISITORS_PER_CALLER: usize = 4;
/// Candidates that are weighed for a call: the latest seen count.
pub const CANDIDATES_PER_CALL: usize = 1_000;
/// Candidates of a call that are written, beside "none of them": the likeliest.
pub const CANDIDATES_WRITTEN: usize = 50;
/// Pools of an account whose delays are learned each for itself; further ones go by the account's.
pub const LEARNED_POOLS: usize = 64;
/// Generations of what an account has learned that are kept: a call goes by what was known when it started.
pub const GENERATIONS_KEPT: usize = 24;
/// Calls of an account that are fitted, the latest (about 130 bytes each). Of how many candidates hours or days old there are, a share of calls is known
/// to about their square root by that of these: with 5,000, errors of confidences were twice as large on long histories.
pub const LESSONS_KEPT: usize = 20_000;
/// Points in time, beside a call's own, at which is looked who could have called.
pub const POINTS_PER_CALL: u64 = 6;
/// Leases of a number that are looked at for that, back from such a point.
pub const LEASES_PER_POINT: usize = 8;
/// A caller's latest calls that are looked at for how many numbers they went to.
pub const CALLS_PER_SPREAD: usize = 100;
/// Numbers and prefixes of robots that an account lists.
pub const SPAM_NUMBERS_MAX: usize = 100_000;
/// Later calls of a caller that may tell whose an earlier one was.
pub const LATER_CALLS_HEARD: usize = 4;
/// A `click_to_call` corroborates a call on its number that starts this much later at most.
pub const CLICK_WINDOW: i64 = 5 * MICROS_PER_MINUTE;

// --- caches of what page views say ---
/// Bytes of a host's name (RFC 1035, section 2.3.4). A longer one is no host.
pub const HOST_BYTES: usize = 253;
/// Bytes of a user agent that are looked at: patterns run over all of them, and real ones stay below.
pub const USER_AGENT_BYTES: usize = 1_024;
/// User agents whose answer a worker remembers: at most twice as many, in two generations (about 1 MiB).
pub const USER_AGENTS_KEPT: usize = 8_192;
/// Addresses whose place a worker remembers: at most twice as many, in two generations (about 3 MiB).
pub const ADDRESSES_KEPT: usize = 32_768;
/// Distinct devices, and distinct places, that a worker shares between sessions; beyond it sharing starts anew.
pub const SHARED_VALUES_KEPT: usize = 16_384;

// --- planning of pools ---
/// Lines of a pool that are planned for; no formula is looked at beyond.
pub const PLANNED_LINES_MAX: usize = 100_000;

// --- telephone systems ---
/// Body of one request of a telephone system. A record of FreeSWITCH with its whole log, URL-encoded, stays below.
pub const HOOK_BYTES_MAX: usize = 1 << 20;
/// Pairs of a form, or of a URL's query.
pub const FORM_PAIRS_MAX: usize = 1_000;
/// One line of a call record file, of a line listener, or of a header of event text.
pub const RECORD_LINE_BYTES_MAX: usize = 65_536;
/// Headers of one block of event text (AMI, ESL); those beyond are passed over.
pub const BLOCK_HEADERS_MAX: usize = 1_000;
/// Columns of a line.
pub const COLUMNS_MAX: usize = 64;
/// Calls that a parser of lines or event text puts together at one time; the one longest untouched is let go.
pub const OPEN_CALLS_MAX: usize = 4_096;
/// Channels of one of them. Further ones are passed over.
pub const CHANNELS_PER_CALL: usize = 64;
/// Rows of one of them in a file of call records.
pub const ROWS_PER_CALL: usize = 256;
/// A digit string up to this long is an extension, not a number.
pub const INTERNAL_DIGITS_MAX: usize = 6;
/// An account's numbers that are looked at to tell its country.
pub const REGION_NUMBERS_MAX: usize = 16;
/// A signed request is taken for this long before and after the time it was signed for, in seconds.
pub const REPLAY_SECONDS_MAX: i64 = 300;
/// A telephone system's time further than this from the receipt is a clock that is off: the receipt counts.
pub const CLOCK_MICROS_MAX: i64 = MICROS_PER_DAY;
/// Mappings of an account, and alternatives of one of their paths.
pub const MAPPINGS_MAX: usize = 64;
pub const MAPPING_VALUES_MAX: usize = 256;

// --- how calls are answered ---
/// One text that is said (Twilio takes 4,096 characters in `<Say>`).
pub const VOICE_TEXT_BYTES_MAX: usize = 4_096;
/// How long a phone rings (Twilio, `<Dial timeout>`: 5 to 600 seconds).
pub const RING_SECONDS_MIN: u32 = 5;
pub const RING_SECONDS_MAX: u32 = 600;
pub const VOICEMAIL_SECONDS_MIN: u32 = 2;
pub const VOICEMAIL_SECONDS_MAX: u32 = 3_600;
/// Keys of a telephone.
pub const MENU_KEYS_MAX: usize = 12;
pub const ASSESSMENT_CATEGORIES_MAX: usize = 10;
/// Parameters of one request of Twilio's.
pub const TWILIO_PARAMETERS_MAX: usize = 500;
/// How far a telephone system's clock may be off before the collector's own counts.
pub const TWILIO_CLOCK_MICROS_MAX: i64 = MICROS_PER_DAY;

// --- who asks by SQL ---
/// Logins of an account.
pub const LOGINS_MAX: usize = 1_000;
pub const LOGIN_SECONDS_MAX: u32 = 86_400;
pub const LOGIN_MEMORY_MIB_MAX: u32 = 1 << 20;
pub const LOGIN_ROWS_MAX: u64 = 1_000_000_000_000;
pub const LOGIN_CONCURRENT_MAX: u32 = 1_000;

// --- webhooks ---
/// Of an account.
pub const WEBHOOKS_MAX: usize = 100;
/// A name stands in URLs.
pub const WEBHOOK_NAME_BYTES_MAX: usize = 64;
pub const WEBHOOK_FILTER_BYTES_MAX: usize = 4_096;
/// A template, and what is made of it or of the fields.
pub const WEBHOOK_TEMPLATE_BYTES_MAX: usize = 65_536;
pub const WEBHOOK_BODY_BYTES_MAX: usize = 256 << 10;
pub const WEBHOOK_FIELDS_MAX: usize = 200;
pub const WEBHOOK_HEADERS_MAX: usize = 16;
pub const WEBHOOK_SECRETS_MAX: usize = 8;
/// Seconds to connect, and for the whole answer.
pub const WEBHOOK_CONNECT_SECONDS_MAX: u32 = 10;
pub const WEBHOOK_ANSWER_SECONDS_MAX: u32 = 60;

// --- exports ---
/// Of an account.
pub const EXPORTS_MAX: usize = 50;
/// A moment may wait for so long before it is sent: less than its log keeps it.
pub const EXPORT_DELAY_HOURS_MAX: f64 = 48.0;
pub const EXPORT_SECRETS_MAX: usize = 16;
/// Steps in a CRM, owners that it knows, names for its templates.
pub const CRM_STEPS_MAX: usize = 32;
pub const CRM_OWNERS_MAX: usize = 10_000;
pub const CRM_NAMES_MAX: usize = 100;
/// Things found by one step that are changed.
pub const CRM_FOUND_MAX: usize = 25;
/// Of a transcript so much text is told in a moment, so that a body with it can be sent.
pub const TRANSCRIPT_TOLD_BYTES_MAX: usize = 128 << 10;
/// Requests for one moment.
pub const EXPORT_ASKS_MAX: usize = 64;
