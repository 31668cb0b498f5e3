//! A request's body, read within its bounds of size, time and memory, and unpacked within the same.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::BoxError;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant, timeout, timeout_at};

use super::admission::Hold;
use super::replies::Refusal;
use crate::config::Limits;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// Bytes that are unpacked at a time, and so what a bomb gets over its limit.
const STEP: usize = 64 << 10;
/// 2 to this power is the largest window a zstd body may ask for: the format's own recommendation (RFC 8878, 3.1.1.1.2).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// What is read of a body that is refused already, so that its sender gets to read the answer: many look at it only
/// after they have sent everything, and closing on unread bytes makes the system throw the answer away.
const DISCARD_BYTES: usize = 64 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(2);

impl Packing {
    /// # Errors
    /// The body is packed as nobody unpacks it here.
    pub fn of(headers: &HeaderMap) -> Result<Packing, Refusal> {
        let mut packing = Packing::Plain;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let text = value.to_str().unwrap_or("?").trim();
            let one = match text.to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Packing::Gzip,
                "zstd" => Packing::Zstd,
                _ => return Err(Refusal::Encoding(text.to_owned())),
            };
            if packing != Packing::Plain {
                return Err(Refusal::Encoding("several encodings".to_owned()));
            }
            packing = one;
        }
        Ok(packing)
    }
}

/// Reads a body to its end.
///
/// # Errors
/// It is too long, too slow, cut off, or there is no memory for it now.
pub async fn read(body: Body, headers: &HeaderMap, limits: &Limits, hold: &mut Hold) -> Result<Vec<u8>, Refusal> {
    let limit = limits.body_bytes;
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|told| told > limit) {
        discard(body, headers).await;
        return Err(Refusal::TooLong { limit, unpacked: false });
    }
    let deadline = Instant::now() + limits.body;
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    loop {
        let chunk = match timeout_at(deadline, stream.next()).await {
            Err(_) => return Err(Refusal::Slow(limits.body)),
            Ok(None) => return Ok(bytes),
            Ok(Some(Err(error))) => return Err(Refusal::Cut(error.to_string())),
            Ok(Some(Ok(chunk))) => chunk,
        };
        if let Err(refusal) = add(&mut bytes, &chunk, (limit, false), hold) {
            drain(stream).await;
            return Err(refusal);
        }
    }
}

/// Reads some of a body that is not wanted. A sender that waits to be told to go on is not asked for it.
pub async fn discard(body: Body, headers: &HeaderMap) {
    if !headers.contains_key(header::EXPECT) {
        drain(body.into_data_stream()).await;
    }
}

async fn drain(mut stream: BodyDataStream) {
    let mut left = DISCARD_BYTES;
    // Whether it ended, failed or took too long is all the same: nobody wants it.
    let _ = timeout(DISCARD_TIME, async {
        while let Some(Ok(chunk)) = stream.next().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    })
    .await;
}

/// What is left of a request's body; nothing once it has ended in any way.
type Rest = Arc<Mutex<Option<BodyDataStream>>>;

/// Answers a request whose handler reads the body as it likes: what has not arrived after `most` is waited for no more, and the
/// sender is told so. Of a request that was refused the rest is read as of any other ([`discard`]).
pub async fn in_time(request: Request, most: Duration, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let deadline = Instant::now() + most;
    let waits = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let (rest, late) = (Rest::new(Mutex::new(Some(body.into_data_stream()))), Arc::new(AtomicBool::new(false)));
    let body = Body::from_stream(until(deadline, rest.clone(), late.clone()));
    let response = next.run(Request::from_parts(parts, body)).await;
    if late.load(Ordering::Relaxed) {
        return Refusal::Slow(most).into_response();
    }
    let refused = response.status().is_client_error() || response.status().is_server_error();
    let rest = rest.try_lock().ok().and_then(|mut rest| rest.take());
    if let Some(rest) = rest.filter(|_| refused && !waits) {
        drain(rest).await;
    }
    response
}

/// A body that ends in an error at the deadline, and notes that it was late.
fn until(
    deadline: Instant,
    rest: Rest,
    late: Arc<AtomicBool>,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static {
    futures::stream::unfold((rest, late), move |(rest, late)| async move {
        let chunk = {
            let mut stream = rest.lock().await;
            let chunk: Option<Result<Bytes, BoxError>> = match timeout_at(deadline, stream.as_mut()?.next()).await {
                Ok(chunk) => chunk.map(|chunk| chunk.map_err(BoxError::from)),
                Err(_) => {
                    late.store(true, Ordering::Relaxed);
                    Some(Err("the body did not arrive in time".into()))
                }
            };
            if !matches!(chunk, Some(Ok(_))) {
                *stream = None;
            }
            chunk
        };
        Some((chunk?, (rest, late)))
    })
}

/// Unpacks a body; it never has more than `limit` bytes and one [`STEP`] in memory.
///
/// # Errors
/// It is not packed so, unpacks to more than `limit` bytes, or there is no memory for it now.
pub fn unpack(packing: Packing, packed: Vec<u8>, limit: u64, hold: &mut Hold) -> Result<Vec<u8>, Refusal> {
    match packing {
        Packing::Plain => Ok(packed),
        Packing::Gzip => {
            let reader = flate2::bufread::MultiGzDecoder::new(packed.as_slice());
            read_bounded(reader, limit, hold, "gzip")
        }
        Packing::Zstd => {
            let failed = |error: std::io::Error| Refusal::BadEncoding { encoding: "zstd", reason: error.to_string() };
            let mut reader = zstd::stream::read::Decoder::with_buffer(packed.as_slice()).map_err(failed)?;
            reader.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
            read_bounded(reader, limit, hold, "zstd")
        }
    }
}

fn read_bounded(
    mut reader: impl Read,
    limit: u64,
    hold: &mut Hold,
    encoding: &'static str,
) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut step = vec![0; STEP];
    loop {
        let read = match reader.read(&mut step) {
            Ok(0) => return Ok(bytes),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Refusal::BadEncoding { encoding, reason: error.to_string() }),
        };
        add(&mut bytes, &step[..read], (limit, true), hold)?;
    }
}

/// Adds to a body. What is held is the room that it takes, some of which may still be empty.
fn add(bytes: &mut Vec<u8>, more: &[u8], (limit, unpacked): (u64, bool), hold: &mut Hold) -> Result<(), Refusal> {
    let len = bytes.len() + more.len();
    if len as u64 > limit {
        return Err(Refusal::TooLong { limit, unpacked });
    }
    let room = bytes.capacity();
    if len > room {
        // Twice as much, so that it is seldom moved, and no more than it may have.
        let wanted = room.saturating_mul(2).min(limit as usize).max(len);
        hold.grow(wanted - room)?;
        bytes.reserve_exact(wanted - bytes.len());
    }
    bytes.extend_from_slice(more);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::admission::Admission;
    use super::*;
    use crate::config::Keys;
    use crate::telemetry::metrics::Metrics;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    const MOST: Duration = Duration::from_millis(50);

    async fn layer(request: Request, next: Next) -> Response {
        in_time(request, MOST, next).await
    }

    async fn read(body: Bytes) -> StatusCode {
        if body.is_empty() { StatusCode::BAD_REQUEST } else { StatusCode::OK }
    }

    async fn refuse() -> StatusCode {
        StatusCode::UNAUTHORIZED
    }

    /// What is answered to a body in these parts; where it does not end, nothing more comes of it.
    async fn answered(path: &str, parts: &[&'static str], ends: bool) -> Response {
        let routes = Router::new().route("/read", post(read)).route("/refuse", post(refuse)).layer(from_fn(layer));
        let came: Vec<Result<Bytes, BoxError>> =
            parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect();
        let came = futures::stream::iter(came);
        let body = match ends {
            true => Body::from_stream(came),
            false => Body::from_stream(came.chain(futures::stream::pending())),
        };
        let request = Request::post(path).body(body).expect("a request");
        TowerToHyperService::new(routes).call(request).await.expect("an answer")
    }

    #[tokio::test]
    async fn a_body_that_does_not_arrive_is_given_up() {
        assert_eq!(answered("/read", &["a", "b"], true).await.status(), StatusCode::OK);
        assert_eq!(answered("/read", &[], true).await.status(), StatusCode::BAD_REQUEST);
        for parts in [&[][..], &["a", "b"]] {
            let late = answered("/read", parts, false).await;
            assert_eq!(late.status(), StatusCode::REQUEST_TIMEOUT, "{parts:?}");
            assert_eq!(late.headers()[header::CONNECTION], "close");
        }
    }

    #[tokio::test]
    async fn who_is_refused_is_told_so_whatever_the_body_does() {
        assert_eq!(answered("/refuse", &["a", "b"], true).await.status(), StatusCode::UNAUTHORIZED);
        // It is no use to wait for the rest.
        let began = Instant::now();
        assert_eq!(answered("/refuse", &["a"], false).await.status(), StatusCode::UNAUTHORIZED);
        assert!(began.elapsed() < DISCARD_TIME * 5, "{:?}", began.elapsed());
    }

    #[test]
    fn the_room_that_bodies_take_is_held() {
        let metrics = Metrics::new();
        let admission = Admission::new(Keys::of(&[]), &Limits::default(), metrics.clone());
        let (mut hold, mut bytes) = (admission.memory(), Vec::new());
        for _ in 0..100 {
            add(&mut bytes, &[0; 700], (70_000, true), &mut hold).expect("it is within its limit");
            assert_eq!(metrics.collect_body_memory.get() as usize, bytes.capacity(), "after {}", bytes.len());
        }
        assert!(matches!(
            add(&mut bytes, &[0], (70_000, true), &mut hold),
            Err(Refusal::TooLong { limit: 70_000, unpacked: true })
        ));
        assert_eq!((bytes.len(), bytes.capacity()), (70_000, 70_000));
    }
}
