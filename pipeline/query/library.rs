//! The SQL of `queries/`, carried inside the program. A test holds these lists against the folder.

/// One file of `queries/`. Its header (`--` comments before the first statement) begins with one line that says what
/// it is or asks; lines such as `-- key: account, call_id` follow.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    pub name: &'static str,
    pub sql: &'static str,
}

macro_rules! texts {
    ($folder:literal: $($name:literal)*) => {
        &[$(Text { name: $name, sql: include_str!(concat!("../../queries/", $folder, "/", $name, ".sql")) }),*]
    };
}

/// One for each table of the contract: its columns, and which rows of it count.
pub const STAGING: &[Text] = texts!("staging":
    "page_views" "web_events" "sessions" "leases" "calls" "call_candidates" "call_moments" "tags" "notes" "transcripts" "deals"
    "ad_costs" "rejected");

/// One grain each.
pub const MARTS: &[Text] = texts!("marts":
    "calls" "sessions" "touchpoints" "leases" "deals" "costs" "numbers" "pools" "agents" "callers");

/// One question each.
pub const REPORTS: &[Text] = texts!("reports":
    "performance" "sources" "calls_by_day" "hours" "landing_pages" "call_pages" "devices" "kinds" "attribution" "data_driven" "paths"
    "time_lag" "funnel" "cohorts" "return_on_spend" "missed" "missed_steps" "agents" "callers" "calls_per_caller"
    "methods" "tracking" "numbers" "pool_use");

/// Each finds offenders; empty is right.
pub const CHECKS: &[Text] = texts!("checks":
    "attribution_confidence" "call_times" "dates" "events_once" "kinds_by_settings" "kinds_in_order"
    "kinds_recomputed" "lease_after_call" "lease_of_call" "marts_whole" "one_row_a_key" "orphans" "revisions"
    "unique_target" "weights_sum_to_one");

/// Rows of `table` name a row of `refers_to` in `column`, within their account. Not every one is there: a session may have
/// been erased, and a call have none.
#[derive(Debug)]
pub struct ForeignKey {
    pub table: &'static str,
    pub column: &'static str,
    pub refers_to: &'static str,
}

const fn key(table: &'static str, column: &'static str, refers_to: &'static str) -> ForeignKey {
    ForeignKey { table, column, refers_to }
}

/// How the tables of the contract hang together.
pub const FOREIGN_KEYS: &[ForeignKey] = &[
    key("calls", "session_id", "sessions"),
    key("calls", "lease_id", "leases"),
    key("leases", "session_id", "sessions"),
    key("page_views", "session_id", "sessions"),
    key("web_events", "session_id", "sessions"),
    key("call_candidates", "call_id", "calls"),
    key("call_candidates", "session_id", "sessions"),
    key("call_candidates", "lease_id", "leases"),
    key("call_moments", "call_id", "calls"),
    key("tags", "call_id", "calls"),
    key("notes", "call_id", "calls"),
    key("transcripts", "call_id", "calls"),
    key("deals", "call_id", "calls"),
];

impl Text {
    pub fn find(texts: &'static [Text], name: &str) -> Option<&'static Text> {
        texts.iter().find(|text| text.name == name)
    }

    /// The header's first line: what this is, or which question it answers.
    pub fn description(&self) -> &'static str {
        self.header().next().unwrap_or_default()
    }

    /// The comma-separated words of the header's line `-- {key}: …`. Of a mart: `grain`, `key`, and `time` (its column of
    /// instants, beside `date` and `local_…`) or `day` (of days). Of a report: `base` (its marts), `by` (columns that may be
    /// folded), `default` (those that are not), `measure` (the first one: what stands before it are dimensions), `only` (which
    /// calls it counts, where not all), `whole` (parts of its WITH that a condition leaves whole).
    pub fn list(&self, key: &str) -> Vec<&'static str> {
        let line = self.header().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.map_or_else(Vec::new, |words| words.split(',').map(str::trim).filter(|w| !w.is_empty()).collect())
    }

    fn header(&self) -> impl Iterator<Item = &'static str> {
        self.sql.lines().map_while(|line| line.strip_prefix("--")).map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_lists_are_the_folder() -> std::io::Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        for (folder, texts) in [("staging", STAGING), ("marts", MARTS), ("reports", REPORTS), ("checks", CHECKS)] {
            let mut files = BTreeSet::new();
            for entry in std::fs::read_dir(root.join(folder))? {
                files.insert(entry?.file_name().to_string_lossy().into_owned());
            }
            let listed: BTreeSet<String> = texts.iter().map(|text| format!("{}.sql", text.name)).collect();
            assert_eq!(files, listed, "{folder}");
        }
        Ok(())
    }

    #[test]
    fn keys_are_columns_of_their_tables() {
        use crate::lake::table::TableName;
        for key in FOREIGN_KEYS {
            for (table, what) in [(key.table, "names"), (key.refers_to, "is named")] {
                let name = TableName::ALL.into_iter().find(|name| name.name() == table);
                let has = name.is_some_and(|name| name.definition().columns.iter().any(|it| it.name == key.column));
                assert!(has, "{table} {what} by {}", key.column);
            }
            let of = Text::find(STAGING, key.refers_to).map(|text| text.list("key")).unwrap_or_default();
            assert_eq!(of, ["account", key.column]);
        }
    }

    #[test]
    fn the_page_of_reports_names_them_all() {
        let page = include_str!("../../docs/reports.md");
        for text in REPORTS.iter().chain(MARTS) {
            assert!(page.contains(&format!("`{}`", text.name)), "docs/reports.md does not tell of {}", text.name);
        }
    }

    #[test]
    fn every_text_says_what_it_is() {
        for text in STAGING.iter().chain(MARTS) {
            assert!(!text.list("key").is_empty(), "{}", text.name);
        }
        for text in MARTS {
            assert_eq!(text.list("grain").len(), 1, "{}", text.name);
        }
        for text in REPORTS {
            let by = text.list("by");
            assert!(text.list("default").iter().all(|column| by.contains(column)), "{}", text.name);
            assert!(text.list("measure").len() <= 1, "{}", text.name);
            assert!(text.list("base").iter().all(|mart| Text::find(MARTS, mart).is_some()), "{}", text.name);
            let is_part = |part: &&str| text.sql.contains(&format!("{part} AS (\n"));
            assert!(text.list("whole").iter().all(is_part), "{}", text.name);
            assert!(text.description().ends_with('?'), "{} asks a question", text.name);
        }
        for text in [STAGING, MARTS, REPORTS, CHECKS].into_iter().flatten() {
            let description = text.description();
            assert!(!description.is_empty() && description.len() <= 100, "{}: {description}", text.name);
            assert!(text.sql.ends_with('\n') && !text.sql.contains(';'), "{}", text.name);
        }
    }
}
