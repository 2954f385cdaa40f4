//! Request bodies, bounded in size, in time, and all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use intake::body::{BodyError, unpack};

use super::Doors;
use super::problem::Problem;

/// How long a body may pause.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// How long a body may take, however steadily it trickles.
const TIME_MAX: Duration = Duration::from_secs(120);

/// Of a body that is refused, so much is still read, and for so long: a client that sends all before it reads would
/// find a broken connection in place of the reason.
const REFUSED_BYTES_MAX: usize = 64 << 20;
const REFUSED_TIME_MAX: Duration = Duration::from_secs(5);

/// Bytes of all bodies in memory together; more are asked to come back.
const ALL_BYTES_MAX: usize = 256 << 20;

/// So much is reserved for a body because its head says so; for more, it has to come.
const RESERVED_BYTES_MAX: usize = 512 << 10;

/// A body in memory, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Vec<u8>,
    counted: usize,
    all: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

impl Held {
    fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        self.counted += bytes;
        if self.all.fetch_add(bytes, Ordering::Relaxed) + bytes > ALL_BYTES_MAX {
            let mut problem = Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "busy",
                "too many large requests at a time: send it again in a second",
            );
            problem.retry_after = Some(1);
            return Err(problem);
        }
        Ok(())
    }
}

/// Reads a body whole and unpacks it.
///
/// # Errors
/// 413 when it is too large, 408 when it is too slow, 415 for an unknown encoding, 400 when it does not unpack.
pub(crate) async fn read(doors: &Doors, headers: &HeaderMap, body: Body) -> Result<Held, Problem> {
    read_within(doors, headers, body, doors.config.body_bytes_max).await
}

/// The same with a bound of its own.
///
/// # Errors
/// As [`read`].
pub(crate) async fn read_within(
    doors: &Doors,
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Held, Problem> {
    let mut body = body;
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let bytes = Vec::with_capacity(said.unwrap_or(0).min(RESERVED_BYTES_MAX));
    let mut held = Held { bytes, counted: 0, all: Arc::clone(&doors.body_bytes) };
    match tokio::time::timeout(TIME_MAX, receive(&mut held, &mut body, bytes_max)).await {
        Ok(Ok(())) => {}
        Ok(Err(problem)) => {
            refuse(body).await;
            return Err(problem);
        }
        Err(_) => return Err(too_slow()),
    }
    let encodings = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    if encodings.is_empty() || encodings.eq_ignore_ascii_case("identity") {
        return Ok(held);
    }
    let unpacked =
        tokio::task::block_in_place(|| unpack(encodings, &held.bytes, bytes_max).map(std::borrow::Cow::into_owned));
    let unpacked = unpacked.map_err(|error| {
        let status = match error {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::UnknownEncoding { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::Broken { .. } => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, "body", error.to_string())
    })?;
    held.grow(unpacked.len())?;
    held.bytes = unpacked;
    Ok(held)
}

async fn receive(held: &mut Held, body: &mut Body, bytes_max: usize) -> Result<(), Problem> {
    loop {
        let frame = tokio::time::timeout(PAUSE_MAX, body.frame()).await.map_err(|_| too_slow())?;
        let Some(frame) = frame else { return Ok(()) };
        let frame = frame.map_err(|error| Problem::bad_request(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if held.bytes.len() + data.len() > bytes_max {
            let detail = format!(
                "the body has more than {bytes_max} bytes: send it in smaller parts, or raise the setting body_bytes_max"
            );
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body", detail));
        }
        held.grow(data.len())?;
        held.bytes.extend_from_slice(&data);
    }
}

/// Reads what a client still sends, and forgets it.
pub(crate) async fn refuse(body: Body) {
    let mut body = body;
    let mut left = REFUSED_BYTES_MAX;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len()));
            if left == 0 {
                return;
            }
        }
    };
    // However it ends: nobody waits for it.
    let _ = tokio::time::timeout(REFUSED_TIME_MAX, rest).await;
}

fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not arrive in time: send it in smaller parts")
}
