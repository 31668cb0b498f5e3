//! A CRM by its steps: each finds a thing, makes it where there is none, and changes what there is. HubSpot's steps are built in
//! (`settings/hubspot.json`), by <https://developers.hubspot.com/docs/api/crm/search>, `…/contacts`, `…/deals` and `…/tasks`: a search is
//! a POST of filters, a deal belongs to a contact by the association 3, a task by 204, and a task is open as `NOT_STARTED`.

use serde_json::{Map, Value, json};

use super::ads::{bearer, json as read};
use super::{Ask, Facts, Reply, Step, Terms, What, is_success, unwelcome};
use crate::id::Key;
use crate::limits::CRM_FOUND_MAX;
use crate::phone::ANONYMOUS;
use crate::settings::{Crm, CrmAsk, CrmStep, Hidden, Preset};
use crate::webhook::Template;

/// HubSpot's own first pipeline.
const HUBSPOT_NAMES: [(&str, &str); 2] = [("pipeline", "default"), ("stage", "appointmentscheduled")];

/// What templates are filled with: the moment, and what steps have found.
struct Known {
    event: Map<String, Value>,
}

impl Known {
    fn new(crm: &Crm, facts: &Facts<'_>) -> Known {
        let mut known = Known { event: facts.event().clone() };
        if crm.preset == Some(Preset::Hubspot) {
            HUBSPOT_NAMES.iter().for_each(|(name, value)| known.set(name, value));
        }
        crm.names.iter().for_each(|(name, value)| known.set(name, value));
        if let Some(owner) = facts.text("agent").and_then(|agent| crm.owners.get(agent)) {
            known.set("owner", owner);
        }
        if let Some(stage) = facts.beside_text("deal", "stage") {
            known.set("deal_stage", stage);
        }
        known
    }

    fn set(&mut self, name: &str, value: &str) {
        if let Some(data) = self.event.get_mut("data").and_then(Value::as_object_mut) {
            data.insert(name.to_owned(), json!(value));
        }
    }

    fn has(&self, name: &str) -> bool {
        let value = self.event.get("data").and_then(|data| data.get(name));
        // A withheld number is none.
        let unknown = |value: &Value| value.is_null() || value == "" || (name == "caller" && value == ANONYMOUS);
        value.is_some_and(|value| !unknown(value))
    }
}

pub(super) fn next(crm: &Crm, facts: &Facts<'_>, terms: &Terms<'_>, replies: &[Reply]) -> Step {
    if facts.is_test() {
        return Step::Skip("nothing is made in a CRM for a test".to_owned());
    }
    let mut walk = Walk { crm, terms, known: Known::new(crm, facts), replies: replies.iter() };
    let mut any = false;
    for step in crm.steps() {
        let for_it = step.moments.is_empty() || step.moments.iter().any(|moment| moment == facts.moment());
        if !for_it || !step.needs.iter().all(|name| walk.known.has(name)) {
            continue;
        }
        any = true;
        if let Some(stop) = walk.step(step) {
            return stop;
        }
    }
    if any {
        Step::Done
    } else {
        Step::Skip("no step is for such a moment, or each needs what is not known".to_owned())
    }
}

/// The way through the steps, as far as there are answers.
struct Walk<'a> {
    crm: &'a Crm,
    terms: &'a Terms<'a>,
    known: Known,
    replies: std::slice::Iter<'a, Reply>,
}

impl Walk<'_> {
    /// What is done next; nothing where this step is done.
    fn step(&mut self, step: &CrmStep) -> Option<Step> {
        let mut found = Vec::new();
        let mut sought = 0;
        if let Some(find) = &step.find {
            let ask = self.ask(find);
            let body = String::from_utf8_lossy(ask.2.as_deref().unwrap_or_default());
            sought = Key::of(&[&step.name, &ask.1, &body]).0;
            match self.replies.next() {
                None if step.create.is_none() => return Some(self.request(ask, What::Own)),
                None => return Some(self.request(ask, What::Find(sought))),
                Some(reply) if reply.made => found = ids(reply, step.create.as_ref().and_then(|it| it.id.as_deref())),
                // Some have a thing of its own address in place of a search.
                Some(reply) if reply.status == 404 => {}
                Some(reply) if is_success(reply) => found = ids(reply, find.id.as_deref()),
                Some(reply) => return Some(failed(reply)),
            }
        }
        if let Some(create) = step.create.as_ref().filter(|_| found.is_empty()) {
            let ask = self.ask(create);
            match self.replies.next() {
                None => return Some(self.request(ask, What::Make(sought))),
                Some(reply) if is_success(reply) => found = ids(reply, create.id.as_deref()),
                // Somebody else was faster: it is found when this is tried again.
                Some(reply) if reply.status == 409 => {
                    return Some(Step::Again("it was there already".to_owned(), None));
                }
                Some(reply) => return Some(failed(reply)),
            }
        }
        if let Some(first) = found.first() {
            self.known.set(&step.name, first);
        }
        let update = step.update.as_ref()?;
        // A step that only changes does so once: its path says what.
        if step.find.is_none() && step.create.is_none() {
            found.push(String::new());
        }
        for id in found.iter().take(CRM_FOUND_MAX) {
            self.known.set("id", id);
            let ask = self.ask(update);
            match self.replies.next() {
                None => return Some(self.request(ask, What::Own)),
                Some(reply) if is_success(reply) => {}
                Some(reply) => return Some(failed(reply)),
            }
        }
        None
    }

    /// Method, address and body.
    fn ask(&self, ask: &CrmAsk) -> (&'static str, String, Option<Vec<u8>>) {
        let method = match ask.method.as_deref() {
            Some("GET") => "GET",
            Some("PUT") => "PUT",
            Some("PATCH") => "PATCH",
            _ => "POST",
        };
        let fill = |text: &str, form| Template::parse(text).map(|it| it.fill(&self.known.event, form));
        // Settings are checked: no template of theirs is wrong. A space is no plus in a path.
        let path = fill(&ask.path, true).unwrap_or_default().replace('+', "%20");
        let url = format!("{}{path}", self.crm.url.trim_end_matches('/'));
        (method, url, ask.body.as_deref().and_then(|body| fill(body, false).ok()).map(String::into_bytes))
    }

    fn request(&self, (method, url, body): (&'static str, String, Option<Vec<u8>>), what: What) -> Step {
        let headers = vec![bearer(self.terms.secret("access_token"))];
        let body = body.map(|body| ("application/json", body));
        Step::Ask(Box::new(Ask { method, url: Hidden::new(url), headers, body, what }))
    }
}

fn failed(reply: &Reply) -> Step {
    let told = read(reply).get("message").and_then(Value::as_str).map(str::to_owned);
    unwelcome(reply, told)
}

/// What stands in an answer where the pointer points; a part `*` is each of a list.
fn ids(reply: &Reply, pointer: Option<&str>) -> Vec<String> {
    let answer = read(reply);
    let mut found = vec![&answer];
    for part in pointer.unwrap_or("/id").trim_start_matches('/').split('/') {
        let name = part.replace("~1", "/").replace("~0", "~");
        found = found
            .into_iter()
            .flat_map(|value| match (part, value) {
                ("*", Value::Array(all)) => all.iter().collect(),
                (_, Value::Object(all)) => all.get(&name).into_iter().collect(),
                (_, Value::Array(all)) => part.parse().ok().and_then(|at: usize| all.get(at)).into_iter().collect(),
                _ => Vec::new(),
            })
            .collect();
    }
    let text = found.into_iter().filter_map(|value| match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    text.take(CRM_FOUND_MAX).collect()
}
