//! Many small events, few large appends.
//!
//! Every partition has a lane: a queue and a task. Page views and the like wait a few milliseconds for others and share
//! a frame; a call or a lease takes all that waits along at once. While a lane's appends are under way the
//! next gather, so that a slow log gets larger appends, not more of them.
//!
//! The records of one submission stand in the log in their order: in one frame, or, where they are too many for one, in
//! frames of which each is appended only after the one before is in.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::frame::{self, FrameBuilder, FrameError, Record};
use super::{Append, AppendError, Kind, MessageId, SharedLog, Subject, partition_of};

/// No frame grows over this by adding to it; half of a NATS server's usual `max_payload`. One event may be larger.
const MAX_FRAME_BYTES: usize = 512 << 10;
/// One round of a lane takes at most so many bytes …
const ROUND_BYTES: usize = 2 << 20;
/// … and a lane's queue so many submissions.
const LANE_QUEUE: usize = 8192;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// How long page views wait for others, from their arrival on: those that came while an append was under way have
    /// waited already.
    pub linger: Duration,
    /// From this many bytes on they wait no longer.
    pub frame_bytes: usize,
    /// All that waits, or is on its way to the log; what is over it is refused.
    pub pending_bytes: usize,
}

impl Default for BatchOptions {
    fn default() -> BatchOptions {
        BatchOptions { linger: Duration::from_millis(2), frame_bytes: 64 << 10, pending_bytes: 64 << 20 }
    }
}

/// Why a submission was not taken. Only after [`SubmitError::Append`] may a part of it be in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    #[error("more events wait for the log than the {limit} bytes allowed; send again later, and slower")]
    Overloaded { limit: usize },
    #[error("an event of {bytes} bytes is over the log's limit of {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the program is stopping; send again to another collector, or later")]
    Stopping,
}

/// Records of one account that came together, in their order.
#[derive(Debug)]
pub struct Submission {
    place: Place,
    kind: Option<Kind>,
    /// Each at most [`MAX_FRAME_BYTES`], or one record.
    frames: Vec<FrameBuilder>,
    id: Option<MessageId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Account(String),
    Partition(u16),
}

impl Submission {
    /// Of an account; an empty one where what arrived does not tell any.
    pub fn new(account: impl Into<String>) -> Submission {
        Submission { place: Place::Account(account.into()), kind: None, frames: Vec::new(), id: None }
    }

    /// That time has passed, for all accounts of a partition.
    pub fn tick(partition: u16, time: callweave_core::time::Time) -> Submission {
        let mut frame = FrameBuilder::new();
        // A tick has no field that could be over a limit.
        let _ = frame.push(&Record::Tick { time });
        Submission { place: Place::Partition(partition), kind: Some(Kind::Tick), frames: vec![frame], id: None }
    }

    /// Recognised by this id when it is submitted again, however it is batched: it gets frames of its own. Without one,
    /// frames are recognised by their bytes, and by their place where there are several.
    pub fn with_id(mut self, id: MessageId) -> Submission {
        self.id = Some(id);
        self
    }

    /// Adds a record behind the others, or nothing on an error.
    pub fn push(&mut self, kind: Kind, record: &Record<'_>) -> Result<(), FrameError> {
        let more = frame::size_of(record);
        match self.frames.last_mut().filter(|frame| frame.len() + more <= MAX_FRAME_BYTES) {
            Some(frame) => frame.push(record)?,
            None => {
                let mut frame = FrameBuilder::new();
                frame.push(record)?;
                self.frames.push(frame);
            }
        }
        self.kind = Some(match self.kind {
            Some(other) if other != kind => Kind::Other,
            _ => kind,
        });
        Ok(())
    }

    /// Bytes of its frames.
    pub fn bytes(&self) -> usize {
        self.frames.iter().map(FrameBuilder::len).sum()
    }

    pub fn records(&self) -> usize {
        self.frames.iter().map(FrameBuilder::records).sum()
    }
}

/// What collectors hand events to. Clones share its lanes.
#[derive(Clone)]
pub struct Batcher {
    lanes: Arc<[mpsc::Sender<Job>]>,
    pending: Arc<Semaphore>,
    options: BatchOptions,
    max_payload: usize,
    tasks: TaskTracker,
}

struct Job {
    submission: Submission,
    kind: Kind,
    arrived: Instant,
    reply: oneshot::Sender<Result<(), AppendError>>,
    /// Given back when the job is done.
    _pending: OwnedSemaphorePermit,
}

impl Batcher {
    /// Must be called inside a tokio runtime.
    pub fn new(log: SharedLog, options: BatchOptions) -> Batcher {
        let tasks = TaskTracker::new();
        let lane = |partition| {
            let (jobs, queue) = mpsc::channel(LANE_QUEUE);
            let lane = Lane { log: log.clone(), partition, options };
            tasks.spawn(lane.run(queue));
            jobs
        };
        let lanes = (0..log.partitions()).map(lane).collect();
        tasks.close();
        let pending = Arc::new(Semaphore::new(options.pending_bytes.min(Semaphore::MAX_PERMITS)));
        Batcher { lanes, pending, options, max_payload: log.max_payload(), tasks }
    }

    /// Completes when the log has all records of the submission.
    pub async fn submit(&self, submission: Submission) -> Result<(), SubmitError> {
        let Some(kind) = submission.kind else { return Ok(()) };
        let limit = self.max_payload;
        if let Some(frame) = submission.frames.iter().find(|frame| frame.len() > limit) {
            return Err(SubmitError::TooLarge { bytes: frame.len(), limit });
        }
        let overloaded = SubmitError::Overloaded { limit: self.options.pending_bytes };
        let partition = match &submission.place {
            Place::Account(account) => partition_of(account, self.lanes.len() as u16),
            Place::Partition(partition) => *partition,
        };
        let Some(lane) = self.lanes.get(usize::from(partition)) else {
            let partitions = self.lanes.len() as u16;
            return Err(AppendError::NoSuchPartition { partition, partitions }.into());
        };
        let bytes = u32::try_from(submission.bytes()).unwrap_or(u32::MAX);
        let pending = self.pending.clone().try_acquire_many_owned(bytes).map_err(|_| overloaded.clone())?;
        let (reply, answer) = oneshot::channel();
        lane.try_send(Job { submission, kind, arrived: Instant::now(), reply, _pending: pending }).map_err(
            |error| match error {
                mpsc::error::TrySendError::Full(_) => overloaded,
                mpsc::error::TrySendError::Closed(_) => SubmitError::Stopping,
            },
        )?;
        answer.await.map_err(|_| SubmitError::Stopping)?.map_err(SubmitError::Append)
    }

    /// Bytes that wait or are on their way now.
    pub fn pending_bytes(&self) -> usize {
        self.options.pending_bytes.saturating_sub(self.pending.available_permits())
    }

    /// Waits until all lanes have done what was submitted; they end when the last clone of the batcher is gone.
    pub async fn close(self) {
        let Batcher { lanes, tasks, .. } = self;
        drop(lanes);
        tasks.wait().await;
    }
}

struct Lane {
    log: SharedLog,
    partition: u16,
    options: BatchOptions,
}

/// A frame that may still grow, and whose waiters are told of its fate.
struct OpenFrame {
    kind: Kind,
    /// Index of the first submission in it; its account names the frame until another joins.
    account: Option<String>,
    builder: FrameBuilder,
    id: Option<MessageId>,
    jobs: Vec<usize>,
}

impl Lane {
    async fn run(self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.recv().await {
            let jobs = self.gather(first, &mut queue).await;
            self.append(jobs).await;
        }
    }

    async fn gather(&self, first: Job, queue: &mut mpsc::Receiver<Job>) -> Vec<Job> {
        let deadline = first.arrived + self.options.linger;
        let mut bytes = first.submission.bytes();
        let mut lingers = first.kind == Kind::Page;
        let mut jobs = vec![first];
        while bytes < ROUND_BYTES {
            let next = match queue.try_recv() {
                Ok(job) => Some(job),
                Err(mpsc::error::TryRecvError::Empty) if lingers && bytes < self.options.frame_bytes => {
                    tokio::time::timeout_at(deadline, queue.recv()).await.unwrap_or(None)
                }
                Err(_) => None,
            };
            let Some(job) = next else { break };
            bytes += job.submission.bytes();
            lingers &= job.kind == Kind::Page;
            jobs.push(job);
        }
        jobs
    }

    /// Appends in steps: what may not overtake anything goes in the first, pipelined; of a submission of several
    /// frames each further one in a step of its own.
    async fn append(&self, jobs: Vec<Job>) {
        let mut fates: Vec<Result<(), AppendError>> = vec![Ok(()); jobs.len()];
        let steps = jobs.iter().map(|job| job.submission.frames.len()).max().unwrap_or(0);
        for step in 0..steps {
            let frames = self.frames(&jobs, &fates, step);
            let waiters: Vec<Vec<usize>> = frames.iter().map(|frame| frame.jobs.clone()).collect();
            let appends = frames.into_iter().map(|frame| self.append_of(frame)).collect();
            let results = self.log.append_all(appends).await;
            for (waiting, result) in waiters.into_iter().zip(results) {
                if let Err(error) = result {
                    waiting.into_iter().for_each(|job| fates[job] = Err(error.clone()));
                }
            }
        }
        for (job, fate) in jobs.into_iter().zip(fates) {
            // Who submitted may have gone: what was appended stays.
            let _ = job.reply.send(fate);
        }
    }

    /// The frames of one step. Whole submissions of one kind share them.
    fn frames(&self, jobs: &[Job], fates: &[Result<(), AppendError>], step: usize) -> Vec<OpenFrame> {
        let mut frames: Vec<OpenFrame> = Vec::new();
        for (index, job) in jobs.iter().enumerate().filter(|&(index, _)| fates[index].is_ok()) {
            let submission = &job.submission;
            let Some(part) = submission.frames.get(step) else { continue };
            let account = match &submission.place {
                Place::Account(account) => Some(account),
                Place::Partition(_) => None,
            };
            // Who asks for an account's last settings must find them under its name.
            let alone = job.kind == Kind::Settings;
            let shares = submission.frames.len() == 1 && submission.id.is_none() && !alone;
            let fits = |frame: &&mut OpenFrame| {
                let limit = self.options.frame_bytes.min(MAX_FRAME_BYTES);
                frame.kind == job.kind && frame.id.is_none() && frame.builder.len() + part.len() <= limit
            };
            match frames.iter_mut().rev().find(fits).filter(|_| shares) {
                Some(frame) => {
                    frame.builder.extend(part);
                    frame.account = frame.account.take().filter(|first| Some(first) == account);
                    frame.jobs.push(index);
                }
                None => {
                    let mut builder = FrameBuilder::new();
                    builder.extend(part);
                    // Lines that cannot be used have no id: as many of the same make frames of the same bytes.
                    let own = || (submission.frames.len() > 1).then(|| MessageId::of(builder.bytes()));
                    let id = submission.id.or_else(own).map(|id| id_of_part(id, step));
                    let account = account.cloned();
                    frames.push(OpenFrame { kind: job.kind, account, builder, id, jobs: vec![index] });
                }
            }
        }
        frames
    }

    fn append_of(&self, frame: OpenFrame) -> Append {
        let subject = match frame.kind {
            Kind::Tick => Subject::tick(self.partition),
            kind => Subject::events(self.partition, kind, frame.account.as_deref()),
        };
        let message_id = frame.id.unwrap_or_else(|| MessageId::of(frame.builder.bytes()));
        Append { subject, message_id, expect: None, payload: frame.builder.finish() }
    }
}

/// The parts of a submission with an id of its own have one each.
fn id_of_part(id: MessageId, step: usize) -> MessageId {
    MessageId(id.0.wrapping_add(step as u128))
}

#[cfg(test)]
mod tests {
    use callweave_core::time::Time;

    use super::*;
    use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};

    #[tokio::test]
    async fn frames_of_the_same_bytes_are_all_appended() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let options = EmbeddedOptions { partitions: Some(1), ..EmbeddedOptions::default() };
        let log: SharedLog = Arc::new(EmbeddedLog::open(folder.path(), options).await?);
        let batcher = Batcher::new(log.clone(), BatchOptions::default());
        let submission = || -> Result<Submission, FrameError> {
            let mut submission = Submission::new("acme");
            while submission.frames.len() < 4 {
                submission.push(Kind::Other, &Record::Tick { time: Time(1) })?;
            }
            submission.frames.truncate(3);
            Ok(submission)
        };
        batcher.submit(submission()?).await?;
        assert_eq!(log.last_sequence(0).await?, 3);
        batcher.submit(submission()?).await?;
        assert_eq!(log.last_sequence(0).await?, 3, "the same again");
        Ok(())
    }
}
