//! Requests to a bucket: sent by a thread of their own, again when it helps, and refusals in words that name the setting.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use engine::{AWAY, Backoff, ReadAt};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, header};
use rusty_s3::{Bucket, Credentials, S3Action as _};
use tokio::runtime::Handle;

use crate::outward::{chance, innermost};

/// How often a request is sent.
const ATTEMPTS_MAX: u32 = 4;

/// How long a signature holds.
const SIGNED_FOR: Duration = Duration::from_secs(3600);

/// How long a request may take that moves nothing, and the least a line must carry otherwise.
const REQUEST_TIME: Duration = Duration::from_secs(30);
const BYTES_PER_SECOND_MIN: u64 = 256 << 10;

/// Bytes read from the disk at a time on their way up.
const PART_BYTES: u64 = 1 << 20;

/// A bucket, and the key to it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) place: String,
    pub(super) bucket: Bucket,
    pub(super) credentials: Credentials,
    /// What every key begins with: empty, or ends in a slash.
    pub(super) prefix: String,
}

/// What is wanted of a bucket.
#[derive(Clone, Debug)]
pub(super) enum Errand {
    Put {
        name: String,
        source: Arc<dyn ReadAt>,
        length: u64,
    },
    Get {
        name: String,
        start: u64,
        length: u64,
    },
    /// Answered with the number as text.
    Size {
        name: String,
    },
    Remove {
        name: String,
    },
    List {
        token: Option<String>,
    },
}

/// Runs an errand, and waits for it: on any thread.
pub(super) fn run(target: &Arc<Target>, errand: Errand) -> io::Result<Bytes> {
    let handle = courier().map_err(io::Error::other)?;
    let client = client(target.bucket.base_url())?;
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let target = Arc::clone(target);
    handle.spawn(async move {
        // Who gave up waiting needs no answer.
        let _ = sender.send(attempts(&client, &target, &errand).await);
    });
    receiver.recv().unwrap_or_else(|_| Err(io::Error::other(format!("{AWAY}: the request was given up"))))
}

/// The runtime of the thread that sends, started when it is first needed. It lives as long as the process.
fn courier() -> Result<&'static Handle, String> {
    static COURIER: OnceLock<Result<Handle, String>> = OnceLock::new();
    let started = COURIER.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let work = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _ = sender.send(Ok(runtime.handle().clone()));
                runtime.block_on(std::future::pending::<()>());
            }
            Err(error) => drop(sender.send(Err(error.to_string()))),
        };
        std::thread::Builder::new().name("bucket".to_owned()).spawn(work).map_err(|error| error.to_string())?;
        receiver.recv().map_err(|error| error.to_string())?
    });
    started.as_ref().map_err(|error| format!("{AWAY}: no thread can be started: {error}"))
}

/// One client for addresses with TLS, and one for those without.
fn client(base: &Url) -> io::Result<Client> {
    static CLIENTS: [OnceLock<Result<Client, String>>; 2] = [OnceLock::new(), OnceLock::new()];
    let plain = base.scheme() == "http";
    let made = CLIENTS[usize::from(plain)].get_or_init(|| {
        // Fails only if one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .user_agent(concat!("everlog/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none());
        let builder = if plain { builder.tls_certs_only([]).no_proxy() } else { builder };
        builder.build().map_err(|error| error.to_string())
    });
    made.clone().map_err(|error| io::Error::other(format!("{AWAY}: no client can be made: {error}")))
}

async fn attempts(client: &Client, target: &Arc<Target>, errand: &Errand) -> io::Result<Bytes> {
    let mut backoff = Backoff::default();
    for _ in 1..ATTEMPTS_MAX {
        match attempt(client, target, errand).await {
            Err(Refused::ForNow(_)) => {}
            Err(Refused::ForGood(error)) => return Err(error),
            Ok(found) => return Ok(found),
        }
        tokio::time::sleep(backoff.next(chance())).await;
    }
    attempt(client, target, errand).await.map_err(|refused| match refused {
        Refused::ForNow(reason) => {
            let Target { place, bucket, .. } = &**target;
            let host = bucket.base_url().host_str().unwrap_or_default();
            io::Error::other(format!(
                "{AWAY}: {place} at {host}: {reason}, {ATTEMPTS_MAX} times (if that is not its address, see archive_s3_endpoint)"
            ))
        }
        Refused::ForGood(error) => error,
    })
}

enum Refused {
    ForNow(String),
    ForGood(io::Error),
}

async fn attempt(client: &Client, target: &Arc<Target>, errand: &Errand) -> Result<Bytes, Refused> {
    let answer = match request(client, target, errand).send().await {
        Ok(answer) => answer,
        Err(error) => return Err(Refused::ForNow(innermost(&error))),
    };
    let status = answer.status();
    let removed = matches!(errand, Errand::Remove { .. }) && status == StatusCode::NOT_FOUND;
    if !status.is_success() && !removed {
        return Err(refused(target, errand, answer).await);
    }
    let length = answer.headers().get(header::CONTENT_LENGTH).cloned();
    let body = answer.bytes().await.map_err(|error| Refused::ForNow(innermost(&error)))?;
    match errand {
        Errand::Size { .. } => Ok(length.map(|length| Bytes::copy_from_slice(length.as_bytes())).unwrap_or_default()),
        // A server that knows no ranges sends the whole file.
        Errand::Get { start, length, .. } if status == StatusCode::OK => {
            let place = |at: u64| usize::try_from(at).map_or(body.len(), |at| at.min(body.len()));
            Ok(body.slice(place(*start)..place(start + length)))
        }
        _ => Ok(body),
    }
}

fn request(client: &Client, target: &Target, errand: &Errand) -> RequestBuilder {
    let Target { bucket, prefix, .. } = target;
    let credentials = Some(&target.credentials);
    let key = |name: &String| format!("{prefix}{name}");
    let (method, url, bytes) = match errand {
        Errand::Put { name, length, .. } => {
            (Method::PUT, bucket.put_object(credentials, &key(name)).sign(SIGNED_FOR), *length)
        }
        Errand::Get { name, length, .. } => {
            (Method::GET, bucket.get_object(credentials, &key(name)).sign(SIGNED_FOR), *length)
        }
        Errand::Size { name } => (Method::HEAD, bucket.head_object(credentials, &key(name)).sign(SIGNED_FOR), 0),
        Errand::Remove { name } => (Method::DELETE, bucket.delete_object(credentials, &key(name)).sign(SIGNED_FOR), 0),
        Errand::List { token } => {
            let mut list = bucket.list_objects_v2(credentials);
            list.with_prefix(prefix.as_str());
            if let Some(token) = token {
                list.with_continuation_token(token.as_str());
            }
            (Method::GET, list.sign(SIGNED_FOR), 0)
        }
    };
    let request = client.request(method, url).timeout(REQUEST_TIME + Duration::from_secs(bytes / BYTES_PER_SECOND_MIN));
    match errand {
        Errand::Get { start, length, .. } => {
            request.header(header::RANGE, format!("bytes={start}-{}", start + length.max(&1) - 1))
        }
        Errand::Put { source, length, .. } => {
            request.header(header::CONTENT_LENGTH, *length).body(upload(source, *length))
        }
        _ => request,
    }
}

/// The bytes of a file, read while they are sent.
fn upload(source: &Arc<dyn ReadAt>, length: u64) -> reqwest::Body {
    let source = Arc::clone(source);
    let parts = futures::stream::unfold((source, 0), move |(source, at)| async move {
        if at >= length {
            return None;
        }
        let part = PART_BYTES.min(length - at);
        let file = Arc::clone(&source);
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; usize::try_from(part).unwrap_or(0)];
            file.read_exact_at(&mut bytes, at).map(|()| Bytes::from(bytes))
        });
        let read = read.await.map_err(io::Error::other).and_then(|read| read);
        Some((read, (source, at + part)))
    });
    reqwest::Body::wrap_stream(parts)
}

async fn refused(target: &Target, errand: &Errand, answer: Response) -> Refused {
    let status = answer.status();
    let body = answer.text().await.unwrap_or_default();
    let tag = |name: &str| {
        let rest = body.split_once(&format!("<{name}>"))?.1;
        Some(rest.split_once('<')?.0.to_owned())
    };
    let code = tag("Code").unwrap_or_default();
    let told = tag("Message").filter(|text| !text.is_empty()).map_or_else(String::new, |text| format!(": {text}"));
    let place = &target.place;
    let for_good = |text: String| Refused::ForGood(io::Error::other(format!("{AWAY}: {text}")));
    match (status, errand) {
        (StatusCode::NOT_FOUND, Errand::Put { .. } | Errand::List { .. }) => {
            for_good(format!("there is no bucket for {place}: make it, or mend the setting archive"))
        }
        (StatusCode::NOT_FOUND, _) if code == "NoSuchBucket" => {
            for_good(format!("there is no bucket for {place}: make it, or mend the setting archive"))
        }
        (StatusCode::NOT_FOUND, Errand::Get { name, .. } | Errand::Size { name } | Errand::Remove { name }) => {
            Refused::ForGood(io::Error::new(io::ErrorKind::NotFound, format!("{name} is not in {place}")))
        }
        (StatusCode::RANGE_NOT_SATISFIABLE, _) => Refused::ForGood(io::ErrorKind::UnexpectedEof.into()),
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => for_good(format!(
            "{place} refuses us ({status} {code}{told}): see archive_s3_access_key and archive_s3_secret_key, and what that key may do"
        )),
        (StatusCode::MOVED_PERMANENTLY | StatusCode::TEMPORARY_REDIRECT, _) => {
            for_good(format!("{place} is in another region ({code}): set archive_s3_region"))
        }
        (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS, _) => Refused::ForNow(format!("{status} {code}")),
        (status, _) if status.is_server_error() => Refused::ForNow(format!("{status} {code}{told}")),
        _ => for_good(format!("{place} answers {status} {code}{told}: see archive_s3_region and archive_s3_endpoint")),
    }
}
