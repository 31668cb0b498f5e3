//! Plays files to the parsers, signed as their senders would, and joins what comes out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use callweave_core::event::{Event, decode};
use callweave_core::join::{Effects, Join, Mode};
use callweave_core::row::CallRow;
use callweave_core::settings::Rules;
use callweave_core::telephony::asterisk::{Ami, Ari, Cel, Master};
use callweave_core::telephony::block::Blocks;
use callweave_core::telephony::threecx::{STANDARD as COLUMNS, ThreeCx};
use callweave_core::telephony::{Hook, Taken, Terms, bandwidth, freeswitch, generic, plivo, sign, telnyx, vonage};
use callweave_core::time::{MICROS_PER_SECOND, Time};
use chrono_tz::Tz;
use ed25519_dalek::{Signer, SigningKey};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    Telnyx,
    Plivo,
    Vonage,
    Bandwidth,
    FreeSwitch,
    FreeSwitchEvents,
    Master,
    Cel,
    Ami,
    Ari,
    ThreeCx,
    Generic(&'static str),
}

pub const ALL: [System; 14] = [
    System::Telnyx,
    System::Plivo,
    System::Vonage,
    System::Bandwidth,
    System::FreeSwitch,
    System::FreeSwitchEvents,
    System::Master,
    System::Cel,
    System::Ami,
    System::Ari,
    System::ThreeCx,
    System::Generic("callrail"),
    System::Generic("ctm"),
    System::Generic("own"),
];

pub const BASE: &str = "https://t.example/v1/hooks/x/acme";

pub fn settings() -> serde_json::Value {
    serde_json::json!({
        "timezone": "UTC",
        "numbers": [
            { "number": "+442079460100", "kind": "static", "source": "van", "forward_to": "+442079460999" },
            { "number": "+442079460101", "kind": "static", "source": "van" },
        ],
        "agents": { "12": "Ben", "13": "Cleo", "+442079460998": "Ada" },
        "mappings": [{
            "name": "own",
            "call_id": { "path": "call.uid" }, "from": { "path": "/call/parties/0/n" },
            "to": { "path": "call.parties.1.n" },
            "status": { "path": "call.state", "values": { "RINGING": "ringing", "HUNGUP": "ended" } },
            "time": { "path": "call.when", "format": "epoch_ms" },
            "direction": { "value": "inbound" },
            "hangup_by": { "path": "call.who", "values": { "customer": "caller", "*": "agent" } },
        }],
    })
}

pub fn rules() -> Rules {
    let settings: callweave_core::settings::Settings = serde_json::from_value(settings()).expect("settings");
    assert_eq!(settings.check(), Ok(()));
    Rules::new(settings)
}

pub fn terms(rules: &Rules) -> Terms<'_> {
    Terms { account: "acme", rules, secret: None, base: BASE }
}

/// Plays a file, whole.
pub fn play(system: System, bytes: &[u8], rules: &Rules, received: Time) -> Taken {
    let terms = terms(rules);
    let mut taken = Taken::default();
    let lines = || bytes.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    match system {
        System::Telnyx | System::Plivo | System::Bandwidth | System::FreeSwitch | System::Generic(_) => {
            return hook(system, bytes, rules, received);
        }
        System::Vonage => {
            lines().filter(|it| !it.is_empty()).for_each(|it| taken.extend(hook(system, it, rules, received)))
        }
        System::FreeSwitchEvents => {
            let mut blocks = Blocks::default();
            let found: Vec<_> = blocks.push(bytes).into_iter().chain(blocks.finish()).collect();
            found.iter().for_each(|block| taken.extend(freeswitch::event_text(block, &terms, received)));
        }
        System::Master => {
            let mut master = Master::new("asterisk".into(), None, Tz::UTC);
            lines().for_each(|line| taken.extend(master.push(line, &terms, None)));
            taken.extend(master.flush(&terms, None));
        }
        System::Cel => {
            let mut cel = Cel::new("asterisk".into(), None, Tz::UTC);
            lines().for_each(|line| taken.extend(cel.push(line, &terms, None)));
        }
        System::Ami => {
            let mut ami = Ami::new("asterisk".into());
            bytes.chunks(7).for_each(|piece| taken.extend(ami.push(piece, &terms, received)));
            taken.extend(ami.finish(&terms, received));
        }
        System::Ari => {
            let mut ari = Ari::new("asterisk".into());
            lines().for_each(|line| taken.extend(ari.push(line, &terms, None)));
        }
        System::ThreeCx => {
            let columns = ThreeCx::new("3cx".into(), COLUMNS, Tz::UTC).expect("columns");
            lines().for_each(|line| taken.extend(columns.push(line, &terms, None)));
        }
    }
    taken
}

/// One request, as the system would send it.
pub fn hook(system: System, body: &[u8], rules: &Rules, received: Time) -> Taken {
    let seconds = received.0 / MICROS_PER_SECOND;
    let (mut headers, mut secret) = (Vec::new(), "me:secret".to_owned());
    match system {
        System::Telnyx => {
            let key = SigningKey::from_bytes(&[7; 32]);
            let message = [format!("{seconds}|").as_bytes(), body].concat();
            headers.push(("telnyx-timestamp", seconds.to_string()));
            headers.push(("telnyx-signature-ed25519", STANDARD.encode(key.sign(&message).to_bytes())));
            secret = STANDARD.encode(key.verifying_key().to_bytes());
        }
        System::Plivo => {
            let mut form: Vec<_> = form(body);
            form.sort();
            let form: String = form.iter().map(|(name, value)| format!("{name}{value}")).collect();
            let query = if form.is_empty() { "" } else { "?" };
            let mac = sign::hmac_sha256(secret.as_bytes(), &[format!("{BASE}{query}{form}.nonce").as_bytes()]);
            headers.push(("x-plivo-signature-v3", STANDARD.encode(mac.expect("a key of any length"))));
            headers.push(("x-plivo-signature-v3-nonce", "nonce".to_owned()));
        }
        System::Vonage => headers.push(("authorization", format!("Bearer {}", jwt(&secret, body, seconds)))),
        _ => headers.push(("authorization", format!("Basic {}", STANDARD.encode(&secret)))),
    }
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let step = if let System::Generic(name) = system { name } else { "" };
    let hook = Hook { method: "POST", url: BASE, step, headers: &headers, body, received };
    let terms = Terms { secret: Some(&secret), ..terms(rules) };
    let taken = match system {
        System::Telnyx => telnyx::take(&hook, &terms),
        System::Plivo => plivo::take(&hook, &terms),
        System::Vonage => vonage::take(&hook, &terms),
        System::Bandwidth => bandwidth::take(&hook, &terms),
        System::FreeSwitch => freeswitch::take(&hook, &terms),
        _ => generic::take(&hook, &terms),
    };
    taken.unwrap_or_else(|refused| panic!("{system:?}: {refused}"))
}

fn form(body: &[u8]) -> Vec<(String, String)> {
    let text = |part: &[u8]| {
        let spaced: Vec<u8> = part.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
        percent_encoding::percent_decode(&spaced).decode_utf8_lossy().into_owned()
    };
    let pairs = body.split(|&b| b == b'&').filter(|part| !part.is_empty()).take(callweave_core::limits::FORM_PAIRS_MAX);
    pairs
        .map(|part| match part.iter().position(|&b| b == b'=') {
            Some(at) => (text(&part[..at]), text(&part[at + 1..])),
            None => (text(part), String::new()),
        })
        .collect()
}

pub fn jwt(secret: &str, body: &[u8], issued: i64) -> String {
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let hash = sign::sha256_hex(body);
    let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"iat":{issued},"iss":"Vonage","payload_hash":"{hash}"}}"#));
    let mac = sign::hmac_sha256(secret.as_bytes(), &[format!("{head}.{claims}").as_bytes()]).expect("a key");
    format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode(mac))
}

/// The rows that count in the end, by call.
pub fn join<'e>(events: impl IntoIterator<Item = &'e Event<'static>>, mode: Mode) -> BTreeMap<String, CallRow> {
    let (mut join, mut out, mut rows) = (Join::new(mode), Effects::default(), BTreeMap::new());
    let at = Time::parse("2000-01-02T00:00:00Z").expect("a time");
    let settings = serde_json::json!({ "specversion": "1.0", "id": "s", "source": "test", "type": "account_settings",
        "time": at, "account": "acme", "data": settings() })
    .to_string();
    join.apply(&decode(settings.as_bytes(), None).expect("settings"), None, &mut out);
    for event in events {
        let json = event.to_json();
        let event = decode(json.as_bytes(), None).unwrap_or_else(|rejected| panic!("{rejected:?} {json}"));
        join.apply(&event, None, &mut out);
        collect(&mut out, &mut rows);
    }
    join.settle(&mut out);
    collect(&mut out, &mut rows);
    rows
}

fn collect(out: &mut Effects, rows: &mut BTreeMap<String, CallRow>) {
    for row in out.calls.drain(..) {
        rows.insert(row.call_id.to_string(), CallRow { revision: 0, ..(*row).clone() });
    }
    out.clear();
}

/// Where fixtures of our own lie, and where the originals do if they are there.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/telephony")
}

pub fn originals() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cdr");
    [beside, PathBuf::from("/work/shared/data/cdr")].into_iter().find(|path| path.is_dir())
}
