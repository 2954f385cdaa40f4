//! Waiting for another process, never without a bound.

use std::thread;
use std::time::{Duration, Instant};

use crate::options::refuse;

/// How long to rest between two looks.
const REST: Duration = Duration::from_millis(10);

/// Looks again and again until `look` has found something.
///
/// # Errors
///
/// What `look` itself refused, or that `what` did not come within the limit.
pub(crate) fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > limit {
            return Err(refuse(&format!("{what} did not come within {} s", limit.as_secs())));
        }
        rest(REST);
    }
}

/// Lets time pass, where passing time is the point.
#[expect(clippy::disallowed_methods, reason = "there is no clock to hand in: the other process lives in real time")]
pub(crate) fn rest(duration: Duration) {
    thread::sleep(duration);
}
