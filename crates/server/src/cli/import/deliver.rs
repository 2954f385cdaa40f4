//! Requests to the server that are stored exactly once, however often they have to be sent.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::try_join_all;
use serde::Deserialize;

use super::super::client::{Client, Failure, log_path, percent};
use super::super::human::duration;
use super::batches::Batch;
use super::identity::{Identity, NUMBERS_MAX, Position, lengths};
use super::progress::Progress;

/// How long a server may be out of reach before the import gives up. A restart takes seconds.
const PATIENCE: Duration = Duration::from_secs(180);

/// Longest pause between two attempts, unless the server asks for a longer one.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Where the records go.
pub(super) struct Store<'a> {
    pub(super) client: &'a Client,
    pub(super) log: &'a str,
}

/// Something that was imported before and begins like the file at hand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub(super) identity: Identity,
    pub(super) position: Position,
}

/// What a beginning is known by.
#[derive(Debug)]
pub(super) struct Lookup {
    /// The longest beginning first.
    pub(super) known: Vec<Known>,
    /// The identity for the file if it is none of these.
    pub(super) free: Identity,
}

/// What became of a batch.
pub(super) enum Delivered {
    /// It is stored.
    Stored(Receipt),
    /// Its place was taken by somebody else's.
    Overtaken,
}

#[derive(Deserialize, Default, Debug)]
pub(super) struct Receipt {
    #[serde(default)]
    accepted: u64,
    #[serde(default)]
    pub(super) duplicates: u64,
    #[serde(default)]
    pub(super) refused: Vec<Refused>,
}

#[derive(Deserialize, Debug)]
pub(super) struct Refused {
    pub(super) index: usize,
    reason: String,
    #[serde(default)]
    detail: Option<String>,
}

impl Refused {
    pub(super) fn text(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.reason)
    }
}

#[derive(Deserialize)]
struct Producer {
    position: u64,
}

impl Store<'_> {
    /// Looks up all that begins like `head`; none if it is empty.
    pub(super) async fn look_up(&self, head: &[u8]) -> anyhow::Result<Option<Lookup>> {
        let identities: Vec<Identity> = lengths(head).into_iter().map(|length| Identity::of(head, length)).collect();
        let families = try_join_all(identities.iter().map(|identity| self.family(identity))).await?;
        let Some(longest) = identities.first() else { return Ok(None) };
        let taken = families.first().map_or(0, Vec::len);
        let number = u32::try_from(taken).ok().filter(|number| *number < NUMBERS_MAX);
        let number = number.with_context(|| format!("more than {NUMBERS_MAX} imported files begin alike"))?;
        Ok(Some(Lookup { free: longest.numbered(number), known: families.into_iter().flatten().collect() }))
    }

    /// All files that are known by one beginning.
    async fn family(&self, identity: &Identity) -> anyhow::Result<Vec<Known>> {
        let mut family = Vec::new();
        for number in 0..NUMBERS_MAX {
            let identity = identity.numbered(number);
            match self.position(&identity).await? {
                0 => break,
                position => family.push(Known { identity, position: Position::decode(position) }),
            }
        }
        Ok(family)
    }

    async fn position(&self, identity: &Identity) -> anyhow::Result<u64> {
        self.position_of(&identity.producer(self.log)).await
    }

    /// The highest position of a producer, 0 if there is none.
    pub(super) async fn position_of(&self, producer: &str) -> anyhow::Result<u64> {
        let path = format!("/api/v1/producers/{}", percent(producer));
        match self.client.ask::<Producer>(self.client.get(&path)?).await {
            Ok(producer) => Ok(producer.position),
            Err(error) if error.downcast_ref::<Failure>().is_some_and(|failure| failure.is_not_found()) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Sends a batch until it is stored.
    pub(super) async fn deliver(
        &self,
        batch: &Batch,
        identity: &Identity,
        progress: &Progress,
    ) -> anyhow::Result<Delivered> {
        let mut first_failure: Option<Instant> = None;
        let mut pause = Duration::from_millis(500);
        let receipt = loop {
            let error = match self.attempt(&batch.body, batch.position, &identity.producer(self.log)).await {
                Ok(receipt) => break receipt,
                Err(error) => error,
            };
            let Some(failure) = error.downcast_ref::<Failure>() else { return Err(error) };
            let Some(wait) = failure.wait() else { return Err(error) };
            let since = first_failure.get_or_insert_with(Instant::now);
            // A server that answers that it is busy will have time one day; one that does not answer may be gone.
            if failure.status.is_none() && since.elapsed() > PATIENCE {
                return Err(error);
            }
            let wait = wait.max(pause);
            progress.say(&format!("{failure}; waiting {}", duration(wait)));
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(PAUSE_MAX);
        };
        self.judge(batch, identity, receipt, first_failure.is_some()).await
    }

    /// Sends events once, with the position after them.
    pub(super) async fn attempt(&self, body: &[u8], position: Position, producer: &str) -> anyhow::Result<Receipt> {
        let request = self
            .client
            .post(&log_path(self.log, "/events?_ids=uuid&_history=y"))?
            .header("content-type", "application/x-ndjson")
            .header("x-everlog-producer", producer)
            .header("x-everlog-position", position.encode());
        // On one machine packing takes longer than sending.
        let request = if self.client.is_local() {
            request.body(body.to_vec())
        } else {
            request.header("content-encoding", "zstd").body(zstd::bulk::compress(body, 1)?)
        };
        match self.client.ask(request).await {
            // If nothing at all could be kept, the refusals come with the status of the first one.
            Err(error) => {
                match error.downcast_ref::<Failure>().and_then(|failure| serde_json::from_slice(&failure.body).ok()) {
                    Some(Receipt { refused, accepted, duplicates }) if !refused.is_empty() => {
                        Ok(Receipt { refused, accepted, duplicates })
                    }
                    _ => Err(error),
                }
            }
            receipt => receipt,
        }
    }

    /// A batch of which the server took nothing was stored at an earlier attempt, or consists of duplicates, or came too
    /// late, because somebody else imports a file that begins like ours.
    async fn judge(
        &self,
        batch: &Batch,
        identity: &Identity,
        receipt: Receipt,
        again: bool,
    ) -> anyhow::Result<Delivered> {
        if receipt.accepted > 0 || receipt.refused.len() == batch.records.len() {
            return Ok(Delivered::Stored(receipt));
        }
        let (stored, ours) = (self.position(identity).await?, batch.position.encode());
        Ok(match (stored == ours, again) {
            // At the earlier attempt all but the refused ones were accepted.
            (true, true) => Delivered::Stored(Receipt { accepted: receipt.duplicates, duplicates: 0, ..receipt }),
            (true, false) => Delivered::Stored(receipt),
            (false, _) if stored < ours => Delivered::Stored(receipt),
            (false, _) => Delivered::Overtaken,
        })
    }
}
