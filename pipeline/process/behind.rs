//! How far each table was when a snapshot was taken (`_state/NAME-marks/AT`). A table that holds less at a start was put back to an
//! older copy, or taken away: what it lacks comes from the log again, so the snapshot is passed over for one that every table has
//! reached.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::live::ProcessError;
use crate::lake::{Lake, StateError, StateStore, TableName};

/// Entries of the log by name of table.
pub type Marks = BTreeMap<String, u64>;

fn list_of(source: &str) -> String {
    format!("{source}-marks")
}

/// How far each table holds `source` now.
pub async fn marks(lake: &Lake, source: &str) -> Result<Marks, ProcessError> {
    let mut marks = Marks::new();
    for name in TableName::ALL {
        if let Some(mark) = lake.table(name).mark(source).await? {
            marks.insert(name.name().to_owned(), mark.max(0) as u64);
        }
    }
    Ok(marks)
}

pub async fn keep(state: &StateStore, source: &str, at: u64, marks: &Marks) -> Result<(), StateError> {
    let bytes = serde_json::to_vec(marks).unwrap_or_default();
    state.put(&list_of(source), at, Bytes::from(bytes)).await
}

/// The snapshots that a table is behind of, and why. None is where nothing was kept beside a snapshot, or what was kept is damaged.
pub async fn behind(state: &StateStore, source: &str, held: &Marks) -> Result<BTreeMap<u64, String>, StateError> {
    let list = list_of(source);
    let mut behind = BTreeMap::new();
    for at in state.sequences(&list).await? {
        let Ok(kept) = serde_json::from_slice::<Marks>(&state.get(&list, at).await?) else { continue };
        let short = kept.iter().find_map(|(table, mark)| {
            let held = held.get(table).copied().unwrap_or(0);
            (held < *mark).then(|| format!("table {table} was filled up to entry {mark} then, and is up to {held} now"))
        });
        if let Some(why) = short {
            behind.insert(at, why);
        }
    }
    Ok(behind)
}
