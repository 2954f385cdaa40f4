//! The engine's notices as messages: written for the kind of their channel, and settled when they are sent.

use std::collections::HashSet;
use std::sync::Arc;

use engine::alerts::{Notice, render, sign};
use engine::{Due, Engine, IssueError, PassedError, Posted, Settled};
use event::Timestamp;

use super::courier::{Job, Outbox};
use super::{Channel, Delivered, HttpMessage, Kind, MailMessage, Message, NotDelivered, tracker};
use crate::http::find_channel;

/// A notice as it is sent to a channel; `only` names who is still to get it.
pub(crate) fn written(channel: &Channel, notice: &Notice, only: Vec<String>, now: Timestamp) -> Message {
    let json = |body: serde_json::Value| HttpMessage {
        body: body.to_string().into_bytes(),
        content_type: "application/json".to_owned(),
        headers: Vec::new(),
    };
    let message = match &channel.kind {
        Kind::Slack { .. } => json(render::slack(notice)),
        Kind::Teams { .. } => json(render::teams(notice)),
        Kind::Discord { .. } => json(render::discord(notice)),
        Kind::Telegram { chat, .. } => json(render::telegram(notice, chat)),
        Kind::Webhook { secret, .. } => {
            let mut message = json(render::webhook(notice));
            message.headers.push(("Idempotency-Key".to_owned(), notice.id.clone()));
            if let Some(secret) = secret {
                let signature = sign::sign(secret.reveal().as_bytes(), now, &message.body);
                message.headers.push((sign::SIGNATURE_HEADER.to_owned(), signature));
            }
            message
        }
        Kind::Sentry { key, .. } => tracker::envelope(&tracker::event_of_notice(notice), key.reveal()),
        Kind::Email(_) => {
            let mail = render::email(notice);
            return Message::Mail(MailMessage {
                subject: mail.subject,
                text: mail.text,
                html: mail.html,
                message_id: notice.id.clone(),
                thread: notice.issue.as_ref().map(|issue| format!("issue-{issue}-{}", notice.log)),
                time: notice.time,
                only,
            });
        }
    };
    Message::Http(message)
}

/// An error as it is sent to a tracker. It is read now, as it is stored: redacted.
fn passed(engine: &Engine, channel: &Channel, error: &PassedError) -> Result<Message, NotDelivered> {
    let Kind::Sentry { key, .. } = &channel.kind else {
        return Err(NotDelivered::never("the channel takes notices now, and no errors"));
    };
    let occurrence = engine.occurrence(&error.log, error.sequence).map_err(|trouble| match trouble {
        IssueError::Log(_) => NotDelivered::never("the log of the error is gone"),
        other => NotDelivered::later(other),
    })?;
    let occurrence = occurrence.ok_or_else(|| NotDelivered::never("the error is not kept any more"))?;
    Ok(Message::Http(tracker::envelope(&tracker::event_of(error, &occurrence), key.reveal())))
}

impl Outbox for Engine {
    fn due(&self, busy: &HashSet<String>, limit: usize) -> anyhow::Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for Due { id, channel: name, what, only } in self.deliveries_due(busy)?.into_iter().take(limit) {
            let refused = match find_channel(self, &name) {
                Ok(Some((channel, _))) if channel.enabled => {
                    let message = match what {
                        Posted::Notice(notice) => Ok(written(&channel, &notice, only, self.now())),
                        Posted::Error(error) => passed(self, &channel, &error),
                    };
                    match message {
                        Ok(message) => {
                            jobs.push(Job { id, channel: Arc::new(channel), message });
                            continue;
                        }
                        Err(refused) => refused,
                    }
                }
                Ok(Some(_)) => NotDelivered::never("the channel is switched off"),
                Ok(None) => NotDelivered::never("the channel is gone"),
                Err(error) => NotDelivered::never(error),
            };
            // It did not even come to the channel.
            let NotDelivered { permanent, reason, wait } = refused;
            self.delivery_settled(id, &Settled::Failed { permanent, reason, wait, alone: true }, chance())?;
        }
        Ok(jobs)
    }

    fn settled(&self, job: &Job, outcome: &Result<Delivered, NotDelivered>) -> anyhow::Result<()> {
        let settled = match outcome {
            Ok(delivered) => {
                let again = delivered.missed.iter().filter(|missed| !missed.permanent);
                let missed: Vec<String> = again.map(|missed| missed.address.clone()).collect();
                let reasons: Vec<String> =
                    delivered.missed.iter().map(|missed| format!("{}: {}", missed.address, missed.reason)).collect();
                match (missed.is_empty(), reasons.is_empty()) {
                    (true, true) => Settled::Sent { answer: delivered.answer.clone() },
                    (true, false) => Settled::Sent { answer: format!("not for {}", reasons.join("; ")) },
                    (false, _) => Settled::Partly { missed, reason: reasons.join("; ") },
                }
            }
            Err(NotDelivered { permanent, reason, wait }) => {
                Settled::Failed { permanent: *permanent, reason: reason.clone(), wait: *wait, alone: false }
            }
        };
        Ok(self.delivery_settled(job.id, &settled, chance())?)
    }
}

/// From 0 to 1.
fn chance() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_u64_pair().1 as u32) / f64::from(u32::MAX)
}
