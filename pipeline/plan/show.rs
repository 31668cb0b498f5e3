//! The plan as a table for people, or as CSV or JSON.

use std::io::{self, Write};
use std::str::FromStr;

use callweave_core::limits::PLANNED_LINES_MAX;
use callweave_core::plan::{Plan, Row, Terms};
use callweave_core::time::MICROS_PER_MINUTE;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Table,
    Csv,
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Format, String> {
        match name {
            "table" => Ok(Format::Table),
            "csv" => Ok(Format::Csv),
            "json" => Ok(Format::Json),
            _ => Err(format!("no format is named {name}; there are table, csv and json")),
        }
    }
}

/// What was planned for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub terms: Terms,
    /// The share of visits that may find no number.
    pub target: f64,
}

/// Writes `plan`.
///
/// # Errors
/// `to` takes no more.
pub fn write(plan: &Plan, asked: Asked, format: Format, to: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Table => table(plan, asked, to),
        Format::Csv => csv(plan, to),
        Format::Json => writeln!(to, "{:#}", whole(plan, asked)),
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn minutes(micros: i64) -> f64 {
    micros as f64 / MICROS_PER_MINUTE as f64
}

fn table(plan: &Plan, asked: Asked, to: &mut impl Write) -> io::Result<()> {
    let load = plan.load;
    match &plan.demand {
        Some(demand) => {
            writeln!(to, "{} visits needed a number; at most {} at one time.", demand.asks, demand.most)?;
            writeln!(to, "Busiest from {}: {:.1} visits an hour.", demand.busiest_from, load.visits_per_hour)?;
        }
        None => writeln!(to, "{:.1} visits an hour.", load.visits_per_hour)?,
    }
    writeln!(
        to,
        "A number is taken for {:.1} minutes ({} of hold and {} of cooldown among them): {:.1} at one time on average.\n",
        load.taken_seconds / 60.0,
        minutes(asked.terms.hold),
        minutes(asked.terms.cooldown),
        load.erlangs()
    )?;
    let replayed = plan.demand.is_some();
    let title = |text: &str| format!("{text:>16}");
    let mut head = format!("{:>7}{}", "numbers", title("none (Erlang)"));
    if replayed {
        head += &title("none (replay)");
    }
    writeln!(to, "{head}{}", title("ambiguous calls"))?;
    for row in &plan.rows {
        let mut line = format!("{:>7}{}", row.numbers, title(&percent(row.exhausted_erlang)));
        if let Some(share) = row.exhausted_replay {
            line += &title(&percent(share));
        }
        let mark = if plan.recommended == Some(row.numbers) { "  <- enough" } else { "" };
        writeln!(to, "{line}{}{mark}", title(&percent(row.ambiguous)))?;
    }
    let target = percent(asked.target);
    match plan.recommended {
        Some(numbers) => writeln!(to, "\n{numbers} numbers: at most {target} of visits find none."),
        None => writeln!(to, "\nMore than {PLANNED_LINES_MAX} numbers: shorten hold and cooldown, or part the pool."),
    }
}

fn csv(plan: &Plan, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "numbers,exhausted_erlang,exhausted_replay,ambiguous,recommended")?;
    for Row { numbers, exhausted_erlang, exhausted_replay, ambiguous } in &plan.rows {
        let replayed = exhausted_replay.map(|share| format!("{share:.6}")).unwrap_or_default();
        let recommended = plan.recommended == Some(*numbers);
        writeln!(to, "{numbers},{exhausted_erlang:.6},{replayed},{ambiguous:.6},{recommended}")?;
    }
    Ok(())
}

fn whole(plan: &Plan, asked: Asked) -> Value {
    let rows: Vec<Value> = plan
        .rows
        .iter()
        .map(|row| {
            json!({
                "numbers": row.numbers,
                "exhausted_erlang": row.exhausted_erlang,
                "exhausted_replay": row.exhausted_replay,
                "ambiguous": row.ambiguous,
            })
        })
        .collect();
    json!({
        "visits_per_hour": plan.load.visits_per_hour,
        "taken_seconds": plan.load.taken_seconds,
        "erlangs": plan.load.erlangs(),
        "hold_minutes": minutes(asked.terms.hold),
        "cooldown_minutes": minutes(asked.terms.cooldown),
        "visits": plan.demand.map(|demand| json!({
            "asks": demand.asks,
            "busiest_from": demand.busiest_from.to_string(),
            "most_at_once": demand.most,
        })),
        "target": asked.target,
        "recommended": plan.recommended,
        "sizes": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use callweave_core::plan::{Load, Visit, plan};
    use callweave_core::time::Time;

    #[test]
    fn every_format_tells_the_same() {
        let terms = Terms { hold: 30 * MICROS_PER_MINUTE, cooldown: 30 * MICROS_PER_MINUTE };
        let asked = Asked { terms, target: 0.01 };
        let text = |plan: &Plan, format| {
            let mut text = Vec::new();
            write(plan, asked, format, &mut text).expect("memory is written to");
            String::from_utf8(text).expect("text")
        };
        let by_rate = plan(Load::of(20.0, 180.0, terms), &[], terms, asked.target);
        let shown = text(&by_rate, Format::Table);
        assert!(shown.contains("63.0 minutes") && shown.contains("31 numbers: at most 1.00 %"), "{shown}");
        assert!(!shown.contains("replay"));
        assert!(text(&by_rate, Format::Csv).lines().any(|line| line.starts_with("31,0.00") && line.ends_with(",true")));
        let told: Value = serde_json::from_str(&text(&by_rate, Format::Json)).expect("JSON");
        assert_eq!((&told["recommended"], &told["visits"]), (&json!(31), &Value::Null));

        let at = Time(1_795_176_000_000_000);
        let visits = [Visit { from: at, to: at, visitor: 1 }, Visit { from: at, to: at, visitor: 2 }];
        let replayed = plan(Load::of(0.0, 0.0, terms), &visits, terms, asked.target);
        let shown = text(&replayed, Format::Table);
        assert!(
            shown.contains("2 visits needed a number; at most 2 at one time.") && shown.contains("replay"),
            "{shown}"
        );
    }
}
