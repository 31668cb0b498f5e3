//! `callweave export csv`: what the lake holds, as the file that Google Ads imports.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use callweave_core::export::{CSV_HEAD, Terms, csv_row};
use callweave_core::moment::MomentKind;
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
    let account = account(config, asker)?;
    let settings = config.accounts.get(&account).and_then(|it| it.settings.as_ref());
    let export = export_of(config, asker, settings, name)?;
    if export.google_ads.is_none() {
        return Err(Failure::Usage(format!("the export {name} is not one to Google Ads")));
    }
    let (wanted, calls) = (export.wanted(), MomentKind::CallAttributed.name());
    if !wanted.iter().any(|moment| moment == calls) {
        let wanted = wanted.join(", ");
        let why = format!(
            "the export {name} is of {wanted}, and the file is of calls; name one that has {calls} among its moments"
        );
        return Err(Failure::Usage(why));
    }
    for day in [&from, &to].into_iter().flatten() {
        Date::parse(day).map_err(|error| Failure::Usage(format!("{day} {error}")))?;
    }
    let defaults = Settings::default();
    let rules = settings.unwrap_or(&defaults);
    let (currency, secrets) = (&rules.currency, BTreeMap::new());
    let terms = Terms { export: &export, currency, secrets: &secrets, token: None, now: clock() };
    let to_file: Box<dyn Write + Send> = match &output {
        None => Box::new(io::stdout()),
        Some(path) => Box::new(Late::new(path)),
    };
    let mut out = BufWriter::new(to_file);
    out.write_all(CSV_HEAD.as_bytes()).map_err(Failure::failed)?;
    let (mut written, mut left) = (0, BTreeMap::<String, usize>::new());
    let (lake, sql) = (config.lake(), sql(&account, &export, rules.lateness_seconds, from, to));
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

/// The account's name. Who asks the lake alone needs no key.
fn account(config: &Config, asker: &Asker) -> Result<String, Failure> {
    let only = config.accounts.keys().next().filter(|_| config.accounts.len() == 1);
    match asker.account.as_ref().or(only).filter(|name| config.accounts.contains_key(*name)) {
        Some(name) => Ok(name.clone()),
        None => account_of(config, asker.account.as_deref()).map(|(name, _)| name),
    }
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

/// The calls that the filter lets through, each with what its visitor's pages told last of consent: `consent` until the call was
/// decided, which is when the live export looks, and `consent_since` until now. Of one instant the page view that arrived last counts.
/// A call has nothing of a deal or a tag, and a filter may ask for them.
fn sql(account: &str, export: &Export, lateness: f64, from: Option<String>, to: Option<String>) -> String {
    let day =
        |sign: &str, day: Option<String>| day.map_or(String::new(), |day| format!(" AND date {sign} DATE '{day}'"));
    let filter = export.filter.as_ref().map_or(String::new(), |filter| format!(" AND ({filter}\n)"));
    let account = account.replace('\'', "''");
    let (from, to) = (day(">=", from), day("<=", to));
    format!(
        "WITH c AS (\
           SELECT * FROM (\
             SELECT *, 'call.attributed' AS moment, CAST(NULL AS VARCHAR) AS deal_id, CAST(NULL AS VARCHAR) AS deal_stage, \
               CAST(NULL AS DOUBLE) AS deal_revenue, CAST(NULL AS VARCHAR) AS tag_category, CAST(NULL AS DOUBLE) AS tag_value \
             FROM calls) \
           WHERE account = '{account}'{from}{to}{filter}) \
         SELECT c.*, p.consent, p.consent_since FROM c \
         LEFT JOIN (\
           SELECT k.call_id, \
             last_value(v.consent ORDER BY v.time, v.recorded_time, v.event_id) \
               FILTER (WHERE v.time <= coalesce(k.ended_at, k.started_at) + INTERVAL '{lateness} seconds') AS consent, \
             last_value(v.consent ORDER BY v.time, v.recorded_time, v.event_id) AS consent_since \
           FROM c AS k JOIN page_views AS v ON v.account = k.account AND v.visitor_id = k.visitor_id \
           WHERE v.account = '{account}' AND v.consent IS NOT NULL GROUP BY k.call_id) AS p \
         ON p.call_id = c.call_id \
         ORDER BY c.started_at, c.call_id"
    )
}

/// The row as a moment that tells it.
fn event(mut row: Map<String, Value>) -> Map<String, Value> {
    let [told, since] = ["consent", "consent_since"]
        .map(|name| -> Option<Value> { serde_json::from_str(row.remove(name)?.as_str()?).ok() });
    row.insert("visit".to_owned(), json!({ "consent": consent(told, since) }));
    let event = [("type", json!("call.attributed")), ("data", Value::Object(row))];
    event.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What was told when the call was decided, less what was taken back since: a yes that came later was none to the live export, and
/// nobody is in a file made after their no.
fn consent(told: Option<Value>, since: Option<Value>) -> Map<String, Value> {
    let members = |told: Option<Value>| match told {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let is_no = |name: &str, value: &Value| {
        value.as_str() == Some("denied") || (name == "gpc" && value.as_bool() == Some(true))
    };
    let mut consent = members(told);
    consent.extend(members(since).into_iter().filter(|(name, value)| is_no(name, value)));
    consent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_counts_if_it_came_in_time_and_a_no_whenever_it_came() {
        let (yes, no) = (json!({"ad_user_data": "granted"}), json!({"ad_user_data": "denied"}));
        let signal = json!({"gpc": true});
        for (told, since, expected) in [
            (None, None, json!({})),
            (None, Some(&yes), json!({})),
            (None, Some(&no), no.clone()),
            (Some(&yes), Some(&yes), yes.clone()),
            (Some(&yes), Some(&no), no.clone()),
            (Some(&no), Some(&yes), no.clone()),
            (Some(&yes), Some(&json!({"gpc": false})), yes.clone()),
            (Some(&yes), Some(&signal), json!({"ad_user_data": "granted", "gpc": true})),
            (Some(&json!("granted")), Some(&json!(["denied"])), json!({})),
        ] {
            assert_eq!(Value::Object(consent(told.cloned(), since.cloned())), expected, "{told:?}, then {since:?}");
        }
    }
}
