//! What earlier bounded jobs left in a lake: their state, and which inputs they took.
//!
//! Stored as `_state/run/NUMBER`: the number of inputs (4 bytes, little-endian), their hashes (16 bytes each), and the
//! join's snapshot.

use bytes::Bytes;
use callweave_core::join::{Join, Mode, SnapshotError};

use crate::lake::{StateError, StateStore};

pub const NAME: &str = "run";
/// Inputs that are recognised when they come again; beyond it the oldest are forgotten.
const INPUTS_MAX: usize = 10_000;

#[derive(Default)]
pub struct History {
    join: Option<Join>,
    pub inputs: Vec<u128>,
    sequence: u64,
}

/// What a job begins with.
pub struct Past {
    pub join: Join,
    pub inputs_done: Vec<u128>,
    pub sequence: u64,
}

/// Why it is not known what earlier jobs left.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(
        "what earlier runs left in this lake is of version {version}, which this program does not read ({path}): go on with the \
         program that wrote it, or begin a new lake{}",
        OR_WITHOUT
    )]
    OtherVersion { path: String, version: u8 },
    #[error(
        "what earlier runs left in this lake cannot be read ({path} {reason}): put the file back from a copy of the lake{}",
        OR_WITHOUT
    )]
    Unreadable { path: String, reason: ReadError },
}

/// What else there is to be done.
const OR_WITHOUT: &str = "; or delete the file: then what that run landed and is told again counts twice";

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("is cut off")]
    Cut,
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl History {
    /// What the job before left, if there was one.
    ///
    /// # Errors
    /// It cannot be read. The one before it is not taken in its place: what came since would count again, and there is no log that
    /// tells it.
    pub async fn load(state: &StateStore) -> Result<History, HistoryError> {
        let Some(sequence) = state.sequences(NAME).await?.first().copied() else { return Ok(History::default()) };
        let path = || StateStore::path_of(NAME, sequence);
        match read(&state.get(NAME, sequence).await?) {
            Ok((inputs, join)) => Ok(History { join: Some(join), inputs, sequence }),
            Err(ReadError::Snapshot(SnapshotError::Version(version))) => {
                Err(HistoryError::OtherVersion { path: path(), version })
            }
            Err(reason) => Err(HistoryError::Unreadable { path: path(), reason }),
        }
    }

    pub fn begin(self, mode: Mode) -> Past {
        Past { join: self.join.unwrap_or_else(|| Join::new(mode)), inputs_done: self.inputs, sequence: self.sequence }
    }

    /// Keeps what a job that began with `sequence` came to.
    ///
    /// # Errors
    /// Among others that another job has kept its own meanwhile.
    pub async fn save(state: &StateStore, sequence: u64, bytes: Vec<u8>) -> Result<(), StateError> {
        state.put_next(NAME, sequence + 1, Bytes::from(bytes)).await
    }
}

/// What is kept of a job that is done.
pub fn bytes(join: &Join, mut inputs: Vec<u128>) -> Result<Vec<u8>, SnapshotError> {
    inputs.drain(..inputs.len().saturating_sub(INPUTS_MAX));
    let mut bytes = (inputs.len() as u32).to_le_bytes().to_vec();
    for input in &inputs {
        bytes.extend(input.to_le_bytes());
    }
    bytes.extend(join.snapshot()?);
    Ok(bytes)
}

fn read(bytes: &[u8]) -> Result<(Vec<u128>, Join), ReadError> {
    let (count, rest) = bytes.split_first_chunk::<4>().ok_or(ReadError::Cut)?;
    let hashes = u32::from_le_bytes(*count) as usize * 16;
    let (hashes, snapshot) = rest.split_at_checked(hashes).ok_or(ReadError::Cut)?;
    let (hashes, _) = hashes.as_chunks::<16>();
    let inputs = hashes.iter().map(|hash| u128::from_le_bytes(*hash)).collect();
    Ok((inputs, Join::restore(snapshot)?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_state_that_another_job_has_written_since_stays() -> Result<(), Box<dyn std::error::Error>> {
        let state = StateStore::new(Arc::new(object_store::memory::InMemory::new()));
        let kept = |input| bytes(&Join::new(Mode::Bounded), vec![input]);
        let (one, other) = (History::load(&state).await?, History::load(&state).await?);
        History::save(&state, one.sequence, kept(1)?).await?;
        let refused = History::save(&state, other.sequence, kept(2)?).await;
        assert!(matches!(refused, Err(StateError::Taken { .. })), "{refused:?}");
        assert_eq!(History::load(&state).await?.inputs, [1]);

        History::save(&state, 1, kept(3)?).await?;
        let next = History::load(&state).await?;
        assert_eq!((&next.inputs[..], next.sequence), (&[3][..], 2));
        Ok(())
    }

    #[tokio::test]
    async fn a_state_that_cannot_be_read_is_not_passed_over() -> Result<(), Box<dyn std::error::Error>> {
        let state = StateStore::new(Arc::new(object_store::memory::InMemory::new()));
        let good = bytes(&Join::new(Mode::Bounded), vec![1])?;
        History::save(&state, 0, good.clone()).await?;
        // Behind the number of inputs, one input and the magic.
        let version = 4 + 16 + 7;
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        let table = [
            (
                with(good.len() - 1, !good[good.len() - 1]),
                "is damaged: its hash does not match",
                "from a copy of the lake",
            ),
            (b"to".to_vec(), "is cut off", "from a copy of the lake"),
            (with(version, 3), "is of version 3", "with the program that wrote it, or begin a new lake"),
        ];
        for (bytes, why, advice) in table {
            History::save(&state, 1, bytes).await?;
            let told = History::load(&state).await.err().ok_or("it was passed over")?.to_string();
            for part in [why, advice, "_state/run/00000000000000000002", "or delete the file"] {
                assert!(told.contains(part), "{told}");
            }
            // Whoever deletes it goes on from the one before.
            state.delete(NAME, 2).await?;
            let History { inputs, sequence, .. } = History::load(&state).await?;
            assert_eq!((inputs, sequence), (vec![1], 1));
        }
        Ok(())
    }
}
