//! Pieces of parsed SQL, for whatever puts statements in other words.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, Query, Visit, VisitMut, Visitor, VisitorMut,
};

/// A name as it is found by: what stands in no quotation marks has no case.
pub(super) fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// A call of a function.
pub(super) fn call<const N: usize>(name: &str, args: [Expr; N]) -> Expr {
    let args = args.map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        args: FunctionArguments::List(FunctionArgumentList {
            args: args.to_vec(),
            duplicate_treatment: None,
            clauses: Vec::new(),
        }),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

pub(super) fn joined(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// Names of columns that stand inside expressions.
#[derive(Clone, Default)]
pub(super) struct Names {
    pub found: HashSet<String>,
}

impl Names {
    pub(super) fn add(&mut self, expr: &Expr) {
        let _ = expr.visit(self);
    }
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr {
            self.found.insert(folded(name));
        }
        ControlFlow::Continue(())
    }
}

/// Does `change` to all parts of an expression, the inner ones first, but for queries within it: what is in them is theirs.
pub(super) fn change_here(expr: &mut Expr, change: impl FnMut(&mut Expr)) {
    let _ = VisitMut::visit(expr, &mut Here { change, depth: 0 });
}

struct Here<F> {
    change: F,
    /// Queries around, from the expression on.
    depth: usize,
}

impl<F: FnMut(&mut Expr)> VisitorMut for Here<F> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0 {
            (self.change)(expr);
        }
        ControlFlow::Continue(())
    }
}
