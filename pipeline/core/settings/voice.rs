//! How calls are answered (`voice` of an account, or of one number): all of it may be left out, and calls are then put
//! straight through.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{Mistake, is_target, quoted};
use super::shape::{self, Aim, Country, Said};
use super::{Settings, check};
use crate::event::{Id, has_controls, object, whole};
use crate::limits::{
    ASSESSMENT_CATEGORIES_MAX, ID_BYTES_MAX, MENU_KEYS_MAX, RING_SECONDS_MAX, RING_SECONDS_MIN, VOICE_TEXT_BYTES_MAX,
    VOICEMAIL_SECONDS_MAX, VOICEMAIL_SECONDS_MIN,
};
use crate::money::Money;
use crate::phone::Phone;

/// How a call is answered. Texts are said aloud; one that begins with `https://` is a sound file's address, and is played.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Voice {
    /// The language that texts are said in, such as `en-GB`; absent: the telephone system's own.
    #[schemars(length(min = 2, max = ID_BYTES_MAX), regex(pattern = shape::LANGUAGE))]
    pub language: Option<String>,
    /// What every caller hears first.
    #[schemars(with = "Option<Said>")]
    pub greeting: Option<String>,
    /// Where calls go to whose number has no `forward_to`: a phone number or a SIP URI.
    #[schemars(with = "Option<Aim>")]
    pub forward_to: Option<String>,
    /// Whose number the business sees.
    pub caller_id: CallerId,
    /// How long the business's phone rings. 25 if absent.
    #[serde(deserialize_with = "whole::only")]
    #[schemars(range(min = RING_SECONDS_MIN, max = RING_SECONDS_MAX))]
    pub ring_seconds: u32,
    /// Whether calls are recorded from the answer on, each side on a channel of its own.
    pub record: bool,
    /// What the caller hears before a call is put through that will be recorded.
    #[schemars(with = "Option<Said>")]
    pub announcement: Option<String>,
    /// Whether calls are written down as they are spoken.
    pub transcribe: bool,
    /// What the agent hears before the caller is put through. `{label}`, `{source}` and `{number}` stand for what the
    /// settings say of the called number.
    #[schemars(with = "Option<Said>")]
    pub whisper: Option<String>,
    /// Whether the telephone system listens if a machine answers; such a call counts as voicemail.
    pub detect_machines: bool,
    #[serde(deserialize_with = "optional")]
    pub menu: Option<Menu>,
    /// What the caller of a pool with `extensions` is asked to dial.
    #[schemars(with = "Option<Said>")]
    pub extension_prompt: Option<String>,
    /// Outside of business hours; absent: calls are put through at any time.
    #[serde(deserialize_with = "optional")]
    pub closed: Option<Fallback>,
    /// Where nobody takes the call; absent: it ends.
    #[serde(deserialize_with = "optional")]
    pub unanswered: Option<Fallback>,
    #[serde(deserialize_with = "optional")]
    pub voicemail: Option<Voicemail>,
    /// What the agent is asked after a call.
    #[serde(deserialize_with = "optional")]
    pub assessment: Option<Assessment>,
    /// Calls back to visitors who ask for them; absent: there are none.
    #[serde(deserialize_with = "optional")]
    pub callback: Option<Callbacks>,
    /// Twilio's own interface, for calls that callweave starts. Its password is what requests are signed with.
    #[serde(deserialize_with = "optional")]
    pub api: Option<Api>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CallerId {
    /// The caller's.
    #[default]
    Caller,
    /// The tracking number.
    Tracking,
}

/// A voice menu. A key that is not listed, or none, is asked for once more; then the call is put through as if there were no
/// menu.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("say keys"))]
pub struct Menu {
    /// What the caller hears.
    #[schemars(with = "Said")]
    pub say: String,
    #[serde(deserialize_with = "object::list")]
    #[schemars(length(min = 1, max = MENU_KEYS_MAX))]
    pub keys: Vec<MenuKey>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("key forward_to"))]
pub struct MenuKey {
    /// One of 0–9, `*`, `#`.
    #[schemars(regex(pattern = shape::MENU_KEY))]
    pub key: String,
    /// A phone number or a SIP URI.
    #[schemars(with = "Aim")]
    pub forward_to: String,
}

/// What happens to a call that cannot be put through.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Fallback {
    /// What the caller hears.
    #[schemars(with = "Option<Said>")]
    pub say: Option<String>,
    /// Another phone number or SIP URI to try.
    #[schemars(with = "Option<Aim>")]
    pub forward_to: Option<String>,
    /// Whether the caller may then leave a message.
    pub voicemail: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Voicemail {
    /// What the caller hears before the tone.
    #[schemars(with = "Option<Said>")]
    pub say: Option<String>,
    /// How long a message may be. 120 if absent.
    #[serde(deserialize_with = "whole::only")]
    #[schemars(range(min = VOICEMAIL_SECONDS_MIN, max = VOICEMAIL_SECONDS_MAX))]
    pub max_seconds: u32,
    /// Whether messages are written down.
    pub transcribe: bool,
}

/// What the agent is asked after an answered call: a key for what it was about and, if `value` is set, digits for what it is
/// worth (`*` is the decimal point). Where none are dialled, the category's own value counts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("say categories"))]
pub struct Assessment {
    /// What the agent hears.
    #[schemars(with = "Said")]
    pub say: String,
    #[serde(deserialize_with = "object::list")]
    #[schemars(length(min = 1, max = ASSESSMENT_CATEGORIES_MAX))]
    pub categories: Vec<Category>,
    /// Whether digits for the value may follow the key, ended by `#`.
    pub value: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("key category"))]
pub struct Category {
    /// One of 0–9.
    #[schemars(regex(pattern = shape::DIGIT))]
    pub key: String,
    #[schemars(with = "Id")]
    pub category: String,
    /// In the account's currency, where the agent dials no value.
    pub value: Option<Money>,
}

/// Calls back: the agent is called first, and the visitor once the agent answers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Callbacks {
    /// Who is called first: a phone number or a SIP URI. Absent: where the tracking number's calls go to.
    #[schemars(with = "Option<Aim>")]
    pub agent: Option<String>,
    /// What the agent hears before the visitor is called.
    #[schemars(with = "Option<Said>")]
    pub say: Option<String>,
    /// Countries whose numbers are called (ISO 3166-1 alpha-2), because anybody can ask for a callback to any number. Absent:
    /// the tracking number's own country.
    #[schemars(with = "Vec<Country>")]
    pub countries: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("account"))]
pub struct Api {
    /// The account SID (`AC…`).
    #[schemars(length(max = ID_BYTES_MAX), regex(pattern = shape::TWILIO_ACCOUNT))]
    pub account: String,
    /// `api.twilio.com` if absent; of another region its own, such as `api.dublin.ie1.twilio.com`.
    #[schemars(regex(pattern = shape::TWILIO_HOST))]
    pub host: Option<String>,
}

/// Where a call is put through to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Number(Phone),
    /// A SIP URI, scheme and all.
    Sip(String),
}

impl Target {
    /// Nothing for what is neither a number, nor a `tel:` URI of one, nor a SIP URI.
    pub fn parse(text: &str) -> Option<Target> {
        if !is_target(text) {
            return None;
        }
        let number = text.strip_prefix("tel:").unwrap_or(text);
        match Phone::parse(number) {
            Ok(phone) => Some(Target::Number(phone)),
            Err(_) => (text.starts_with("sip:") || text.starts_with("sips:")).then(|| Target::Sip(text.to_owned())),
        }
    }

    pub fn text(&self) -> String {
        match self {
            Target::Number(phone) => phone.to_string(),
            Target::Sip(uri) => uri.clone(),
        }
    }
}

pub(super) fn optional<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    struct Visitor<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
        type Value = Option<T>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a JSON object, or null")
        }
        fn visit_none<E: serde::de::Error>(self) -> Result<Option<T>, E> {
            Ok(None)
        }
        fn visit_unit<E: serde::de::Error>(self) -> Result<Option<T>, E> {
            Ok(None)
        }
        fn visit_some<D: serde::Deserializer<'de>>(self, from: D) -> Result<Option<T>, D::Error> {
            object::only(from).map(Some)
        }
    }
    from.deserialize_option(Visitor(std::marker::PhantomData))
}

pub(super) fn boxed<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<Box<T>>, D::Error> {
    optional(from).map(|value: Option<T>| value.map(Box::new))
}

impl Default for Voice {
    fn default() -> Voice {
        Voice {
            language: None,
            greeting: None,
            forward_to: None,
            caller_id: CallerId::default(),
            ring_seconds: 25,
            record: false,
            announcement: None,
            transcribe: false,
            whisper: None,
            detect_machines: false,
            menu: None,
            extension_prompt: None,
            closed: None,
            unanswered: None,
            voicemail: None,
            assessment: None,
            callback: None,
            api: None,
        }
    }
}

impl Default for Voicemail {
    fn default() -> Voicemail {
        Voicemail { say: None, max_seconds: 120, transcribe: false }
    }
}

/// What is wrong with the account's `voice`, and with those of its numbers.
pub(super) fn mistakes(settings: &Settings) -> Vec<Mistake> {
    let mut look = Look { found: Vec::new(), path: "voice".to_owned() };
    look.voice(&settings.voice);
    for (at, number) in settings.numbers.iter().enumerate() {
        if let Some(voice) = &number.voice {
            look.path = format!("numbers[{at}].voice");
            look.voice(voice);
        }
    }
    look.found
}

struct Look {
    found: Vec<Mistake>,
    path: String,
}

impl Look {
    fn say(&mut self, member: &str, message: String) {
        self.found.push(check::Mistake { path: format!("{}.{member}", self.path), message });
    }

    fn voice(&mut self, voice: &Voice) {
        for (member, text) in [
            ("greeting", &voice.greeting),
            ("announcement", &voice.announcement),
            ("whisper", &voice.whisper),
            ("extension_prompt", &voice.extension_prompt),
        ] {
            self.optional_text(member, text);
        }
        if let Some(language) = &voice.language
            && !(2..=ID_BYTES_MAX).contains(&language.len())
                | !language.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            self.say("language", format!("{} is not a language tag such as en-GB", quoted(language)));
        }
        self.optional_target("forward_to", &voice.forward_to);
        self.between("ring_seconds", voice.ring_seconds, RING_SECONDS_MIN, RING_SECONDS_MAX);
        if let Some(menu) = &voice.menu {
            self.menu(menu);
        }
        for (member, fallback) in [("closed", &voice.closed), ("unanswered", &voice.unanswered)] {
            if let Some(fallback) = fallback {
                self.optional_text(&format!("{member}.say"), &fallback.say);
                self.optional_target(&format!("{member}.forward_to"), &fallback.forward_to);
            }
        }
        if let Some(voicemail) = &voice.voicemail {
            self.optional_text("voicemail.say", &voicemail.say);
            let seconds = voicemail.max_seconds;
            self.between("voicemail.max_seconds", seconds, VOICEMAIL_SECONDS_MIN, VOICEMAIL_SECONDS_MAX);
        }
        if let Some(assessment) = &voice.assessment {
            self.assessment(assessment);
        }
        if let Some(callback) = &voice.callback {
            self.callback(voice, callback);
        }
        if let Some(api) = &voice.api {
            self.api(api);
        }
    }

    fn menu(&mut self, menu: &Menu) {
        self.text("menu.say", &menu.say);
        if menu.keys.is_empty() || menu.keys.len() > MENU_KEYS_MAX {
            self.say("menu.keys", format!("has {} keys, and may have 1 to {MENU_KEYS_MAX}", menu.keys.len()));
        }
        let mut seen = BTreeSet::new();
        for (at, entry) in menu.keys.iter().enumerate() {
            self.key(&format!("menu.keys[{at}].key"), &entry.key, "0123456789*#", &mut seen);
            self.target(&format!("menu.keys[{at}].forward_to"), &entry.forward_to);
        }
    }

    fn assessment(&mut self, assessment: &Assessment) {
        self.text("assessment.say", &assessment.say);
        let count = assessment.categories.len();
        if count == 0 || count > ASSESSMENT_CATEGORIES_MAX {
            let message = format!("has {count} categories, and may have 1 to {ASSESSMENT_CATEGORIES_MAX}");
            self.say("assessment.categories", message);
        }
        let mut seen = BTreeSet::new();
        for (at, entry) in assessment.categories.iter().enumerate() {
            self.key(&format!("assessment.categories[{at}].key"), &entry.key, "0123456789", &mut seen);
            self.text(&format!("assessment.categories[{at}].category"), &entry.category);
            if entry.category.len() > ID_BYTES_MAX {
                let message = format!("has {} bytes, and may have {ID_BYTES_MAX} at most", entry.category.len());
                self.say(&format!("assessment.categories[{at}].category"), message);
            }
        }
    }

    fn callback(&mut self, voice: &Voice, callback: &Callbacks) {
        self.optional_target("callback.agent", &callback.agent);
        self.optional_text("callback.say", &callback.say);
        for (at, country) in callback.countries.iter().enumerate() {
            if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
                let message = format!("{} is not a country code of two capital letters such as DE", quoted(country));
                self.say(&format!("callback.countries[{at}]"), message);
            }
        }
        if voice.api.is_none() {
            self.say("api", "is missing: callbacks are started through it; give its account".to_owned());
        }
    }

    fn api(&mut self, api: &Api) {
        let named = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if api.account.is_empty() || api.account.len() > ID_BYTES_MAX || !api.account.bytes().all(named) {
            let message = format!("{} is not an account SID: AC and 32 digits", quoted(&api.account));
            self.say("api.account", message);
        }
        if let Some(host) = &api.host
            && !is_provider(host)
        {
            let message = format!("{} is not one of Twilio's hosts such as api.twilio.com", quoted(host));
            self.say("api.host", message);
        }
    }

    fn key<'s>(&mut self, path: &str, key: &'s str, allowed: &str, seen: &mut BTreeSet<&'s str>) {
        if key.len() != 1 || !allowed.contains(key) {
            self.say(path, format!("{} is not one key of {allowed}", quoted(key)));
        } else if !seen.insert(key) {
            self.say(path, format!("{} is listed twice", quoted(key)));
        }
    }

    fn between(&mut self, path: &str, value: u32, min: u32, max: u32) {
        if !(min..=max).contains(&value) {
            self.say(path, format!("{value} is not between {min} and {max} seconds"));
        }
    }

    fn optional_target(&mut self, path: &str, target: &Option<String>) {
        if let Some(target) = target {
            self.target(path, target);
        }
    }

    fn target(&mut self, path: &str, target: &str) {
        if Target::parse(target).is_none() {
            let message = format!(
                "{} is neither a number such as +14155550123 nor an address such as sip:sales@example.com",
                quoted(target)
            );
            self.say(path, message);
        }
    }

    fn optional_text(&mut self, path: &str, text: &Option<String>) {
        if let Some(text) = text {
            self.text(path, text);
        }
    }

    fn text(&mut self, path: &str, text: &str) {
        if text.is_empty() {
            self.say(path, "is empty".to_owned());
        } else if text.len() > VOICE_TEXT_BYTES_MAX {
            self.say(path, format!("has {} bytes, and may have {VOICE_TEXT_BYTES_MAX} at most", text.len()));
        } else if has_controls(text) {
            self.say(path, format!("{} has control characters in it", quoted(text)));
        }
    }
}

/// Only Twilio's own hosts: the password goes there, and an account's settings must not lead the collector elsewhere.
fn is_provider(host: &str) -> bool {
    let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    let name = host.strip_suffix(".twilio.com").unwrap_or_default();
    (name == "api" || name.starts_with("api.")) && name.bytes().all(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_in_how_calls_are_answered_is_told() {
        for (json, expected) in [
            ("{}", &[][..]),
            (
                r#"{"voice":{"greeting":"","language":"e n","ring_seconds":1,"forward_to":"Ada",
                    "menu":{"say":"Sales: 1","keys":[{"key":"12","forward_to":"+14155550123"},{"key":"1","forward_to":"x"},
                    {"key":"1","forward_to":"sip:a@example.com"}]},"closed":{"forward_to":"tel:12"},
                    "voicemail":{"max_seconds":0,"say":"a\u0000b"},"assessment":{"categories":[{"key":"*","category":""}]},
                    "callback":{"countries":["de"]}}}"#,
                &[
                    "voice.greeting: is empty",
                    "voice.language: \"e n\" is not a language tag",
                    "voice.forward_to: \"Ada\" is neither a number",
                    "voice.ring_seconds: 1 is not between 5 and 600",
                    "voice.menu.keys[0].key: \"12\" is not one key",
                    "voice.menu.keys[1].forward_to: \"x\" is neither",
                    "voice.menu.keys[2].key: \"1\" is listed twice",
                    "voice.closed.forward_to: \"tel:12\" is neither",
                    "voice.voicemail.say: \"a\\0b\" has control characters",
                    "voice.voicemail.max_seconds: 0 is not between",
                    "voice.assessment.say: is empty",
                    "voice.assessment.categories[0].key: \"*\" is not one key of 0123456789",
                    "voice.assessment.categories[0].category: is empty",
                    "voice.callback.countries[0]: \"de\" is not a country code",
                    "voice.api: is missing",
                ],
            ),
            (
                r#"{"numbers":[{"number":"+14155550100","kind":"overflow","voice":{"menu":{"say":"x"}}}],
                    "voice":{"api":{"account":"AC/1","host":"127.0.0.1"}}}"#,
                &[
                    "voice.api.account",
                    "voice.api.host: \"127.0.0.1\" is not one of",
                    "numbers[0].voice.menu.keys: has 0 keys",
                ],
            ),
            (r#"{"voice":{"api":{"account":"AC1","host":"evil.example/.twilio.com"}}}"#, &["voice.api.host"]),
            (r#"{"voice":{"api":{"account":"AC1","host":"api.dublin.ie1.twilio.com"}}}"#, &[]),
        ] {
            let settings: Settings = serde_json::from_str(json).expect(json);
            let told: Vec<String> = mistakes(&settings).iter().map(ToString::to_string).collect();
            assert_eq!(told.len(), expected.len(), "{told:#?}");
            for (told, words) in told.iter().zip(expected) {
                assert!(told.starts_with(words), "{told:?} does not start with {words:?}");
            }
        }
    }

    #[test]
    fn how_calls_are_answered_is_read_from_objects_alone() {
        let listed = r#"{"numbers":[{"number":"+14155550123","kind":"static","voice":[]}]}"#;
        for json in [listed, r#"{"voice":[]}"#, r#"{"voice":{"menu":[]}}"#, r#"{"voice":{"menu":{"keys":[["1"]]}}}"#] {
            assert!(serde_json::from_str::<Settings>(json).is_err(), "{json}");
        }
        let settings: Settings = serde_json::from_str(r#"{"voice":{"menu":null,"voicemail":{}}}"#).unwrap();
        assert_eq!(settings.voice.voicemail, Some(Voicemail::default()));
        let again: Settings = serde_json::from_str(&serde_json::to_string(&settings).unwrap()).unwrap();
        assert_eq!(again, settings);
    }
}
