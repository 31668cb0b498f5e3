//! Every member of the configuration: its name, what it may be, what holds without it, and what it does.

use std::fmt::Write as _;
use std::time::Duration;

use super::entries::SHORT;
use super::given::Given;
use super::values::{Config, GIB, KIB, MIB};
use super::{Nats, Secret};
use crate::telemetry::logs::{self, Format};

pub struct Member {
    pub name: &'static str,
    /// What may be given, for people.
    pub form: &'static str,
    /// What holds without it; empty: nothing does.
    pub default: &'static str,
    pub about: &'static str,
    /// Takes the value over, or says what is wrong with it and what to give instead.
    pub set: fn(&mut Config, &Given<'_>) -> Result<(), String>,
}

/// As many as the log takes (`crate::log::MAX_PARTITIONS`, which is a floor above).
const MAX_PARTITIONS: u16 = 1024;
const BYTES: &str = "bytes, or with KiB, MiB, GiB";
const PATH: &str = "a path";

/// The members in the order of the documentation. Those of accounts are in `accounts.rs`.
pub const MEMBERS: &[Member] = &[
    Member {
        name: "data",
        form: PATH,
        default: "callweave-data",
        about: "Folder of this machine's own data: the embedded log, the key of the first run, the lake unless it lies elsewhere.",
        set: |config, given| put(&mut config.data, given.path()),
    },
    Member {
        name: "lake",
        form: "a path or a file:// URL",
        default: "",
        about: "Where the lake lies; the folder `lake` in `data` if absent.",
        set: |config, given| put(&mut config.lake, given.lake().map(Some)),
    },
    Member {
        name: "nats.url",
        form: "nats://HOST:PORT, several with commas between",
        default: "",
        about: "NATS servers, in place of the embedded log.",
        set: |config, given| put(&mut nats(config).url, given.nats_url()),
    },
    Member {
        name: "nats.credentials_file",
        form: PATH,
        default: "",
        about: "A `.creds` file for NATS.",
        set: |config, given| put(&mut nats(config).credentials_file, given.file().map(Some)),
    },
    Member {
        name: "nats.user",
        form: "text",
        default: "",
        about: "User of NATS, with a password.",
        set: |config, given| put(&mut nats(config).user, given.text().map(|text| Some(text.to_owned()))),
    },
    Member {
        name: "nats.password",
        form: "text",
        default: "",
        about: "Password of that user.",
        set: |config, given| put(&mut nats(config).password, given.text().map(|text| Some(Secret::new(text)))),
    },
    Member {
        name: "nats.password_file",
        form: PATH,
        default: "",
        about: "A file that holds the password alone.",
        set: |config, given| put(&mut nats(config).password, given.secret_file().map(Some)),
    },
    Member {
        name: "nats.token",
        form: "text",
        default: "",
        about: "Token for NATS.",
        set: |config, given| put(&mut nats(config).token, given.text().map(|text| Some(Secret::new(text)))),
    },
    Member {
        name: "nats.token_file",
        form: PATH,
        default: "",
        about: "A file that holds the token alone.",
        set: |config, given| put(&mut nats(config).token, given.secret_file().map(Some)),
    },
    Member {
        name: "nats.ca",
        form: PATH,
        default: "",
        about: "Certificates (PEM) that the server's must descend from.",
        set: |config, given| put(&mut nats(config).ca, given.file().map(Some)),
    },
    Member {
        name: "partitions",
        form: "1 to 1024",
        default: "",
        about: "Partitions of the log, fixed when it is made: what it has if absent, 4 for a new one.",
        set: |config, given| {
            put(&mut config.partitions, given.count(1, u64::from(MAX_PARTITIONS)).map(|count| Some(count as u16)))
        },
    },
    Member {
        name: "listen.collect",
        form: "ADDRESS:PORT",
        default: "127.0.0.1:8090",
        about: "Where events are taken. Port 0 takes a free one.",
        set: |config, given| put(&mut config.listen.collect, given.address()),
    },
    Member {
        name: "listen.admin",
        form: "ADDRESS:PORT",
        default: "127.0.0.1:9090",
        about: "Where metrics and health are served; may be the same as `listen.collect`.",
        set: |config, given| put(&mut config.listen.admin, given.address()),
    },
    Member {
        name: "listen.postgres",
        form: "ADDRESS:PORT or off",
        default: "",
        about: "Where SQL is served by PostgreSQL's wire protocol (`up`, `query`); 127.0.0.1:5433 if absent, or a free port where that \
                is taken.",
        set: |config, given| put(&mut config.listen.postgres, given.door()),
    },
    Member {
        name: "listen.flight",
        form: "ADDRESS:PORT or off",
        default: "",
        about: "Where SQL is served by Arrow Flight SQL (`up`, `query`); 127.0.0.1:8815 if absent, or a free port where that is taken.",
        set: |config, given| put(&mut config.listen.flight, given.door()),
    },
    Member {
        name: "listen.worker",
        form: "ADDRESS:PORT",
        default: "127.0.0.1:8816",
        about: "Where `worker` takes parts of statements from coordinators. Another address than this machine's own needs \
                `query.workers_secret_file`.",
        set: |config, given| put(&mut config.listen.worker, given.address()),
    },
    Member {
        name: "query.tls_certificate",
        form: PATH,
        default: "",
        about: "Certificates (PEM) with which SQL is served, the server's own first. Without them nothing is encrypted.",
        set: |config, given| put(&mut config.query.tls_certificate, given.file().map(Some)),
    },
    Member {
        name: "query.tls_key",
        form: PATH,
        default: "",
        about: "The private key of that certificate (PEM).",
        set: |config, given| put(&mut config.query.tls_key, given.file().map(Some)),
    },
    Member {
        name: "query.mask_key_file",
        form: PATH,
        default: "",
        about: "A file that holds what pseudonyms of callers are made with; the file `mask.key` in `data`, made at the first \
                start, if absent. Machines that serve one lake give the same.",
        set: |config, given| put(&mut config.query.mask_key, given.secret_file().map(Some)),
    },
    Member {
        name: "query.workers",
        form: "http://HOST:PORT, several with commas between",
        default: "",
        about: "Workers that `query` and `up` share large statements with: `docs/workers.md`.",
        set: |config, given| put(&mut config.query.workers, given.workers()),
    },
    Member {
        name: "query.workers_secret_file",
        form: PATH,
        default: "",
        about: "A file that holds what coordinators and workers know each other by, at least 16 characters, the same on every machine.",
        set: |config, given| put(&mut config.query.workers_secret, given.long_secret_file().map(Some)),
    },
    Member {
        name: "query.worker_share_bytes",
        form: BYTES,
        default: "64 MiB",
        about: "So many bytes of a table's files are worth one more worker; a statement that reads less is answered without any.",
        set: |config, given| put(&mut config.query.worker_share, given.bytes(1, u64::MAX)),
    },
    Member {
        name: "query.worker_memory_bytes",
        form: BYTES,
        default: "1 GiB",
        about: "Memory of all that a `worker` does at once; sorts and aggregations beyond it go to disk.",
        set: |config, given| put(&mut config.query.worker_memory, given.bytes(16 * MIB, 1024 * GIB)),
    },
    Member {
        name: "public_url",
        form: "https://HOST, with a path if there is one",
        default: "",
        about: "Where others reach the collector. Telephone providers are told addresses under it, and their signatures are \
                checked against it; `X-Forwarded-…` never counts.",
        set: |config, given| put(&mut config.public_url, given.base_url().map(Some)),
    },
    Member {
        name: "trusted_proxies",
        form: "a list of addresses and networks, or text with commas",
        default: "",
        about: "Proxies in front of the collector, such as `10.0.0.0/8`: of requests that come from them, the browser's \
                address is the last one in `X-Forwarded-For` that is not one of them. From anybody else that header counts \
                for nothing.",
        set: |config, given| put(&mut config.trusted_proxies, given.networks()),
    },
    Member {
        name: "log.level",
        form: "off, error, warn, info, debug, trace, or a filter such as `info,callweave::collect=debug`",
        default: "info",
        about: "What is logged to stderr. Phone numbers and visitor ids appear from `debug` on.",
        set: |config, given| {
            logs::filter(given.text()?).map_err(|error| error.to_string())?;
            put(&mut config.log.level, given.text().map(str::to_owned))
        },
    },
    Member {
        name: "log.format",
        form: "text or json",
        default: "text",
        about: "How a log line is written.",
        set: |config, given| {
            config.log.format = match given.text()? {
                "text" => Format::Text,
                "json" => Format::Json,
                other => return Err(format!("{other:?} is no format; give text or json")),
            };
            Ok(())
        },
    },
    Member {
        name: "limits.body_bytes",
        form: BYTES,
        default: "16 MiB",
        about: "The longest body of one request, also after decompression; more is answered 413.",
        set: |config, given| put(&mut config.limits.body_bytes, given.bytes(KIB, GIB)),
    },
    Member {
        name: "limits.events",
        form: "1 to 10000000",
        default: "100000",
        about: "The most events of one request; more is answered 413.",
        set: |config, given| put(&mut config.limits.events, given.count(1, 10_000_000)),
    },
    Member {
        name: "limits.connections",
        form: "1 to 1000000",
        default: "1024",
        about: "Connections open at once; more wait to be accepted.",
        set: |config, given| put(&mut config.limits.connections, given.count(1, 1_000_000).map(|count| count as u32)),
    },
    Member {
        name: "limits.concurrent",
        form: "1 to 100000",
        default: "256",
        about: "Requests worked on at once; more are answered 503.",
        set: |config, given| put(&mut config.limits.concurrent, given.count(1, 100_000).map(|count| count as u32)),
    },
    Member {
        name: "limits.memory_bytes",
        form: BYTES,
        default: "256 MiB",
        about: "Bytes of all bodies in memory at once; more are answered 503. At least `limits.body_bytes` twice over.",
        set: |config, given| put(&mut config.limits.memory_bytes, given.bytes(MIB, 1024 * GIB)),
    },
    Member {
        name: "limits.requests_per_second",
        form: "1 to 1000000",
        default: "5000",
        about: "Requests a second of each key, twice as many in a burst; more are answered 429.",
        set: |config, given| {
            put(&mut config.limits.requests_per_second, given.count(1, 1_000_000).map(|count| count as u32))
        },
    },
    Member {
        name: "limits.address_requests_per_second",
        form: "1 to 1000000",
        default: "100",
        about: "Requests a second of browsers at one address (of IPv6: in one network of 64 bits), twice as many in a \
                burst; more are answered 429.",
        set: |config, given| {
            put(&mut config.limits.address_requests_per_second, given.count(1, 1_000_000).map(|count| count as u32))
        },
    },
    Member {
        name: "limits.site_requests_per_second",
        form: "1 to 1000000",
        default: "5000",
        about: "Requests a second of all browsers on one site, twice as many in a burst; more are answered 429.",
        set: |config, given| {
            put(&mut config.limits.site_requests_per_second, given.count(1, 1_000_000).map(|count| count as u32))
        },
    },
    Member {
        name: "limits.head_seconds",
        form: "1 to 3600",
        default: "10",
        about: "Time for a request's head, and for the next request on an open connection.",
        set: |config, given| put(&mut config.limits.head, given.seconds(1, 3600)),
    },
    Member {
        name: "limits.body_seconds",
        form: "1 to 3600",
        default: "30",
        about: "Time for a request's body; after it the answer is 408.",
        set: |config, given| put(&mut config.limits.body, given.seconds(1, 3600)),
    },
    Member {
        name: "limits.append_seconds",
        form: "1 to 3600",
        default: "30",
        about: "Time the log has to confirm; after it the answer is 503.",
        set: |config, given| put(&mut config.limits.append, given.seconds(1, 3600)),
    },
    Member {
        name: "limits.drain_seconds",
        form: "0 to 3600",
        default: "20",
        about: "Time that requests in flight have to finish at a graceful stop.",
        set: |config, given| put(&mut config.limits.drain, given.seconds(0, 3600)),
    },
    Member {
        name: "limits.spool_bytes",
        form: BYTES,
        default: "256 MiB",
        about: "Bytes of telephone systems' events on disk, in `data`, that wait for the log.",
        set: |config, given| put(&mut config.limits.spool_bytes, given.bytes(MIB, 1024 * GIB)),
    },
    Member {
        name: "commit.calls_ms",
        form: "10 to 3600000",
        default: "500",
        about: "How long a row of `calls` waits at most until it is committed.",
        set: |config, given| put(&mut config.commit.calls, given.count(10, 3_600_000).map(Duration::from_millis)),
    },
    Member {
        name: "commit.bulk_ms",
        form: "10 to 3600000",
        default: "5000",
        about: "How long a row of any other table waits at most.",
        set: |config, given| put(&mut config.commit.bulk, given.count(10, 3_600_000).map(Duration::from_millis)),
    },
    Member {
        name: "commit.rows",
        form: "1 to 10000000",
        default: "100000",
        about: "Waiting rows of one table that are committed without waiting longer.",
        set: |config, given| put(&mut config.commit.rows, given.count(1, 10_000_000)),
    },
    Member {
        name: "snapshot.seconds",
        form: "1 to 86400",
        default: "60",
        about: "Time from one snapshot of the state to the next: what a restart has to replay.",
        set: |config, given| put(&mut config.snapshot.every, given.seconds(1, 86_400)),
    },
    Member {
        name: "retention.log_days",
        form: "0 to 36500; 0: for good",
        default: "30",
        about: "How long the log keeps events. Keep it well above the longest halt of `process`.",
        set: |config, given| {
            let days = given.count(0, 36_500)?;
            put(&mut config.retention.log_age, Ok((days > 0).then(|| Duration::from_secs(days * 86_400))))
        },
    },
    Member {
        name: "retention.log_bytes",
        form: "bytes, or with KiB, MiB, GiB; 0: no bound",
        default: "0",
        about: "How large the log may grow, over all partitions; then it takes no more. A NATS server reserves as much.",
        set: |config, given| {
            let bytes = given.bytes(0, u64::MAX)?;
            if bytes > 0 && bytes < 16 * MIB {
                return Err(format!("{bytes} bytes are too few; give 16 MiB or more, or 0 for no bound"));
            }
            put(&mut config.retention.log_bytes, Ok((bytes > 0).then_some(bytes)))
        },
    },
    Member {
        name: "retention.moments_days",
        form: "1 to 3650",
        default: "7",
        about: "How long the log of moments keeps them: a subscriber that is away for longer misses some.",
        set: |config, given| {
            put(&mut config.retention.moments_age, given.count(1, 3_650).map(|days| Duration::from_secs(days * 86_400)))
        },
    },
    Member {
        name: "retention.moments_bytes",
        form: "bytes, or with KiB, MiB, GiB",
        default: "1 GiB",
        about: "How large the log of moments may grow; then the oldest go. A NATS server reserves as much.",
        set: |config, given| put(&mut config.retention.moments_bytes, given.bytes(16 * MIB, u64::MAX)),
    },
    Member {
        name: "notify.allow",
        form: "a list of addresses and networks, or text with commas",
        default: "",
        about: "Private networks that webhooks may be sent to, such as `10.1.0.0/16`; public addresses always may.",
        set: |config, given| put(&mut config.notify.allow, given.networks()),
    },
    Member {
        name: "notify.secrets",
        form: PATH,
        default: "",
        about: "Folder of the files that webhooks and exports name as `secret_file`, each account's in a folder of its name within.",
        set: |config, given| put(&mut config.notify.secrets, given.path().map(Some)),
    },
    Member {
        name: "places",
        form: PATH,
        default: "",
        about: "A database of places in MaxMind's format (`.mmdb`), for country, region and city of a visit.",
        set: |config, given| put(&mut config.places, given.places().map(Some)),
    },
];

/// Members of `[accounts.NAME]`: form and meaning.
pub const ACCOUNT_MEMBERS: &[(&str, &str, &str)] = &[
    (
        "keys",
        "a list of text, or in a variable text with commas",
        "Keys that senders of this account's events present. At least 16 characters each.",
    ),
    ("keys_file", PATH, "A file with one key a line; empty lines and those that begin with `#` do not count."),
    ("settings", "a path to a JSON or TOML file, or a table", "The account's settings: `docs/settings.md`."),
    ("twilio_auth_token", "text", "What Twilio signs requests with."),
    ("twilio_auth_token_file", PATH, "A file that holds it alone."),
    ("twilio_api_url", "a URL", "Where calls back are asked for instead of at Twilio's own address, such as a proxy."),
    ("signalwire_token", "text", "What SignalWire signs requests with."),
    ("signalwire_token_file", PATH, "A file that holds it alone."),
    ("telnyx_public_key", "text", "The public key of Telnyx, in base64."),
    ("telnyx_public_key_file", PATH, "A file that holds it alone."),
    ("plivo_auth_token", "text", "What Plivo signs requests with."),
    ("plivo_auth_token_file", PATH, "A file that holds it alone."),
    ("vonage_signature_secret", "text", "What Vonage signs requests with."),
    ("vonage_signature_secret_file", PATH, "A file that holds it alone."),
    ("bandwidth_credentials", "USER:PASSWORD", "What Bandwidth logs in with (basic authentication)."),
    ("bandwidth_credentials_file", PATH, "A file that holds them alone."),
    ("freeswitch_credentials", "USER:PASSWORD", "What FreeSWITCH logs in with (basic authentication)."),
    ("freeswitch_credentials_file", PATH, "A file that holds them alone."),
    ("follow", "a list of tables", "Telephone systems whose files and lines are followed: `docs/telephony.md`."),
];

pub fn find(name: &str) -> Option<&'static Member> {
    MEMBERS.iter().find(|member| member.name == name)
}

/// Whether a table of this name is one value, not a table of members.
pub fn is_leaf(name: &str) -> bool {
    find(name).is_some() || (in_account(name) && name.ends_with(".settings"))
}

/// Whether a table of this name holds members.
pub fn is_table(name: &str) -> bool {
    name == "accounts"
        || name.starts_with("accounts.")
        || MEMBERS.iter().any(|member| member.name.starts_with(&format!("{name}.")))
}

/// `accounts.NAME.MEMBER`; the name may hold points of its own.
fn in_account(name: &str) -> bool {
    name.strip_prefix("accounts.").is_some_and(|rest| rest.contains('.'))
}

/// Takes a good value over.
fn put<T>(slot: &mut T, value: Result<T, String>) -> Result<(), String> {
    *slot = value?;
    Ok(())
}

fn nats(config: &mut Config) -> &mut Nats {
    config.nats.get_or_insert_default()
}

/// The page `docs/configuration.md`.
pub fn page() -> String {
    let mut out = String::from(include_str!("page.md"));
    let _ = writeln!(out, "| member | may be | default | what it does |\n| --- | --- | --- | --- |");
    for member in MEMBERS {
        let default = if member.default.is_empty() { String::new() } else { format!("`{}`", member.default) };
        let _ = writeln!(out, "| `{}` | {} | {default} | {} |", member.name, member.form, member.about);
    }
    for (name, form, about) in ACCOUNT_MEMBERS {
        let _ = writeln!(out, "| `accounts.NAME.{name}` | {form} |  | {about} |");
    }
    let short = SHORT.map(|(short, long)| format!("`{short}` for `{long}`")).join(", ");
    let _ = writeln!(out, "\nShort forms, in all three places: {short}.");
    out
}
