//! A thread of its own for work that goes on from itself. Tokio's threads for blocking work take turns, thirty of them beside each other:
//! whatever one step leaves in a core's cache, and in its thread's share of the allocator, the next would have to fetch from there.

use std::io;

use tokio::sync::{mpsc, oneshot};

use super::live::ProcessError;

type Work = Box<dyn FnOnce() + Send>;

/// Its thread ends with it, once it has done what it was given.
pub struct Hands {
    to: mpsc::Sender<Work>,
}

impl Hands {
    /// # Errors
    /// The system gives no more threads.
    pub fn new(name: String) -> io::Result<Hands> {
        let (to, mut from) = mpsc::channel::<Work>(1);
        let work = move || {
            while let Some(work) = from.blocking_recv() {
                work();
            }
        };
        std::thread::Builder::new().name(name).spawn(work)?;
        Ok(Hands { to })
    }

    /// Has `work` done behind all that was given before.
    ///
    /// # Errors
    /// It broke down, or what was given before did: its thread has said so.
    pub async fn have<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ProcessError> {
        let (done, outcome) = oneshot::channel();
        // Who gave the work may be gone by then.
        let work = move || drop(done.send(work()));
        self.to.send(Box::new(work)).await.map_err(|_| ProcessError::Stopped)?;
        tokio::select! {
            biased;
            outcome = outcome => outcome.map_err(|_| ProcessError::Stopped),
            // What was given while its thread broke down may lie there, done by nobody.
            () = self.to.closed() => Err(ProcessError::Stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn does_one_thing_after_the_other_and_tells_of_a_breakdown() {
        let hands = Hands::new("hands".to_owned()).unwrap();
        let first = hands.have(|| std::thread::current().id()).await.unwrap();
        assert_eq!(hands.have(|| std::thread::current().id()).await.unwrap(), first);
        let broke = hands.have(|| panic!("on purpose")).await;
        assert!(matches!(broke, Err(ProcessError::Stopped)));
        assert!(matches!(hands.have(|| ()).await, Err(ProcessError::Stopped)));
    }

    /// What is given just while it breaks down may lie there, behind what its thread has looked at.
    #[tokio::test]
    async fn what_lies_with_a_thread_that_broke_down_is_not_waited_for() {
        let (to, mut from) = mpsc::channel(1);
        let hands = Hands { to };
        let breaks_down = async {
            tokio::task::yield_now().await;
            from.close();
        };
        let both = async { tokio::join!(hands.have(|| ()), breaks_down) };
        let (given, ()) = tokio::time::timeout(std::time::Duration::from_secs(30), both).await.expect("an answer");
        assert!(matches!(given, Err(ProcessError::Stopped)));
    }
}
