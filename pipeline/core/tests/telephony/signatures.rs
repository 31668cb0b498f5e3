//! Whom the parsers believe: signatures of the providers' own libraries, and of nobody else.

use callweave_core::telephony::{Hook, Refused, Terms, bandwidth, freeswitch, generic, plivo, sign, telnyx, vonage};
use callweave_core::time::{MICROS_PER_SECOND, Time};
use ed25519_dalek::SigningKey;

use super::play::{BASE, System, hook, jwt, rules, terms};

const SIGNED_AT: i64 = 1_795_176_000;

/// Signed by Plivo's SDK for Python 4.63.0 (`get_signature_v3`).
#[test]
fn plivo_s_own_signatures_fit() {
    let rules = rules();
    for (method, query, body, signature, expected) in [
        ("POST", "", "B=2&A=x+y", "Gll6R0nJ20aJKTtJvXfaZp3qFlTmzsIPy3pSCfZQJP0=", true),
        ("POST", "?leg=agent&a=b", "A=x%20y&B=2", "xBgL468c81AusrvsTOHZcEvjoF1ZoiBekUYnlp3CKh4=", true),
        ("GET", "?B=2&A=x%20y", "", "h5dVNiiG4VbaHekvoQWhKV+kuGDeC1HmVFyXId3Qr0c=", true),
        ("POST", "", "B=2&A=x+y", "AAAA,Gll6R0nJ20aJKTtJvXfaZp3qFlTmzsIPy3pSCfZQJP0=", true),
        ("POST", "", "B=3&A=x+y", "Gll6R0nJ20aJKTtJvXfaZp3qFlTmzsIPy3pSCfZQJP0=", false),
        ("POST", "?x=y", "B=2&A=x+y", "Gll6R0nJ20aJKTtJvXfaZp3qFlTmzsIPy3pSCfZQJP0=", false),
        ("POST", "", "B=2&A=x+y", "", false),
    ] {
        let url = format!("https://t.example/v1/hooks/plivo/acme{query}");
        let headers = [("x-plivo-signature-v3", signature), ("x-plivo-signature-v3-nonce", "12345")];
        let hook =
            Hook { method, url: &url, step: "", headers: &headers, body: body.as_bytes(), received: Time(SIGNED_AT) };
        let terms = Terms { secret: Some("token"), ..terms(&rules) };
        assert_eq!(plivo::take(&hook, &terms).is_ok(), expected, "{method} {query} {body} {signature}");
    }
}

/// Made by PyJWT 2, as Vonage's library for Python checks it.
#[test]
fn vonage_s_tokens_fit_their_body_and_their_time() {
    const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3OTUxNzYwMDAsImp0aSI6IngiLCJpc3MiOiJWb25hZ2UiLCJw\
                         YXlsb2FkX2hhc2giOiI4MGNjNzE2Mjk4Y2FjNTk4MjhmNmM3ODA3NWI5NjFiNThkOTMwODkyM2NhYjJkMGQ0M2YyOWRhOWZi\
                         N2VlNGZjIiwiYXBpX2tleSI6ImEiLCJhcHBsaWNhdGlvbl9pZCI6ImIifQ.wuaHycrottI8S7T-uPSmGJKlWegHiv5j8gpfT\
                         NS7TwQ";
    let rules = rules();
    let body = br#"{"status":"started"}"#;
    let unsigned = TOKEN.replacen("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "eyJhbGciOiJub25lIn0", 1);
    let ours = jwt("signature-secret", body, SIGNED_AT);
    let cut = &TOKEN[..TOKEN.len() - 3];
    for (token, secret, body, off, expected) in [
        (TOKEN, "signature-secret", &body[..], 0, Ok(())),
        (&ours, "signature-secret", &body[..], 299, Ok(())),
        (TOKEN, "signature-secret", &body[..], 301, Err(Refused::TooOld(301))),
        (TOKEN, "signature-secret", &body[..], -301, Err(Refused::TooOld(-301))),
        (TOKEN, "another", &body[..], 0, Err(Refused::WrongSignature("the signature secret is another"))),
        (TOKEN, "signature-secret", b"{}", 0, Err(Refused::WrongSignature("it is for another body"))),
        (&unsigned, "signature-secret", &body[..], 0, Err(Refused::WrongSignature("it is not signed with HS256"))),
        (cut, "signature-secret", &body[..], 0, Err(Refused::WrongSignature("the signature secret is another"))),
        ("x", "signature-secret", &body[..], 0, Err(Refused::WrongSignature("Authorization holds no JSON Web Token"))),
        (TOKEN, "", &body[..], 0, Err(Refused::NotConfigured("vonage"))),
    ] {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let received = Time((SIGNED_AT + off) * MICROS_PER_SECOND);
        let hook = Hook { method: "POST", url: BASE, step: "", headers: &headers, body, received };
        let terms = Terms { secret: Some(secret), ..terms(&rules) };
        assert_eq!(vonage::take(&hook, &terms).map(|_| ()), expected, "{token} {secret} {off}");
    }
}

#[test]
fn telnyx_is_believed_with_its_own_key_alone() {
    let rules = rules();
    let received = Time(SIGNED_AT * MICROS_PER_SECOND);
    assert_eq!(hook(System::Telnyx, b"{}", &rules, received).rejected.len(), 1, "signed well, and says nothing");
    let another = SigningKey::from_bytes(&[8; 32]).verifying_key();
    let good = sign::to_base64(another.as_bytes());
    let good = good.as_str();
    let small_order = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let signature = "A".repeat(86) + "==";
    for (key, signature, timestamp, expected) in [
        (Some(good), Some(signature.as_str()), Some("1795176000"), "the signature does not fit"),
        (Some(small_order), Some(&signature), Some("1795176000"), "the signature does not fit"),
        (Some("short"), Some(&signature), Some("1795176000"), "not 32 bytes"),
        (Some(good), Some("x"), Some("1795176000"), "not 64 bytes"),
        (Some(good), Some(&signature), Some("now"), "no number of seconds"),
        (Some(good), None, Some("1795176000"), "telnyx-signature-ed25519"),
        (Some(good), Some(&signature), None, "telnyx-timestamp"),
        (None, Some(&signature), Some("1795176000"), "not configured"),
    ] {
        let signed = signature.map(|it| ("telnyx-signature-ed25519", it));
        let headers: Vec<_> = signed.into_iter().chain(timestamp.map(|it| ("telnyx-timestamp", it))).collect();
        let hook = Hook { method: "POST", url: BASE, step: "", headers: &headers, body: b"{}", received };
        let refused = telnyx::take(&hook, &Terms { secret: key, ..terms(&rules) }).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused:?} for {expected}");
    }
}

#[test]
fn passwords_are_asked_for() {
    let rules = rules();
    let bare = Hook { method: "POST", url: BASE, step: "", headers: &[], body: b"{}", received: Time(0) };
    let terms = Terms { secret: Some("me:secret"), ..terms(&rules) };
    assert_eq!(bandwidth::take(&bare, &terms), Err(Refused::NotSigned("Authorization")));
    assert_eq!(freeswitch::take(&bare, &terms), Err(Refused::NotSigned("Authorization")));
    let step = Hook { step: "nobody", ..bare };
    assert_eq!(generic::take(&step, &terms), Err(Refused::NoSuchStep("nobody".into())));
}
