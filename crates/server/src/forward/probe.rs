//! Whether a target answers: it is sent what events are sent, with no event in it.

use std::time::{Duration, Instant};

use engine::Verdict;

use super::{bounded, client, request};
use crate::config::ForwardConfig;
use crate::outward::innermost;

/// What a target says to a batch without events.
pub(crate) struct Probe {
    /// Whether it would be sent events.
    pub(crate) works: bool,
    /// The status of the answer; none when there was none.
    pub(crate) status: Option<u16>,
    /// What that means, in a sentence.
    pub(crate) said: String,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Asks a target. Nothing is counted, and nothing of it is kept.
pub(crate) async fn probe(target: &ForwardConfig) -> Probe {
    let begun = Instant::now();
    let (status, told) = match asked(target).await {
        Ok((status, verdict)) => (Some(status), Ok(verdict)),
        Err(reason) => (None, Err(reason)),
    };
    let (works, said) = match told {
        Ok(Verdict::Taken { .. }) => (true, "it takes events".to_owned()),
        Ok(Verdict::Halve(reason)) => {
            (true, format!("it answers, and refuses a batch without events, as many do: {reason}"))
        }
        Ok(Verdict::Later(reason)) => (false, format!("it would not take events: {reason}")),
        Err(reason) => (false, format!("it cannot be reached: {reason}")),
    };
    Probe { works, status, said, took: begun.elapsed() }
}

async fn asked(target: &ForwardConfig) -> Result<(u16, Verdict), String> {
    let kind = &target.settings.target;
    let client = client(target).map_err(|error| format!("{error:#}"))?;
    let body = engine::write_body(kind, std::iter::empty());
    let answer = request(&client, target, body).send().await.map_err(|error| innermost(&error))?;
    let status = answer.status().as_u16();
    let body = bounded(answer).await.map_err(|failed| failed.reason)?;
    Ok((status, engine::verdict(kind, status, &body, 0)))
}
