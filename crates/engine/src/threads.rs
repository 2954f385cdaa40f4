//! Which work waits for which when there is not enough processor for all: requests come first.

/// How far threads that answer questions stand behind those that take events.
pub const QUESTIONS: i32 = 5;

/// How far the thread that merges stands behind.
pub(crate) const HOUSEKEEPING: i32 = 15;

/// Lets threads that have not stepped back go first, from now on, wherever the system can do that for one thread.
pub fn step_back(by: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, by) {
        tracing::debug!("a thread keeps its priority: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = by;
}
