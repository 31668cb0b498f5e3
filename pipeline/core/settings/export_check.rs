//! What can be wrong with exports: every mistake at once.

use super::check::quoted;
use super::export::EXPORT_VALUE_MAX;
use super::webhook::{file_mistake, moment_mistakes, name_mistake, url_mistake};
use super::{Crm, CrmAsk, Export, Ga4, GoogleAds, Meta, MicrosoftAds, Mistake, Provider};
use crate::event::is_currency;
use crate::limits::{
    CRM_NAMES_MAX, CRM_OWNERS_MAX, CRM_STEPS_MAX, EXPORT_DELAY_HOURS_MAX, EXPORT_SECRETS_MAX, EXPORTS_MAX,
    LABEL_BYTES_MAX, WEBHOOK_ANSWER_SECONDS_MAX, WEBHOOK_CONNECT_SECONDS_MAX, WEBHOOK_FILTER_BYTES_MAX,
    WEBHOOK_TEMPLATE_BYTES_MAX,
};
use crate::webhook::Template;

/// Names and prefixes that GA4 keeps for itself (Measurement Protocol reference, "Reserved names").
const GA4_PREFIXES: [&str; 4] = ["_", "firebase_", "ga_", "google_"];
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "PATCH"];

pub(super) fn mistakes(exports: &[Export]) -> Vec<Mistake> {
    let mut look = Look { mistakes: Vec::new(), at: 0 };
    if exports.len() > EXPORTS_MAX {
        let message = format!("has {} entries, and may have {EXPORTS_MAX} at most", exports.len());
        look.mistakes.push(Mistake { path: "exports".to_owned(), message });
    }
    for (at, export) in exports.iter().enumerate().take(EXPORTS_MAX) {
        look.at = at;
        look.names(export);
        if exports[..at].iter().any(|before| before.name == export.name) {
            look.say("name", format!("two exports are called {}", quoted(&export.name)));
        }
        look.provider(export);
        look.bounds(export);
        look.secrets(export);
    }
    look.mistakes
}

impl Export {
    /// Why `secret_file` is no name of a file: what leads out of a folder is not to be opened.
    pub fn secret_file_mistake(&self) -> Option<&'static str> {
        self.secret_file.as_deref().and_then(file_mistake)
    }
}

struct Look {
    mistakes: Vec<Mistake>,
    at: usize,
}

impl Look {
    fn say(&mut self, member: &str, message: impl Into<String>) {
        self.mistakes.push(Mistake { path: format!("exports[{}].{member}", self.at), message: message.into() });
    }

    fn names(&mut self, export: &Export) {
        if let Some(mistake) = name_mistake(&export.name) {
            self.say("name", mistake);
        }
        for mistake in moment_mistakes(&export.moments) {
            self.say("moments", mistake);
        }
        match &export.filter {
            Some(filter) if filter.trim().is_empty() => self.say("filter", "is empty; leave it out to send everything"),
            Some(filter) if filter.len() > WEBHOOK_FILTER_BYTES_MAX => {
                let length = filter.len();
                self.say("filter", format!("has {length} bytes, and may have {WEBHOOK_FILTER_BYTES_MAX} at most"));
            }
            _ => {}
        }
    }

    fn provider(&mut self, export: &Export) {
        let providers = export.providers();
        match providers.as_slice() {
            [] => self.say("name", "names nobody to send to: give ga4, google_ads, microsoft_ads, meta or crm"),
            [_] => {}
            several => {
                let names: Vec<&str> = several.iter().map(|it| it.name()).collect();
                self.say(names[1], format!("stands beside {}: make an export of each", names[0]));
            }
        }
        for provider in providers {
            match provider {
                Provider::Ga4(it) => self.ga4(it),
                Provider::GoogleAds(it) => self.google_ads(it),
                Provider::MicrosoftAds(it) => self.microsoft_ads(it),
                Provider::Meta(it) => self.meta(it),
                Provider::Crm(it) => self.crm(it),
            }
        }
    }

    fn ga4(&mut self, ga4: &Ga4) {
        let id = ga4.measurement_id.strip_prefix("G-").unwrap_or_default();
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            let message = format!("{} is not a measurement id such as G-ABC123", quoted(&ga4.measurement_id));
            self.say("ga4.measurement_id", message);
        }
        if let Some(event) = &ga4.event {
            let plain = event.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let letter = event.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
            let own = GA4_PREFIXES.iter().any(|prefix| event.starts_with(prefix));
            if !plain || !letter || own || event.len() > 40 {
                let message =
                    "is no event name: a letter, then up to 39 letters, digits and _; not ga_, google_, firebase_";
                self.say("ga4.event", format!("{} {message}", quoted(event)));
            }
        }
        self.url("ga4.url", &ga4.url);
    }

    fn google_ads(&mut self, ads: &GoogleAds) {
        let login = ads.login_customer_id.as_ref().map(|id| ("google_ads.login_customer_id", id));
        for (member, id) in [("google_ads.customer_id", &ads.customer_id)].into_iter().chain(login) {
            if id.bytes().filter(|b| *b != b'-').count() != 10 || !id.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
                self.say(member, format!("{} is not a number of ten digits such as 123-456-7890", quoted(id)));
            }
        }
        self.digits("google_ads.conversion_action", &ads.conversion_action);
        if let Some(version) = &ads.version {
            let digits = version.strip_prefix('v').unwrap_or_default();
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                self.say("google_ads.version", format!("{} is not a version such as v26", quoted(version)));
            }
        }
        self.url("google_ads.url", &ads.url);
        self.url("google_ads.token_url", &ads.token_url);
    }

    fn microsoft_ads(&mut self, ads: &MicrosoftAds) {
        self.digits("microsoft_ads.customer_id", &ads.customer_id);
        self.digits("microsoft_ads.account_id", &ads.account_id);
        self.label("microsoft_ads.conversion_name", &ads.conversion_name);
        self.url("microsoft_ads.url", &ads.url);
        self.url("microsoft_ads.token_url", &ads.token_url);
    }

    fn meta(&mut self, meta: &Meta) {
        self.digits("meta.pixel_id", &meta.pixel_id);
        if let Some(event) = &meta.event {
            self.label("meta.event", event);
        }
        if let Some(version) = &meta.version
            && !version.strip_prefix('v').is_some_and(|it| it.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        {
            self.say("meta.version", format!("{} is not a version such as v24.0", quoted(version)));
        }
        self.url("meta.url", &meta.url);
    }

    fn crm(&mut self, crm: &Crm) {
        if let Some(mistake) = url_mistake(&crm.url) {
            self.say("crm.url", mistake);
        }
        match (&crm.preset, crm.steps.as_slice()) {
            (None, []) => self.say("crm.steps", "has no entry: give steps, or preset = \"hubspot\""),
            (Some(_), [_, ..]) => self.say("crm.steps", "stands beside preset; keep one of them"),
            _ => {}
        }
        for (member, count, max) in [
            ("crm.steps", crm.steps.len(), CRM_STEPS_MAX),
            ("crm.owners", crm.owners.len(), CRM_OWNERS_MAX),
            ("crm.names", crm.names.len(), CRM_NAMES_MAX),
        ] {
            if count > max {
                self.say(member, format!("has {count} entries, and may have {max} at most"));
            }
        }
        for (at, step) in crm.steps.iter().enumerate().take(CRM_STEPS_MAX) {
            let path = format!("crm.steps[{at}]");
            let plain = step.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if step.name.is_empty() || !plain {
                self.say(&format!("{path}.name"), format!("{} is not letters, digits and _", quoted(&step.name)));
            }
            for mistake in moment_mistakes(&step.moments) {
                self.say(&format!("{path}.moments"), mistake);
            }
            let asks = [("find", &step.find), ("create", &step.create), ("update", &step.update)];
            if asks.iter().all(|(_, ask)| ask.is_none()) {
                self.say(&path, "does nothing: give find, create or update");
            }
            for (member, ask) in asks {
                ask.iter().for_each(|ask| self.ask(&format!("{path}.{member}"), ask));
            }
        }
    }

    fn ask(&mut self, path: &str, ask: &CrmAsk) {
        if let Some(method) = &ask.method
            && !METHODS.contains(&method.as_str())
        {
            self.say(&format!("{path}.method"), format!("{} is not one of {}", quoted(method), METHODS.join(", ")));
        }
        if !ask.path.starts_with('/') || !ask.path.bytes().all(|b| b.is_ascii_graphic()) {
            self.say(&format!("{path}.path"), format!("{} is no path such as /contacts/{{{{id}}}}", quoted(&ask.path)));
        }
        for (member, text) in [("path", Some(&ask.path)), ("body", ask.body.as_ref())] {
            let Some(text) = text else { continue };
            if text.len() > WEBHOOK_TEMPLATE_BYTES_MAX {
                let message = format!("has {} bytes, and may have {WEBHOOK_TEMPLATE_BYTES_MAX} at most", text.len());
                self.say(&format!("{path}.{member}"), message);
            }
            if let Err(mistake) = Template::parse(text) {
                self.say(&format!("{path}.{member}"), mistake.to_string());
            }
        }
        if ask.id.as_ref().is_some_and(|id| !id.starts_with('/')) {
            self.say(&format!("{path}.id"), "does not start with a slash: write /results/*/id");
        }
    }

    fn bounds(&mut self, export: &Export) {
        if let Some(value) = export.value
            && !(0.0..EXPORT_VALUE_MAX).contains(&value)
        {
            self.say("value", format!("{value} is not between 0 and {EXPORT_VALUE_MAX}"));
        }
        if let Some(currency) = &export.currency
            && !is_currency(currency)
        {
            self.say("currency", format!("{} is not a currency code such as EUR", quoted(currency)));
        }
        if let Some(hours) = export.delay_hours
            && !(0.0..=EXPORT_DELAY_HOURS_MAX).contains(&hours)
        {
            self.say("delay_hours", format!("{hours} is not between 0 and {EXPORT_DELAY_HOURS_MAX}"));
        }
        for (member, seconds, max) in [
            ("connect_seconds", export.connect_seconds, WEBHOOK_CONNECT_SECONDS_MAX),
            ("answer_seconds", export.answer_seconds, WEBHOOK_ANSWER_SECONDS_MAX),
        ] {
            if !(1..=max).contains(&seconds) {
                self.say(member, format!("{seconds} is not between 1 and {max}"));
            }
        }
    }

    /// What is said about a secret tells its name, never the secret.
    fn secrets(&mut self, export: &Export) {
        if export.secrets.len() > EXPORT_SECRETS_MAX {
            let count = export.secrets.len();
            self.say("secrets", format!("has {count} entries, and may have {EXPORT_SECRETS_MAX} at most"));
        }
        for (name, secret) in &export.secrets {
            if secret.reveal().is_empty() || !secret.reveal().bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
                self.say("secrets", format!("{} is not visible characters", quoted(name)));
            }
        }
        match &export.secret_file {
            Some(_) if !export.secrets.is_empty() => self.say("secret_file", "stands beside secrets; keep one of them"),
            Some(_) => {
                if let Some(mistake) = export.secret_file_mistake() {
                    self.say("secret_file", mistake);
                }
            }
            None => {
                let needed = export.provider().map_or(&[][..], |it| it.secrets());
                for name in needed.iter().filter(|name| !export.secrets.contains_key(**name)) {
                    self.say("secrets", format!("has no {name}; give it, or a secret_file that has it"));
                }
            }
        }
    }

    fn url(&mut self, member: &str, url: &Option<String>) {
        if let Some(mistake) = url.as_deref().and_then(url_mistake) {
            self.say(member, mistake);
        }
    }

    fn digits(&mut self, member: &str, text: &str) {
        if text.is_empty() || text.len() > 32 || !text.bytes().all(|b| b.is_ascii_digit()) {
            self.say(member, format!("{} is not a number", quoted(text)));
        }
    }

    fn label(&mut self, member: &str, text: &str) {
        if text.is_empty() || text.len() > LABEL_BYTES_MAX {
            self.say(member, format!("{} is not 1 to {LABEL_BYTES_MAX} bytes", quoted(text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> Vec<String> {
        let export: Export = serde_json::from_str(json).expect(json);
        mistakes(&[export]).into_iter().map(|mistake| mistake.to_string()).collect()
    }

    #[test]
    fn says_all_that_is_wrong_with_an_export() {
        for (json, expected) in [
            (r#"{"name":"a","ga4":{"measurement_id":"G-ABC"},"secrets":{"api_secret":"x"}}"#, &[][..]),
            (
                r#"{"name":"a","ga4":{"measurement_id":"UA-1","event":"ga_call","url":"ftp://x"}}"#,
                &[
                    "ga4.measurement_id: \"UA-1\" is not",
                    "ga4.event: \"ga_call\" is no",
                    "ga4.url: is no address",
                    "secrets: has no api_secret",
                ],
            ),
            (
                r#"{"name":"a b","moments":["call.rang"],"filter":" ","value":-1,"currency":"eur","delay_hours":49,
                    "connect_seconds":0,"secret_file":"../x"}"#,
                &[
                    "name: \"a b\" is not",
                    "moments: \"call.rang\"",
                    "filter: is empty",
                    "name: names nobody",
                    "value: -1 is not",
                    "currency: \"eur\"",
                    "delay_hours: 49",
                    "connect_seconds: 0",
                    "secret_file: is not",
                ],
            ),
            (
                r#"{"name":"a","google_ads":{"customer_id":"12","login_customer_id":"123-456-7890","conversion_action":"x",
                    "version":"26"},"secret_file":"ads"}"#,
                &[
                    "google_ads.customer_id: \"12\"",
                    "google_ads.conversion_action: \"x\"",
                    "google_ads.version: \"26\"",
                ],
            ),
            (
                r#"{"name":"a","microsoft_ads":{},"meta":{"pixel_id":"1","version":"24"},"secret_file":"ads"}"#,
                &[
                    "meta: stands beside microsoft_ads",
                    "microsoft_ads.customer_id: \"\" is not a number",
                    "microsoft_ads.account_id: ",
                    "microsoft_ads.conversion_name: ",
                    "meta.version: \"24\"",
                ],
            ),
            (
                r#"{"name":"a","crm":{"url":"https://x.example","steps":[{"name":"a b"},{"name":"c","find":{"method":"GRAB",
                    "path":"x","body":"{{","id":"id"}}]},"secret_file":"crm"}"#,
                &[
                    "crm.steps[0].name: \"a b\"",
                    "crm.steps[0]: does nothing",
                    "crm.steps[1].find.method: \"GRAB\"",
                    "crm.steps[1].find.path: \"x\"",
                    "crm.steps[1].find.body: has {{",
                    "crm.steps[1].find.id: does not start",
                ],
            ),
            (r#"{"name":"a","crm":{"url":"https://x.example","preset":"hubspot"},"secret_file":"crm"}"#, &[]),
        ] {
            let told = told(json);
            assert_eq!(told.len(), expected.len(), "{told:#?} of {json}");
            for (told, words) in told.iter().zip(expected) {
                assert!(told.starts_with(&format!("exports[0].{words}")), "{told:?} does not start with {words:?}");
            }
        }
    }

    #[test]
    fn what_is_built_in_is_right() {
        let export: Export =
            serde_json::from_str(r#"{"crm":{"url":"https://x.example","preset":"hubspot"}}"#).expect("one");
        let crm = export.crm.expect("a crm");
        let own = Crm { preset: None, steps: crm.steps().to_vec(), ..crm };
        let mut look = Look { mistakes: Vec::new(), at: 0 };
        look.crm(&own);
        assert_eq!((look.mistakes, own.steps.len()), (Vec::new(), 6));
        assert_eq!(own.moments(), ["call.answered", "call.attributed", "call.missed"]);
    }
}
