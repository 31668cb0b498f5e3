//! Every sample goes through its parser, and a table tells what came out. The table of our own fixtures is checked in:
//! `CALLWEAVE_BLESS=1 cargo test -p callweave-core --test telephony` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use callweave_core::event::{Body, Event};
use callweave_core::join::Mode;
use callweave_core::telephony::Taken;
use callweave_core::time::Time;

use super::play::{System, fixtures, join, originals, play, rules};

pub const OWN: [(&str, System); 36] = [
    ("asterisk/ami_answered.txt", System::Ami),
    ("asterisk/ami_cancel.txt", System::Ami),
    ("asterisk/ari_answered.ndjson", System::Ari),
    ("asterisk/ari_failed.ndjson", System::Ari),
    ("asterisk/cel.csv", System::Cel),
    ("asterisk/master_18.csv", System::Master),
    ("asterisk/master_21_hunt.csv", System::Master),
    ("bandwidth/1_initiate.json", System::Bandwidth),
    ("bandwidth/2_transfer_complete.json", System::Bandwidth),
    ("bandwidth/3_disconnect.json", System::Bandwidth),
    ("freeswitch/a_leg.json", System::FreeSwitch),
    ("freeswitch/b_leg.json", System::FreeSwitch),
    ("freeswitch/b_leg_busy.json", System::FreeSwitch),
    ("freeswitch/events.txt", System::FreeSwitchEvents),
    ("freeswitch/menu_duplicate_callflow.cdr", System::FreeSwitch),
    ("freeswitch/missed_base64.cdr", System::FreeSwitch),
    ("generic/callrail.json", System::Generic("callrail")),
    ("generic/ctm.json", System::Generic("ctm")),
    ("generic/own.json", System::Generic("own")),
    ("plivo/1_ringing.form", System::Plivo),
    ("plivo/2_dial_answer.form", System::Plivo),
    ("plivo/3_hangup.form", System::Plivo),
    ("plivo/outbound_hangup.form", System::Plivo),
    ("telnyx/1_initiated.json", System::Telnyx),
    ("telnyx/2_answered.json", System::Telnyx),
    ("telnyx/3_leg_initiated.json", System::Telnyx),
    ("telnyx/4_leg_busy.json", System::Telnyx),
    ("telnyx/5_bridged.json", System::Telnyx),
    ("telnyx/6_leg_bridged.json", System::Telnyx),
    ("telnyx/7_hangup.json", System::Telnyx),
    ("telnyx/8_recording_saved.json", System::Telnyx),
    ("telnyx/texml_no_answer.form", System::Telnyx),
    ("telnyx/v1_answered.json", System::Telnyx),
    ("threecx/lines.csv", System::ThreeCx),
    ("vonage/answered.ndjson", System::Vonage),
    ("vonage/unanswered.ndjson", System::Vonage),
];

type Original = (&'static str, System, &'static str, &'static [(&'static str, &'static str)]);

/// The originals, and when each is taken in: near its own times. With what is replaced in it, as its masked numbers and
/// calls from one extension to another make no events otherwise.
const ORIGINALS: [Original; 22] = [
    ("3cx_cdr_line.csv", System::ThreeCx, "2023-09-19T14:00:00Z", &[("XXXX", "1234")]),
    (
        "asterisk_ami_answered-internal.raw",
        System::Ami,
        "2026-02-12T09:30:00Z",
        &[("CallerIDNum: 21\n", "CallerIDNum: +447700900123\n")],
    ),
    (
        "asterisk_ami_answered-outbound.raw",
        System::Ami,
        "2026-02-12T09:30:00Z",
        &[("Exten: 21\n", "Exten: +447700900123\n")],
    ),
    (
        "asterisk_ami_unanswered-cancel.raw",
        System::Ami,
        "2026-02-12T09:30:00Z",
        &[("CallerIDNum: 1986\n", "CallerIDNum: +447700900123\n")],
    ),
    (
        "asterisk_ami_unanswered-huntgroup.raw",
        System::Ami,
        "2026-02-12T09:30:00Z",
        &[("CallerIDNum: 1986\n", "CallerIDNum: +447700900123\n")],
    ),
    (
        "asterisk_ari_answered.ndjson",
        System::Ari,
        "2016-09-12T12:00:00Z",
        &[("\"number\":\"1001\"", "\"number\":\"+447700900123\"")],
    ),
    ("asterisk_ari_failed.ndjson", System::Ari, "2020-04-19T18:00:00Z", &[]),
    ("asterisk_cel_master_1.8_style.csv", System::Cel, "2012-04-25T00:00:00Z", &[]),
    (
        "asterisk_master_good.csv",
        System::Master,
        "2009-01-15T00:00:00Z",
        &[("\"test\",\"100\"", "\"+447700900123\",\"100\"")],
    ),
    ("asterisk_master_tel.csv", System::Master, "2020-08-28T00:00:00Z", &[("\"8001\",", "\"+447700900123\",")]),
    ("bandwidth_disconnect.json", System::Bandwidth, "2022-06-17T22:20:20Z", &[]),
    ("callrail_post_call_voicemail.json", System::Generic("callrail"), "2018-02-19T18:42:00Z", &[]),
    ("ctm_call_activity.json", System::Generic("ctm"), "2013-05-02T04:00:00Z", &[]),
    (
        "freeswitch_esl_channel_hangup_complete.txt",
        System::FreeSwitchEvents,
        "2015-07-07T15:00:00Z",
        &[("Caller-ID-Number: 1001", "Caller-ID-Number: +447700900123")],
    ),
    (
        "freeswitch_json_cdr_1.json",
        System::FreeSwitch,
        "2018-01-11T11:00:00Z",
        &[("\"caller_id_number\": \"1001\"", "\"caller_id_number\": \"+447700900123\"")],
    ),
    (
        "freeswitch_json_cdr_callflow_array.json",
        System::FreeSwitch,
        "2018-03-14T11:10:00Z",
        &[("\"caller_id_number\": \"1001\"", "\"caller_id_number\": \"+447700900123\"")],
    ),
    ("plivo_hangup.form", System::Plivo, "2024-09-26T08:36:30Z", &[("00XX", "0012")]),
    ("telnyx_call_answered_v1.json", System::Telnyx, "2018-02-02T22:25:30Z", &[]),
    ("telnyx_call_hangup.json", System::Telnyx, "2018-02-02T22:25:30Z", &[]),
    ("telnyx_call_recording_saved.json", System::Telnyx, "2025-01-19T10:30:20Z", &[]),
    ("telnyx_texml_completed.json", System::Telnyx, "2021-04-28T21:52:00Z", &[]),
    ("vonage_events.ndjson", System::Vonage, "2020-01-01T12:00:03Z", &[]),
];

fn told(event: &Event<'_>) -> String {
    let time = event.time;
    let rest = |outcome: Option<callweave_core::event::Outcome>, cause: Option<&str>| {
        let outcome = outcome.map_or(String::new(), |it| format!(" {}", it.name()));
        format!("{outcome}{}", cause.map_or(String::new(), |it| format!(" ({it})")))
    };
    match &event.body {
        Body::Call(call) => {
            let status = serde_json::to_value(call.status).expect("a status");
            format!("{} {time}{}", status.as_str().expect("text"), rest(call.outcome, call.cause.as_deref()))
        }
        Body::CallRecord(record) => format!("record {time}{}", rest(record.outcome, record.cause.as_deref())),
        other => other.type_name().to_owned(),
    }
}

fn section(page: &mut String, name: &str, samples: &[(String, Taken)]) {
    let _ = write!(page, "\n## {name}\n\n| sample | what it says |\n| --- | --- |\n");
    for (sample, taken) in samples {
        let events = taken.events.iter().map(told);
        let passed = taken.passed.iter().map(|pass| format!("passed over: {pass:?}"));
        let rejected = taken.rejected.iter().map(|it| format!("rejected: {}", it.reason));
        let all: Vec<String> = events.chain(passed).chain(rejected).collect();
        let _ = writeln!(page, "| {sample} | {} |", all.join("<br>"));
    }
    let rows = join(samples.iter().flat_map(|(_, taken)| &taken.events), Mode::Bounded);
    if rows.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "\n| call | caller | number | direction | start | answer | end | talk | outcome | cause | ended by | went to |\n{}\n",
        "| --- ".repeat(12) + "|"
    );
    let time = |at: Option<Time>| at.map_or("".to_owned(), |at| at.to_string().replace(".000000Z", "Z"));
    for (id, row) in rows {
        let went =
            [row.destination.as_deref(), row.agent.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            page,
            "| {id} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {went} |",
            row.caller,
            row.tracking_number,
            row.direction.name(),
            time(Some(row.started_at)),
            time(row.answered_at),
            time(row.ended_at),
            row.talk_seconds,
            row.outcome.map_or("", |it| it.name()),
            row.cause.as_deref().unwrap_or(""),
            row.hangup_by.map_or("", |it| it.name()),
        );
    }
}

#[test]
fn every_fixture_goes_through_its_parser() {
    let received = Time::parse("2026-11-20T13:00:00Z").expect("a time");
    let within = Time::parse("2026-11-20T12:00:09Z").expect("a time");
    let mut folders: BTreeMap<&str, Vec<(String, Taken)>> = BTreeMap::new();
    for (name, system) in OWN {
        let bytes = std::fs::read(fixtures().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Plivo dates the beginning and the end alone.
        let received = if name.starts_with("plivo/2") { within } else { received };
        let taken = play(system, &bytes, &rules(), received);
        assert!(taken.rejected.is_empty(), "{name}: {:?}", taken.rejected);
        let folder = name.split('/').next().expect("a folder");
        folders.entry(folder).or_default().push((name.to_owned(), taken));
    }
    let mut page = "# What the fixtures become\n\nMade by `cargo test -p callweave-core --test telephony`; \
                    `CALLWEAVE_BLESS=1` rewrites it. `tests/fixtures/telephony/` holds the samples.\n"
        .to_owned();
    for (folder, samples) in &folders {
        section(&mut page, folder, samples);
    }
    println!("{page}");
    let golden = fixtures().join("table.md");
    if std::env::var_os("CALLWEAVE_BLESS").is_some() {
        std::fs::write(&golden, &page).expect("the table");
    }
    let committed = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(committed == page, "{} is out of step: run this test with CALLWEAVE_BLESS=1", golden.display());
}

/// Where the originals are at hand: each makes a call, once as it is and once with what is replaced in it.
#[test]
fn every_original_goes_through_its_parser() {
    let Some(folder) = originals() else { return println!("no originals here") };
    let mut page = String::new();
    for (name, system, received, replaced) in ORIGINALS {
        let bytes = std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let received = Time::parse(received).expect("a time");
        let mut samples = vec![("as it is".to_owned(), play(system, &bytes, &rules(), received))];
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        for (from, to) in replaced {
            assert!(text.contains(from), "{name} has no {from:?}");
            text = text.replace(from, to);
        }
        if !replaced.is_empty() {
            let with =
                replaced.iter().map(|(from, to)| format!("{} for {}", to.trim(), from.trim())).collect::<Vec<_>>();
            samples.push((format!("with {}", with.join(", ")), play(system, text.as_bytes(), &rules(), received)));
        }
        for (what, taken) in &samples {
            assert!(taken.rejected.is_empty(), "{name} {what}: {:?}", taken.rejected);
        }
        let last = samples.last().map(|(_, taken)| taken.events.len());
        assert!(last > Some(0), "{name} makes no event");
        // Each variant by itself: both name the same call.
        for sample in samples.chunks(1) {
            section(&mut page, &format!("{name} {}", sample[0].0), sample);
        }
    }
    println!("{page}");
    let listed = std::fs::read_dir(&folder).expect("the folder").filter_map(Result::ok).map(|it| it.file_name());
    let others = ["twilio", "README", "asterisk_cel_custom.conf", "3cx_cdr_parsed.json"];
    for file in listed.map(|it| it.to_string_lossy().into_owned()).filter(|it| !it.ends_with(".source.txt")) {
        let known =
            ORIGINALS.iter().any(|(name, ..)| *name == file) || others.iter().any(|other| file.starts_with(other));
        assert!(known, "{} is played by no test", Path::new(&file).display());
    }
}
