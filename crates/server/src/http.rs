//! The doors: paths, who may use them, and the loop that takes connections.

mod admin;
mod alerts;
mod answer;
mod archive;
mod attachments;
mod auth;
mod azure;
mod body;
mod caller;
mod cors;
mod download;
mod entries;
mod es;
mod forward;
mod ga4;
mod gelf;
mod health;
mod issues;
mod lenient;
mod lines;
mod meta;
mod openapi;
mod otel;
mod page;
mod people;
mod problem;
mod questions;
mod read;
mod records;
mod rollbar;
mod sentry;
mod streams;
mod tail;
mod values;
mod visitor;
mod write;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use engine::Engine;
use event::{Clock as _, SystemClock};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Config;
pub(crate) use alerts::find_channel;
pub(crate) use es::PREFIX as ELASTICSEARCH;
use problem::Problem;
pub(crate) use questions::Questions;
pub(crate) use tail::TAILS_MAX;

/// How long a connection may take to send the head of its next request; an idle one is closed then.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// How long requests under way may take when the server stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// What every door needs.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    pub(crate) engine: Arc<Engine>,
    pub(crate) config: Arc<Config>,
    /// The sequence number of the last event stored.
    pub(crate) stored: watch::Receiver<u64>,
    /// Bytes of bodies in memory.
    pub(crate) body_bytes: Arc<AtomicUsize>,
    /// Places for tails.
    pub(crate) tails: Arc<Semaphore>,
    /// Where questions are answered.
    pub(crate) questions: Questions,
    /// True once the server is stopping: tails end then.
    pub(crate) stopping: watch::Receiver<bool>,
    /// What sends notices.
    pub(crate) transport: Arc<crate::notify::Transport>,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Every door there is. Each gets into the document by its annotation, without which it cannot be in the list.
fn doors() -> OpenApiRouter<Doors> {
    OpenApiRouter::new()
        .routes(routes!(admin::logs))
        .routes(routes!(admin::log, admin::set_log))
        .routes(routes!(read::events, write::native))
        .routes(routes!(entries::entries))
        .routes(routes!(gelf::gelf))
        .routes(routes!(records::post, records::get))
        .routes(routes!(values::values))
        .routes(routes!(tail::tail))
        .routes(routes!(people::events))
        .routes(routes!(streams::streams))
        .routes(routes!(streams::put, streams::remove))
        .routes(routes!(read::query))
        .routes(routes!(admin::producer))
        .routes(routes!(admin::tokens, admin::create_token))
        .routes(routes!(admin::revoke_token))
        .routes(routes!(archive::list))
        .routes(routes!(archive::run))
        .routes(routes!(archive::verify))
        .routes(routes!(archive::restore))
        .routes(routes!(archive::purge))
        .routes(routes!(forward::list))
        .routes(routes!(forward::change))
        .routes(routes!(forward::test))
        .merge(doors_of_issues())
        .routes(routes!(admin::flush))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(health::home))
        .routes(routes!(attachments::list))
        .routes(routes!(attachments::file))
        .routes(routes!(openapi::openapi))
        .merge(doors_of_pages())
}

/// What became of errors, and who is called.
fn doors_of_issues() -> OpenApiRouter<Doors> {
    OpenApiRouter::new()
        .routes(routes!(issues::list))
        .routes(routes!(issues::one, issues::change))
        .routes(routes!(issues::merge))
        .routes(routes!(issues::split))
        .routes(routes!(issues::undo))
        .routes(routes!(issues::occurrences))
        .routes(routes!(issues::explain))
        .routes(routes!(issues::report))
        .routes(routes!(issues::page))
        .routes(routes!(issues::page_of_one))
        .routes(routes!(issues::deploys, issues::deploy))
        .routes(routes!(issues::configuration_error))
        .routes(routes!(alerts::rules))
        .routes(routes!(alerts::rule, alerts::put_rule, alerts::remove_rule))
        .routes(routes!(alerts::test_rule))
        .routes(routes!(alerts::channels))
        .routes(routes!(alerts::channel, alerts::put_channel, alerts::remove_channel))
        .routes(routes!(alerts::test_channel))
        .routes(routes!(alerts::notices))
}

/// Those that the pages of other sites send to, whose browsers look at the answers before they do. Clients leave the
/// slash at the end out or not.
fn doors_of_pages() -> OpenApiRouter<Doors> {
    let (router, api) = OpenApiRouter::new()
        .routes(routes!(otel::logs))
        .routes(routes!(otel::traces))
        .routes(routes!(otel::metrics))
        .routes(routes!(sentry::envelope))
        .routes(routes!(sentry::store))
        .routes(routes!(rollbar::item))
        .routes(routes!(rollbar::deploy))
        .routes(routes!(azure::track))
        .routes(routes!(azure::track_v2))
        .routes(routes!(azure::live_metrics))
        .routes(routes!(ga4::collect))
        .routes(routes!(ga4::debug))
        .routes(routes!(ga4::gtag_get, ga4::gtag_post))
        .split_for_parts();
    // What asks whether a page may send is a method of its own, and has to reach the layer.
    let router = router.merge(sentry::without_slash()).merge(rollbar::without_slash());
    let router = router.method_not_allowed_fallback(problem::method_not_allowed).layer(cors::layer());
    OpenApiRouter::with_openapi(api).merge(OpenApiRouter::from(router))
}

/// Whatever has no fixed path: calls of gRPC, and the endpoints for visitors.
async fn fallback(State(doors): State<Doors>, request: Request) -> Response {
    if otel::is_call(request.headers()) {
        otel::call(&doors, request).await
    } else {
        visitor::fallback(doors, request).await
    }
}

fn router(state: Doors) -> Router {
    let (router, _) = doors().split_for_parts();
    router
        .merge(es::router())
        .merge(issues::with_slash())
        .fallback(fallback)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn(with_request_id))
        .with_state(state)
}

/// Gives every request an id, its caller's own if that is a sane one.
async fn with_request_id(request: Request, next: Next) -> Response {
    let sent = request.headers().get("x-request-id").and_then(|value| value.to_str().ok());
    let sane = sent.filter(|id| !id.is_empty() && id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic()));
    let id = sane.map_or_else(|| event::format_uuid(&event::fresh_uuid(SystemClock.now())), str::to_owned);
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.rendered(&id, response.headers());
    } else if response.status().is_client_error() && !is_explained(&response) {
        response = explained(response).await.rendered(&id, &HeaderMap::new());
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// Whether a refusal is a page, or in the shape of the protocol whose client it goes to.
fn is_explained(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    page::is_page(response) || kind.contains("json") || kind.contains("protobuf")
}

/// What the library refused before any of our doors was asked: a path that is no UTF-8, for one.
async fn explained(response: Response) -> Problem {
    let status = response.status();
    let said = axum::body::to_bytes(response.into_body(), 4096).await.unwrap_or_default();
    Problem::new(status, "bad_request", String::from_utf8_lossy(&said))
}

/// Where connections come in.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) listener: TcpListener,
    /// What is put before every path: `/es` makes the doors below it those of a server of its own.
    pub(crate) prefix: &'static str,
}

impl Entrance {
    /// The request as it would have come through the main entrance.
    fn admit<B>(prefix: &'static str, peer: SocketAddr, request: &mut hyper::Request<B>) {
        request.extensions_mut().insert(Peer(peer));
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        // Clients whose base URL ends in a slash may begin the path with another.
        if prefix.is_empty() && !path.starts_with("//") {
            return;
        }
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = format!("{prefix}/{}", path.trim_start_matches('/')).parse().ok();
        // What was a path is one with something before it.
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

/// Takes connections until `stop` is true, then lets requests under way finish.
pub(crate) async fn serve(entrances: Vec<Entrance>, doors: Doors, stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(doors.config.connections_max));
    let app = router(doors);
    let graceful = Arc::new(GracefulShutdown::new());
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_TIME_MAX)
        .keep_alive_timeout(Duration::from_secs(10))
        .max_concurrent_streams(256);
    let builder = Arc::new(builder);
    let mut loops = tokio::task::JoinSet::new();
    for Entrance { listener, prefix } in entrances {
        let (app, builder, graceful, places, mut stop) =
            (app.clone(), Arc::clone(&builder), Arc::clone(&graceful), Arc::clone(&places), stop.clone());
        loops.spawn(async move {
            loop {
                let next = async {
                    let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
                    listener.accept().await.map(|accepted| (place, accepted))
                };
                let accepted = tokio::select! {
                    accepted = next => accepted,
                    _ = stop.wait_for(|stopping| *stopping) => return,
                };
                let Ok((place, (stream, peer))) = accepted else {
                    // Out of file handles, most likely: let some connections end before the next try.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let app = app.clone();
                let service = tower::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
                    Entrance::admit(prefix, peer, &mut request);
                    let app = app.clone();
                    async move { Ok::<_, Infallible>(app.oneshot(request).await.unwrap_or_else(|never| match never {})) }
                });
                let connection = builder.serve_connection(TokioIo::new(lenient::Lenient::new(stream, HEAD_TIME_MAX)), TowerToHyperService::new(service));
                let connection = graceful.watch(connection.into_owned());
                tokio::spawn(async move {
                    // How a client hangs up is its own affair.
                    let _ = connection.await;
                    drop(place);
                });
            }
        });
    }
    while loops.join_next().await.is_some() {}
    let Ok(graceful) = Arc::try_unwrap(graceful) else { return };
    if tokio::time::timeout(STOP_TIME_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were still under way after {} s and are cut off", STOP_TIME_MAX.as_secs());
    }
}
