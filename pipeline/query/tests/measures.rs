//! `queries/metrics.toml`: every measure and dimension exists, reports that show a measure show its number, and
//! docs/measures.md and the models for dbt are made from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::Failure;
use super::slt::{answer, story};
use crate::query::QuerySession;
use crate::query::library::{MARTS, REPORTS, Text};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metrics {
    pub measure: Vec<Measure>,
    pub dimension: Vec<Dimension>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measure {
    pub name: String,
    pub label: String,
    pub sql: String,
    pub agg: String,
    pub expr: String,
    pub mart: String,
    pub unit: String,
    pub description: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dimension {
    pub name: String,
    pub label: String,
    pub column: String,
    pub marts: Vec<String>,
    pub description: String,
}

/// Values of measures as they are written.
type Values = BTreeMap<String, String>;

impl Measure {
    /// As an aggregate of one expression.
    fn apart(&self) -> String {
        let (function, distinct) = match self.agg.as_str() {
            "count_distinct" => ("count", "DISTINCT "),
            "average" => ("avg", ""),
            _ => ("sum", ""),
        };
        format!("{function}({distinct}{}) AS {}", self.expr, self.name)
    }

    /// Whether parts add up to the whole.
    fn is_additive(&self) -> bool {
        self.sql.starts_with("sum(") || self.sql == "count(*)"
    }
}

pub(super) fn read() -> Result<Metrics, Failure> {
    Ok(toml::from_str(include_str!("../../../queries/metrics.toml"))?)
}

async fn open() -> Result<(tempfile::TempDir, QuerySession), Failure> {
    let dir = story().await?;
    let session = QuerySession::open(&dir.path().to_string_lossy())?;
    Ok((dir, session))
}

/// Every measure of a mart over those of its rows that hold `only`, by name.
async fn measured(session: &QuerySession, metrics: &Metrics, mart: &str, only: &str) -> Result<Values, Failure> {
    let ours: Vec<&Measure> = metrics.measure.iter().filter(|measure| measure.mart == mart).collect();
    let columns: Vec<String> = ours.iter().map(|it| format!("{} AS {}", it.sql, it.name)).collect();
    let question = format!("SELECT {} FROM marts.{mart} WHERE {only}", columns.join(", "));
    let (_, rows) = answer(session, &question).await.map_err(|error| format!("{question}: {error}"))?;
    let [row] = rows.as_slice() else { return Err(format!("{question}: {rows:?}").into()) };
    Ok(ours.iter().map(|measure| measure.name.clone()).zip(row.iter().cloned()).collect())
}

#[tokio::test]
async fn measures_and_dimensions_exist() -> Result<(), Failure> {
    let (_dir, session) = open().await?;
    let metrics = read()?;
    let mut names = BTreeSet::new();
    let mut columns: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Measure { name, label, mart, unit, description, .. } in &metrics.measure {
        assert!(names.insert(name), "{name} twice");
        assert!(Text::find(MARTS, mart).is_some(), "{name}: no mart {mart}");
        assert!(!label.is_empty() && !unit.is_empty() && description.ends_with('.'), "{name}");
    }
    for Dimension { name, label, column, marts, description } in &metrics.dimension {
        assert!(names.insert(name), "{name} twice");
        assert!(!label.is_empty() && !marts.is_empty() && description.ends_with('.'), "{name}");
        marts.iter().for_each(|mart| columns.entry(mart).or_default().push(column));
    }
    for text in MARTS {
        if metrics.measure.iter().any(|measure| measure.mart == text.name) {
            measured(&session, &metrics, text.name, "TRUE").await?;
        }
        if let Some(columns) = columns.remove(text.name) {
            answer(&session, &format!("SELECT {} FROM marts.{} LIMIT 0", columns.join(", "), text.name)).await?;
        }
    }
    assert!(columns.is_empty(), "dimensions of marts that are none: {columns:?}");
    // What a report may be broken down by is described.
    for text in REPORTS {
        for by in text.list("by") {
            assert!(names.iter().any(|name| *name == by) || by == "destination", "{} by {by}", text.name);
        }
    }
    Ok(())
}

#[tokio::test]
async fn reports_show_the_numbers_of_their_measures() -> Result<(), Failure> {
    let (_dir, session) = open().await?;
    let metrics = read()?;
    let mut known: BTreeMap<(&str, String), Values> = BTreeMap::new();
    let mut compared: BTreeMap<&str, usize> = BTreeMap::new();
    for text in REPORTS {
        let Some(&first) = text.list("measure").first() else { continue };
        let columns = columns(&session, text).await?;
        let start = columns.iter().position(|column| column == first).ok_or(format!("{}: no {first}", text.name))?;
        let shown = rows(&session, text).await?;
        for (at, column) in columns.iter().enumerate().skip(start) {
            let Some(measure) = metrics.measure.iter().find(|measure| measure.name == *column) else { continue };
            if shown.len() != 1 && !measure.is_additive() {
                continue;
            }
            let only = match text.list("only").join(", ") {
                only if measure.mart == "calls" && !only.is_empty() => only,
                _ => "TRUE".to_owned(),
            };
            let key = (measure.mart.as_str(), only);
            if !known.contains_key(&key) {
                known.insert(key.clone(), measured(&session, &metrics, &measure.mart, &key.1).await?);
            }
            let whole = match shown.as_slice() {
                [row] => row[at].clone(),
                rows => rows.iter().map(|row| row[at].parse::<i64>()).sum::<Result<i64, _>>()?.to_string(),
            };
            assert_eq!(known[&key][column], whole, "{}: {column} where {}", text.name, key.1);
            *compared.entry(&measure.name).or_default() += 1;
        }
    }
    assert!(compared.len() > 20 && compared["target_calls"] > 8, "{compared:?}");
    Ok(())
}

async fn columns(session: &QuerySession, text: &Text) -> Result<Vec<String>, Failure> {
    let options = super::ReportOptions { by: folded(text), ..Default::default() };
    let scope = crate::query::report::narrow::Scope::read(text, &options)?;
    let (_, frame) = crate::query::report::frame(session, text, &scope).await?;
    Ok(frame.schema().fields().iter().map(|field| field.name().clone()).collect())
}

/// Broken down by nothing, as far as it goes.
async fn rows(session: &QuerySession, text: &Text) -> Result<Vec<Vec<String>>, Failure> {
    let by = if folded(text).is_some() { " --by \"\"" } else { "" };
    Ok(answer(session, &format!("report {}{by}", text.name)).await?.1)
}

fn folded(text: &Text) -> Option<String> {
    (!text.list("by").is_empty()).then(String::new)
}

/// Written anew by `CALLWEAVE_BLESS=1`.
#[test]
fn the_page_of_measures_is_in_step() -> Result<(), Failure> {
    let metrics = read()?;
    let mut page = String::from(
        "# Measures and dimensions\n\nWhat the columns of reports mean, each said once. `mart` is the view that it is made of, \
         `marts.…` in SQL.\n\nMade from `queries/metrics.toml`; `CALLWEAVE_BLESS=1 cargo test --lib measures` rewrites it.\n\n\
         ## Measures\n\n| measure | unit | mart | what it says | SQL |\n| --- | --- | --- | --- | --- |\n",
    );
    for Measure { name, label, sql, mart, unit, description, .. } in &metrics.measure {
        writeln!(page, "| `{name}` | {unit} | `{mart}` | **{label}.** {description} | `{sql}` |")?;
    }
    page.push_str("\n## Dimensions\n\n| dimension | column | marts | what it says |\n| --- | --- | --- | --- |\n");
    for Dimension { name, label, column, marts, description } in &metrics.dimension {
        let marts = marts.iter().map(|mart| format!("`{mart}`")).collect::<Vec<_>>().join(", ");
        writeln!(page, "| `{name}` | `{column}` | {marts} | **{label}.** {description} |")?;
    }
    in_step("docs/measures.md", &page)
}

#[test]
fn the_document_of_http_is_in_step() -> Result<(), Failure> {
    in_step("schemas/openapi.json", &crate::query::http::document()?)
}

fn in_step(path: &str, text: &str) -> Result<(), Failure> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("CALLWEAVE_BLESS").is_some() {
        std::fs::write(&file, text)?;
    }
    assert!(std::fs::read_to_string(&file)? == text, "{path} is out of step: CALLWEAVE_BLESS=1 rewrites it");
    Ok(())
}

/// What is told apart of a measure comes to the same as the whole of it. Money is left out: that it is not added over
/// currencies stands in the whole alone.
#[tokio::test]
async fn expressions_give_the_numbers_of_their_measures() -> Result<(), Failure> {
    let (_dir, session) = open().await?;
    let metrics = read()?;
    for mart in MARTS {
        let ours = || metrics.measure.iter().filter(|it| it.mart == mart.name && it.unit != "currency");
        let columns = |sql: fn(&Measure) -> String| ours().map(sql).collect::<Vec<_>>().join(", ");
        if ours().next().is_none() {
            continue;
        }
        let mut answers = Vec::new();
        for columns in [columns(|it| format!("{} AS {}", it.sql, it.name)), columns(Measure::apart)] {
            let (_, mut rows) = answer(&session, &format!("SELECT {columns} FROM marts.{}", mart.name)).await?;
            answers.push(rows.remove(0));
        }
        for ((whole, apart), measure) in answers[0].iter().zip(&answers[1]).zip(ours()) {
            // The whole is rounded.
            let (whole, apart) = (whole.parse::<f64>()?, apart.parse::<f64>()?);
            assert!((whole - apart).abs() <= 0.05, "{}: {whole} and {apart}", measure.name);
        }
    }
    Ok(())
}

/// dbt's semantic models, written anew by `CALLWEAVE_BLESS=1`. JSON's strings are YAML's too.
#[test]
fn the_models_for_dbt_are_in_step() -> Result<(), Failure> {
    let metrics = read()?;
    let mut page = String::from(
        "# Made from queries/metrics.toml: CALLWEAVE_BLESS=1 cargo test --lib measures rewrites it. Money has to be grouped by\n\
         # currency here.\nsemantic_models:\n",
    );
    for mart in MARTS {
        let name = mart.name;
        let ours: Vec<&Measure> = metrics.measure.iter().filter(|it| it.mart == name).collect();
        if ours.is_empty() {
            continue;
        }
        let key = mart.list("key").join(" || ' ' || ");
        writeln!(page, "  - name: {name}\n    model: ref('{name}')\n    description: {}", json!(mart.description()))?;
        writeln!(page, "    defaults:\n      agg_time_dimension: on_day\n    entities:")?;
        writeln!(
            page,
            "      - name: one_of_{name}\n        type: primary\n        expr: {}\n    dimensions:",
            json!(key)
        )?;
        for it in metrics.dimension.iter().filter(|it| it.marts.iter().any(|mart| mart == name)) {
            // dbt keeps names of granularities to itself.
            let (name, kind) = match it.name.as_str() {
                "day" => ("on_day", "time\n        type_params:\n          time_granularity: day"),
                "hour" => ("at_hour", "categorical"),
                name => (name, "categorical"),
            };
            let label = json!(it.label);
            writeln!(page, "      - name: {name}\n        label: {label}\n        expr: {}", it.column)?;
            writeln!(page, "        description: {}\n        type: {kind}", json!(it.description))?;
        }
        writeln!(page, "    measures:")?;
        for it in ours {
            writeln!(page, "      - name: {}\n        label: {}\n        agg: {}", it.name, json!(it.label), it.agg)?;
            writeln!(page, "        expr: {}\n        description: {}", json!(it.expr), json!(it.description))?;
        }
    }
    page.push_str("metrics:\n");
    for it in &metrics.measure {
        writeln!(
            page,
            "  - name: {}\n    label: {}\n    description: {}",
            it.name,
            json!(it.label),
            json!(it.description)
        )?;
        writeln!(page, "    type: simple\n    type_params:\n      measure: {}", it.name)?;
    }
    in_step("deploy/dbt/models/semantic_models.yml", &page)
}

/// The marts that have measures, in the order that their datasets in Superset are numbered by: never changed, since a
/// dashboard's charts know a dataset by its number.
const DATASETS: [&str; 6] = ["calls", "sessions", "touchpoints", "leases", "deals", "costs"];

/// Superset's datasets, written anew by `CALLWEAVE_BLESS=1`.
#[test]
fn the_datasets_for_superset_are_in_step() -> Result<(), Failure> {
    let metrics = read()?;
    let with_measures: BTreeSet<&str> = metrics.measure.iter().map(|it| it.mart.as_str()).collect();
    assert_eq!(with_measures, BTreeSet::from(DATASETS));
    for (at, name) in DATASETS.into_iter().enumerate() {
        let mart = Text::find(MARTS, name).ok_or(format!("no mart {name}"))?;
        let time = mart.list("time").first().map(|time| format!("local_{time}"));
        let mut page = format!(
            "# Made from queries/metrics.toml: CALLWEAVE_BLESS=1 cargo test --lib measures rewrites it.\ntable_name: {name}\n\
             schema: marts\ndescription: {}\nmain_dttm_col: {}\nfilter_select_enabled: true\nuuid: \
             ca11ca11-0000-4000-8000-0000000000{:02}\ndatabase_uuid: ca11ca11-0000-4000-8000-000000000000\nversion: \
             \"1.0.0\"\nmetrics:\n",
            json!(mart.description()),
            time.as_deref().unwrap_or("day"),
            at + 1
        );
        for it in metrics.measure.iter().filter(|it| it.mart == name) {
            writeln!(page, "  - metric_name: {}\n    verbose_name: {}", it.name, json!(it.label))?;
            writeln!(page, "    expression: {}\n    description: {}", json!(it.sql), json!(it.description))?;
        }
        page.push_str("columns:\n");
        if let Some(time) = &time {
            writeln!(page, "  - column_name: {time}\n    verbose_name: Time\n    type: TIMESTAMP\n    is_dttm: true")?;
        }
        for it in metrics.dimension.iter().filter(|it| it.marts.iter().any(|mart| mart == name)) {
            let kind = match it.column.as_str() {
                "day" => "DATE\n    is_dttm: true",
                "weekday" | "hour" => "BIGINT\n    groupby: true",
                _ => "TEXT\n    groupby: true",
            };
            writeln!(page, "  - column_name: {}\n    verbose_name: {}", it.column, json!(it.label))?;
            writeln!(page, "    description: {}\n    type: {kind}", json!(it.description))?;
        }
        in_step(&format!("deploy/superset/datasets/callweave/{name}.yaml"), &page)?;
    }
    Ok(())
}

/// Grafana has no measures of its own: each panel says them in SQL, in the words of `queries/metrics.toml`.
#[test]
fn panels_of_grafana_say_measures_as_they_are() -> Result<(), Failure> {
    let metrics = read()?;
    let dashboard: serde_json::Value =
        serde_json::from_str(include_str!("../../../deploy/grafana/dashboards/callweave.json"))?;
    let panels = dashboard["panels"].as_array().ok_or("no panels")?;
    let mut said = 0;
    for sql in panels.iter().filter_map(|panel| panel["targets"][0]["rawSql"].as_str()) {
        for measure in &metrics.measure {
            let named = format!(" AS {}", measure.name);
            let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            for (at, _) in sql.match_indices(&named).filter(|(at, _)| is_whole(&sql[at + named.len()..])) {
                assert!(sql[..at].ends_with(&measure.sql), "{} is not {}: {sql}", measure.name, measure.sql);
                said += 1;
            }
        }
    }
    assert!(said > 15, "{said} measures in panels");
    Ok(())
}
