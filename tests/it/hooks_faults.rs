//! Hooks while the log does not answer, and while the disk does not either.

use std::time::Duration;

use callweave::config::{Config, Secret, Telephony};
use callweave_core::settings::Settings;
use serde_json::json;

use crate::collect::{Reply, Running, request, start};
use crate::hooks::{CALL, SIGNATURE, incoming};

const PATIENCE: Duration = Duration::from_secs(30);

fn with_telephony(config: &mut Config) {
    let settings: Settings = serde_json::from_value(json!({
        "numbers": [{"number": "+14155550100", "kind": "static", "forward_to": "+14155550111", "source": "google"}],
    }))
    .expect("settings");
    config.public_url = Some("https://calls.example.com".to_owned());
    config.accounts.get_mut("acme").expect("acme").settings = Some(settings);
    let telephony = Telephony::default()
        .with_secret("twilio_auth_token", Secret::new("the-auth-token-of-acme-at-twilio"))
        .with_secret("freeswitch_credentials", Secret::new("switch:open sesame"));
    config.telephony.insert("acme".to_owned(), telephony);
}

async fn twilio(running: &Running, which: usize) -> Reply {
    let headers =
        format!("Content-Type: application/x-www-form-urlencoded\r\nX-Twilio-Signature: {}\r\n", SIGNATURE[which]);
    request(&running.collect, "POST /v1/hooks/twilio/acme", &headers, incoming(CALL[which]).as_bytes()).await
}

async fn freeswitch(running: &Running) -> Reply {
    // base64 of `switch:open sesame`. What is no record is kept as rejected: that must be kept, too.
    let headers = "Authorization: Basic c3dpdGNoOm9wZW4gc2VzYW1l\r\n";
    request(&running.collect, "POST /v1/hooks/freeswitch/acme", headers, b"no record").await
}

/// Waits until the log holds `count` records of calls or rejected ones.
async fn logged(running: &Running, count: usize) -> Vec<String> {
    let looked = async {
        loop {
            let found = running.logged().await;
            if found.len() >= count {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.expect("the log gets them")
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_forwarded_while_the_log_does_not_answer() {
    let running = start(with_telephony).await;
    running.close_gate().await;
    let began = std::time::Instant::now();
    for which in [0, 1] {
        let reply = twilio(&running, which).await;
        assert!(reply.status == 200 && reply.body.contains("+14155550111"), "{reply:?}");
    }
    assert_eq!(freeswitch(&running).await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(10), "a caller waited {:?}", began.elapsed());
    assert!(running.logged().await.is_empty());
    running.open_gate();
    let found = logged(&running, 3).await;
    let of = |call: &str| found.iter().filter(|line| line.contains(call)).count();
    assert!(
        of(CALL[0]) >= 1 && of(CALL[1]) >= 1 && found.iter().any(|line| line.ends_with(": no record")),
        "{found:?}"
    );
    assert!(running.metrics.render().contains("callweave_spool_kept_records_total 3"), "what is kept is counted");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_forwarded_while_the_disk_fails_as_well_and_others_send_again() {
    let running = start(|config| {
        with_telephony(config);
        // A full disk and a full spool are the same to a hook.
        config.limits.spool_bytes = 0;
    })
    .await;
    running.close_gate().await;
    let reply = twilio(&running, 0).await;
    assert!(reply.status == 200 && reply.body.contains("+14155550111"), "{reply:?}");
    assert_eq!(freeswitch(&running).await.status, 503);
    running.open_gate();
    running.stop().await;
}
