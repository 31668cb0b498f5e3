use super::*;

fn check(sql: &str, expected: Option<&str>) {
    assert_eq!(simplified(sql, &[Some(Type::INT4)]).as_deref(), expected, "{sql}");
}

#[test]
fn what_is_no_catalog_is_left_alone() {
    check("SELECT (SELECT a FROM b WHERE b.c = d.c) FROM d", None);
    check("SELECT pg_size_pretty(1), (SELECT a FROM b WHERE b.c = d.c) FROM d", None);
    check("SELECT a FROM pg_catalog.pg_class", None);
    check("SELECT 1 FROM other.pg_index", None);
    check("WITH pg_index AS (SELECT 1 AS a) SELECT a FROM pg_index", None);
    check("SELECT pg_( FROM", None);
}

#[test]
fn what_has_no_rows_is_not_planned() {
    check(
        "SELECT i.a, b AS x, unnest(c), i.a::text, CASE WHEN d THEN 1 END FROM pg_catalog.pg_index i, pg_class",
        Some(
            "SELECT CAST(NULL AS TEXT) AS \"a\", CAST(NULL AS TEXT) AS \"x\", CAST(NULL AS TEXT) AS \"unnest\", \
             CAST(NULL AS TEXT) AS \"a_3\", CAST(NULL AS TEXT) AS \"case\" WHERE false",
        ),
    );
    check(
        "SELECT a, array_agg(b) FROM (SELECT a, unnest(b) AS b FROM pg_index) x GROUP BY a",
        Some("SELECT CAST(NULL AS TEXT) AS \"a\", CAST(NULL AS TEXT) AS \"array_agg\" WHERE false"),
    );
    check(
        "SELECT a FROM pg_trigger UNION SELECT a FROM pg_class JOIN pg_policy ON true",
        Some("SELECT CAST(NULL AS TEXT) AS \"a\" WHERE false"),
    );
    check(
        "SELECT c.a, x.b FROM pg_class c LEFT JOIN (SELECT unnest(b) AS b FROM pg_index) x ON c.a = x.b",
        Some("SELECT c.a, x.b FROM pg_class c LEFT JOIN (SELECT NULL AS \"b\" WHERE false) x ON c.a = x.b"),
    );
    check(
        "SELECT CASE WHEN a.d THEN (SELECT f(b) FROM pg_attrdef WHERE a.d AND e = a.e) END FROM pg_attribute a",
        Some("SELECT CASE WHEN a.d THEN NULL END FROM pg_attribute a"),
    );
    check(
        "SELECT EXISTS (SELECT 1 FROM pg_index), a NOT IN (SELECT b FROM pg_index) FROM pg_class",
        Some("SELECT false, true FROM pg_class"),
    );
}

#[test]
fn information_schema_is_as_postgresql_has_it() {
    check(
        "SELECT column_name, information_schema.columns.data_type FROM information_schema.columns WHERE table_schema IN (SELECT \
         trim(s[i]) FROM generate_series(1, 2) AS i, string_to_array(current_setting('search_path'), ',') s)",
        Some(
            "SELECT column_name, columns.data_type FROM pg_catalog.pg_information_columns AS columns WHERE table_schema IN \
             ('public')",
        ),
    );
    check(
        "SELECT c.a FROM information_schema.columns c LEFT JOIN (SELECT k.a FROM information_schema.key_column_usage k) k ON \
         true",
        Some(
            "SELECT c.a FROM pg_catalog.pg_information_columns c LEFT JOIN (SELECT NULL AS \"a\" WHERE false) k ON true",
        ),
    );
    check("SELECT table_name FROM information_schema.tables", None);
}

#[test]
fn names_of_tables_are_looked_up() {
    check(
        "SELECT 'pg_class'::regclass, CAST(CAST(format('%I.%I', a, b) AS REGCLASS) AS OID) FROM c",
        Some("SELECT 'pg_catalog.pg_class'::REGCLASS, CAST(to_regclass(format('%I.%I', a, b)) AS OID) FROM c"),
    );
    check("SELECT 'calls'::regclass, 1::regclass, 'marts.calls'::regclass", None);
}

#[test]
fn what_may_have_rows_stays() {
    check("SELECT count(*) FROM pg_index", None);
    check("SELECT max(a) AS a FROM pg_index HAVING true", None);
    check("SELECT a FROM pg_index GROUP BY ROLLUP (a)", None);
    check("SELECT a FROM pg_index UNION SELECT b FROM pg_class", None);
    check("SELECT a FROM pg_class c LEFT JOIN pg_index i ON i.a = c.a", None);
    check("SELECT * FROM pg_index", None);
}

#[test]
fn parameters_stay() {
    check(
        "SELECT a FROM pg_index WHERE b IN ($1) AND c = $2 AND d = $3::pg_catalog.regclass LIMIT $4",
        Some(
            "SELECT CAST(NULL AS TEXT) AS \"a\" WHERE (false) AND (true OR CAST($1 AS INT) IS NULL OR CAST($2 AS TEXT) IS \
             NULL OR CAST($3 AS TEXT) IS NULL OR CAST($4 AS TEXT) IS NULL)",
        ),
    );
    check(
        "SELECT (SELECT f($2) FROM pg_index) FROM pg_class WHERE a = $1",
        Some("SELECT NULL FROM pg_class WHERE (a = $1) AND (true OR CAST($2 AS TEXT) IS NULL)"),
    );
}

#[test]
fn one_row_is_said_by_an_aggregate() {
    check(
        "SELECT a FROM pg_type t WHERE t.b = 0 OR (SELECT c.kind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.b)",
        Some(
            "SELECT a FROM pg_type t WHERE t.b = 0 OR ((SELECT min(c.kind = 'c') FROM pg_catalog.pg_class c WHERE c.oid = t.b))",
        ),
    );
    check(
        "SELECT (SELECT pg_type.x AS y FROM pg_catalog.pg_type WHERE pg_catalog.pg_type.oid = pg_catalog.pg_attribute.t ORDER \
         BY 1) FROM pg_catalog.pg_attribute",
        Some(
            "SELECT ((SELECT min(pg_type.x) FROM pg_catalog.pg_type WHERE pg_catalog.pg_type.oid = \
             pg_catalog.pg_attribute.t)) FROM pg_catalog.pg_attribute",
        ),
    );
    for left_alone in [
        "SELECT (SELECT count(*) FROM pg_type t WHERE t.oid = a.t) FROM pg_attribute a",
        "SELECT (SELECT t.x FROM pg_type t WHERE t.oid <> a.t) FROM pg_attribute a",
        "SELECT (SELECT t.x FROM pg_type t WHERE t.oid = a.t AND a.c <> t.c) FROM pg_attribute a",
        "SELECT (SELECT a.x FROM pg_type t WHERE t.oid = a.t) FROM pg_attribute a",
        "SELECT (SELECT t.x FROM pg_type t WHERE t.oid = 1) FROM pg_attribute a",
        "SELECT (SELECT t.x FROM pg_type t WHERE t.oid = a.t LIMIT 1) FROM pg_attribute a",
        "SELECT (SELECT c.x FROM calls c WHERE c.oid = a.t) FROM pg_attribute a",
    ] {
        check(left_alone, None);
    }
}
