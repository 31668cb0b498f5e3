//! The filter of a subscription: an SQL expression over the row of a moment, read and checked once.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::json::ReaderBuilder;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use serde_json::{Map, Value};

use crate::lake::TableName;
use crate::lake::json::schema;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error(
        "the filter cannot be used: {0}; write a condition over the columns of `calls`, such as outcome = 'missed'"
    )]
    Sql(String),
    #[error("the filter is of type {0}; write a condition that is true or false")]
    Type(String),
    #[error("the filter calls {0}, which is not the same for the same row; write a condition over the row alone")]
    Volatile(String),
}

/// Why the row could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("the filter failed on this row: {0}")]
pub struct Failed(String);

/// What is told beside the row, and a condition may ask for: its name there, where it stands, and what it is.
const BESIDE: [(&str, &str, &str, DataType); 4] = [
    ("deal_stage", "deal", "stage", DataType::Utf8),
    ("deal_revenue", "deal", "revenue", DataType::Float64),
    ("tag_category", "tag", "category", DataType::Utf8),
    ("tag_value", "tag", "value", DataType::Float64),
];

/// The columns of `calls`, `moment` and `deal_id`, and those of [`BESIDE`].
static ROW: LazyLock<SchemaRef> = LazyLock::new(|| {
    let calls = schema(TableName::Calls);
    let names = ["moment", "deal_id"].map(|name| (name, DataType::Utf8));
    let more = names.into_iter().chain(BESIDE.map(|(name, _, _, kind)| (name, kind)));
    let more = more.map(|(name, kind)| Arc::new(Field::new(name, kind, true)));
    Schema::new(calls.fields().iter().cloned().chain(more).collect::<Vec<_>>()).into()
});

static ENGINE: LazyLock<SessionContext> = LazyLock::new(SessionContext::new);

/// Whether the row of a moment has a member of this name.
pub fn is_column(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let names = ROW.fields().iter().map(|field| field.name().clone());
        names.filter(|name| BESIDE.iter().all(|(beside, ..)| beside != name)).collect()
    });
    NAMES.contains(name)
}

#[derive(Debug, Clone)]
pub struct Filter(Arc<dyn PhysicalExpr>);

impl Filter {
    /// # Errors
    /// It is no condition over the row.
    pub fn parse(sql: &str) -> Result<Filter, FilterError> {
        let wrong = |error: datafusion::common::DataFusionError| {
            FilterError::Sql(error.strip_backtrace().lines().next().unwrap_or_default().to_owned())
        };
        let schema = DFSchema::try_from(ROW.clone()).map_err(wrong)?;
        let expression = ENGINE.parse_sql_expr(sql, &schema).map_err(wrong)?;
        if matches!(expression, Expr::Alias(_)) {
            return Err(FilterError::Sql("it gives its result a name".to_owned()));
        }
        refuse_volatile(&expression)?;
        // Some functions are only names for others, and go when it is simplified.
        let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
        let simplifier = ExprSimplifier::new(context);
        let expression =
            simplifier.coerce(expression, &schema).and_then(|it| simplifier.simplify(it)).map_err(wrong)?;
        let expression = ENGINE.create_physical_expr(expression, &schema).map_err(wrong)?;
        match expression.data_type(&ROW).map_err(wrong)? {
            DataType::Boolean => Ok(Filter(expression)),
            other => Err(FilterError::Type(other.to_string())),
        }
    }

    /// Whether the condition is true of a moment's row; not where it is unknown (`NULL`).
    ///
    /// # Errors
    /// It cannot be told: a text that is no number was to be one, and the like.
    pub fn is_met(&self, moment: &str, data: &Map<String, Value>) -> Result<bool, Failed> {
        let failed = |error: &dyn std::fmt::Display| Failed(error.to_string());
        let batch = batch(moment, data).map_err(|error| failed(&error))?;
        let value = self.0.evaluate(&batch).map_err(|error| failed(&error.strip_backtrace()))?;
        let array = value.into_array(1).map_err(|error| failed(&error))?;
        let met = array.as_boolean();
        Ok(met.iter().next().flatten().unwrap_or(false))
    }
}

fn refuse_volatile(expression: &Expr) -> Result<(), FilterError> {
    let mut found = None;
    let walked = expression.apply(|part| {
        if let Expr::ScalarFunction(call) = part
            && call.func.signature().volatility != Volatility::Immutable
        {
            found = Some(call.func.name().to_owned());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    match (walked, found) {
        (_, Some(name)) => Err(FilterError::Volatile(name)),
        (Err(error), None) => Err(FilterError::Sql(error.to_string())),
        (Ok(_), None) => Ok(()),
    }
}

fn batch(moment: &str, data: &Map<String, Value>) -> Result<RecordBatch, datafusion::arrow::error::ArrowError> {
    let mut row = data.clone();
    row.insert("moment".to_owned(), Value::String(moment.to_owned()));
    for (name, of, member, _) in BESIDE {
        if let Some(told) = data.get(of).and_then(|of| of.get(member)) {
            row.insert(name.to_owned(), told.clone());
        }
    }
    let mut decoder = ReaderBuilder::new(ROW.clone()).build_decoder()?;
    decoder.serialize(&[row])?;
    Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(ROW.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row() -> Map<String, Value> {
        let row = json!({
            "account": "acme", "date": "2026-11-20", "started_at": "2026-11-20T12:00:00.000001Z", "outcome": "missed",
            "in_business_hours": true, "talk_seconds": 0.0, "candidates": 2, "campaign": null, "source": "google",
            "caller": "+14155550123", "changes": [{"name": "outcome", "from": null, "to": "missed"}],
        });
        row.as_object().expect("an object").clone()
    }

    #[test]
    fn conditions_are_asked_of_a_row() {
        for (sql, expected) in [
            ("outcome = 'missed' AND in_business_hours", true),
            ("outcome = 'answered'", false),
            ("campaign = 'x'", false),
            ("campaign IS NULL", true),
            ("moment = 'call.missed'", true),
            ("moment IN ('call.started', 'call.ended')", false),
            ("talk_seconds >= 30 OR candidates > 1", true),
            ("starts_with(caller, '+1') AND source LIKE 'goo%'", true),
            ("started_at > '2026-11-20T11:00:00Z'", true),
            ("started_at < timestamp '2026-11-20T11:00:00Z'", false),
            ("date = '2026-11-20'", true),
            ("extract(hour FROM started_at) = 12", true),
            ("lower(coalesce(campaign, 'None')) = 'none'", true),
            ("regexp_like(caller, '^\\+1415')", true),
            ("deal_id IS NOT NULL", false),
            ("true", true),
        ] {
            let filter = Filter::parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(filter.is_met("call.missed", &row()).expect(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_moment_without_a_row_has_nulls() {
        let filter = Filter::parse("outcome IS NULL AND pool = 'web'").expect("a filter");
        let data = Map::from_iter([("account".to_owned(), json!("acme")), ("pool".to_owned(), json!("web"))]);
        assert!(filter.is_met("pool.exhausted", &data).expect("a row"));
    }

    #[test]
    fn what_stands_beside_the_row_can_be_asked_for() {
        let mut row = row();
        row.insert("deal".to_owned(), json!({"stage": "won", "revenue": "50.5"}));
        row.insert("tag".to_owned(), json!({"category": "lead", "value": 7}));
        for (sql, expected) in [
            ("deal_stage = 'won' AND deal_revenue > 50", true),
            ("deal_stage IN ('lead', 'lost')", false),
            ("tag_category = 'lead' AND tag_value = 7", true),
        ] {
            assert_eq!(Filter::parse(sql).expect(sql).is_met("deal.changed", &row).expect(sql), expected, "{sql}");
        }
        assert!(!is_column("deal_stage") && is_column("deal_id"), "fields and bodies have the deal itself");
    }

    #[test]
    fn what_is_no_condition_is_told() {
        for (sql, expected) in [
            ("colour = 'red'", "colour"),
            ("outcome =", "cannot be used"),
            ("talk_seconds + 1", "type Float64"),
            ("outcome", "type Utf8"),
            ("started_at > now()", "calls now"),
            ("random() > 0.5", "calls random"),
            ("count(*) > 1", "cannot be used"),
            ("EXISTS (SELECT 1)", "cannot be used"),
            ("outcome = 'x' AS y", "cannot be used"),
            ("true; DROP TABLE calls", "cannot be used"),
            ("true) OR (true", "cannot be used"),
            ("row_number() OVER () = 1", "cannot be used"),
        ] {
            let error = Filter::parse(sql).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{sql}: {error}");
        }
    }

    #[test]
    fn a_row_that_breaks_the_condition_is_an_error() {
        let filter = Filter::parse("CAST(source AS INT) = 1").expect("a filter");
        assert!(filter.is_met("call.missed", &row()).is_err());
    }
}
