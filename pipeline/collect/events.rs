//! `POST /v1/events`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, timeout};

use super::accounts::Accounts;
use super::admission::{Admission, Hold, Place};
use super::body::{self, Packing};
use super::callback::Callbacks;
use super::elements::{Form, form_of};
use super::intake::{Intake, LookOver, Terms, take_in};
use super::replies::{Answer, Refusal};
use crate::config::{Caller, Limits};
use crate::log;
use crate::log::batching::Batcher;
use crate::telemetry::metrics::{Metrics, Reason, Type};

/// Longer bodies, and packed ones, are decoded beside the threads that serve connections.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// What the events of this endpoint are marked with in the log.
const ORIGIN: &str = "/v1/events";

/// What the handlers share.
pub struct Events {
    pub admission: Admission,
    pub limits: Limits,
    pub batcher: Batcher,
    pub accounts: Accounts,
    pub payload_max: usize,
    pub callbacks: Callbacks,
    pub metrics: Metrics,
    pub look_over: LookOver,
}

/// A request that was let in.
struct Admitted {
    _place: Place,
    caller: Caller,
    form: Form,
    packing: Packing,
}

pub async fn post(State(events): State<Arc<Events>>, request: Request) -> Response {
    match events.handle(request).await {
        Ok(answer) => answer.into_response(),
        Err(refusal) => {
            tracing::debug!(reason = %refusal, "request refused");
            refusal.into_response()
        }
    }
}

impl Events {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let (parts, body) = request.into_parts();
        let admitted = match self.admit(&parts) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                body::discard(body, &parts.headers).await;
                return Err(refusal);
            }
        };
        let mut hold = self.admission.memory();
        let bytes = body::read(body, &parts.headers, &self.limits, &mut hold).await?;
        self.metrics.collect_received.inc_by(bytes.len() as u64);
        // The hold stays until the log has what the body held.
        let (intake, _hold) = self.decode(bytes, &admitted, hold).await?;
        let settings = intake.settings.records() > 0;
        let answer = self.append(intake).await?;
        if settings {
            // Who changed the settings finds them in force here with the next request.
            self.accounts.changed(&admitted.caller.account);
        }
        Ok(answer)
    }

    fn admit(&self, parts: &Parts) -> Result<Admitted, Refusal> {
        let place = self.admission.enter()?;
        let caller = self.admission.caller(&parts.headers)?;
        let content_type = parts.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
        let form = form_of(content_type)
            .ok_or_else(|| Refusal::MediaType(content_type.unwrap_or_default().chars().take(100).collect()))?;
        Ok(Admitted { _place: place, caller, form, packing: Packing::of(&parts.headers)? })
    }

    async fn decode(&self, bytes: Vec<u8>, admitted: &Admitted, mut hold: Hold) -> Result<(Intake, Hold), Refusal> {
        let (form, packing) = (admitted.form, admitted.packing);
        let (limit, events_max, payload_max) = (self.limits.body_bytes, self.limits.events, self.payload_max);
        let account = admitted.caller.account.clone();
        let received = log::now();
        let small = packing == Packing::Plain && bytes.len() <= INLINE_BYTES_MAX;
        let look = self.look_over;
        let work = move || {
            let bytes = body::unpack(packing, bytes, limit, &mut hold)?;
            let terms = Terms { account: &account, origin: ORIGIN, received, events_max, payload_max };
            let intake = take_in(&bytes, form, &terms, look)?;
            Ok((intake, hold))
        };
        if small {
            return work();
        }
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "decoding a request failed");
            Err(Refusal::Fault)
        })
    }

    /// Appends what was taken in; returns the answer once the log has it.
    ///
    /// # Errors
    /// The log did not confirm.
    pub async fn append(&self, intake: Intake) -> Result<Answer, Refusal> {
        let Intake { settings, submission, callbacks, answer, taken_by_type, refused_by_reason } = intake;
        let records = settings.records() + submission.records();
        if records == 0 {
            return Ok(answer);
        }
        let (bytes, started) = (settings.bytes() + submission.bytes(), Instant::now());
        let submit = async {
            if settings.records() > 0 {
                self.batcher.submit(settings).await?;
            }
            self.batcher.submit(submission).await
        };
        let submitted = match timeout(self.limits.append, submit).await {
            Ok(result) => result.map_err(Refusal::Log),
            Err(_) => Err(Refusal::Unconfirmed(self.limits.append)),
        };
        if let Err(refusal) = submitted {
            self.metrics.log_append_failures.inc();
            tracing::warn!(reason = %refusal, records, "events were not acknowledged");
            return Err(refusal);
        }
        callbacks.into_iter().for_each(|event| self.callbacks.wish(event));
        self.metrics.log_append_duration.observe(started.elapsed().as_secs_f64());
        self.metrics.log_appended.inc_by(records as u64);
        self.metrics.log_appended_bytes.inc_by(bytes as u64);
        for (event, count) in taken_by_type {
            self.metrics.collect_taken.get_or_create(&Type { event }).inc_by(count);
        }
        for (reason, count) in refused_by_reason {
            self.metrics.collect_refused.get_or_create(&Reason { reason }).inc_by(count);
        }
        Ok(answer)
    }
}
