//! What `callweave check` tells of a configuration that can be used all the same.

use std::fs;

use crate::program::{Place, Program};

#[test]
fn settings_that_nothing_reads_are_told_of() {
    let place = Place::new();
    let file = place.folder.path().join("callweave.toml");
    let given = fs::read_to_string(&file).expect("a configuration")
        + r#"[accounts.acme.settings]
targt_seconds = 20
colour = "red"
agents = { "12" = "Ann" }
holidays = [2026-12-25]
business_hours = { mon = [["09:00", "18:00"]] }
numbers = [{ number = "+14155550123", kind = "static", source = "radio", medium = "am", campain = "c" }]
routes = [{ url_parameters = { any = "*" }, number = "+14155550123" }]
"#;
    fs::write(&file, given).expect("a configuration");
    let said = place.run(&["check"]);
    let told: Vec<&str> = said.lines().filter(|line| line.contains("there is no such member")).collect();
    let expected = [
        "colour: there is no such member; `callweave schema account_settings` has all members",
        "numbers[0].campain: there is no such member; did you mean campaign?",
        "targt_seconds: there is no such member; did you mean target_seconds?",
    ];
    assert_eq!(told.len(), expected.len(), "{said}");
    for words in expected {
        let found = told.iter().any(|line| line.starts_with("warn   ") && line.ends_with(&format!(": {words}")));
        assert!(found, "{words}: {said}");
    }
    let program = Program::spawn(&place, &["query", "--postgres", "off", "--flight", "off"]);
    program.says("targt_seconds: there is no such member; did you mean target_seconds?");
}

/// What roles would end with at their start is told by a look, too.
#[test]
fn what_roles_would_not_start_with_is_told() {
    let place = Place::new();
    let at = |name: &str| place.folder.path().join(name);
    let given = fs::read_to_string(at("callweave.toml")).expect("a configuration");
    fs::write(at("garbage"), "no PEM").expect("written");
    for (more, words) in [
        (
            "query.tls_certificate = \"garbage\"\nquery.tls_key = \"garbage\"",
            "query.tls_certificate and query.tls_key: ",
        ),
        ("listen.worker = \"0.0.0.0:0\"", "listen.worker: 0.0.0.0:0 is open to other machines"),
        ("nats.url = \"nats://127.0.0.1:1\"\nnats.credentials_file = \"garbage\"", "cannot use the credentials file "),
        ("nats.url = \"nats://127.0.0.1:1\"\nnats.ca = \"garbage\"", "garbage holds no certificate"),
        ("accounts.acme.telnyx_public_key = \"xx\"", "telnyx_public_key: is no public key; give the 32 bytes"),
    ] {
        let beside = if more.starts_with("accounts") { String::new() } else { given.clone() };
        let keys = if beside.is_empty() { "accounts.acme.keys = [\"a-key-of-acme-itself\"]\n" } else { "" };
        fs::write(at("wrong.toml"), format!("{more}\n{keys}{beside}")).expect("a configuration");
        let output = place.command(&["check", "--config", "wrong.toml"]).output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{more}: {said}");
        let line = said.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {said}"));
        assert!(line.starts_with("wrong  "), "{line}");
    }
}
