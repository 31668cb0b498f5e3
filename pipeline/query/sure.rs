//! What the Delta reader says that it filters for sure, taken at its word only where it does: deltalake 1.1 keeps a file whose partition
//! makes a condition NULL, and calls that exact, so that `date IN ('2026-11-20', NULL)` gave every row.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;

/// A stored table whose conditions are looked at again above it, but for those that cannot be NULL.
#[derive(Debug)]
pub(super) struct Sure(pub Arc<dyn TableProvider>);

impl TableProvider for Sure {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        self.0.table_type()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let mut said = self.0.supports_filters_pushdown(filters)?;
        for (said, filter) in said.iter_mut().zip(filters) {
            if *said == TableProviderFilterPushDown::Exact && !is_never_null(filter) {
                *said = TableProviderFilterPushDown::Inexact;
            }
        }
        Ok(said)
    }

    // As `async_trait` has it: see `query`.
    fn scan<'a, 'b, 'c, 'd, 'f>(
        &'a self,
        state: &'b dyn Session,
        projection: Option<&'c Vec<usize>>,
        filters: &'d [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        'd: 'f,
    {
        self.0.scan(state, projection, filters, limit)
    }
}

/// A column compared with a value: of the partition alone, which is never NULL.
fn is_never_null(filter: &Expr) -> bool {
    let is_value = |expr: &Expr| matches!(expr, Expr::Literal(value, _) if !value.is_null());
    let is_column = |expr: &Expr| matches!(expr, Expr::Column(_));
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
            matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq) && is_column(left) && is_value(right)
        }
        Expr::Between(range) => is_column(&range.expr) && is_value(&range.low) && is_value(&range.high),
        Expr::InList(list) => is_column(&list.expr) && list.list.iter().all(is_value),
        _ => false,
    }
}
