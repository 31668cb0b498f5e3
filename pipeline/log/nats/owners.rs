//! Who works on which partition, in a bucket of NATS' key-value store: `member.NAME` says that a process lives, `partition.N`
//! whose the partition is. What is not renewed is gone after [`KEPT_FOR`]; so the partitions of a process that died are
//! another's after about that time, and those of one that stops at once. One that is started again in the same folder is
//! the same, and goes on at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::kv::{Operation, Store};
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use bytes::Bytes;
use futures::TryStreamExt;
use uuid::Uuid;

use super::Link;
use crate::log::share::{Keeper, Share, Step, step};

const BUCKET: &str = "CALLWEAVE_OWNERS";
/// How long an owner is one without a word.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// How often it says so.
const RENEWED_EVERY: Duration = Duration::from_secs(2);
/// In a data folder.
const NAME_FILE: &str = "process.name";
const MEMBER: &str = "member.";
const PARTITION: &str = "partition.";

type Fault = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn share(link: Arc<Link>) -> Share {
    let kept = link.folder.as_deref().and_then(|folder| match kept_name(folder) {
        Ok(kept) => kept,
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "the name of this process cannot be kept");
            None
        }
    });
    let (name, lock) = kept.map_or_else(|| (new_name(), None), |(name, lock)| (name, Some(lock)));
    Share::by(|keeper| Member { link, name, _lock: lock, keeper, bucket: None, knows: false }.run())
}

fn new_name() -> String {
    Uuid::new_v4().simple().to_string()
}

/// The name of the process that works in this folder: one that is started again has its partitions at once. Nothing where another
/// is at work there.
fn kept_name(folder: &Path) -> std::io::Result<Option<(String, File)>> {
    std::fs::create_dir_all(folder)?;
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(folder.join(NAME_FILE))?;
    if file.try_lock().is_err() {
        return Ok(None);
    }
    let mut name = String::new();
    file.read_to_string(&mut name)?;
    if Uuid::parse_str(&name).is_err() {
        name = new_name();
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(name.as_bytes())?;
    }
    Ok(Some((name, file)))
}

struct Member {
    link: Arc<Link>,
    name: String,
    /// While it is held the name is this process's alone.
    _lock: Option<File>,
    keeper: Keeper,
    bucket: Option<Store>,
    /// A round has told what is whose.
    knows: bool,
}

/// A partition's owner, and the revision that says so.
struct Owner {
    name: String,
    revision: u64,
}

fn key_of(partition: u16) -> String {
    format!("{PARTITION}{partition}")
}

impl Member {
    async fn run(mut self) {
        let mut rounds = tokio::time::interval(RENEWED_EVERY);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                used = self.keeper.used.changed() => if used.is_err() { break },
            }
            // A part stays its owner's until somebody else has it. Where it was never known whose they are, all are worked on: that
            // two do the same does no harm, and that nobody does would.
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "which partitions are whose cannot be read or told now");
                self.bucket = None;
                if !self.knows {
                    let all = (0..self.link.partitions).collect();
                    self.keeper.tell.send_if_modified(|told| std::mem::replace(told, all) != *told);
                }
            }
        }
        if let Err(error) = self.leave().await {
            tracing::debug!(%error, "partitions were not given back; they are free in {KEPT_FOR:?}");
        }
    }

    async fn round(&mut self) -> Result<(), Fault> {
        let bucket = self.bucket().await?;
        bucket.put(format!("{MEMBER}{}", self.name), Bytes::new()).await?;
        let (living, mut owners) = look(&bucket).await?;
        let names = owners.iter().map(|(partition, owner)| (*partition, owner.name.clone())).collect();
        let Step { claim, give_up } = step(&self.name, &living, &names, self.link.partitions);
        let used = self.keeper.used.borrow().clone();
        let mut own = BTreeSet::new();
        for partition in 0..self.link.partitions {
            let owner = owners.remove(&partition);
            let revision = owner.as_ref().filter(|owner| owner.name == self.name).map(|owner| owner.revision);
            let had = match revision {
                // It is given back once nobody works on it here.
                Some(revision) if give_up.contains(&partition) && !used.contains(&partition) => {
                    bucket.delete_expect_revision(key_of(partition), Some(revision)).await?;
                    continue;
                }
                Some(revision) => bucket.update(key_of(partition), self.name.clone().into(), revision).await.is_ok(),
                None if owner.is_none() && claim.contains(&partition) => {
                    bucket.create(key_of(partition), self.name.clone().into()).await.is_ok()
                }
                None => continue,
            };
            // One that was not renewed was taken by another, or the round after this one reads it again.
            if had && !give_up.contains(&partition) {
                own.insert(partition);
            }
        }
        self.knows = true;
        self.keeper.tell.send_if_modified(|told| {
            let changed = *told != own;
            if changed {
                tracing::info!(partitions = ?own, processes = living.len().max(1), "working on these partitions");
                *told = own;
            }
            changed
        });
        Ok(())
    }

    async fn bucket(&mut self) -> Result<Store, Fault> {
        if let Some(bucket) = &self.bucket {
            return Ok(bucket.clone());
        }
        let context = &self.link.context;
        let bucket = match context.get_key_value(BUCKET).await {
            Ok(bucket) => bucket,
            Err(_) => {
                // Two that make it at once make the same.
                context.create_stream(bucket_config(self.link.replicas)).await?;
                context.get_key_value(BUCKET).await?
            }
        };
        self.bucket = Some(bucket.clone());
        Ok(bucket)
    }

    async fn leave(&mut self) -> Result<(), Fault> {
        let bucket = self.bucket().await?;
        bucket.delete(format!("{MEMBER}{}", self.name)).await?;
        for (partition, owner) in look(&bucket).await?.1 {
            if owner.name == self.name {
                bucket.delete_expect_revision(key_of(partition), Some(owner.revision)).await?;
            }
        }
        Ok(())
    }
}

/// The stream behind the bucket, as the specification of NATS' key-value store (ADR-8) has it. The client's own way to make a bucket
/// asks the server for its account first, and does not understand what servers before 2.10 answer.
fn bucket_config(replicas: usize) -> Config {
    Config {
        name: format!("KV_{BUCKET}"),
        description: Some("callweave: who works on which partition".to_owned()),
        subjects: vec![format!("$KV.{BUCKET}.>")],
        max_messages_per_subject: 1,
        max_age: KEPT_FOR,
        duplicate_window: KEPT_FOR,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        storage: StorageType::File,
        num_replicas: replicas,
        ..Config::default()
    }
}

/// Who lives, and whose each partition is.
async fn look(bucket: &Store) -> Result<(BTreeSet<String>, BTreeMap<u16, Owner>), Fault> {
    let (mut living, mut owners) = (BTreeSet::new(), BTreeMap::new());
    let keys: Vec<String> = bucket.keys().await?.try_collect().await?;
    for key in keys {
        if let Some(name) = key.strip_prefix(MEMBER) {
            living.insert(name.to_owned());
        } else if let Some(Ok(partition)) = key.strip_prefix(PARTITION).map(str::parse)
            && let Some(entry) = bucket.entry(key).await?
            && entry.operation == Operation::Put
            && let Ok(name) = String::from_utf8(entry.value.to_vec())
        {
            owners.insert(partition, Owner { name, revision: entry.revision });
        }
    }
    Ok((living, owners))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_of_a_folder_has_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let (name, lock) = kept_name(folder.path()).expect("a file").expect("nobody else is there");
        assert!(kept_name(folder.path()).expect("a file").is_none());
        drop(lock);
        assert_eq!(kept_name(folder.path()).expect("a file").map(|(again, _)| again), Some(name));
    }
}
