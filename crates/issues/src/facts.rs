//! What is asked of an event to find its issue, and whether it is an error at all.

use event::Level;

/// The columns of an event that grouping looks at. What an event does not have is empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The stream it is in.
    pub stream: &'a str,
    /// Its level, if it has one.
    pub level: Option<Level>,
    /// What kind of client asked (`client.kind`): `browser`, `app`, `bot`, `crawler`, `probe`.
    pub client_kind: &'a str,
    /// The stable name of what happened.
    pub event: &'a str,
    /// What it says.
    pub message: &'a str,
    /// The message before its values were filled in: Sentry's `logentry.message`, the `msg` of Python's `logging`.
    pub template: &'a str,
    /// The module that wrote it.
    pub logger: &'a str,
    /// Where it happened in the words of the client: a transaction, a route, a job.
    pub culprit: &'a str,
    /// `exception.type`.
    pub exception_type: &'a str,
    /// `exception.message`.
    pub exception_message: &'a str,
    /// `exception.chain`: a JSON list of `{type, message}`, the exception that was not caught first. A member `frames`
    /// is read where there is one.
    pub chain: &'a str,
    /// `exception.frames`: a JSON list of `{function, module, file, in_app, …}`, where it was raised last.
    pub frames: &'a str,
    /// A traceback as text, for an event without frames.
    pub exception_text: &'a str,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The method of the request.
    pub method: &'a str,
    /// The path of the request.
    pub path: &'a str,
    /// The pattern of the path, where the framework says it: `/orders/{id}`.
    pub route: &'a str,
    /// The fingerprint that the client gave, of any number of parts of any length.
    pub fingerprint: &'a [&'a str],
}

/// The event by which a wrong setting is told. It has a class of its own and is never an issue.
pub const CONFIGURATION_ERROR: &str = "configuration_error";

impl Facts<'_> {
    /// Whether the event belongs into an issue: a level of error or above, an exception, the stream ERROR, or an answer
    /// of 500 and above; but nothing that a crawler or a probe provoked (a script that meets a failure is somebody's client), no configuration error, and nothing of
    /// the streams that tell of Everlog itself, of changes, views, spans and attacks.
    ///
    /// Every event that is stored passes by here, so that it takes a few nanoseconds to say no.
    #[must_use]
    pub fn is_error(&self) -> bool {
        let is_bad = self.level.is_some_and(|level| level >= Level::Error)
            || self.status.is_some_and(|status| status >= 500)
            || self.stream == "ERROR"
            || self.has_exception();
        is_bad && !self.is_never_one()
    }

    fn has_exception(&self) -> bool {
        !(self.exception_type.is_empty()
            && self.chain.is_empty()
            && self.frames.is_empty()
            && self.exception_text.is_empty())
    }

    fn is_never_one(&self) -> bool {
        let apart = ["INTERNAL", "AUDIT", "VIEW", "SPAN", "SECURITY ALERT", "STRANGE ACTIVITY"];
        apart.contains(&self.stream)
            || ["crawler", "probe"].contains(&self.client_kind)
            || self.event == CONFIGURATION_ERROR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_error() {
        let nothing = Facts::default();
        let check = |facts: Facts<'_>, expected| assert_eq!(facts.is_error(), expected, "{facts:?}");
        check(nothing, false);
        check(Facts { level: Some(Level::Warning), message: "disk is filling", ..nothing }, false);
        check(Facts { level: Some(Level::Warning), exception_type: "ValueError", ..nothing }, true);
        check(Facts { level: Some(Level::Error), ..nothing }, true);
        check(Facts { level: Some(Level::Critical), ..nothing }, true);
        check(Facts { stream: "ERROR", ..nothing }, true);
        check(Facts { status: Some(503), level: Some(Level::Info), ..nothing }, true);
        check(Facts { status: Some(404), ..nothing }, false);
        check(Facts { exception_text: "Traceback", ..nothing }, true);
        for stream in ["INTERNAL", "AUDIT", "VIEW", "SPAN", "SECURITY ALERT", "STRANGE ACTIVITY"] {
            check(Facts { stream, level: Some(Level::Error), ..nothing }, false);
        }
        for client_kind in ["crawler", "probe"] {
            check(Facts { client_kind, status: Some(500), ..nothing }, false);
        }
        for client_kind in ["browser", "app", "bot"] {
            check(Facts { client_kind, status: Some(500), ..nothing }, true);
        }
        check(Facts { event: CONFIGURATION_ERROR, level: Some(Level::Error), ..nothing }, false);
    }
}
