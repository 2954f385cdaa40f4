//! The archive in a bucket: requests are signed here and sent by a thread of their own, so that whoever needs a file may
//! wait for it, a task of another runtime among them.

mod send;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use engine::{AWAY, Archive, Folders, Places, ReadAt};
use reqwest::Url;
use rusty_s3::{Bucket, Credentials, UrlStyle};

use crate::config::Config;
use send::{Errand, Target};

/// What is read from a bucket at once: a row group is read in a few journeys, a sidecar or a small segment in one.
const BLOCK_BYTES: u64 = 2 << 20;

/// Blocks kept in memory, of all files together.
const BLOCKS_MAX: usize = 32;

/// The most that S3 takes with one request.
const PUT_BYTES_MAX: u64 = 5 << 30;

/// How a bucket is reached. What is empty comes from the variables that Amazon's own tools read.
#[derive(Clone, Default)]
pub(crate) struct S3Settings {
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("S3Settings").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl S3Settings {
    fn or(set: &str, variables: &[&str]) -> Option<String> {
        let found = || variables.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        if set.is_empty() { found() } else { Some(set.to_owned()) }
    }

    /// The bucket of a place, and the keys to it.
    fn target(&self, place: &str) -> anyhow::Result<Target> {
        let path = place.strip_prefix("s3://").unwrap_or(place);
        let (name, prefix) = path.split_once('/').unwrap_or((path, ""));
        let region =
            Self::or(&self.region, &["AWS_REGION", "AWS_DEFAULT_REGION"]).unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = Self::or(&self.endpoint, &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
        // A name with dots fits no certificate.
        let style = if endpoint.is_some() || name.contains('.') { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let url = Url::parse(&endpoint).with_context(|| {
            format!("archive_s3_endpoint: {endpoint:?} is no address such as https://s3.example.com")
        })?;
        let bucket = Bucket::new(url, style, name.to_owned(), region)
            .with_context(|| format!("{place} at {endpoint}: see archive and archive_s3_endpoint"))?;
        let key = Self::or(&self.access_key, &["AWS_ACCESS_KEY_ID"]);
        let secret = Self::or(&self.secret_key, &["AWS_SECRET_ACCESS_KEY"]);
        let token =
            std::env::var("AWS_SESSION_TOKEN").ok().filter(|token| !token.is_empty() && self.secret_key.is_empty());
        let (key, secret) = key.zip(secret).with_context(|| {
            format!("the archive {place} needs a key: set archive_s3_access_key and archive_s3_secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        })?;
        let credentials = match token {
            Some(token) => Credentials::new_with_token(key, secret, token),
            None => Credentials::new(key, secret),
        };
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Target { place: place.to_owned(), bucket, credentials, prefix })
    }
}

/// The places that a configuration knows.
///
/// # Errors
/// When the one that is set for new segments cannot be meant so.
pub(crate) fn places(config: &Config) -> anyhow::Result<Arc<dyn Places>> {
    let current = &config.archive;
    if current.starts_with("s3://") {
        config.archive_s3.target(current)?;
    }
    let current = if current.is_empty() || current.starts_with("s3://") {
        current.clone()
    } else {
        // As it is meant here, wherever the next start is.
        std::path::absolute(current).context("the setting archive")?.display().to_string()
    };
    Ok(Arc::new(Buckets {
        folders: Folders::new(&config.data, &current),
        settings: config.archive_s3.clone(),
        cache: Arc::default(),
        known: Mutex::default(),
    }))
}

/// Folders, and buckets.
#[derive(Debug)]
struct Buckets {
    folders: Folders,
    settings: S3Settings,
    cache: Arc<Cache>,
    known: Mutex<HashMap<String, Arc<dyn Archive>>>,
}

impl Places for Buckets {
    fn current(&self) -> &str {
        self.folders.current()
    }

    fn at(&self, place: &str) -> Arc<dyn Archive> {
        if !place.starts_with("s3://") {
            return self.folders.at(place);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let made = known.entry(place.to_owned()).or_insert_with(|| {
            let target = self.settings.target(place).map(Arc::new).map_err(|error| format!("{AWAY}: {error:#}"));
            Arc::new(InBucket { target, cache: Arc::clone(&self.cache) })
        });
        Arc::clone(made)
    }
}

/// An archive in a bucket. Without a usable target, every call says why.
#[derive(Debug)]
struct InBucket {
    target: Result<Arc<Target>, String>,
    cache: Arc<Cache>,
}

impl InBucket {
    fn target(&self) -> io::Result<&Arc<Target>> {
        self.target.as_ref().map_err(|reason| io::Error::other(reason.clone()))
    }

    fn run(&self, errand: Errand) -> io::Result<Bytes> {
        send::run(self.target()?, errand)
    }
}

impl Archive for InBucket {
    fn put(&self, name: &str, source: Arc<dyn ReadAt>, length: u64) -> io::Result<()> {
        if length > PUT_BYTES_MAX {
            let reason = format!("{name} has {length} bytes, more than S3 takes at once (5 GiB); it stays live");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        self.run(Errand::Put { name: name.to_owned(), source, length }).map(drop)
    }

    fn open(&self, name: &str, length: u64) -> io::Result<Arc<dyn ReadAt>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Ok(Arc::new(InBucketFile {
            target: Arc::clone(self.target()?),
            cache: Arc::clone(&self.cache),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            name: name.to_owned(),
            length,
        }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.run(Errand::Remove { name: name.to_owned() }).map(drop)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let prefix = self.target()?.prefix.clone();
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let page = self.run(Errand::List { token: token.take() })?;
            let page = rusty_s3::actions::ListObjectsV2::parse_response(&String::from_utf8_lossy(&page))
                .map_err(|error| io::Error::other(format!("{AWAY}: its list of files cannot be read: {error}")))?;
            found.extend(
                page.contents
                    .into_iter()
                    .filter_map(|one| Some((one.key.strip_prefix(&prefix)?.to_owned(), one.size.unwrap_or(0)))),
            );
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(found);
            }
        }
    }
}

/// A file in a bucket. Small reads come from whole blocks that are kept for a while.
#[derive(Debug)]
struct InBucketFile {
    target: Arc<Target>,
    cache: Arc<Cache>,
    /// Each open file has blocks of its own: who opens it anew to look at it sees what is in the bucket.
    number: u64,
    name: String,
    length: u64,
}

impl InBucketFile {
    fn fetch(&self, start: u64, length: u64) -> io::Result<Bytes> {
        let found = send::run(&self.target, Errand::Get { name: self.name.clone(), start, length })?;
        if found.len() as u64 == length { Ok(found) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn block(&self, number: u64) -> io::Result<Bytes> {
        if let Some(block) = self.cache.get((self.number, number)) {
            return Ok(block);
        }
        let start = number * BLOCK_BYTES;
        let block = self.fetch(start, BLOCK_BYTES.min(self.length - start))?;
        self.cache.put((self.number, number), block.clone());
        Ok(block)
    }
}

impl ReadAt for InBucketFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let length = buffer.len() as u64;
        let end = offset.checked_add(length).filter(|end| *end <= self.length).ok_or(io::ErrorKind::UnexpectedEof)?;
        if length == 0 {
            return Ok(());
        }
        if length >= BLOCK_BYTES {
            buffer.copy_from_slice(&self.fetch(offset, length)?);
            return Ok(());
        }
        let mut filled = 0;
        for number in offset / BLOCK_BYTES..=(end - 1) / BLOCK_BYTES {
            let block = self.block(number)?;
            let from = usize::try_from(offset.saturating_sub(number * BLOCK_BYTES)).unwrap_or(0);
            let part = (block.len() - from).min(buffer.len() - filled);
            buffer[filled..filled + part].copy_from_slice(&block[from..from + part]);
            filled += part;
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let found = send::run(&self.target, Errand::Size { name: self.name.clone() })?;
        String::from_utf8_lossy(&found).parse().map_err(io::Error::other)
    }
}

type Block = ((u64, u64), Bytes);

/// The blocks that were read last.
#[derive(Debug, Default)]
struct Cache(Mutex<VecDeque<Block>>);

impl Cache {
    fn get(&self, key: (u64, u64)) -> Option<Bytes> {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = blocks.iter().position(|(known, _)| *known == key)?;
        let found = blocks.remove(at)?;
        let bytes = found.1.clone();
        blocks.push_back(found);
        Some(bytes)
    }

    fn put(&self, key: (u64, u64), bytes: Bytes) {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.push_back((key, bytes));
        if blocks.len() > BLOCKS_MAX {
            blocks.pop_front();
        }
    }
}
