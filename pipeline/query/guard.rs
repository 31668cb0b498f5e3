//! Only questions get through. What is allowed is listed; whatever is not on the list is refused, so that a statement
//! that a later engine learns is refused too. The plan is looked over as well before it runs (`SQLOptions`): two
//! locks, since the words and the plan can each hide what the other shows.

mod copies;
mod silent;

pub(in crate::query) use silent::{is_catalog, is_of_catalogs};

use std::ops::ControlFlow;

use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{self, Query, Select, SetExpr, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use self::silent::Silent;
use super::error::QueryError;
use super::reword::reword;

/// Bytes of one text of SQL.
pub const QUERY_BYTES_MAX: usize = 1 << 20;

/// Nesting of expressions and subqueries.
const NESTING_MAX: usize = 64;

/// Operators in one chain (`a OR b OR c`, `1 + 1 + 1`, `… UNION ALL …`), those around it included: the engine makes a tree as deep of
/// them, and goes down it by recursion.
const CHAIN_MAX: usize = 1_000;

/// Values of one `IN (…)`: the Delta reader makes a chain of them.
const LIST_MAX: usize = 100_000;

/// Tokens, each as often as it is read: sqlparser reads what stands in a function twice where PostgreSQL's dialect is spoken, so
/// what stands in twenty is read a million times. So it is with brackets, and with tables and lists in parentheses. What stands in `position` it reads up to four times, and what follows an `interval` twice
/// unless that is a literal.
const READINGS_MAX: u64 = 4_000_000;

/// Subqueries that are values (`EXISTS`, `IN`, of one value) in one another: the engine plans each with all that stand in it, twice and more.
const SUBQUERIES_MAX: usize = 8;

/// What has opened and not yet closed.
#[derive(Default)]
struct Level {
    /// So often doubles what opened it how often its tokens are read.
    doublings: usize,
    is_list: bool,
    /// A table may stand in it, or a list, or a parenthesis more.
    is_table: bool,
    /// What stands in it is a value, and no table.
    is_expression: bool,
    is_subquery: bool,
    /// Of the term that is being read, until the next `AND` or `OR`.
    operators: usize,
    /// Of the expression that is being read.
    conditions: usize,
    joins: usize,
    values: usize,
}

/// Looks a text over before anything parses it: what is too long or too deep would take the process's stack, or its time.
///
/// # Errors
/// `TooLong`, `TooDeep`. A text that has no tokens is left to the parser, which says why.
pub fn admit_text(sql: &str) -> Result<(), QueryError> {
    if sql.len() > QUERY_BYTES_MAX {
        return Err(QueryError::TooLong { max: QUERY_BYTES_MAX });
    }
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize() else { return Ok(()) };
    let mut levels = vec![Level::default()];
    let (mut depth, mut doublings, mut intervals, mut readings) = (0, 0, 0, 0u64);
    let mut before = None;
    for token in tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))) {
        if before.is_some_and(|before| self::keyword(before) == Keyword::INTERVAL) && !is_literal(token) {
            intervals += 1;
        }
        readings = readings.saturating_add(1 << usize::min(doublings + intervals, 40));
        let (keyword, is_open) = (keyword(token), levels.len() > 1);
        let Some(level) = levels.last_mut() else { break };
        match token {
            Token::LParen => {
                let opened_by = before.map_or(Keyword::NoKeyword, self::keyword);
                let is_table = match before {
                    Some(Token::LParen) => level.is_table,
                    _ => is_read_again(opened_by),
                };
                let own = match before {
                    Some(Token::Word(_)) if opened_by == Keyword::POSITION => 2,
                    Some(Token::Word(_)) if !takes_no_arguments(opened_by) => 1,
                    _ => usize::from(is_table),
                };
                doublings += own;
                let is_expression =
                    !matches!(opened_by, Keyword::FROM | Keyword::JOIN | Keyword::LATERAL | Keyword::AS);
                let is_list = opened_by == Keyword::IN;
                levels.push(Level { doublings: own, is_list, is_table, is_expression, ..Level::default() });
            }
            Token::LBracket => {
                doublings += 1;
                levels.push(Level { doublings: 1, ..Level::default() });
            }
            Token::Word(word) if word.keyword == Keyword::SELECT && matches!(before, Some(Token::LParen)) => {
                level.is_subquery = level.is_expression;
                if levels.iter().filter(|level| level.is_subquery).count() > SUBQUERIES_MAX {
                    return Err(too_deep(
                        format!("more than {SUBQUERIES_MAX} subqueries in one another"),
                        "join, or let a subquery (WITH) compute the inner ones",
                    ));
                }
            }
            Token::RParen | Token::RBracket if is_open => {
                let closed = levels.pop().unwrap_or_default();
                depth -= closed.operators + closed.conditions + closed.joins;
                doublings -= closed.doublings;
            }
            Token::Comma => {
                depth -= std::mem::take(&mut level.operators) + std::mem::take(&mut level.conditions);
                level.values += 1;
                intervals = 0;
            }
            Token::SemiColon => {
                levels = vec![Level::default()];
                (depth, doublings, intervals) = (0, 0, 0);
            }
            _ if is_clause(keyword) => {
                depth -= std::mem::take(&mut level.operators) + std::mem::take(&mut level.conditions);
            }
            _ if matches!(keyword, Keyword::AND | Keyword::OR) => {
                depth -= std::mem::take(&mut level.operators);
                level.conditions += 1;
                depth += 1;
            }
            _ if is_join(keyword) => {
                level.joins += 1;
                depth += 1;
            }
            _ if is_operator(token, keyword) => {
                level.operators += 1;
                depth += 1;
            }
            _ => {}
        }
        if depth > CHAIN_MAX {
            return Err(too_deep(
                format!("more than {CHAIN_MAX} operators in one chain"),
                "write IN (…) in place of many OR, or ask in parts",
            ));
        }
        if levels.last().is_some_and(|level| level.is_list && level.values >= LIST_MAX) {
            return Err(too_deep(format!("more than {LIST_MAX} values in one IN list"), "ask in parts, or by a range"));
        }
        if readings > READINGS_MAX {
            return Err(too_deep(
                "too many functions, tables or lists within each other".to_owned(),
                "let a subquery (WITH) compute the inner ones",
            ));
        }
        before = Some(token);
    }
    Ok(())
}

fn too_deep(what: String, mend: &'static str) -> QueryError {
    QueryError::TooDeep { what, mend }
}

fn keyword(token: &Token) -> Keyword {
    match token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

fn is_literal(token: &Token) -> bool {
    matches!(token, Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::Number(..))
}

/// Whether sqlparser reads on behind such a word and its parenthesis as if one thing stood there, and then again for another.
fn is_read_again(word: Keyword) -> bool {
    matches!(
        word,
        Keyword::IN
            | Keyword::FROM
            | Keyword::JOIN
            | Keyword::LATERAL
            | Keyword::VALUES
            | Keyword::EXISTS
            | Keyword::ROW
    )
}

/// Whether a parenthesis after this word opens something else than a function's arguments.
fn takes_no_arguments(word: Keyword) -> bool {
    use Keyword::*;
    matches!(
        word,
        IN | AND
            | OR
            | NOT
            | FROM
            | JOIN
            | AS
            | SELECT
            | WHERE
            | ON
            | USING
            | VALUES
            | WHEN
            | THEN
            | ELSE
            | CASE
            | EXISTS
            | ANY
            | ALL
            | SOME
            | OVER
            | FILTER
            | BY
            | UNION
            | EXCEPT
            | INTERSECT
            | HAVING
            | LIKE
            | ILIKE
            | BETWEEN
            | IS
            | DISTINCT
            | LATERAL
    )
}

/// Whether an expression before this word is over.
fn is_clause(word: Keyword) -> bool {
    use Keyword::*;
    matches!(
        word,
        SELECT | FROM | WHERE | GROUP | ORDER | HAVING | QUALIFY | LIMIT | WHEN | THEN | ELSE | END | ON | AS
    )
}

fn is_join(word: Keyword) -> bool {
    use Keyword::*;
    matches!(word, UNION | INTERSECT | EXCEPT | JOIN)
}

fn is_operator(token: &Token, word: Keyword) -> bool {
    use Token::*;
    matches!(word, Keyword::NOT | Keyword::IS | Keyword::LIKE | Keyword::ILIKE | Keyword::COLLATE)
        || !matches!(
            token,
            Word(_)
                | Number(..)
                | SingleQuotedString(_)
                | Period
                | LBracket
                | RBracket
                | LBrace
                | RBrace
                | Placeholder(_)
                | EOF
        )
}

/// Reads the statements of `sql` and refuses those that do more than ask.
pub fn admit(sql: &str) -> Result<Vec<Statement>, QueryError> {
    admit_text(sql)?;
    let statements = DFParserBuilder::new(sql)
        .with_recursion_limit(NESTING_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| QueryError::from_engine(error, sql))?;
    for statement in &statements {
        look_over(statement)?;
    }
    Ok(statements.into())
}

/// The second lock, on what the words have become.
pub fn admit_plan(plan: &LogicalPlan) -> Result<(), QueryError> {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
        .map_err(|error| QueryError::Refused { what: error.strip_backtrace() })
}

fn look_over(statement: &Statement) -> Result<(), QueryError> {
    match statement {
        Statement::Explain(explain) => look_over(&explain.statement),
        Statement::Statement(statement) => look_over_sql(statement),
        Statement::CreateExternalTable(_) => Err(writes("CREATE EXTERNAL TABLE")),
        Statement::CopyTo(_) => Err(writes("COPY")),
        Statement::Reset(_) => Err(writes("RESET")),
    }
}

fn look_over_sql(statement: &ast::Statement) -> Result<(), QueryError> {
    match statement {
        ast::Statement::Query(query) => {
            // What the words mean is seen once they are put right.
            let mut query = query.clone();
            reword(&mut query);
            copies::admit(&query)?;
            match query.visit(&mut Inspector::default()) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(refused) => Err(refused),
            }
        }
        ast::Statement::Explain { statement, .. } => look_over_sql(statement),
        ast::Statement::ExplainTable { .. }
        | ast::Statement::ShowTables { .. }
        | ast::Statement::ShowColumns { .. }
        | ast::Statement::ShowFunctions { .. } => Ok(()),
        other => Err(writes(&name_of(other))),
    }
}

fn writes(what: &str) -> QueryError {
    QueryError::Refused { what: what.to_owned() }
}

/// Whether a client of a database server may say this: a question, or what clients say around questions, none of which
/// changes anything but the client's own connection.
pub fn admit_of_client(statement: &ast::Statement) -> Result<(), QueryError> {
    use ast::Statement::*;
    match statement {
        Set(_)
        | ShowVariable { .. }
        | ShowVariables { .. }
        | ShowStatus { .. }
        | ShowCatalogs { .. }
        | StartTransaction { .. }
        | Commit { .. }
        | Rollback { .. }
        | Savepoint { .. }
        | ReleaseSavepoint { .. }
        | Fetch { .. }
        | Close { .. }
        | Discard { .. }
        | Deallocate { .. }
        | Reset(_)
        | LISTEN { .. }
        | UNLISTEN { .. } => Ok(()),
        // To the client alone: never to a file or a program of the server's.
        Copy { source, to: true, target: ast::CopyTarget::Stdout, .. } => match source {
            ast::CopySource::Table { .. } => Ok(()),
            ast::CopySource::Query(query) => look_over_sql(&Query(query.clone())),
        },
        Prepare { statement, .. } => match &**statement {
            Query(_) => look_over_sql(statement),
            other => Err(writes(&name_of(other))),
        },
        // What it stands for is looked over in its place.
        Execute { name: Some(_), immediate: false, .. } => Ok(()),
        Declare { stmts } => stmts.iter().try_for_each(|declared| match &declared.for_query {
            Some(query) => look_over_sql(&Query(query.clone())),
            None => Err(writes("DECLARE without a query")),
        }),
        other => look_over_sql(other),
    }
}

/// The words that a refused statement begins with, never its values.
fn name_of(statement: &ast::Statement) -> String {
    let text = statement.to_string();
    text.split_whitespace()
        .take_while(|word| word.chars().all(|c| c.is_ascii_uppercase()))
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

fn wrong(found: ControlFlow<String>) -> ControlFlow<QueryError> {
    found.map_break(|what| QueryError::Wrong { what })
}

/// Looks for what writes inside a query: `WITH … INSERT`, `SELECT … INTO`; and for what the engine would answer wrongly.
#[derive(Default)]
struct Inspector {
    silent: Silent,
}

impl Visitor for Inspector {
    type Break = QueryError;

    fn pre_visit_statement(&mut self, statement: &ast::Statement) -> ControlFlow<QueryError> {
        ControlFlow::Break(writes(&name_of(statement)))
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        match &*query.body {
            SetExpr::Insert(_) => ControlFlow::Break(writes("INSERT")),
            SetExpr::Update(_) => ControlFlow::Break(writes("UPDATE")),
            SetExpr::Delete(_) => ControlFlow::Break(writes("DELETE")),
            SetExpr::Merge(_) => ControlFlow::Break(writes("MERGE")),
            _ => wrong(self.silent.enter(query)),
        }
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<QueryError> {
        self.silent.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<QueryError> {
        match select.into {
            Some(_) => ControlFlow::Break(writes("SELECT INTO")),
            None => wrong(self.silent.enter_select(select)),
        }
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<QueryError> {
        wrong(self.silent.look_at(expr))
    }

    /// The engine reads the word and takes all rows.
    fn pre_visit_table_factor(&mut self, table: &ast::TableFactor) -> ControlFlow<QueryError> {
        match table {
            ast::TableFactor::Table { sample: Some(_), .. } | ast::TableFactor::Derived { sample: Some(_), .. } => {
                ControlFlow::Break(QueryError::Wrong { what: "TABLESAMPLE (write WHERE random() < 0.1)".to_owned() })
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_pass() {
        for sql in [
            "SELECT 1",
            "WITH a AS (SELECT 1 AS x) SELECT * FROM a",
            "VALUES (1), (2)",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT * FROM calls",
            "DESCRIBE calls",
            "SHOW TABLES",
            "SHOW COLUMNS FROM calls",
            "SELECT 'DROP TABLE calls; COPY calls TO ''/tmp/x'''",
            "SELECT 1; SELECT 2",
            "SELECT a FROM calls WHERE a SIMILAR TO '+49%' AND b IS DISTINCT FROM c AND d NOT IN (SELECT d FROM leases)",
            "SELECT a FROM calls WHERE a >= ALL (SELECT a FROM calls AS c) INTERSECT SELECT b FROM calls",
        ] {
            assert!(admit(sql).is_ok(), "{sql}: {:?}", admit(sql).err());
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for sql in [
            "CREATE TABLE t AS SELECT 1",
            "CREATE VIEW v AS SELECT 1",
            "CREATE SCHEMA s",
            "CREATE DATABASE d",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "CREATE FUNCTION f() RETURNS INT RETURN 1",
            "SELECT count(*) FROM calls TABLESAMPLE BERNOULLI (10)",
            "SELECT a FROM calls INTERSECT ALL SELECT b FROM calls",
            "SELECT a FROM calls WHERE a SIMILAR TO b",
            "SELECT a FROM calls WHERE a >= ALL (SELECT a FROM calls)",
            "SELECT a FROM calls WHERE b OR a NOT IN (SELECT a FROM leases)",
            "DROP TABLE calls",
            "DROP VIEW calls",
            "ALTER TABLE calls ADD COLUMN x INT",
            "TRUNCATE TABLE calls",
            "INSERT INTO calls SELECT * FROM calls",
            "INSERT INTO rejected VALUES (1)",
            "UPDATE calls SET caller = 'x'",
            "DELETE FROM calls",
            "MERGE INTO calls USING leases ON true WHEN MATCHED THEN DELETE",
            "COPY calls TO '/tmp/x.csv'",
            "COPY (SELECT 1) TO 'https://example.invalid/x' STORED AS PARQUET",
            "SET datafusion.execution.target_partitions = 1",
            "RESET datafusion.execution.target_partitions",
            "BEGIN",
            "COMMIT",
            "PREPARE p AS SELECT 1",
            "EXECUTE p",
            "EXPLAIN INSERT INTO calls SELECT * FROM calls",
            "EXPLAIN ANALYZE COPY calls TO '/tmp/x.csv'",
            "WITH a AS (SELECT 1) INSERT INTO calls SELECT * FROM a",
            "SELECT * INTO t FROM calls",
            "SELECT 1; DROP TABLE calls",
            "GRANT SELECT ON calls TO someone",
            "CALL f()",
            "USE history",
            "ATTACH DATABASE 'x' AS y",
            "INSTALL httpfs",
            "LOAD 'x.so'",
            "VACUUM calls",
        ] {
            match admit(sql) {
                Err(QueryError::Refused { what } | QueryError::Wrong { what }) => assert!(!what.is_empty(), "{sql}"),
                // What the parser does not even know gets no further either.
                Err(QueryError::Sql(_)) => {}
                other => panic!("{sql}: {other:?}"),
            }
        }
    }

    #[test]
    fn length_and_nesting_are_bounded() {
        assert!(matches!(admit(&" ".repeat(QUERY_BYTES_MAX + 1)), Err(QueryError::TooLong { .. })));
        let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
        assert!(matches!(admit(&deep), Err(QueryError::Sql(_) | QueryError::Engine(_))));
        let chain = |of: &str, by: &str, times: usize| format!("SELECT {}", vec![of; times].join(by));
        let functions = |times: usize| format!("SELECT {}1{}", "abs(".repeat(times), ")".repeat(times));
        let list = |times: usize| format!("SELECT * FROM calls WHERE call_id IN ({})", vec!["'1'"; times].join(","));
        for refused in [
            chain("1", "+", 1_100),
            chain("true", " OR ", 1_100),
            chain("(1", "+", 1_100) + &")".repeat(1_100),
            chain("1 ", "||", 1_100),
            chain("1 ", " UNION ALL SELECT ", 1_100),
            format!("SELECT {} true", "NOT ".repeat(1_100)),
            format!("SELECT 1{}", "::int".repeat(1_100)),
            functions(25),
            format!("SELECT {}'a'{}", "position(".repeat(13), " IN 'b')".repeat(13)),
            format!("SELECT {}'1 day'", "interval ".repeat(24)),
            format!("SELECT {}", "interval - ".repeat(24)),
            format!("SELECT {}1{}", "x IN (VALUES (".repeat(12), "]))".repeat(12)),
            format!("SELECT * FROM {}1", "((SELECT 1 FROM ".repeat(12)),
            format!("SELECT {}1", "ARRAY[".repeat(25)),
            format!("SELECT {}1{}", "EXISTS (SELECT ".repeat(9), ")".repeat(9)),
            format!("SELECT {}{}", "replace(".repeat(12), ",'a','b')".repeat(12).replace(',', &",1".repeat(2_000))),
            list(200_000),
        ] {
            assert!(matches!(admit_text(&refused), Err(QueryError::TooDeep { .. })), "{}", &refused[..40]);
        }
        let many = |each: &str| format!("SELECT {} FROM calls", vec![each; 5_000].join(", "));
        for taken in [
            chain("1", "+", 900),
            chain("a = 1", " OR ", 900),
            functions(18),
            many("interval '1 day' + interval '2 days'"),
            many("((a + (b)) * (c))"),
            format!("SELECT {}1{}", "EXISTS (SELECT ".repeat(8), ")".repeat(8)),
            format!("SELECT * FROM {}calls{}", "(SELECT * FROM ".repeat(14), ") t".repeat(14)),
            format!("SELECT {}1 = 1{}", "(a AND ".repeat(40), ")".repeat(40)),
            format!("SELECT {}a{}", "(".repeat(45), ")".repeat(45)),
            format!("SELECT 1, {}a{}", "(1, ".repeat(45), ")".repeat(45)),
            many("interval"),
            list(5_000),
            many("a + b * c = 1 AND NOT d"),
            format!("SELECT CASE {} END", "WHEN a = 1 AND b = 2 THEN 'x' ".repeat(5_000)),
            vec!["SELECT 1 + 1"; 2_000].join(";"),
            format!("SELECT '{}'", "+".repeat(5_000)),
        ] {
            assert!(admit_text(&taken).is_ok(), "{}: {:?}", &taken[..12], admit_text(&taken).err());
        }
    }
}
