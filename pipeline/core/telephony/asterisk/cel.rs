//! CEL: a line of CSV for each thing that happens to a channel (`cel_custom.conf`).

use chrono_tz::Tz;

use super::{dialled, is_voicemail};
use crate::limits::COLUMNS_MAX;
use crate::telephony::draft::Draft;
use crate::telephony::line::cells;
use crate::telephony::outcome::asterisk;
use crate::telephony::tag::Tag;
use crate::telephony::track::{Fact, Happening, Tracker};
use crate::telephony::{Taken, Terms, when};
use crate::time::Time;

/// The columns as Asterisk's example has them.
pub const STANDARD: &str = "eventtype,eventtime,cidname,cidnum,cidani,cidrdnis,ciddnid,exten,context,channame,appname,\
                            appdata,amaflags,accountcode,uniqueid,linkedid,peer,userfield,userdeftype,eventextra";

/// Reads lines, in the order they were written. It holds the calls that go on.
pub struct Cel {
    source: String,
    columns: Vec<String>,
    zone: Tz,
    tracker: Tracker,
}

impl Cel {
    /// `columns` by name, separated by commas, as [`STANDARD`] has them; `zone` is for times without one.
    pub fn new(source: String, columns: Option<&str>, zone: Tz) -> Cel {
        let columns = columns.unwrap_or(STANDARD).split(',').take(COLUMNS_MAX);
        let columns = columns.map(|name| name.trim().to_ascii_lowercase()).collect();
        Cel { source, columns, zone, tracker: Tracker::default() }
    }

    /// Takes a line, without its end. `received` is nothing where the file may be old.
    pub fn push(&mut self, line: &[u8], terms: &Terms<'_>, received: Option<Time>) -> Taken {
        let mut draft = Draft::line(line, received, terms, &self.source);
        if line.trim_ascii().is_empty() {
            return draft.taken();
        }
        match cells(line) {
            Err(reason) => draft.reject("", reason),
            Ok(cells) => {
                let get = |name: &str| {
                    let at = self.columns.iter().position(|column| column == name)?;
                    cells.get(at).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
                };
                take(&mut self.tracker, &mut draft, &get, self.zone, terms);
            }
        }
        draft.taken()
    }
}

fn take<'c>(
    tracker: &mut Tracker,
    draft: &mut Draft<'_>,
    get: &dyn Fn(&str) -> Option<&'c str>,
    zone: Tz,
    terms: &Terms<'_>,
) {
    let (Some(kind), Some(time)) = (get("eventtype"), get("eventtime")) else { return draft.missing("eventtime") };
    let at = when::epoch(time).or_else(|| when::rfc(time)).or_else(|| when::local(time, zone));
    let (Some(at), Some(channel)) = (at, get("uniqueid")) else {
        return draft.reject("eventtime", "eventtime is no time, or uniqueid is missing".to_owned());
    };
    let extra = get("eventextra").unwrap_or_default();
    let app = get("appname").unwrap_or_default();
    let callee = get("cidnum").or(get("exten")).and_then(dialled);
    let tag = get("userfield").and_then(Tag::parse);
    let mut put =
        |what| tracker.take(draft, &Fact { call: get("linkedid"), channel, at, tag: tag.clone(), what }, terms);
    match kind {
        "CHAN_START" => {
            put(Happening::Opened {
                from: get("cidnum").or(get("cidani")).and_then(dialled).unwrap_or_default(),
                to: get("exten").and_then(dialled).unwrap_or_default(),
            });
            // A further channel of a call is one that was dialled.
            if get("linkedid").is_some_and(|call| call != channel) {
                put(Happening::DialBegins { callee: None });
            }
        }
        "APP_START" if is_voicemail(app) => put(Happening::Voicemail),
        // A dialled channel that is answered runs AppDial or AppQueue.
        "ANSWER" if app.starts_with("AppDial") || app.starts_with("AppQueue") => {
            put(Happening::DialEnds { why: asterisk("ANSWER"), word: "ANSWER", callee });
        }
        "ANSWER" if !matches!(app, "Dial" | "Queue") => put(Happening::Up),
        "BRIDGE_START" | "BRIDGE_UPDATE" => put(Happening::Bridged),
        "BRIDGE_ENTER" if get("peer").is_some() => put(Happening::Bridged),
        "BLINDTRANSFER" | "ATTENDEDTRANSFER" => put(Happening::Transferred),
        "HANGUP" => {
            let (code, source, status) = hangup(extra);
            // Only the channel that dialled knows how that went.
            if !status.is_empty() && status != "ANSWER" {
                put(Happening::DialEnds { why: asterisk(&status), word: &status, callee: None });
            }
            if !source.is_empty() && get("channame") == Some(source.as_str()) {
                put(Happening::HangupAsked);
            }
            put(Happening::Gone { code, text: "" });
        }
        "LINKEDID_END" => put(Happening::Over),
        _ => {}
    }
}

/// Cause, who hung up, and how a dial went: JSON since Asterisk 12, `cause,source,dialstatus` before.
fn hangup(extra: &str) -> (u16, String, String) {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(extra)
        && json.is_object()
    {
        let text = |name: &str| json.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let code = json.get("hangupcause").and_then(serde_json::Value::as_u64).unwrap_or(0);
        return (u16::try_from(code).unwrap_or(0), text("hangupsource"), text("dialstatus"));
    }
    let mut parts = extra.split(',').map(str::trim);
    let code = parts.next().and_then(|code| code.parse().ok()).unwrap_or(0);
    (code, parts.next().unwrap_or_default().to_owned(), parts.next().unwrap_or_default().to_owned())
}
