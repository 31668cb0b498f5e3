//! Commands that read and write files, at the command line: what they refuse, by which exit status, and that nothing is lost by it.

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};

use crate::program::{Place, Program, until};

const CALLS: &str = "from,to,date,duration\n+442079460001,+442079460002,2026-11-20T12:00:00Z,5\n";

/// Exit status and messages.
fn ended(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn ends(place: &Place, line: &str, status: i32, words: &str) {
    let arguments: Vec<&str> = line.split(' ').collect();
    let (found, said) = ended(&place.command(&arguments).output().expect("the binary runs"));
    assert!(found == Some(status) && said.contains(words), "{line}: {found:?} {said}");
}

/// The lake's own files are not written over.
#[test]
fn no_answer_is_written_into_the_lake() {
    let place = Place::new();
    fs::write(place.folder.path().join("none"), "").expect("written");
    ends(&place, "run --input none --lake lake", 0, "");
    let log = place.folder.path().join("lake/calls/_delta_log/00000000000000000000.json");
    let before = fs::read(&log).expect("a log");
    for command in ["sql --lake lake", "report performance --lake lake"] {
        let line = format!("{command} --output lake/calls/_delta_log/00000000000000000000.json");
        let line = if command.starts_with("sql") { line + " SELECT" } else { line };
        ends(&place, &line, 2, "lies in the lake at ");
    }
    assert_eq!(fs::read(&log).expect("a log"), before);
}

#[test]
fn no_file_is_lost_to_what_cannot_be_done() {
    let place = Place::new();
    let at = |name: &str| place.folder.path().join(name);
    fs::write(at("calls.csv"), CALLS).expect("written");
    fs::write(at("kept"), "of before").expect("written");
    #[cfg(unix)]
    std::os::unix::fs::symlink("calls.csv", at("link")).expect("a link");
    fs::write(at("query"), "SELECT 1 AS one").expect("written");
    fs::hard_link(at("query"), at("hard")).expect("a link");
    let import = "import --format csv";
    for (line, words) in [
        (format!("{import} calls.csv -o calls.csv"), "--output and the input calls.csv are one file"),
        (format!("{import} ./calls.csv -o calls.csv"), "name another file for --output"),
        (format!("{import} link -o calls.csv"), "one file"),
        (format!("{import} calls.csv -o x --rejects calls.csv"), "--rejects and the input calls.csv are one file"),
        (format!("{import} calls.csv -o kept --rejects ./kept"), "--rejects and --output are one file"),
        (format!("{import} calls.csv -o x --rejects x"), "--rejects and --output are one file"),
        ("simulate --events 10 -o kept --truth kept".to_owned(), "--truth and --output are one file"),
        ("simulate --events 10 -o x --truth ./x".to_owned(), "--truth and --output are one file"),
        ("sql --file query --output query".to_owned(), "--output and the input query are one file"),
        ("sql --file ./query -o hard".to_owned(), "--output and the input ./query are one file"),
        (
            "report performance --by nope".to_owned(),
            "--by is \"nope\", which performance cannot be broken down by: give",
        ),
        ("evaluate --truth kept --input calls.csv --plot kept".to_owned(), "--plot and the input kept are one file"),
        // Wrong flags.
        (format!("{import} calls.csv -o kept --map Caller=frm"), "there is no member frm"),
        (format!("{import} calls.csv -o kept --country ZZ"), "--country ZZ"),
        (format!("{import} calls.csv -o kept --account bad/name!"), "not an account's name"),
        ("import --format combined calls.csv -o kept --site ex.com".to_owned(), "--site ex.com"),
        ("simulate --calls 1.5 -o kept".to_owned(), "--calls is 1.5, but a share must be from 0 to 1"),
        ("simulate --pool-numbers 0 -o kept".to_owned(), "--pool-numbers is 0"),
        ("simulate --account bad/name! -o x --truth kept".to_owned(), "not an account's name"),
    ] {
        ends(&place, &line, 2, words);
    }
    // What files hold, or that they are not there.
    ends(&place, "import --format csv nothere.csv -o kept", 1, "nothere.csv");
    ends(&place, "import --format csv calls.csv nothere.csv -o kept --rejects kept2", 1, "nothere.csv");
    ends(&place, "import --format csv calls.csv -o kept --map Caller=from", 1, "has no column Caller");
    assert_eq!(fs::read_to_string(at("calls.csv")).expect("there"), CALLS);
    assert_eq!(fs::read_to_string(at("kept")).expect("there"), "of before");
    assert_eq!(fs::read_to_string(at("query")).expect("there"), "SELECT 1 AS one");
    assert!(!at("x").exists() && !at("kept2").exists());

    // What can be done is done, also twice to where nothing is kept.
    ends(&place, "import --format csv calls.csv -o kept --rejects rejects", 0, "1 lines: 1 events");
    assert!(fs::read_to_string(at("kept")).expect("there").contains("call_record"));
    assert_eq!(fs::read_to_string(at("rejects")).expect("there"), "");
    ends(&place, "simulate --events 10 -o /dev/null --truth /dev/null", 0, "10 events");
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let place = Place::new();
    for arguments in [&["schema", "call_record"][..], &["schema"], &["check"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
        let mut command = place.command(arguments);
        let (status, said) = ended(&command.stdout(full).output().expect("the binary runs"));
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("standard output cannot be written"), "{said}");
        // A reader that goes away has had enough.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let (status, said) = ended(&place.command(arguments).stdout(writer).output().expect("the binary runs"));
        assert_eq!((status, said.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn many_bounded_jobs_leave_few_files() {
    let place = Place::new();
    for n in 0..8 {
        let event = format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{n}\",\"source\":\"t\",\"type\":\"page_view\",\"time\":\"2026-11-20T12:00:00Z\",\
             \"account\":\"acme\",\"data\":{{\"visitor_id\":\"v{n}\",\"url\":\"https://www.example.com/\"}}}}\n"
        );
        fs::write(place.folder.path().join("e.ndjson"), event).expect("written");
        ends(&place, "run --input e.ndjson", 0, "1 events");
    }
    // What the table's log says last: eight files went, and one came.
    let log = place.lake().join("page_views/_delta_log");
    let mut commits: Vec<_> = fs::read_dir(log).expect("a log").map(|entry| entry.expect("an entry").path()).collect();
    commits.retain(|path| path.extension().is_some_and(|it| it == "json"));
    let last = fs::read_to_string(commits.iter().max().expect("commits")).expect("a commit");
    let of = |action: &str| last.lines().filter(|line| line.starts_with(&format!("{{\"{action}\":"))).count();
    assert_eq!((of("remove"), of("add")), (8, 1), "{last}");
    assert_eq!(place.sql("SELECT count(*) AS n FROM page_views")[0]["n"], 8);
}

#[test]
fn two_bounded_jobs_do_not_go_on_from_one_state() {
    let place = Place::new();
    let event = |id: &str| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"t\",\"type\":\"page_view\",\"time\":\"2026-11-20T12:00:00Z\",\
             \"account\":\"acme\",\"data\":{{\"visitor_id\":\"{id}\",\"url\":\"https://www.example.com/\"}}}}\n"
        )
    };
    fs::write(place.folder.path().join("b.ndjson"), event("b")).expect("written");
    let begin = || {
        let mut command = place.command(&["run", "--input", "-"]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("the binary runs")
    };
    let lock = place.lake().join("_state/run.lock");
    let holds = |pid: u32| until("the lock", || (fs::read_to_string(&lock).ok()? == pid.to_string()).then_some(()));

    // As long as the first reads, the second is told who it is; then it goes on from where that one ended.
    let mut first = begin();
    holds(first.id());
    let said = format!("another `callweave run` (process {}) works on this lake", first.id());
    ends(&place, "run --input b.ndjson", 1, &said);
    first.stdin.take().expect("its input").write_all(event("a").as_bytes()).expect("read");
    let (status, said) = ended(&first.wait_with_output().expect("its end"));
    assert_eq!(status, Some(0), "{said}");
    ends(&place, "run --input b.ndjson", 0, "1 events");
    ends(&place, "run --input b.ndjson", 0, "nothing changed");
    let known = place.sql("SELECT visitor_id FROM sessions ORDER BY visitor_id");
    assert_eq!(known.len(), 2, "{known:?}");

    // One that is killed holds nobody up.
    let mut killed = begin();
    holds(killed.id());
    killed.kill().expect("killed");
    killed.wait().expect("its end");
    fs::write(place.folder.path().join("c.ndjson"), event("c")).expect("written");
    ends(&place, "run --input c.ndjson", 0, "1 events");

    // A live job has states of its own.
    let live = Program::start(&place, &["up"]);
    fs::write(place.folder.path().join("d.ndjson"), event("d")).expect("written");
    ends(&place, "run --input d.ndjson", 0, "1 events");
    live.stop();
}

/// Settings of the configuration hold from the beginning of what a first bounded job reads, until an event says otherwise; those of a
/// later job hold for what comes behind.
#[test]
fn a_bounded_job_goes_by_the_settings_of_the_configuration() {
    let place = Place::new();
    let at = |name: &str| place.folder.path().join(name);
    let given = fs::read_to_string(at("callweave.toml")).expect("a configuration");
    let configured = |seconds: u32| {
        let settings = format!(
            "{given}[accounts.acme.settings]\ntarget_seconds = {seconds}\n\
             numbers = [{{ number = \"+14155550123\", kind = \"static\", source = \"print\", medium = \"offline\" }}]\n"
        );
        fs::write(at("callweave.toml"), settings).expect("a configuration");
    };
    let call = |id: &str, account: &str, hour: u32| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"pbx","type":"call_record","time":"2026-11-20T{hour}:00:20Z","account":"{account}","data":{{"call_id":"{id}","direction":"inbound","from":"+14155550{hour}0","to":"+14155550123","started_at":"2026-11-20T{hour}:00:00Z","answered_at":"2026-11-20T{hour}:00:05Z","ended_at":"2026-11-20T{hour}:00:20Z"}}}}"#
        )
    };
    let told = r#"{"specversion":"1.0","id":"s","source":"crm","type":"account_settings","time":"2026-11-20T12:00:00Z","account":"acme","data":{"target_seconds":60}}"#;
    let rows = || {
        let rows = place.sql("SELECT call_id, source, is_target FROM calls ORDER BY call_id");
        rows.iter().map(|row| format!("{} {} {}", row["call_id"], row["source"], row["is_target"])).collect::<Vec<_>>()
    };
    configured(10);
    let first = [call("c1", "acme", 10), call("c2", "acme", 13), call("c3", "globex", 10), told.to_owned()];
    fs::write(at("first"), first.join("\n")).expect("events");
    let (status, said) = ended(&place.command(&["run", "--input", "first"]).output().expect("the binary runs"));
    assert!(status == Some(0) && said.contains("4 events in"), "{said}");
    let expected = ["\"c1\" \"print\" true", "\"c2\" null false", "\"c3\" null false"];
    assert_eq!(rows(), expected);
    // What is late goes by the settings of its time; others hold for what comes later.
    fs::write(at("second"), call("c4", "acme", 11)).expect("events");
    ends(&place, "run --input second", 0, "1 events in");
    assert_eq!(rows()[3], "\"c4\" \"print\" true");
    configured(20);
    fs::write(at("third"), call("c5", "acme", 14)).expect("events");
    ends(&place, "run --input third", 0, "1 events in");
    assert_eq!((&*rows()[0], &*rows()[4]), ("\"c1\" \"print\" true", "\"c5\" \"print\" false"));
}
