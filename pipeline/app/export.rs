//! `callweave export csv`: what the lake holds, as the file that Google Ads imports.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use callweave_core::export::{CSV_HEAD, Terms, csv_row};
use callweave_core::settings::{Export, Settings};
use callweave_core::time::Date;
use serde_json::{Map, Value, json};

use super::webhook::{Asker, Question, account_of};
use super::{Failure, block_on, clock};
use crate::config::Config;
use crate::files::outputs::Late;
use crate::query;
use crate::telemetry::say;

/// Writes the conversions of an export that the configuration or the running notifier has.
pub fn csv(
    config: &Config,
    asker: &Asker,
    name: &str,
    from: Option<String>,
    to: Option<String>,
    output: Option<PathBuf>,
) -> Result<(), Failure> {
    let (account, _) = account_of(config, asker.account.as_deref())?;
    let settings = config.accounts.get(&account).and_then(|it| it.settings.as_ref());
    let export = export_of(config, asker, settings, name)?;
    if export.google_ads.is_none() {
        return Err(Failure::Usage(format!("the export {name} is not one to Google Ads")));
    }
    for day in [&from, &to].into_iter().flatten() {
        Date::parse(day).map_err(|error| Failure::Usage(format!("{day} {error}")))?;
    }
    let currency = settings.map_or_else(|| Settings::default().currency, |settings| settings.currency.clone());
    let terms = Terms { export: &export, currency: &currency, secrets: &BTreeMap::new(), token: None, now: clock() };
    let to_file: Box<dyn Write + Send> = match &output {
        None => Box::new(io::stdout()),
        Some(path) => Box::new(Late::new(path)),
    };
    let mut out = BufWriter::new(to_file);
    out.write_all(CSV_HEAD.as_bytes()).map_err(Failure::failed)?;
    let (mut written, mut left) = (0, BTreeMap::<String, usize>::new());
    let (lake, sql) = (config.lake(), sql(&account, &export, from, to));
    let rows = query::rows(&lake, &sql, |row| match csv_row(&event(row), &terms) {
        Ok(line) => {
            written += 1;
            out.write_all(line.as_bytes())
        }
        Err(why) => {
            *left.entry(why).or_default() += 1;
            Ok(())
        }
    });
    if let Err(error) = block_on(rows) {
        // No file with nothing but its header.
        let _ = out.into_parts();
        return Err(error);
    }
    out.flush().map_err(Failure::failed)?;
    say!("callweave: {written} conversions");
    left.iter().for_each(|(why, count)| say!("callweave: {count} left out: {why}"));
    Ok(())
}

fn export_of(config: &Config, asker: &Asker, settings: Option<&Settings>, name: &str) -> Result<Export, Failure> {
    if let Some(export) = settings.and_then(|settings| settings.exports.iter().find(|it| it.name == name)) {
        return Ok(export.clone());
    }
    let mut told = asker.ask(config, Question { method: "GET", path: vec![name.to_owned()], ..Question::default() })?;
    if let Some(told) = told.as_object_mut() {
        told.remove("secrets");
    }
    serde_json::from_value(told).map_err(Failure::failed)
}

/// Calls with one of Google's click ids, each with what the page last told of consent.
fn sql(account: &str, export: &Export, from: Option<String>, to: Option<String>) -> String {
    let day =
        |sign: &str, day: Option<String>| day.map_or(String::new(), |day| format!(" AND date {sign} DATE '{day}'"));
    let filter = export.filter.as_ref().map_or(String::new(), |filter| format!(" AND ({filter}\n)"));
    format!(
        "SELECT c.*, p.consent FROM (\
           SELECT * FROM (SELECT *, 'call.attributed' AS moment, CAST(NULL AS VARCHAR) AS deal_id FROM calls) \
           WHERE account = '{}' AND click_id_type IN ('gclid', 'gbraid', 'wbraid'){}{}{filter}) AS c \
         LEFT JOIN (\
           SELECT account, session_id, consent FROM (\
             SELECT account, session_id, consent, \
               row_number() OVER (PARTITION BY account, session_id ORDER BY time DESC, event_id DESC) AS place \
             FROM page_views WHERE consent IS NOT NULL AND session_id IS NOT NULL) WHERE place = 1) AS p \
         ON p.account = c.account AND p.session_id = c.session_id \
         ORDER BY c.started_at, c.call_id",
        account.replace('\'', "''"),
        day(">=", from),
        day("<=", to),
    )
}

/// The row as a moment that tells it.
fn event(mut row: Map<String, Value>) -> Map<String, Value> {
    let consent = row.remove("consent").and_then(|text| serde_json::from_str::<Value>(text.as_str()?).ok());
    row.insert("visit".to_owned(), json!({ "consent": consent }));
    let event = [("type", json!("call.attributed")), ("data", Value::Object(row))];
    event.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
