//! What `callweave check` tells of a configuration that can be used all the same.

use std::fs;

use crate::program::Place;

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
}
