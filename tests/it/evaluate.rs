//! The join held against traffic of which the truth is known, and asked why it said what it did: by the commands that
//! docs/attribution.md shows.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::program::Place;

/// Rows of a table in Markdown, by their first two cells.
fn cells(told: &str) -> BTreeMap<(String, String), Vec<String>> {
    let row =
        |line: &str| -> Vec<String> { line.trim_matches('|').split('|').map(|it| it.trim().to_owned()).collect() };
    let rows = told.lines().take_while(|line| !line.is_empty()).skip(2).map(row);
    rows.map(|cells| ((cells[0].clone(), cells[1].clone()), cells)).collect()
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("{name} of {row}"))
}

#[test]
fn the_join_is_held_against_the_truth_and_explains_itself() {
    let place = Place::new();
    let simulate = "simulate --seed 5 --visits 5000 --visits-per-day 10000 --utilisation 1 --calls 0.2 --telephones 100000 --dial 0.5,0.25,0.15,0.1 --dial-seconds 300,9000,90000 \
                    --truth truth.ndjson --output events.ndjson";
    place.run(&simulate.split(' ').filter(|it| !it.is_empty()).collect::<Vec<_>>());
    let evaluate = ["evaluate", "--truth", "truth.ndjson", "--input", "events.ndjson", "--plot", "plot.svg"];
    let told = place.run(&evaluate);

    assert!(told.contains(" | coverage | ") && told.contains(" | Brier score | log loss |"), "{told}");
    let error = told.lines().find(|line| line.starts_with("Expected calibration error: sessions 0."));
    assert!(error.is_some_and(|line| line.contains(", sources 0.")), "{told}");
    let rows = cells(&told);
    let accuracy = |way: &str| -> f64 {
        let row =
            rows.get(&("utilisation 100 %".to_owned(), way.to_owned())).unwrap_or_else(|| panic!("{way} in {told}"));
        assert!(row[2].parse::<u64>().is_ok_and(|calls| calls > 500), "{told}");
        row[3].parse().expect("a share")
    };
    let own = accuracy("callweave");
    assert!(own >= 0.97 * accuracy("Bayes-optimal"), "{told}");
    assert!(own > accuracy("whoever holds it now") && own > accuracy("last who held it"), "{told}");
    let plot = std::fs::read_to_string(place.folder.path().join("plot.svg")).expect("a plot");
    assert!(plot.starts_with("<svg") && plot.trim_end().ends_with("</svg>"), "{plot}");

    place.run(&["run", "--input", "events.ndjson"]);
    let off = place.sql(
        "SELECT call_id, sum(probability) AS whole, count(*) FILTER (WHERE rank = 0) AS none FROM call_candidates
         GROUP BY call_id HAVING abs(whole - 1) > 1e-9 OR none <> 1",
    );
    assert_eq!(off, Vec::<Value>::new(), "probabilities of a call sum to 1");
    let off = place.sql(
        "SELECT c.call_id, c.session_id, k.session_id AS likeliest, c.attribution_confidence, k.probability
         FROM calls AS c JOIN call_candidates AS k ON k.account = c.account AND k.call_id = c.call_id AND k.chosen
         WHERE k.rank > 0 AND (coalesce(c.session_id, '') <> coalesce(k.session_id, '')
             OR c.attribution_confidence <> k.probability)",
    );
    assert_eq!(off, Vec::<Value>::new(), "a call names the candidate that was chosen, with its probability");
    // The least certain call: what was known of each who could have made it.
    let why = place.sql(
        "SELECT k.rank, k.session_id, k.source, k.probability, k.delay_seconds, k.lease_active, k.pages
         FROM call_candidates AS k
         WHERE k.call_id = (
             SELECT call_id FROM calls WHERE session_id IS NOT NULL ORDER BY attribution_confidence, call_id LIMIT 1
         ) ORDER BY k.rank",
    );
    assert!(why.len() > 2, "{why:?}");
    assert_eq!(why[0]["session_id"], Value::Null, "rank 0 is none of them");
    assert!(why[1..].windows(2).all(|pair| number(&pair[0], "probability") >= number(&pair[1], "probability")));
    assert!(why[1..].iter().all(|row| number(row, "delay_seconds") >= 0.0 && number(row, "pages") >= 0.0), "{why:?}");
}

#[test]
fn what_would_be_passed_over_is_refused() {
    let place = Place::new();
    for (arguments, words) in [
        (&["evaluate", "--truth", "t", "--input", "e", "--plot", "x.png"][..], "ends in .svg"),
        (&["demo", "--lake", "elsewhere"], "--keep DIR"),
        (&["evaluate", "--truth", "t", "--input", "e", "--lake", "elsewhere"], "--lake: evaluate has no use for it"),
        (&["--lake", "elsewhere", "simulate"], "--lake: simulate has no use for it"),
        (&["schema", "--places", "p.mmdb"], "--places: schema has no use for it"),
        (&["import", "--format", "csv", "f", "--lake", "elsewhere"], "--lake: import has no use for it"),
    ] {
        let output = place.command(arguments).output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn a_dash_is_standard_output() {
    let place = Place::new();
    let simulate = |output: &[&str]| place.run(&[&["simulate", "--seed", "5", "--visits", "3"], output].concat());
    let told = simulate(&[]);
    assert_eq!(simulate(&["--output", "-"]), told);
    std::fs::write(place.folder.path().join("events.ndjson"), &told).expect("a file");
    let imported = place.run(&["import", "--format", "events", "-o", "-", "events.ndjson"]);
    assert_eq!(imported.lines().count(), told.lines().count());
    place.run(&["run", "--input", "events.ndjson"]);
    assert_eq!(place.run(&["sql", "-o", "-", "--format", "csv", "select 1 as n"]), "n\n1\n");
    assert!(!place.folder.path().join("-").exists());
}

#[test]
fn the_truth_of_another_simulation_is_refused() {
    let place = Place::new();
    for seed in ["5", "6"] {
        let (truth, events) = (format!("truth{seed}.ndjson"), format!("events{seed}.ndjson"));
        place.run(&[
            "simulate", "--seed", seed, "--visits", "400", "--calls", "0.2", "--truth", &truth, "--output", &events,
        ]);
    }
    let evaluate = |truth: &str, input: &str| {
        let output =
            place.command(&["evaluate", "--truth", truth, "--input", input]).output().expect("the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (status, told, said) = evaluate("truth5.ndjson", "events6.ndjson");
    assert_eq!((status, told.as_str()), (Some(1), ""), "{said}");
    assert!(said.contains("only 0 of the truth's") && said.contains("another simulation's"), "{said}");
    // Few calls leave windows empty.
    let (status, told, said) = evaluate("truth5.ndjson", "events5.ndjson");
    assert!(status == Some(0) && told.contains("callweave") && !told.contains("NaN"), "{told}{said}");
}
