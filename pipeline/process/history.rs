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

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("is cut off")]
    Cut,
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl History {
    pub async fn load(state: &StateStore) -> Result<History, StateError> {
        // A damaged one counts: the next is not to be put in its place.
        let sequence = state.sequences(NAME).await?.first().copied().unwrap_or(0);
        let newest = state.newest(NAME, |bytes| read(&bytes)).await?;
        let (join, inputs) = newest.map_or((None, Vec::new()), |(_, (inputs, join))| (Some(join), inputs));
        Ok(History { join, inputs, sequence })
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

        // One that is damaged is passed over, and does not stand in the way.
        History::save(&state, 1, b"torn".to_vec()).await?;
        let next = History::load(&state).await?;
        assert_eq!((&next.inputs[..], next.sequence), (&[1][..], 2));
        History::save(&state, next.sequence, kept(3)?).await?;
        assert_eq!(History::load(&state).await?.inputs, [3]);
        Ok(())
    }
}
