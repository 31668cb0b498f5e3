//! The house rules that a compiler does not know, held against the sources as text: who may import whom, what `core`
//! must not use, and that nothing lies about unused. It stands in core so that it runs without any engine.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the root package by floor, in which each imports only from floors below.
const FLOORS: &[&[&str]] = &[
    &["line", "problem"],
    &["telemetry"],
    &["config", "files"],
    &["log", "lake"],
    &["lease"],
    &["collect", "process", "query", "notify", "import", "simulate", "evaluate", "plan"],
    &["app"],
    &["cli"],
    &["main"],
];

/// Where a library may be named, and why there alone.
const LIBRARIES: &[(&str, &[&str], &str)] = &[
    (
        "axum",
        &[
            "collect/",
            "notify/routes.rs",
            "notify/service.rs",
            "notify/stream.rs",
            "query/http.rs",
            "query/http/",
            "problem.rs",
            "query/server.rs",
            "app.rs",
            "app/answer.rs",
        ],
        "HTTP is collect's, and the HTTP faces of notify and query",
    ),
    ("hyper", &["collect/server.rs"], "HTTP is collect's"),
    (
        "reqwest",
        &["collect/callback.rs", "notify/send.rs", "notify/address.rs", "notify/remote.rs"],
        "few places ask others over HTTP",
    ),
    ("async_nats", &["log/nats.rs", "log/nats/"], "the log's trait hides NATS"),
    (
        "redb",
        &["log/embedded.rs", "log/embedded/", "notify/store.rs"],
        "the log's trait hides its store, and the notifier keeps one",
    ),
    // query/tables.rs plans a scan of one version of a table; query/error.rs tells its errors from DataFusion's;
    // query/changes.rs reads what each commit brought; query/corrections.rs the corrections that a version has.
    // query/workers/pinned.rs reads which files a version has, for machines that cannot read the log of the table themselves.
    (
        "deltalake_core",
        &[
            "lake/",
            "query/tables.rs",
            "query/error.rs",
            "query/changes.rs",
            "query/corrections.rs",
            "query/workers/pinned.rs",
            "telemetry/logs.rs",
        ],
        "the lake hides Delta",
    ),
    ("object_store", &["lake/", "query/changes.rs", "query/workers/"], "the lake hides its storage"),
    ("datafusion", &["query/", "notify/filter.rs"], "SQL is query's; a filter is one expression"),
    (
        "datafusion_postgres",
        &["query/postgres.rs", "query/postgres/", "query/directory.rs", "query/server.rs", "telemetry/logs.rs"],
        "PostgreSQL's protocol has one place; its catalog is part of the directory, and what it logs is not for logs",
    ),
    ("arrow_flight", &["query/flight.rs", "query/flight/"], "Flight SQL has one place"),
    ("tonic", &["query/flight.rs", "query/flight/", "query/workers/"], "Flight SQL has one place, and workers one"),
    ("datafusion_distributed", &["query/workers/"], "only here are there other machines"),
    ("datafusion_proto", &["query/workers/"], "only here plans are sent"),
    ("rustyline", &["query/prompt.rs"], "one prompt"),
    ("prometheus_client", &["telemetry/"], "metrics are named in one file"),
    ("indicatif", &["telemetry/progress.rs"], "progress has one face"),
    ("clap", &["cli.rs", "cli/"], "commands and flags stand in one place"),
    ("anyhow", &["main.rs", "app.rs", "app/"], "everywhere else an operation has an error of its own"),
    ("toml", &["config/"], "configuration is read in one place"),
];

/// What `core` must not use. clippy.toml has its functions too, with the reasons, for those who rename imports.
const CORE_BANS: &[(&str, &str)] = &[
    ("SystemTime", "time is an input"),
    ("Instant::now", "time is an input"),
    ("std::time::Instant", "time is an input"),
    ("Utc::now", "time is an input"),
    ("Local::now", "time is an input"),
    ("rand::", "randomness is an input"),
    ("RandomState", "its order differs from run to run"),
    ("std::collections::HashMap", "its order differs from run to run"),
    ("std::collections::HashSet", "its order differs from run to run"),
    ("std::fs", "core does no I/O"),
    ("std::env", "core does no I/O"),
    ("std::process", "core does no I/O"),
    ("std::thread", "core decides in one thread"),
    ("TcpStream", "core does no I/O"),
    ("UdpSocket", "core does no I/O"),
    ("tokio", "core is synchronous"),
    ("println!", "core does no I/O"),
];

const LINES_MAX: usize = 600;

struct Source {
    /// From the repository's root, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| {
            matches!(part, "tests" | "tests.rs" | "benches" | "examples" | "fuzz") || part.ends_with("_tests.rs")
        })
    }

    fn in_core(&self) -> bool {
        self.path.starts_with("pipeline/core/")
    }

    /// Code lines with their numbers: no comments, and nothing from the file's own test module on.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].ends_with(" {"));
        let end = tests.unwrap_or(lines.len());
        lines.into_iter().take(end).enumerate().filter_map(|(at, line)| {
            let code = line.split(" // ").next().unwrap_or(line);
            (!code.trim_start().starts_with("//")).then_some((at + 1, code))
        })
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust file of the repository; what builds leave behind is passed over.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["pipeline", "tests"] {
        walk(&root().join(folder), folder, &mut |path, file| {
            if path.ends_with(".rs") {
                let text = fs::read_to_string(file).expect("a readable source");
                found.push(Source { path: path.to_owned(), text });
            }
        });
    }
    assert!(found.len() > 100, "only {} sources were found", found.len());
    found
}

fn walk(folder: &Path, name: &str, visit: &mut impl FnMut(&str, &Path)) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).expect("a readable folder").map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let file = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{name}/{file}");
        if entry.path().is_dir() {
            if !matches!(file.as_str(), "target" | "corpus" | "artifacts") {
                walk(&entry.path(), &path, visit);
            }
        } else {
            visit(&path, &entry.path());
        }
    }
}

fn none(offenders: &[String]) {
    assert!(offenders.is_empty(), "\n{}\n", offenders.join("\n"));
}

/// Whether `line` has `word` as a path's first name or in the middle of it, not as the end of a longer name.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let part = |it: Option<char>| it.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
        !part(before) && (word.ends_with(':') || !part(after))
    })
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The modules of the root package that a line names behind `lead`: `crate::log::…`, `crate::{log, lake::…}`.
fn imported<'a>(line: &'a str, lead: &str) -> Vec<&'a str> {
    fn first(text: &str) -> &str {
        let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        &text[..end.unwrap_or(text.len())]
    }
    let mut found = Vec::new();
    for (at, _) in line.match_indices(lead) {
        let rest = &line[at + lead.len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(list.split(',').map(|item| first(item.trim()))),
            None => found.push(first(rest)),
        }
    }
    found.retain(|name| floor_of(name).is_some());
    found
}

#[test]
fn each_floor_imports_only_from_below() {
    let mut offenders = Vec::new();
    for source in sources().iter().filter(|it| it.path.starts_with("pipeline/") && !it.in_core() && !it.is_test()) {
        let inner = source.path.trim_start_matches("pipeline/").trim_end_matches(".rs");
        let module = inner.split('/').next().unwrap_or(inner);
        if module == "lib" {
            continue;
        }
        let Some(own) = floor_of(module) else {
            offenders.push(format!("{}: module {module} has no floor: give it one in FLOORS", source.path));
            continue;
        };
        // The binary sees the library from outside.
        let lead = if module == "main" { "callweave::" } else { "crate::" };
        let depth = inner.trim_end_matches("/mod").split('/').count();
        for (at, line) in source.code() {
            for other in imported(line, lead).into_iter().filter(|other| *other != module) {
                if floor_of(other).is_some_and(|floor| floor >= own) {
                    offenders.push(format!(
                        "{}:{at}: {module} may not import {other}, which is no floor below",
                        source.path
                    ));
                }
            }
            if names(line, &"super::".repeat(depth)) {
                offenders.push(format!("{}:{at}: write crate:: for other modules", source.path));
            }
        }
    }
    none(&offenders);
}

#[test]
fn a_library_is_named_only_where_it_belongs() {
    let mut offenders = Vec::new();
    for source in sources().iter().filter(|it| it.path.starts_with("pipeline/") && !it.in_core() && !it.is_test()) {
        let inner = source.path.trim_start_matches("pipeline/");
        for (library, homes, why) in LIBRARIES {
            if homes.iter().any(|home| inner == *home || home.ends_with('/') && inner.starts_with(home)) {
                continue;
            }
            for (at, line) in source.code() {
                if names(line, &format!("{library}::")) || line.trim().starts_with(&format!("use {library};")) {
                    offenders.push(format!("{}:{at}: {library} belongs in {}: {why}", source.path, homes.join(", ")));
                }
            }
        }
    }
    none(&offenders);
}

#[test]
fn core_has_no_clock_no_chance_and_no_io() {
    let mut offenders = Vec::new();
    for source in sources().iter().filter(|it| it.in_core() && !it.is_test()) {
        for (at, line) in source.code() {
            for (ban, why) in CORE_BANS.iter().filter(|(ban, _)| names(line, ban)) {
                offenders.push(format!("{}:{at}: {ban}: {why}", source.path));
            }
        }
    }
    none(&offenders);
}

/// Tables of hashbrown by their fields' names: clippy's lint knows those of std alone.
#[test]
fn core_walks_no_table_in_its_own_order() {
    let sources = sources();
    let own = || sources.iter().filter(|it| it.in_core() && !it.is_test());
    let tables = ["Map<", "HashMap<", "HashSet<", "HashTable<", "FxHashMap<", "FxHashSet<", "Keys"];
    let mut offenders = Vec::new();
    for source in own() {
        let fields: Vec<&str> = source
            .code()
            .filter_map(|(_, line)| {
                line.trim().trim_start_matches("pub ").trim_start_matches("pub(super) ").split_once(": ")
            })
            .filter(|(_, kind)| tables.iter().any(|table| kind.starts_with(table)))
            .map(|(field, _)| field)
            .collect();
        for (at, line) in source.code() {
            let walked = |field: &&&str| {
                let calls = [
                    "iter",
                    "iter_mut",
                    "keys",
                    "values",
                    "values_mut",
                    "drain",
                    "into_iter",
                    "into_keys",
                    "into_values",
                ];
                calls.iter().any(|call| names(line, &format!("self.{field}.{call}")))
                    || names(line, &format!("in self.{field}"))
                    || line.contains(&format!("in &self.{field} "))
            };
            if let Some(field) = fields.iter().find(walked) {
                offenders
                    .push(format!("{}:{at}: {field} has no order of its own: sort, or use a BTreeMap", source.path));
            }
        }
    }
    none(&offenders);
}

#[test]
fn nothing_on_the_way_of_data_gives_up() {
    let mut offenders = Vec::new();
    for source in sources() {
        let dropped = ["TODO", "FIXME", "XXX:", "todo!", "unimplemented!"];
        let own = source.path.ends_with("/house.rs");
        for (at, line) in source.text.lines().enumerate().filter(|_| !own) {
            if let Some(word) = dropped.iter().find(|word| line.contains(**word)) {
                offenders.push(format!("{}:{}: {word}: do it, or open an issue", source.path, at + 1));
            }
        }
        if source.is_test() || !source.path.starts_with("pipeline/") {
            continue;
        }
        for (at, line) in source.code() {
            // In a constant it is the compiler that would give up.
            let constant = line.trim_start().starts_with("const ") || line.contains(" const ");
            if !constant && (line.contains(".unwrap()") || line.contains(".expect(")) {
                offenders.push(format!("{}:{at}: unwrap and expect are for tests: return an error", source.path));
            }
        }
    }
    none(&offenders);
}

#[test]
fn every_source_is_part_of_a_module() {
    let sources = sources();
    let by_path: BTreeMap<&str, &str> = sources.iter().map(|it| (it.path.as_str(), it.text.as_str())).collect();
    let mut offenders = Vec::new();
    for path in by_path.keys() {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        // Roots: what Cargo.toml names, and a test, benchmark or fuzz target each.
        let targets = [
            "pipeline/core/tests",
            "pipeline/core/benches",
            "pipeline/core/examples",
            "pipeline/core/fuzz/fuzz_targets",
        ];
        if matches!(file, "lib.rs" | "main.rs") || targets.contains(&folder) {
            continue;
        }
        let (home, stem) = match file {
            "mod.rs" => folder.rsplit_once('/').unwrap_or(("", folder)),
            _ => (folder, file.trim_end_matches(".rs")),
        };
        let declares = |parent: &str| {
            by_path.get(parent).is_some_and(|text| text.lines().any(|line| line.ends_with(&format!("mod {stem};"))))
        };
        let parents =
            [format!("{home}.rs"), format!("{home}/mod.rs"), format!("{home}/lib.rs"), format!("{home}/main.rs")];
        // A folder that test targets share lies beside them.
        let shared = by_path
            .keys()
            .filter(|other| other.rsplit_once('/').is_some_and(|(at, _)| at == home && targets.contains(&at)));
        let by_name = format!("#[path = \"{file}\"]");
        let named = by_path.iter().any(|(other, text)| other.starts_with(folder) && text.contains(&by_name));
        if named {
            continue;
        }
        if !parents.iter().any(|parent| declares(parent)) && !shared.into_iter().any(|other| declares(other)) {
            offenders.push(format!("{path}: no module declares it: use it or remove it"));
        }
    }
    none(&offenders);
}

#[test]
fn sources_stay_short() {
    let mut offenders = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            offenders.push(format!("{}: {lines} lines, at most {LINES_MAX}: part it", source.path));
        }
        if lines > 400 {
            println!("{}: {lines} lines", source.path);
        }
    }
    none(&offenders);
}

#[test]
fn every_query_is_in_the_library() {
    let library = fs::read_to_string(root().join("pipeline/query/library.rs")).expect("the library of queries");
    let mut offenders = Vec::new();
    walk(&root().join("queries"), "queries", &mut |path, _| {
        // Measures and dimensions are read by a test of the library.
        let name = path.rsplit('/').next().and_then(|file| file.strip_suffix(".sql"));
        if path != "queries/metrics.toml" && !name.is_some_and(|name| library.contains(&format!("\"{name}\""))) {
            offenders.push(format!("{path}: nothing uses it"));
        }
    });
    none(&offenders);
}

/// docs/tables.md is made from the tables' committed descriptions. `CALLWEAVE_BLESS=1` writes it anew.
#[test]
fn the_page_of_tables_is_in_step() {
    let mut page = String::from(
        "# Tables\n\nThe lake holds one Delta table a folder, partitioned by `date` (the UTC date of the row's time). \
         Times are UTC with\nmicroseconds. Where a table has a `revision`, the highest of a key counts: `callweave sql` \
         shows only that one, and all\nof them in the schema `history`; other engines see all of them.\n\nMade from \
         `schemas/tables/`; `CALLWEAVE_BLESS=1 cargo test -p callweave-core --test house` rewrites it.\n",
    );
    walk(&root().join("schemas/tables"), "schemas/tables", &mut |path, file| {
        let text = fs::read_to_string(file).expect("a readable schema");
        let table: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let text_of = |value: &serde_json::Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let _ = write!(
            page,
            "\n## {}\n\n{}\n\n| column | type | what it says |\n| --- | --- | --- |\n",
            text_of(&table, "table"),
            text_of(&table, "comment")
        );
        for column in table["columns"].as_array().into_iter().flatten() {
            let _ = writeln!(
                page,
                "| `{}` | {} | {} |",
                text_of(column, "name"),
                text_of(column, "type"),
                text_of(column, "comment").replace('|', "\\|")
            );
        }
    });
    let path = root().join("docs/tables.md");
    if std::env::var_os("CALLWEAVE_BLESS").is_some() {
        fs::write(&path, &page).expect("docs can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/tables.md is out of step: run CALLWEAVE_BLESS=1 cargo test -p callweave-core --test house"
    );
}
