//! The tables, as text.

use std::io::{self, Write};
use std::ops::Add;

use super::case::{CERTAIN, Case, Given};
use super::score::{Score, calibration_error, reliability, score};

type How = (&'static str, fn(&Case) -> Given);

/// Each way to answer, by its name.
pub const WAYS: [How; 4] = [
    ("callweave", Case::model),
    ("Bayes-optimal", Case::optimal),
    ("whoever holds it now", Case::holder),
    ("last who held it", Case::last_holder),
];

/// What is scored together: a name, and its calls.
pub struct Group<'a> {
    pub name: String,
    pub cases: Vec<&'a Case>,
}

pub fn scores(cases: &[&Case]) -> [(&'static str, Score); 4] {
    WAYS.map(|(name, way)| (name, score(cases.iter().map(|case| way(case)))))
}

/// A share with four places; nothing where there is nothing to divide by.
fn share(value: f64, of: f64) -> String {
    if of > 0.0 { format!("{:.4}", value / of) } else { "-".to_owned() }
}

/// A mean over so many calls; nothing where there are none.
fn mean(value: f64, calls: usize, places: usize) -> String {
    if calls > 0 { format!("{value:.places$}") } else { "-".to_owned() }
}

/// What the columns say, as docs/attribution.md has it at length.
const MEASURES: &str = "\
accuracy: right answers of all calls (\"none of them\" is right where the caller is no candidate)
coverage: calls for which a session is named, of all calls
expected calibration error: of the named sessions alone: how far confidence is from the share that is right, bin by bin, on average
Brier score, log loss: of all calls, those for which none is named included; log loss goes by what the right answer was given";

/// One line a group and way, and what the measures are.
pub fn write_table(groups: &[Group<'_>], out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "| calls to leased numbers | answers by | calls | accuracy | of the optimum | coverage | right of the named | expected calibration error (15 bins) | (10 bins) | Brier score | log loss |"
    )?;
    writeln!(out, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for group in groups {
        let scores = scores(&group.cases);
        let optimum = scores[1].1.accuracy();
        for (at, (name, score)) in scores.iter().enumerate() {
            let calibrated = at < 2;
            let number = |value: f64, calls: usize| if calibrated { mean(value, calls, 4) } else { String::new() };
            writeln!(
                out,
                "| {} | {name} | {} | {:.4} | {} | {:.4} | {} | {} | {} | {} | {} |",
                group.name,
                score.calls,
                score.accuracy(),
                share(score.accuracy(), optimum),
                score.coverage(),
                mean(score.precision(), score.named, 4),
                number(score.ece_15, score.named),
                number(score.ece_10, score.named),
                number(score.brier, score.calls),
                number(score.log_loss, score.calls),
            )?;
        }
    }
    writeln!(out, "\n{MEASURES}")
}

/// Certain calls a window, and the last window, which has all that come later.
const WINDOW: usize = 250;
const WINDOWS: usize = 9;

/// How soon learning is done: by how many calls were certain before.
pub fn write_convergence(cases: &[&Case], out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "Learning, by how many calls were certain before (an answer, \"none of them\" included, was given {CERTAIN} or more):\n"
    )?;
    writeln!(
        out,
        "| certain calls before | calls | accuracy | of the optimum | said | right | expected calibration error |"
    )?;
    writeln!(out, "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for window in 0..WINDOWS {
        let is_of = |case: &&&Case| (case.certain_before / WINDOW).min(WINDOWS - 1) == window;
        let of: Vec<&Case> = cases.iter().filter(is_of).copied().collect();
        let (model, optimal) = (score(of.iter().map(|case| case.model())), score(of.iter().map(|case| case.optimal())));
        let named = of.iter().map(|case| case.model()).filter(|given| given.named);
        let said = named.map(|given| given.probability).fold(0.0, f64::add) / model.named.max(1) as f64;
        writeln!(
            out,
            "| {}{} | {} | {} | {} | {} | {} | {} |",
            window * WINDOW,
            if window + 1 == WINDOWS { " and more".to_owned() } else { format!(" to {}", (window + 1) * WINDOW - 1) },
            model.calls,
            mean(model.accuracy(), model.calls, 4),
            share(model.accuracy(), optimal.accuracy()),
            mean(said, model.named, 4),
            mean(model.precision(), model.named, 4),
            mean(model.ece_15, model.named, 4),
        )?;
    }
    Ok(())
}

/// The reliability table: what was said against what was true, of all calls together.
pub fn write_reliability(cases: &[&Case], out: &mut dyn Write) -> io::Result<()> {
    let model = score(cases.iter().map(|case| case.model()));
    let sources: Vec<(f64, bool)> = cases.iter().filter_map(|case| case.source()).collect();
    let sources = reliability(&sources, super::score::BINS);
    writeln!(
        out,
        "Reliability table, of the calls for which a session is named and of those for which a source is:\n"
    )?;
    writeln!(out, "| confidence from | calls | said | right | sources | said | right |")?;
    writeln!(out, "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for (at, (session, source)) in model.reliability.iter().zip(&sources).enumerate() {
        writeln!(
            out,
            "| {:.2} | {} | {} | {} | {} | {} | {} |",
            at as f64 / super::score::BINS as f64,
            session.calls,
            mean(session.said, session.calls, 3),
            mean(session.right, session.calls, 3),
            source.calls,
            mean(source.said, source.calls, 3),
            mean(source.right, source.calls, 3),
        )?;
    }
    let named: usize = sources.iter().map(|bin| bin.calls).sum();
    writeln!(
        out,
        "\nExpected calibration error: sessions {}, sources {}",
        mean(model.ece_15, model.named, 4),
        mean(calibration_error(&sources), named, 4)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::case::{Answer, Truth};

    #[test]
    fn where_there_is_nothing_to_divide_by_nothing_is_said() {
        // One call that nobody could have told right: the truth names a session, the best answer another, the join none.
        let truth: Truth = serde_json::from_str(
            r#"{"account":"acme","call_id":"c","session_id":"s","why":"later","is_candidate":true,"optimal_session_id":"t"}"#,
        )
        .expect("a truth");
        let case = Case { truth, answer: Answer::default(), certain_before: 0 };
        let mut out = Vec::new();
        write_table(&[Group { name: "all".to_owned(), cases: vec![&case] }], &mut out).expect("written");
        write_reliability(&[&case], &mut out).expect("written");
        write_convergence(&[&case], &mut out).expect("written");
        let told = String::from_utf8(out).expect("text");
        assert!(told.contains("| all | callweave | 1 | 0.0000 | - |"), "{told}");
        // None is named, so that nothing is calibrated; the other windows and all bins are empty.
        assert!(told.contains("| callweave | 1 | 0.0000 | - | 0.0000 | - | - | - | 1.0000 |"), "{told}");
        assert!(told.contains("| 0 to 249 | 1 | 0.0000 | - | - | - | - |"), "{told}");
        assert!(told.contains("| 250 to 499 | 0 | - | - | - | - | - |"), "{told}");
        assert!(told.contains("| 0.93 | 0 | - | - | 0 | - | - |"), "{told}");
        assert!(told.contains("Expected calibration error: sessions -, sources -"), "{told}");
        assert!(!told.contains("NaN") && !told.contains("inf"), "{told}");
    }

    #[test]
    fn measures_have_their_usual_names() {
        let mut out = Vec::new();
        write_table(&[], &mut out).expect("written");
        write_reliability(&[], &mut out).expect("written");
        write_convergence(&[], &mut out).expect("written");
        let told = String::from_utf8(out).expect("text");
        let (header, _) = told.split_once('\n').expect("a header");
        let names: Vec<&str> = header.split('|').map(str::trim).collect();
        for name in ["accuracy", "coverage", "expected calibration error (15 bins)", "Brier score", "log loss"] {
            assert!(names.contains(&name), "{name}: {header}");
        }
        for name in ["accuracy: ", "coverage: ", "expected calibration error: ", "Brier score, log loss: "] {
            assert!(told.lines().any(|line| line.starts_with(name)), "{name}: {told}");
        }
        assert!(told.contains("\nReliability table, "), "{told}");
    }
}
