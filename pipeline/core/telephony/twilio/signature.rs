//! `X-Twilio-Signature` (Twilio, "Webhooks security"): base64 of HMAC-SHA1 over the URL and, of a form, its decoded names
//! and values, sorted and without repetitions. A JSON body is covered by its SHA-256 in the URL (`bodySHA256`).
//!
//! The URL is the one that the provider was told, so the collector makes it from its configured public address and never
//! from what a proxy says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::Provider;
use super::form::{Form, query};
use crate::telephony::{Hook, Refused};

/// Whether the request is the provider's.
pub(super) fn verify(
    hook: &Hook<'_>,
    form: &Form<'_>,
    secret: Option<&str>,
    provider: Provider,
) -> Result<(), Refused> {
    // Anybody can sign with an empty secret.
    let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
        return Err(Refused::NotConfigured(provider.name()));
    };
    let (shown, name) = provider.header();
    let Some(told) = hook.headers.iter().find(|(held, _)| *held == name).map(|(_, value)| value.trim()) else {
        return Err(Refused::NotSigned(shown));
    };
    let is_form = hook.method == "POST" && !is_json(hook);
    if hook.method == "POST" && !is_form && !body_fits(hook) {
        return Err(Refused::WrongSignature("the body is not the one of bodySHA256 in the URL"));
    }
    let signed = if is_form { sorted(form) } else { Vec::new() };
    let mut fits = Choice::from(0);
    for url in forms_of(hook.url) {
        fits |= sign(&url, &signed, secret).as_bytes().ct_eq(told.as_bytes());
        if provider == Provider::SignalWire {
            fits |= hex(&mac(secret, &[url.as_bytes(), hook.body])).as_bytes().ct_eq(told.as_bytes());
        }
    }
    if bool::from(fits) {
        return Ok(());
    }
    Err(Refused::WrongSignature("check the secret, and that the public address is the one the provider was told"))
}

/// The signature of a request with this form, as its header says it: for tests, and for those who play the provider.
pub fn signature(url: &str, body: &[u8], secret: &str) -> String {
    sign(url, &Form::parse(body).map(|form| sorted(&form)).unwrap_or_default(), secret)
}

fn sign(url: &str, signed: &[u8], secret: &str) -> String {
    STANDARD.encode(mac(secret, &[url.as_bytes(), signed]))
}

fn mac(secret: &str, parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret.as_bytes()) else { return Vec::new() };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

fn sorted(form: &Form<'_>) -> Vec<u8> {
    let mut pairs: Vec<(&str, &str)> = form.pairs().iter().map(|(name, value)| (&**name, &**value)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs.iter().flat_map(|(name, value)| [*name, *value]).flat_map(str::bytes).collect()
}

fn is_json(hook: &Hook<'_>) -> bool {
    let kind = hook.headers.iter().find(|(name, _)| *name == "content-type").map_or("", |(_, value)| value.trim());
    !hook.body.is_empty() && !kind.is_empty() && !kind.starts_with("application/x-www-form-urlencoded")
}

fn body_fits(hook: &Hook<'_>) -> bool {
    let told = Form::parse(query(hook.url).as_bytes());
    let told = told.as_ref().and_then(|form| form.get("bodySHA256")).unwrap_or_default().to_ascii_lowercase();
    hex(&Sha256::digest(hook.body)).as_bytes().ct_eq(told.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Twilio signs with the port or without it, and no rule tells which: as it is, without a port, with the scheme's own.
fn forms_of(url: &str) -> Vec<String> {
    let mut forms = vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else { return forms };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    let at = if user.is_empty() { String::new() } else { format!("{user}@") };
    let port = host.rfind(':').filter(|at| host[at + 1..].bytes().all(|b| b.is_ascii_digit()));
    match (port, scheme) {
        (Some(port), _) => forms.push(format!("{scheme}://{at}{}{path}", &host[..port])),
        (None, "https") => forms.push(format!("{scheme}://{at}{host}:443{path}")),
        (None, "http") => forms.push(format!("{scheme}://{at}{host}:80{path}")),
        (None, _) => {}
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    const FORM: &[u8] = b"CallSid=CA11&From=%2B14155550123&To=%2B14155550100&CallerCity=&Digits=2&Digits=1&Digits=2";
    const URL: &str = "https://calls.example.com/v1/hooks/twilio/acme/dial?from=%2B1&to=";

    fn hook<'a>(method: &'a str, url: &'a str, headers: &'a [(&'a str, &'a str)], body: &'a [u8]) -> Hook<'a> {
        Hook { method, url, step: "", headers, body, received: Time(0) }
    }

    fn check(hook: &Hook<'_>, secret: Option<&str>, provider: Provider) -> Result<(), Refused> {
        verify(hook, &Form::parse(hook.body).unwrap(), secret, provider)
    }

    #[test]
    fn what_the_provider_signed_fits_and_nothing_else() {
        let good = signature(URL, FORM, "secret");
        let other = signature(&URL.replace("example.com", "example.com:443"), FORM, "secret");
        let (form, json) = ("application/x-www-form-urlencoded; charset=UTF-8", "application/json");
        for (what, url, headers, body, fits) in [
            ("as it is", URL, &[("x-twilio-signature", good.as_str()), ("content-type", form)][..], FORM, true),
            ("without a type", URL, &[("x-twilio-signature", good.as_str())], FORM, true),
            ("signed with the port", URL, &[("x-twilio-signature", other.as_str())], FORM, true),
            ("another value", URL, &[("x-twilio-signature", good.as_str())], b"CallSid=CA12", false),
            ("another URL", "https://calls.example.com/", &[("x-twilio-signature", good.as_str())], FORM, false),
            ("called JSON", URL, &[("x-twilio-signature", good.as_str()), ("content-type", json)], FORM, false),
            ("cut short", URL, &[("x-twilio-signature", &good[..20])], FORM, false),
            ("empty", URL, &[("x-twilio-signature", "")], FORM, false),
        ] {
            assert_eq!(
                check(&hook("POST", url, headers, body), Some("secret"), Provider::Twilio).is_ok(),
                fits,
                "{what}"
            );
        }
        let headers = [("x-twilio-signature", good.as_str())];
        let wrong = check(&hook("POST", URL, &headers, FORM), Some("other"), Provider::Twilio);
        assert!(matches!(wrong, Err(Refused::WrongSignature(_))));
        for secret in [None, Some("")] {
            let nothing = check(&hook("POST", URL, &headers, FORM), secret, Provider::Twilio);
            assert_eq!(nothing, Err(Refused::NotConfigured("twilio")));
        }
        let unsigned = check(&hook("POST", URL, &headers, FORM), Some("secret"), Provider::SignalWire);
        assert_eq!(unsigned, Err(Refused::NotSigned("X-SignalWire-Signature")));
    }

    #[test]
    fn a_request_without_a_form_is_signed_by_its_url() {
        let url = "https://calls.example.com/v1/hooks/twilio/acme?CallSid=CA1";
        let good = signature(url, b"", "secret");
        let headers = [("x-twilio-signature", good.as_str())];
        assert_eq!(check(&hook("GET", url, &headers, b""), Some("secret"), Provider::Twilio), Ok(()));

        let body = br#"{"a":1}"#;
        let url = format!("https://calls.example.com/x?bodySHA256={}", hex(&Sha256::digest(body)));
        let good = signature(&url, b"", "secret");
        let headers = [("x-twilio-signature", good.as_str()), ("content-type", "application/json")];
        assert_eq!(check(&hook("POST", &url, &headers, body), Some("secret"), Provider::Twilio), Ok(()));
        assert!(check(&hook("POST", &url, &headers, br#"{"a":2}"#), Some("secret"), Provider::Twilio).is_err());
    }

    #[test]
    fn signalwire_signs_a_form_or_the_bare_body() {
        let form = signature(URL, FORM, "key");
        let bare = hex(&mac("key", &[URL.as_bytes(), FORM]));
        for told in [form.as_str(), bare.as_str()] {
            let headers = [("x-signalwire-signature", told)];
            assert_eq!(check(&hook("POST", URL, &headers, FORM), Some("key"), Provider::SignalWire), Ok(()));
        }
        let headers = [("x-twilio-signature", bare.as_str())];
        assert!(check(&hook("POST", URL, &headers, FORM), Some("key"), Provider::Twilio).is_err());
    }
}
