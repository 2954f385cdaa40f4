//! What all requests to other servers have in common: how their failures are told, and that they are not all repeated at once.

/// Any number: what failed at once does not come back at once.
pub(crate) fn chance() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

/// The cause at the bottom, which is the one that a person understands, and has no address in it.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
