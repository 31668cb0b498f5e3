use std::io::Write;
use std::path::PathBuf;

use callweave_core::event::decode;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::combined::parse;
use super::{Counts, Format, ImportError, ImportOptions, Progress, import};

mod costs;

struct Desk {
    folder: TempDir,
    options: ImportOptions,
}

impl Desk {
    fn new(format: Format) -> Desk {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = ImportOptions::new(format, Vec::new(), "acme");
        options.site = Some("https://example.com/".to_owned());
        options.rejects = Some(folder.path().join("rejects"));
        Desk { folder, options }
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> &mut Desk {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        self.options.files.push(path);
        self
    }

    fn run(&self) -> Result<(Counts, Vec<Value>), ImportError> {
        let mut out = Vec::new();
        let counts = import(&self.options, &mut out, &Progress::silent())?;
        let lines = out.split(|&b| b == b'\n').filter(|line| !line.is_empty());
        for line in lines.clone() {
            decode(line, None).unwrap_or_else(|rejected| panic!("{rejected:?}"));
        }
        Ok((counts, lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect()))
    }

    fn rejects(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("rejects")).expect("rejects")
    }
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

fn log_line(request: &str, status: u16, rest: &str) -> String {
    format!("192.0.2.7 - - [17/May/2015:10:05:03 +0200] \"{request}\" {status} 2326{rest}\n")
}

/// Method, target, status, referrer and user agent.
type Parts<'a> = (&'a str, &'a str, u16, Option<&'a str>, Option<&'a str>);

#[test]
fn lines_of_a_log() {
    let check = |line: &str, expected: Result<Parts<'_>, &str>| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let found = parse(line.as_bytes()).map(|r| {
            let referrer = r.referrer.as_deref().map(text);
            (text(&r.method), text(&r.target), r.status, referrer, r.agent.as_deref().map(text))
        });
        let found = found.as_ref().map(|(m, t, s, r, a)| (&**m, &**t, *s, r.as_deref(), a.as_deref()));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{line}"),
            (Err(found), Err(words)) => assert!(found.contains(words), "{line}: {found}"),
            (found, _) => panic!("{line}: {found:?}"),
        }
    };
    let head = "192.0.2.7 - - [17/May/2015:10:05:03 +0000] ";
    check(&format!("{head}\"GET / HTTP/1.1\" 200 5"), Ok(("GET", "/", 200, None, None)));
    check(&format!("{head}\"GET / HTTP/1.1\" 304 -"), Ok(("GET", "/", 304, None, None)));
    check(
        &format!("{head}\"GET /a?b=c HTTP/2.0\" 200 5 \"-\" \"-\" \"extra\" 0.003"),
        Ok(("GET", "/a?b=c", 200, Some("-"), Some(""))),
    );
    check(
        &format!(r#"{head}"GET /a\"b HTTP/1.1" 200 5 "https://x/\"" "M \x22q\x22 \\ \xZZ""#),
        Ok(("GET", "/a\"b", 200, Some("https://x/\""), Some("M \"q\" \\ \\xZZ"))),
    );
    check(&format!("{head}\"GET /a b c HTTP/1.1\" 200 5"), Ok(("GET", "/a b c", 200, None, None)));
    check(&format!("{head}\"GET /\" 200 5"), Ok(("GET", "/", 200, None, None)));
    check(&format!(r#"{head}"\x16\x03\x01" 400 5 "-" "-""#), Ok(("", "", 400, Some("-"), Some(""))));
    check(&format!("{head}\"-\" 408 0 \"-\" \"-\""), Ok(("", "", 408, Some("-"), Some(""))));
    check(
        "::1 - J. [x] Doe [17/May/2015:10:05:03 -0730] \"HEAD / HTTP/1.0\" 200 -",
        Ok(("HEAD", "/", 200, None, None)),
    );
    check("", Err("no space"));
    check("192.0.2.7 - - [yesterday] \"GET / HTTP/1.1\" 200 5", Err("has no time"));
    check("192.0.2.7 - - [31/Feb/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5", Err("has no time"));
    check(&format!("{head}\"GET / HTTP/1.1"), Err("request"));
    check(&format!("{head}\"GET / HTTP/1.1\" ok 5"), Err("status"));
    check(&format!("{head}\"GET / HTTP/1.1\" 2000 5"), Err("status"));
    check(&format!("{head}\"GET / HTTP/1.1\" 200 5 \"-\" \"Mozilla/5.0 (compatible; cut"), Err("user agent"));
    check(&format!("{head}\"GET / HTTP/1.1\" 200 5 \"-\" \"ends in \\"), Err("user agent"));
}

#[test]
fn page_views_of_a_log() {
    let mut log = String::new();
    let browser = format!(" \"https://www.google.com/\" \"{FIREFOX}\"");
    log += &log_line("GET /prices?utm_source=x HTTP/1.1", 200, &browser);
    log += &log_line("GET /prices?utm_source=x HTTP/1.1", 200, &browser);
    log += &log_line("GET /caf\\xc3\\xa9 HTTP/1.1", 304, &format!(" \"-\" \"{FIREFOX}\""));
    log += &log_line("GET /common HTTP/1.1", 200, "");
    for (request, status) in [
        ("GET /a.png HTTP/1.1", 200),
        ("HEAD / HTTP/1.1", 200),
        ("POST /form HTTP/1.1", 200),
        ("GET /old HTTP/1.1", 301),
        ("GET /none HTTP/1.1", 404),
        ("GET /wp-json/x HTTP/1.1", 200),
    ] {
        log += &log_line(request, status, &browser);
    }
    log += &log_line("GET / HTTP/1.1", 200, " \"-\" \"Googlebot/2.1 (+http://www.google.com/bot.html)\"");
    log += "rubbish\n\n";
    let mut desk = Desk::new(Format::Combined);
    let (counts, events) = desk.file("access.log", log.as_bytes()).run().expect("imports");
    let expected = Counts {
        lines: 12,
        unreadable: 1,
        page_views: 4,
        bots: 1,
        internal: 1,
        other_methods: 2,
        redirects: 1,
        errors: 1,
        static_files: 1,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
    assert_eq!(desk.rejects(), "rubbish\n");
    let first = &events[0];
    assert_eq!(first["source"], "import/access.log");
    assert_eq!(first["time"], "2015-05-17T08:05:03.000Z");
    let data = json!({
        "visitor_id": first["data"]["visitor_id"],
        "url": "https://example.com/prices?utm_source=x",
        "referrer": "https://www.google.com/",
        "user_agent": FIREFOX,
        "ip": "192.0.2.7",
    });
    assert_eq!(first["data"], data);
    assert_eq!(events[1]["id"], format!("{}-2", first["id"].as_str().unwrap_or_default()));
    assert_eq!(events[2]["data"]["url"], "https://example.com/caf%C3%A9");
    assert_eq!(events[2]["data"]["visitor_id"], data["visitor_id"]);
    assert!(events[3]["data"]["user_agent"].is_null() && events[3]["data"]["visitor_id"] != data["visitor_id"]);

    // Packed or not, and again: the same events.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(log.as_bytes()).expect("packs");
    for packed in [gzip.finish().expect("packs"), zstd::encode_all(log.as_bytes(), 1).expect("packs")] {
        let again = Desk::new(Format::Combined).file("access.log", &packed).run().expect("imports");
        assert_eq!(again, (counts, events.clone()));
    }
    desk.options.salt = "another".to_owned();
    assert_ne!(desk.run().expect("imports").1[0]["data"]["visitor_id"], data["visitor_id"]);
    for (site, words) in
        [(None, "name the web site"), (Some("example.com"), "not a scheme"), (Some("https://a/b"), "not")]
    {
        desk.options.site = site.map(str::to_owned);
        assert!(desk.run().expect_err("no site").to_string().contains(words));
    }
}

#[test]
fn logs_that_begin_with_the_virtual_host() {
    let check = |head: &str, expected: (&str, Option<(&str, Option<u16>)>)| {
        let line = format!("{head} - J. Doe [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5");
        let found = parse(line.as_bytes()).expect("a request");
        assert_eq!((&*String::from_utf8_lossy(found.address), found.vhost), expected, "{line}");
    };
    check("www.example.com:443 203.0.113.5", ("203.0.113.5", Some(("www.example.com", Some(443)))));
    check("www.example.com 2001:db8::5", ("2001:db8::5", Some(("www.example.com", None))));
    // Debian's own, where nobody named the server.
    check("127.0.1.1:80 203.0.113.5", ("203.0.113.5", Some(("127.0.1.1", Some(80)))));
    check("[2001:db8::1]:8080 203.0.113.5", ("203.0.113.5", Some(("[2001:db8::1]", Some(8080)))));
    check("www.example.com:80 client.example.net", ("client.example.net", Some(("www.example.com", Some(80)))));
    check("_ 203.0.113.5", ("203.0.113.5", None));
    // No virtual host: an address, a name, what a proxy told of several.
    for address in
        ["203.0.113.5", "2001:db8::5", "::ffff:203.0.113.5", "client.example.net", "-", "client.example.net:http"]
    {
        check(address, (address, None));
    }
    check("203.0.113.5, 10.0.0.1", ("203.0.113.5,", None));
    check("www.example.com:443 -", ("www.example.com:443", None));

    let agent = format!(" \"https://shop.example.com/\" \"{FIREFOX}\"");
    let line = |vhost: &str| format!("{vhost}{}", log_line("GET /a?b=c HTTP/1.1", 200, &agent));
    let log: String = ["Shop.Example.com:443 ", "shop.example.com:8080 ", "", "_ "].into_iter().map(line).collect();
    let mut desk = Desk::new(Format::Combined);
    desk.file("access.log", log.as_bytes()).options.site = Some("http://www.example.com".to_owned());
    let (counts, events) = desk.run().expect("imports");
    assert_eq!((counts.lines, counts.page_views), (4, 4));
    let urls: Vec<&str> = events.iter().filter_map(|event| event["data"]["url"].as_str()).collect();
    let expected =
        ["https://shop.example.com", "http://shop.example.com", "http://www.example.com", "http://www.example.com"];
    assert_eq!(urls, expected.map(|site| format!("{site}/a?b=c")));
    // One and the same visitor, whatever stands before the address.
    for event in &events {
        assert_eq!(event["data"]["ip"], "192.0.2.7");
        assert_eq!(event["data"]["visitor_id"], events[0]["data"]["visitor_id"]);
    }
}

fn calls(csv: &str, change: impl Fn(&mut ImportOptions)) -> (Counts, Vec<Value>) {
    let mut desk = Desk::new(Format::Csv);
    change(desk.file("calls.csv", csv.as_bytes()).options_mut());
    let (counts, events) = desk.run().expect("imports");
    (counts, events.into_iter().map(|event| event["data"].clone()).collect())
}

impl Desk {
    fn options_mut(&mut self) -> &mut ImportOptions {
        &mut self.options
    }
}

#[test]
fn calls_of_a_csv() {
    let (counts, calls) = calls(
        "\u{feff}Call ID;Caller ID;Tracking Number;Start Time;Duration;Talk Time;Status;Direction;Agent;Recording URL\r\n\
         c1;(415) 555-0123;+1 628 555 0100;2026-11-20 12:00:00;63;48;Answered;inbound;\"Doe; Jane\";https://r.example/1\r\n\
         c2;;6285550100;1795176000;0:20;;No Answer;;;\r\n\
         ;Unknown;6285550100;2026-11-20T12:00:00Z;5;0;weird;in;;\r\n\
         c4;+14155550123;withheld;2026-11-20 12:00:00;5;0;;;;\r\n\
         c5;+14155550123;6285550100;soon;5;0;;;;\r\n\
         c6;+14155550123;6285550100;2026-11-20 12:00:00;;;;;;\r\n\
         c7;too;few\r\n",
        |options| {
            options.country = Some("us".to_owned());
            options.timezone = chrono_tz::America::New_York;
        },
    );
    assert_eq!((counts.lines, counts.calls, counts.unreadable), (7, 3, 4));
    let first = json!({
        "call_id": "c1", "direction": "inbound", "from": "+14155550123", "to": "+16285550100",
        "started_at": "2026-11-20T17:00:00.000Z", "answered_at": "2026-11-20T17:00:15.000Z",
        "ended_at": "2026-11-20T17:01:03.000Z", "outcome": "answered", "agent": "Doe; Jane",
        "recording_url": "https://r.example/1",
    });
    assert_eq!(calls[0], first);
    let second = json!({
        "call_id": "c2", "direction": "inbound", "from": "anonymous", "to": "+16285550100",
        "started_at": "2026-11-20T12:00:00.000Z", "ended_at": "2026-11-20T12:00:20.000Z", "outcome": "missed",
    });
    assert_eq!(calls[1], second);
    assert_eq!(calls[2]["cause"], "weird");
    assert_eq!(calls[2]["call_id"].as_str().map(str::len), Some(32));
}

/// A column that says whether somebody took the call, and not when.
#[test]
fn calls_that_are_told_as_answered() {
    let (counts, calls) = calls(
        "call_id,from,to,start,duration,answered,status\n\
         yes,+442079460001,+442079460002,2026-11-20 12:00:00,63,Yes,\n\
         no,+442079460001,+442079460002,2026-11-20 12:00:00,63,no,\n\
         told,+442079460001,+442079460002,2026-11-20 12:00:00,63,1,voicemail\n\
         timed,+442079460001,+442079460002,2026-11-20 12:00:00,63,2026-11-20 12:00:03,\n",
        |_| {},
    );
    assert_eq!((counts.calls, counts.unreadable), (4, 0));
    let told = |at: usize| ["answered_at", "outcome"].map(|name| calls[at][name].as_str());
    assert_eq!(told(0), [Some("2026-11-20T12:00:00.000Z"), Some("answered")]);
    assert_eq!(told(1), [None, None]);
    assert_eq!(told(2), [None, Some("voicemail")]);
    assert_eq!(told(3), [Some("2026-11-20T12:00:03.000Z"), None]);
}

#[test]
fn calls_in_an_hour_that_comes_twice() {
    // The clocks of New York are put back at 2:00 on 1 November 2026.
    let (counts, calls) = calls(
        "call_id,from,to,started_at,answered_at,ended_at\n\
         over,+442079460001,+442079460002,2026-11-01 01:50:00,2026-11-01 01:55:00,2026-11-01 01:05:00\n\
         answered after,+442079460001,+442079460002,2026-11-01 01:50:00,2026-11-01 01:01:00,2026-11-01 01:55:00\n\
         within,+442079460001,+442079460002,2026-11-01 01:10,2026-11-01 01:11,2026-11-01 01:12\n\
         zone,+442079460001,+442079460002,2026-11-01T01:50-04:00,,2026-11-01T06:05Z\n\
         wrong,+442079460001,+442079460002,2026-11-01 03:10:00,,2026-11-01 01:12:00\n",
        |options| options.timezone = chrono_tz::America::New_York,
    );
    assert_eq!((counts.calls, counts.unreadable), (4, 1));
    let times = |at: usize| ["started_at", "answered_at", "ended_at"].map(|name| calls[at][name].as_str());
    let day = |times: [&'static str; 3]| times.map(|time| Some(time).filter(|time| !time.is_empty()));
    let expected = [
        day(["2026-11-01T05:50:00.000Z", "2026-11-01T05:55:00.000Z", "2026-11-01T06:05:00.000Z"]),
        day(["2026-11-01T05:50:00.000Z", "2026-11-01T06:01:00.000Z", "2026-11-01T06:55:00.000Z"]),
        day(["2026-11-01T05:10:00.000Z", "2026-11-01T05:11:00.000Z", "2026-11-01T05:12:00.000Z"]),
        day(["2026-11-01T05:50:00.000Z", "", "2026-11-01T06:05:00.000Z"]),
    ];
    (0..4).for_each(|at| assert_eq!(times(at), expected[at], "{}", calls[at]));
}

#[test]
fn columns_under_other_names() {
    let csv = "Nummer,Klant,Wanneer,Einde\n+442079460001,+442079460002,2026-11-20T12:00:00Z,2026-11-20T12:01:00Z\n";
    let map = [("Nummer", "to"), ("klant", "from"), ("Wanneer", "started_at"), ("Einde", "ended_at")];
    let (_, calls) = calls(csv, |options| {
        options.columns = map.iter().map(|(column, member)| ((*column).to_owned(), (*member).to_owned())).collect();
    });
    assert_eq!(calls[0]["to"], "+442079460001");
    assert_eq!(calls[0]["from"], "+442079460002");

    let mut desk = Desk::new(Format::Csv);
    desk.file("calls.csv", csv.as_bytes());
    let mut check = |columns: &[(&str, &str)], words: &str| {
        desk.options.columns = columns.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let error = desk.run().expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    check(&[], "no column for from, to, started_at, ended_at or duration; it has Nummer, Klant, Wanneer, Einde");
    check(&[("Nummer", "two")], "there is no member two");
    check(&[("Numero", "to")], "has no column Numero");
}

#[test]
fn nothing_is_written_before_it_is_known_what_is_asked_for() {
    let good = "from,to,date,duration\n+442079460001,+442079460002,2026-11-20T12:00:00Z,5\n";
    let check = |words: &str, is_usage: bool, change: &dyn Fn(&mut ImportOptions)| {
        let mut desk = Desk::new(Format::Csv);
        let kept = desk.folder.path().join("rejects");
        std::fs::write(&kept, "of before").expect("written");
        change(desk.file("calls.csv", good.as_bytes()).options_mut());
        let error = desk.run().expect_err(words);
        assert_eq!((error.to_string().contains(words), error.is_usage()), (true, is_usage), "{error}");
        assert_eq!(std::fs::read_to_string(&kept).expect("kept"), "of before", "{error}");
    };
    let map = |column: &str, member: &str| vec![(column.to_owned(), member.to_owned())];
    check("there is no member frm; there are call_id, from, to", true, &|it| it.columns = map("from", "frm"));
    check("has no column Caller", false, &|it| it.columns = map("Caller", "from"));
    check("--country ZZ", true, &|it| it.country = Some("ZZ".to_owned()));
    check("--currency euro", true, &|it| it.currency = Some("euro".to_owned()));
    check("--account bad name!", true, &|it| it.account = "bad name!".to_owned());
    check("nothere.csv: cannot be opened", false, &|it| it.files.push(PathBuf::from("nothere.csv")));
    check("not a scheme", true, &|it| (it.format, it.site) = (Format::Combined, Some("ex.com".to_owned())));
    check("--columns", true, &|it| (it.format, it.record_columns) = (Format::ThreeCx, Some("call,time".to_owned())));
}

#[test]
fn a_file_of_another_format_is_told() {
    for (text, nothing) in
        [("no log\nat all\n", true), ("", false), (&log_line("GET / HTTP/1.1", 200, "\nno log"), false)]
    {
        let mut desk = Desk::new(Format::Combined);
        desk.file("access.log", text.as_bytes());
        let (counts, _) = desk.run().expect("read");
        assert_eq!(counts.nothing_was_read(), nothing, "{text}: {counts}");
    }
}

#[test]
fn the_country_of_numbers_holds_for_call_records_too() {
    let row = concat!(
        r#""","2125550199","2125550123","from-trunk","","PJSIP/trunk-00000001","PJSIP/101-00000002","Dial","PJSIP/101,30","#,
        r#""2026-11-20 09:00:00","2026-11-20 09:00:10","2026-11-20 09:01:00",60,50,"ANSWERED","DOCUMENTATION","1763629200.1","""#,
    );
    let mut desk = Desk::new(Format::Asterisk);
    desk.options_mut().country = Some("us".to_owned());
    desk.file("Master.csv", row.as_bytes());
    let (_, events) = desk.run().expect("read");
    let numbers: Vec<_> = events.iter().map(|event| (&event["data"]["from"], &event["data"]["to"])).collect();
    assert_eq!(numbers, [(&json!("+12125550199"), &json!("+12125550123"))]);
    desk.options_mut().country = Some("ZZ".to_owned());
    assert!(desk.run().is_err_and(|error| error.is_usage() && error.to_string().contains("--country ZZ")));
}

#[test]
fn costs_of_a_csv() {
    let mut desk = Desk::new(Format::Csv);
    desk.options.currency = Some("eur".to_owned());
    desk.file(
        "costs.csv",
        b"Day,Source,Medium,Campaign,Cost,Clicks\n2026-11-20,google,cpc,spring,\"1,234.50\",17\n\
          2026-11-20,bing,,,3,\n11/20/2026,bing,cpc,,3,1\n2026-11-20,bing,cpc,,much,1\n",
    );
    let (counts, events) = desk.run().expect("imports");
    assert_eq!((counts.lines, counts.ad_costs, counts.unreadable), (4, 2, 2));
    assert_eq!(events[0]["type"], "ad_cost");
    assert_eq!(events[0]["time"], "2026-11-20T00:00:00.000Z");
    let first = json!({
        "date": "2026-11-20", "source": "google", "medium": "cpc", "campaign": "spring", "cost": 1234.5,
        "currency": "EUR", "clicks": 17,
    });
    assert_eq!(events[0]["data"], first);
    assert_eq!(desk.rejects(), "11/20/2026,bing,cpc,,3,1\n2026-11-20,bing,cpc,,much,1\n");
    desk.options.currency = None;
    assert_eq!(desk.run().expect("imports").0.unreadable, 4);
}

#[test]
fn what_is_not_utf_8_is_unusable() {
    let mut desk = Desk::new(Format::CallsCsv);
    desk.file(
        "calls.csv",
        b"from,to,date,duration,agent\n+442079460001,+442079460002,2026-11-20T12:00:00Z,5,Zo\xeb\n\
          +442079460001,+442079460002,2026-11-20T12:00:00Z,6,Zo\xc3\xab\n",
    );
    let (counts, events) = desk.run().expect("imports");
    assert_eq!((counts.lines, counts.calls, counts.unreadable), (2, 1, 1));
    assert_eq!(events[0]["data"]["agent"], "Zo\u{eb}");
    let rejects = std::fs::read(desk.folder.path().join("rejects")).expect("rejects");
    assert_eq!(rejects, b"+442079460001,+442079460002,2026-11-20T12:00:00Z,5,Zo\xeb\n", "as it came");
    let reason = super::csv::texts(&::csv::ByteRecord::from(vec![&b"a"[..], b"Zo\xeb"])).expect_err("not UTF-8");
    assert_eq!(
        reason.replace('\n', ""),
        "field 2 (\"Zo\\xeb\") is not UTF-8: save the file as UTF-8, such as with `iconv -f WINDOWS-1252 -t UTF-8`"
    );

    let error = Desk::new(Format::Csv).file("a.csv", b"T\xe9l,to,date,duration\n").run().expect_err("the header");
    assert!(error.to_string().contains("a.csv: the header: field 1") && !error.is_usage(), "{error}");
}

#[test]
fn files_in_utf_16_are_refused_as_a_whole() {
    let utf_16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let text = utf_16("\u{feff}from,to,date,duration\n");
    let swapped: Vec<u8> = text.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    let packed = zstd::encode_all(&text[..], 1).expect("packs");
    for bytes in [text, swapped, packed] {
        for format in [Format::Csv, Format::Combined, Format::Events, Format::Asterisk, Format::FreeSwitch] {
            let error = Desk::new(format).file("a.csv", &bytes).run().expect_err("UTF-16");
            assert!(error.to_string().contains("a.csv is in UTF-16: save it as UTF-8") && !error.is_usage(), "{error}");
        }
    }
}

#[test]
fn a_quotation_mark_that_is_never_closed_ends_it() {
    let mut csv = b"from,to,date,duration\n".to_vec();
    csv.extend_from_slice(b"\"");
    csv.resize(6 * 1024 * 1024, b'x');
    let error = Desk::new(Format::Csv).file("a.csv", &csv).run().expect_err("too long");
    assert!(matches!(error, ImportError::Record { line: 2, .. }), "{error}");
}

#[test]
fn lines_without_end_are_rejected_and_the_rest_goes_on() {
    let mut log = vec![b'x'; 3 * 1024 * 1024];
    log.push(b'\n');
    log.extend_from_slice(log_line("GET / HTTP/1.1", 200, "").as_bytes());
    let (counts, _) = Desk::new(Format::Combined).file("a.log", &log).run().expect("imports");
    assert_eq!((counts.lines, counts.unreadable, counts.page_views), (2, 1, 1));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let mut desk = Desk::new(Format::Combined);
    desk.options.files.push(PathBuf::from("/nowhere/access.log"));
    assert!(desk.run().expect_err("missing").to_string().contains("/nowhere/access.log"));
    let cut = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3];
    let error = Desk::new(Format::Combined).file("cut.gz", &cut).run().expect_err("cut off");
    assert!(error.to_string().contains("cut.gz"), "{error}");
}

#[test]
fn events_pass_unchanged_or_are_rejected() {
    let good = r#"{"specversion":"1.0","id":"1","source":"web/main","type":"heartbeat","time":"2026-11-20T12:00:00Z","account":"acme","data":{"visitor_id":"v1"}}"#;
    let bad = good.replace("\"v1\"", "7");
    let mut desk = Desk::new(Format::Events);
    desk.file("a.ndjson", format!("{good}\n\n{bad}\nrubbish\n").as_bytes());
    desk.file("b.ndjson", good.as_bytes());
    let mut out = Vec::new();
    let counts = import(&desk.options, &mut out, &Progress::silent()).expect("imports");
    assert_eq!(counts, Counts { lines: 4, events: 2, unreadable: 2, ..Counts::default() });
    assert_eq!(String::from_utf8_lossy(&out), format!("{good}\n{good}\n"));
    assert_eq!(desk.rejects(), format!("{bad}\nrubbish\n"));
}

/// Nastiness that keeps the shape of a line.
fn nasty_line() -> impl Strategy<Value = Vec<u8>> {
    let parts = [
        "192.0.2.7",
        " ",
        "-",
        "[",
        "]",
        "17/May/2015:10:05:03 +0000",
        "\"",
        "\\",
        "\\x",
        "\\x4",
        "GET /",
        " HTTP/1.1",
        "200",
        "5",
        "é",
        "\u{0}",
        "?",
        "%",
        "99/Xyz/0000:00:00:00 +9999",
    ];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..30).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn no_line_panics(nasty in nasty_line(), any in prop::collection::vec(any::<u8>(), 0..200)) {
        for line in [nasty, any] {
            let _ = parse(&line);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_file_panics(text in prop::collection::vec(any::<u8>(), 0..400), nasty in prop::collection::vec(nasty_line(), 0..5)) {
        let mut csv = b"from,to,date,duration,status\n".to_vec();
        csv.extend_from_slice(&text);
        let (counts, events) = Desk::new(Format::CallsCsv).file("a.csv", &csv).run().expect("imports");
        prop_assert_eq!(counts.lines, counts.unreadable + events.len() as u64);
        let log = nasty.join(&b'\n');
        let (counts, events) = Desk::new(Format::Combined).file("a.log", &log).run().expect("imports");
        prop_assert_eq!(counts.page_views, events.len() as u64);
    }
}

/// Call records of telephone systems, of an account whose number is known.
#[test]
fn call_records_of_telephone_systems() {
    let settings = json!({"numbers": [{"number": "+14155550100", "kind": "static", "forward_to": "+14155550111"}]});
    let asterisk = "\"\",\"14155550199\",\"14155550100\",\"from-trunk\",\"\",\"PJSIP/t-1\",\"PJSIP/21-1\",\"Dial\",\"\",\
                    \"2026-11-20 09:00:00\",\"2026-11-20 09:00:05\",\"2026-11-20 09:00:45\",45,40,\"ANSWERED\",\
                    \"DOCUMENTATION\",\"1.1\",\"\"\n";
    let freeswitch = json!({
        "variables": {
            "uuid": "u1", "direction": "inbound", "start_epoch": "1795165200", "answer_epoch": "1795165205",
            "bridge_epoch": "1795165205", "end_epoch": "1795165245", "billsec": "40", "hangup_cause": "NORMAL_CLEARING",
        },
        "callflow": [{"caller_profile": {"caller_id_number": "14155550199", "destination_number": "14155550100"}}],
    });
    let check = |format, file: &str, expected: &[(&str, &str)], unreadable: u64| {
        let mut desk = Desk::new(format);
        desk.options.settings = Some(serde_json::from_value(settings.clone()).expect("settings"));
        desk.options.timezone = chrono_tz::Europe::Berlin;
        let (counts, events) = desk.file("records", file.as_bytes()).run().expect("events");
        let found: Vec<_> = events
            .iter()
            .filter(|event| event["type"] == "call_record")
            .map(|event| (event["data"]["from"].as_str(), event["data"]["started_at"].as_str()))
            .collect();
        let expected: Vec<_> = expected.iter().map(|(from, at)| (Some(*from), Some(*at))).collect();
        assert_eq!(counts.calls, expected.len() as u64, "{events:?}");
        assert_eq!((found, counts.unreadable), (expected, unreadable), "{events:?}");
        assert!(events.iter().all(|event| event["account"] == "acme"));
    };
    let one = [("+14155550199", "2026-11-20T08:00:00.000000Z")];
    check(Format::Asterisk, &format!("{asterisk}no, record\n"), &one, 1);
    let at = [("+14155550199", "2026-11-20T09:00:00.000000Z")];
    check(Format::FreeSwitch, &freeswitch.to_string(), &at, 0);
    check(Format::FreeSwitch, &format!("{freeswitch:#}\n"), &at, 0);
    check(Format::FreeSwitch, &format!("{freeswitch}\n{freeswitch}\n"), &[at[0], at[0]], 0);
    let cx = "historyid,_1,00:00:40,2026/11/20 09:00:00,2026/11/20 09:00:05,2026/11/20 09:00:45,TerminatedByDst,\
              14155550199,14155550100,10000,100,14155550100\n";
    check(Format::ThreeCx, cx, &one, 0);
    // Over the hour that comes twice, when Berlin's clocks are put back.
    let over = |line: &str| {
        let at = |line: String, from, to| line.replace(from, to);
        let line = at(at(line.replace("2026-11-20", "2026-10-25"), "2026/11/20", "2026/10/25"), "09:00:00", "02:59:50");
        at(at(line, "09:00:05", "02:59:55"), "09:00:45", "02:00:30")
    };
    let twice = [("+14155550199", "2026-10-25T00:59:50.000000Z")];
    check(Format::Asterisk, &over(asterisk), &twice, 0);
    check(Format::ThreeCx, &over(cx), &twice, 0);
    let mut desk = Desk::new(Format::ThreeCx);
    desk.options.record_columns = Some("call,time".to_owned());
    assert!(matches!(desk.run(), Err(ImportError::RecordColumns(_))));
}
