//! Signals that end the program.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The first signal lets everything finish what it has; the second ends the process.
pub async fn stop_on_signal(shutdown: CancellationToken) {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::warn!(%error, "signals cannot be listened to");
            return;
        }
    };
    signals.first().await;
    tracing::info!("stopping; a second signal stops at once");
    shutdown.cancel();
    signals.second().await;
    tracing::warn!("stopped at once");
    std::process::exit(130);
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Nothing where the program was started with hangups ignored: `nohup` is to keep it running.
    hangup: Option<Signal>,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if ignores_hangups() { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    async fn first(&mut self) {
        let Signals { interrupt, terminate, hangup } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hung_up => {}
        }
    }

    /// A terminal that is closed, and a service manager, may hang up beside another signal: nobody insists by that.
    async fn second(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn ignores_hangups() -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one to where it is told, and zeros are a valid one, too.
    let now = unsafe {
        libc::sigaction(libc::SIGHUP, std::ptr::null(), now.as_mut_ptr());
        now.assume_init()
    };
    now.sa_sigaction == libc::SIG_IGN
}
