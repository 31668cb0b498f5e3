//! Parameters whose types clients declare. The engine takes each for what stands beside it: `caller_calls * $1` made a whole number of 0.5, and
//! that was 0. In PostgreSQL the declaration counts, so that it is written into the statement where it says something else.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, TimezoneInfo, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion_postgres::pgwire::api::Type;

/// Of a `numeric` that says no more: digits in all, and behind the point.
const NUMERIC: ExactNumberInfo = ExactNumberInfo::PrecisionAndScale(38, 10);

/// The statement with what was declared written into it; nothing where that is what is supposed of each.
pub(super) fn written(sql: &str, declared: &[Option<Type>], supposed: &[Type]) -> Option<String> {
    let kinds = declared.iter().zip(supposed).enumerate();
    let kinds = kinds.filter_map(|(at, (declared, supposed))| Some((at + 1, kind(declared.as_ref()?, supposed)?)));
    let kinds: BTreeMap<usize, DataType> = kinds.collect();
    if kinds.is_empty() {
        return None;
    }
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?;
    let _ = VisitMut::visit(&mut statements, &mut Written { kinds });
    Some(statements.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// What a declaration is to be written as, beside another supposition that would change the value or refuse it.
fn kind(declared: &Type, supposed: &Type) -> Option<DataType> {
    let whole = [Type::INT2, Type::INT4, Type::INT8];
    let spans = [Type::DATE, Type::TIMESTAMP, Type::TIMESTAMPTZ, Type::INTERVAL];
    let is_open = [Type::TEXT, Type::VARCHAR, Type::UNKNOWN].contains(supposed);
    let narrows = is_open || whole.contains(supposed);
    let is_span = is_open || [Type::DATE, Type::INTERVAL].contains(supposed) && supposed != declared;
    match declared {
        it if whole.contains(it) && (is_open || spans.contains(supposed)) => Some(DataType::BigInt(None)),
        &Type::FLOAT4 | &Type::FLOAT8 if narrows => Some(DataType::Double(ExactNumberInfo::None)),
        &Type::NUMERIC if narrows => Some(DataType::Numeric(NUMERIC)),
        &Type::INTERVAL if *supposed != Type::INTERVAL => Some(DataType::Interval { fields: None, precision: None }),
        &Type::DATE if is_span => Some(DataType::Date),
        &Type::TIMESTAMP if is_span => Some(DataType::Timestamp(None, TimezoneInfo::None)),
        &Type::TIMESTAMPTZ if is_span => Some(DataType::Timestamp(None, TimezoneInfo::WithTimeZone)),
        _ => None,
    }
}

struct Written {
    kinds: BTreeMap<usize, DataType>,
}

impl VisitorMut for Written {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = &*expr
            && let Value::Placeholder(name) = &value.value
            && let Some(kind) = name.strip_prefix('$').and_then(|at| self.kinds.get(&at.parse().ok()?))
        {
            *expr = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(expr.clone()),
                data_type: kind.clone(),
                array: false,
                format: None,
            };
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_written_where_it_says_something_else() {
        for (sql, declared, supposed, expected) in [
            ("SELECT sum(n * $1) FROM t", Type::FLOAT8, Type::INT4, Some("SELECT sum(n * CAST($1 AS DOUBLE)) FROM t")),
            ("SELECT 10 / $1", Type::NUMERIC, Type::INT8, Some("SELECT 10 / CAST($1 AS NUMERIC(38,10))")),
            ("SELECT now() - $1", Type::INTERVAL, Type::TIMESTAMPTZ, Some("SELECT now() - CAST($1 AS INTERVAL)")),
            ("SELECT current_date - $1", Type::INT2, Type::DATE, Some("SELECT current_date - CAST($1 AS BIGINT)")),
            ("SELECT greatest(1, $1)", Type::FLOAT8, Type::UNKNOWN, Some("SELECT greatest(1, CAST($1 AS DOUBLE))")),
            ("SELECT n + $1", Type::INT2, Type::INT8, None),
            ("SELECT revenue > $1", Type::FLOAT8, Type::NUMERIC, None),
            ("SELECT at > $1", Type::DATE, Type::TIMESTAMPTZ, None),
            ("SELECT id = $1", Type::TEXT, Type::INT4, None),
        ] {
            assert_eq!(written(sql, &[Some(declared)], &[supposed]).as_deref(), expected, "{sql}");
            assert_eq!(written(sql, &[None], &[Type::INT4]), None, "{sql}");
        }
    }
}
