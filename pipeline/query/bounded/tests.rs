//! What functions may make: each alone, and those of a statement together.

use datafusion::arrow::util::display::array_value_to_string;
use datafusion::execution::SessionStateBuilder;

use super::*;

/// With the allowance of one statement.
fn context() -> SessionContext {
    let builder = SessionStateBuilder::new().with_default_features();
    let mut state = builder.with_physical_optimizer_rule(Arc::new(ConstantsBesideRows)).build();
    Allowance::give(&mut state, None);
    let context = SessionContext::new_with_state(state);
    register(&context).unwrap();
    context
}

/// The first value of what a statement answers.
async fn told(context: &SessionContext, sql: &str) -> Result<String> {
    let batches = context.sql(sql).await?.collect().await?;
    Ok(array_value_to_string(batches[0].column(0), 0)?)
}

#[tokio::test]
async fn no_function_makes_more_than_its_bound() {
    let long = "(SELECT repeat('x', n) AS a FROM (VALUES (30000000)) t(n)) q";
    let of_long = |made: &str| format!("(SELECT length({made}) FROM {long})");
    for (sql, is_taken) in [
        ("repeat('a', 500000000)", false),
        ("repeat('ab', 3)", true),
        ("repeat('ab', NULL)", true),
        ("lpad('', 500000000)", false),
        ("lpad('7', 3, '0')", true),
        ("rpad('', 500000000, 'x')", false),
        ("replace(repeat('a', 10000000), 'a', repeat('b', 1000))", false),
        ("replace('abc', 'b', 'dd')", true),
        ("array_repeat(1, 1000000000)", false),
        ("list_repeat('abc', 3)", true),
        ("array_resize([1], 1000000000, 0)", false),
        ("range(0, 1000000000)", false),
        ("range(1000000000, 0, -1)", false),
        ("range(1000000000)", false),
        ("generate_series(0, 1000000000)", false),
        ("range(0, 1000)", true),
        ("range(0, 1000, NULL)", true),
        ("range(date '2026-01-01', date '2026-12-31', interval '1 day')", true),
        ("range(timestamp '2026-01-01', timestamp '2026-12-31', interval '1 millisecond')", false),
        ("generate_series(timestamp '2026-01-01', timestamp '2026-12-31', interval '1 hour')", true),
        ("(SELECT max(length(repeat('abc', x))) FROM (VALUES (1), (40000000)) t(x))", false),
        ("(SELECT max(length(repeat('abc', x))) FROM (VALUES (1), (4)) t(x))", true),
        ("regexp_replace(repeat('a', 30000), 'a', repeat('b', 30000), 'g')", false),
        ("regexp_replace('abc', 'b', 'dd', 'g')", true),
        ("array_to_string(range(0, 100000), repeat('x', 10000))", false),
        ("array_to_string([1, 2, 3], ', ')", true),
        ("array_replace_all(array_repeat('a', 100000), 'a', repeat('b', 10000))", false),
        ("array_replace_all(['a', 'b'], 'a', 'c')", true),
        ("concat('a', 'b', NULL, 1)", true),
        ("concat_ws('-', 'a', 'b')", true),
        ("'a' || 'b' || 1", true),
        ("overlay('abc' placing 'x' from 2)", true),
        (&of_long("concat(a, a, a)"), false),
        (&of_long("concat_ws(a, 'x', 'y', 'z')"), false),
        (&of_long("a || a || a"), false),
        (&of_long("overlay(a placing a || a from 1)"), false),
        (&of_long("a"), true),
        (&format!("(SELECT cardinality(make_array(a, a, a)) FROM {long})"), false),
        (&format!("(SELECT cardinality([a, a, a]) FROM {long})"), false),
        (&format!("(SELECT cardinality(array_append([a, a], a)) FROM {long})"), false),
    ] {
        let answer = told(&context(), &format!("SELECT {sql}")).await;
        match answer {
            Ok(_) => assert!(is_taken, "{sql} was taken"),
            Err(error) => assert!(!is_taken && error.to_string().contains("at once"), "{sql}: {error}"),
        }
    }
}

#[tokio::test]
async fn the_functions_of_a_statement_share_what_they_may_make() {
    let times = |each: &str, by: &str, times: usize| vec![each; times].join(by);
    let columns = |each: &str, count: usize| {
        let columns = (0..count).map(|at| format!("{each} AS a{at}")).collect::<Vec<_>>().join(", ");
        format!(
            "SELECT length(a0) FROM (SELECT {columns}) WHERE {}",
            (0..count).map(|at| format!("a{at} <> ''")).collect::<Vec<_>>().join(" AND ")
        )
    };
    let values = |each: &str, count: usize| {
        format!("SELECT max(length(a)) FROM (VALUES {}) v(a)", times(&format!("({each})"), ", ", count))
    };
    for (sql, told_or_not) in [
        (values("repeat('x', 60000000)", 60), None),
        // Each is what a constant may be, and all together are not.
        (values("repeat('x', 60000)", 400), None),
        (values("repeat('x', 60000)", 20), Some("60000")),
        (format!("SELECT length(concat({}))", times("repeat('x', 60000000)", ", ", 60)), None),
        (format!("SELECT length({})", times("repeat('x', 60000000)", " || ", 60)), None),
        (format!("SELECT cardinality(make_array({}))", times("repeat('x', 60000000)", ", ", 60)), None),
        (columns("repeat('x', 4000000 + random()::int)", 60), None),
        (columns("repeat('x', 4000000)", 2), Some("4000000")),
        // What is too long for a plan is made while the statement runs.
        ("SELECT length(repeat('x', 10000000))".to_owned(), Some("10000000")),
    ] {
        let answer = told(&context(), &sql).await;
        match (answer, told_or_not) {
            (Ok(told), Some(expected)) => assert_eq!(told, expected, "{sql}"),
            (Err(error), None) => assert!(error.to_string().contains("at once"), "{sql}: {error}"),
            (answer, _) => panic!("{sql}: {answer:?}"),
        }
    }
}

/// A chain is as long as its end, however many links it has.
#[tokio::test]
async fn links_of_a_chain_share_nothing() {
    let chain = vec!["a"; 60].join(" || ");
    let sql = format!(
        "SELECT max(length({chain})) FROM (SELECT repeat('x', 300 + value % 2) AS a FROM generate_series(1, 2000))"
    );
    assert_eq!(told(&context(), &sql).await.unwrap(), "18060");
}

#[tokio::test]
async fn a_statement_has_what_the_one_before_it_had() {
    let context = context();
    for _ in 0..3 {
        assert_eq!(told(&context, "SELECT length(repeat('x', 60000))").await.unwrap(), "60000");
    }
    // One plan is there by now: another is made with the bounds of planning all the same.
    let sql = format!("SELECT max(length(a)) FROM (VALUES {}) v(a)", vec!["(repeat('x', 1000000))"; 40].join(", "));
    assert!(told(&context, &sql).await.unwrap_err().to_string().contains("at once"));
}

#[tokio::test]
async fn texts_are_joined_as_ever() {
    let context = context();
    for (sql, expected) in [
        ("SELECT 'a' || 1 || 'c'", "a1c"),
        ("SELECT count('a' || x) FROM (VALUES ('b'), (NULL)) t(x)", "1"),
        ("SELECT x || x FROM (VALUES ('b')) t(x)", "bb"),
        ("SELECT 1 || x || 2.5 || true || x FROM (VALUES ('b')) t(x)", "1b2.5trueb"),
        ("SELECT count(x || y || 'c') FROM (VALUES ('a', 'b'), ('a', NULL), (NULL, 'b')) t(x, y)", "1"),
        ("SELECT x || ('-' || y) || x FROM (VALUES ('a', 'b')) t(x, y)", "a-ba"),
        ("SELECT arrow_cast('a', 'LargeUtf8') || arrow_cast('b', 'Utf8View') || 'c'", "abc"),
        ("SELECT count(*) FROM (VALUES ('a'), ('b')) t(x) WHERE x || '1' IN ('a1', 'c1')", "1"),
        ("SELECT x || '!' FROM (VALUES ('b'), ('b')) t(x) GROUP BY x || '!' ORDER BY x || '!'", "b!"),
        ("SELECT array_to_string([1] || [2] || 3, '-')", "1-2-3"),
    ] {
        assert_eq!(told(&context, sql).await.unwrap(), expected, "{sql}");
    }
    let rows = context.sql("SELECT x || 'a' FROM (VALUES ('b')) t(x)").await.unwrap().collect().await.unwrap();
    assert_eq!(rows[0].schema().field(0).name(), "t.x || Utf8(\"a\")", "its column is called as it was");
}

#[tokio::test]
async fn constants_beside_rows_are_written_out_for_few_at_once() {
    let long = "SELECT repeat('x', 60000) || value AS x FROM generate_series(1, 2000)";
    for (sql, is_sliced) in
        [(long, true), ("SELECT repeat('x', 60) || value AS x FROM generate_series(1, 2000)", false)]
    {
        let plan = context().sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let shown = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
        assert_eq!(shown.contains("Slices: rows="), is_sliced, "{shown}");
    }
    // 120 MB at once are more than a function may make.
    let sql = format!("SELECT concat(count(*), '/', max(length(x))) FROM ({long})");
    assert_eq!(told(&context(), &sql).await.unwrap(), "2000/60004");
}
