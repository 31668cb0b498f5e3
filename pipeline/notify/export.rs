//! One export at work: asks its provider what core's [`export`] says, answer by answer, until it is known what has become of a moment.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use callweave_core::export::{self, Ask, Reply, Step, Terms, What};
use callweave_core::limits::EXPORT_ASKS_MAX;
use callweave_core::settings::{Export, Hidden};
use callweave_core::time::{MICROS_PER_SECOND, Time};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::send::{ANSWER_READ, Answer, Outgoing, Sender, Verdict};

/// An access token is had anew so long before it runs out.
const TOKEN_SPARE_SECONDS: i64 = 60;
/// Things made in a CRM that its search may not show yet.
const MADE_MAX: usize = 1_024;

/// One export, and what it remembers while it is at work.
#[derive(Debug)]
pub struct Exporter {
    pub export: Export,
    /// The account's.
    currency: String,
    secrets: BTreeMap<String, Hidden>,
    /// With the time until which it lasts. Who asks for one keeps others from asking, too.
    token: tokio::sync::Mutex<Option<(Hidden, Time)>>,
    made: Mutex<Made>,
}

/// What was made last, by what it is found by: the answer that told its id.
#[derive(Debug, Default)]
struct Made {
    answers: HashMap<u128, String>,
    order: VecDeque<u128>,
}

impl Made {
    fn remember(&mut self, key: u128, answer: String) {
        if self.answers.insert(key, answer).is_none() {
            self.order.push_back(key);
            if self.order.len() > MADE_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.answers.remove(&oldest);
            }
        }
    }
}

/// RFC 6749, section 5.1.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: i64,
}

impl Exporter {
    pub fn new(export: Export, currency: String, secrets: BTreeMap<String, Hidden>) -> Exporter {
        Exporter { export, currency, secrets, token: Default::default(), made: Mutex::default() }
    }

    /// Does what is to be done of a moment. The answer is the provider's last one, with what it means.
    pub async fn deliver(&self, event: &Map<String, Value>, sender: &Sender, clock: fn() -> Time) -> Answer {
        let (mut replies, mut last, mut seconds) = (Vec::new(), Answer::default(), 0.0);
        for _ in 0..EXPORT_ASKS_MAX {
            let now = clock();
            let held = self.token.lock().await.clone().filter(|(_, until)| now < *until);
            let token = held.as_ref().map(|(token, _)| token.reveal());
            let terms = Terms { export: &self.export, currency: &self.currency, secrets: &self.secrets, token, now };
            let ask = match export::next(event, &terms, &replies) {
                Step::Ask(ask) => ask,
                step => return judged(Answer { seconds, ..last }, step),
            };
            if ask.what == What::Token {
                if let Err(answer) = self.renew(*ask, sender, clock).await {
                    return answer;
                }
                continue;
            }
            if let What::Find(key) = ask.what
                && let Some(body) = self.made.lock().unwrap_or_else(PoisonError::into_inner).answers.get(&key).cloned()
            {
                replies.push(Reply { status: 200, body, made: true });
                continue;
            }
            let what = ask.what.clone();
            last = self.send(*ask, sender, now).await;
            seconds += last.seconds;
            let Some(status) = last.status else { return Answer { seconds, ..last } };
            if status == 401 {
                *self.token.lock().await = None;
            }
            let body = last.text.clone();
            if let (What::Make(key), 200..300) = (what, status) {
                self.made.lock().unwrap_or_else(PoisonError::into_inner).remember(key, body.clone());
            }
            replies.push(Reply { status, body, made: false });
        }
        let why = format!("it takes more than {EXPORT_ASKS_MAX} requests");
        Answer { verdict: Some(Verdict::Rejected(why)), seconds, ..last }
    }

    async fn send(&self, ask: Ask, sender: &Sender, now: Time) -> Answer {
        let url = match Url::parse(ask.url.reveal()) {
            Ok(url) => url,
            // The address may hold a secret: the error alone is told.
            Err(error) => return Answer::trouble(format!("the address cannot be read: {error}")),
        };
        let headers = ask.headers.iter().map(|(name, value)| (*name, value.reveal().to_owned())).collect();
        let outgoing = Outgoing {
            method: ask.method,
            url: &url,
            headers,
            body: ask.body,
            connect_seconds: self.export.connect_seconds,
            answer_seconds: self.export.answer_seconds,
            keep: ANSWER_READ,
        };
        sender.send(outgoing, now).await
    }

    /// Has an access token, unless another delivery had one while this one waited.
    ///
    /// # Errors
    /// With the answer, which holds no secret.
    async fn renew(&self, ask: Ask, sender: &Sender, clock: fn() -> Time) -> Result<(), Answer> {
        let mut held = self.token.lock().await;
        if held.as_ref().is_some_and(|(_, until)| clock() < *until) {
            return Ok(());
        }
        let mut answer = self.send(ask, sender, clock()).await;
        let granted = serde_json::from_str::<Granted>(&answer.text).ok();
        match (answer.status, granted) {
            (Some(200..300), Some(granted)) => {
                let lasts = (granted.expires_in - TOKEN_SPARE_SECONDS).max(1);
                *held = Some((Hidden::new(granted.access_token), clock().plus(lasts * MICROS_PER_SECOND)));
                Ok(())
            }
            (Some(200..300), None) => {
                answer.text.clear();
                answer.verdict = Some(Verdict::Again("an answer without an access token".to_owned()));
                Err(answer)
            }
            (Some(status), _) => {
                answer.verdict = Some(Verdict::Again(format!("no access token: status {status}")));
                Err(answer)
            }
            (None, _) => Err(answer),
        }
    }
}

fn judged(answer: Answer, step: Step) -> Answer {
    let (verdict, wait) = match step {
        Step::Done | Step::Ask(_) => (Verdict::Taken, None),
        Step::Skip(why) => (Verdict::Skipped(why), None),
        Step::Refused(why) => (Verdict::Rejected(why), None),
        Step::Again(why, wait) => (Verdict::Again(why), wait),
    };
    let retry_after = answer.retry_after.max(wait);
    Answer { verdict: Some(verdict), retry_after, ..answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_things_are_remembered() {
        let mut made = Made::default();
        for key in 0..2 * MADE_MAX as u128 {
            made.remember(key, String::new());
            made.remember(key, "again".to_owned());
        }
        assert_eq!((made.answers.len(), made.order.len()), (MADE_MAX, MADE_MAX));
        assert!(!made.answers.contains_key(&0) && made.answers.contains_key(&(2 * MADE_MAX as u128 - 1)));
    }
}
