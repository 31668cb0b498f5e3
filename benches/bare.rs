//! The least that a server can do: axum reads a body whole and answers as many bytes as a page view is answered with.
//! `benches/collect.sh` holds the collector against it, in the same run.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::routing::post;
use tokio::net::TcpListener;

/// About what `POST /v1/web` answers where no numbers are asked for.
const ANSWER: &str = "{\"visitor_id\":\"v0000000000000001\",\"server_time\":\"2026-11-20T12:00:01.000000Z\",\"numbers\":[],\
    \"settings\":{\"consent_required\":false,\"heartbeat_seconds\":30,\"honour_dnt\":false,\"honour_gpc\":true,\
    \"number_timeout_ms\":800}}";

async fn answer(body: Bytes) -> (StatusCode, [(header::HeaderName, HeaderValue); 1], &'static str) {
    let status = if body.is_empty() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], ANSWER)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8099".to_owned());
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, Router::new().route("/v1/web", post(answer))).await
}
