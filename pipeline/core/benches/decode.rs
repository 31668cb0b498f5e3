//! What it costs to decode one event, and what three JSON libraries take to read the same bytes into the same structs.
//! `cargo bench -p callweave-core --bench decode --profile dev`: core is optimised in that profile too.

use std::hint::black_box;

use callweave_core::event::{Call, Heartbeat, PageView, decode};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use serde::de::IgnoredAny;

const PAGE_VIEW: &str = r#"{"specversion":"1.0","id":"01JD3V8Q6W1Z4T9X","source":"web/main","type":"page_view","time":"2026-11-20T12:34:56.789Z","account":"acme","recordedtime":"2026-11-20T12:34:57.001Z","data":{"visitor_id":"v-8f14e45fceea167a","session_id":"s-c9f0f895fb98ab91","url":"https://example.com/?utm_source=google&utm_medium=cpc&utm_campaign=autumn","referrer":"https://www.google.com/","user_agent":"Mozilla/5.0 (X11; Linux x86_64) Chrome/142","ip":"203.0.113.7"}}"#;
const CALL: &str = r#"{"specversion":"1.0","id":"01JD3V8Q6W1Z4T9Y","source":"pbx/1","type":"call","time":"2026-11-20T12:34:56.789Z","account":"acme","recordedtime":"2026-11-20T12:34:57.001Z","data":{"call_id":"c-8f14e45fceea167a","status":"ended","direction":"inbound","from":"+4930123456","to":"+14155550123","agent":"Ada","hangup_by":"caller","talk_seconds":61.25}}"#;
const HEARTBEAT: &str = r#"{"specversion":"1.0","id":"01JD3V8Q6W1Z4T9Z","source":"web/main","type":"heartbeat","time":"2026-11-20T12:34:56.789Z","account":"acme","data":{"visitor_id":"v-8f14e45fceea167a","session_id":"s-c9f0f895fb98ab91"}}"#;

/// The envelope as a derive reads it, so that the libraries do the same work.
#[derive(Deserialize)]
struct Plain<T> {
    #[serde(rename = "specversion")]
    _specversion: IgnoredAny,
    #[serde(rename = "data")]
    _data: T,
}

macro_rules! compare {
    ($criterion:expr, $name:literal, $text:expr, $data:ident) => {{
        let mut group = $criterion.benchmark_group($name);
        group.throughput(Throughput::Bytes($text.len() as u64));
        group.bench_function("decode", |b| b.iter(|| black_box(decode(black_box($text.as_bytes()), None).is_ok())));
        group.bench_function("sonic-rs", |b| {
            b.iter(|| black_box(sonic_rs::from_slice::<Plain<$data<'_>>>(black_box($text.as_bytes())).is_ok()))
        });
        group.bench_function("serde_json", |b| {
            b.iter(|| black_box(serde_json::from_slice::<Plain<$data<'_>>>(black_box($text.as_bytes())).is_ok()))
        });
        // It writes into its input, so that every event has to be copied first and what borrows from it cannot outlive
        // the copy; copying is in the set-up here, which flatters it.
        group.bench_function("simd-json", |b| {
            b.iter_batched_ref(
                || ($text.as_bytes().to_vec(), simd_json::Buffers::default()),
                |(bytes, buffers)| {
                    black_box(simd_json::serde::from_slice_with_buffers::<Plain<$data<'_>>>(bytes, buffers).is_ok())
                },
                BatchSize::SmallInput,
            )
        });
        group.finish();
    }};
}

fn decoding(criterion: &mut Criterion) {
    compare!(criterion, "page_view", PAGE_VIEW, PageView);
    compare!(criterion, "call", CALL, Call);
    compare!(criterion, "heartbeat", HEARTBEAT, Heartbeat);
}

criterion_group!(benches, decoding);
criterion_main!(benches);
