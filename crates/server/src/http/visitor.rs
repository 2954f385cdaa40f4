//! The visitor endpoint: what a page or a form sends to a path of the operator's choice becomes an event.

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use engine::{LogId, Rules, Scope};
use event::Timestamp;
use intake::keys::Visit;
use intake::visitor::{Sent, VISIT_BYTES_MAX, arguments, refused, visit};
use intake::{Decoded, Reason};
use serde_json::Map;
use tokio::sync::oneshot;

use super::problem::{Problem, method_not_allowed, not_found};
use super::{Doors, auth, body, caller};

/// How long a browser may remember what it may send, in seconds.
const PREFLIGHT_AGE: &str = "86400";

/// Everything that is no fixed door: a path that a log has, or nothing.
pub(super) async fn fallback(doors: Doors, request: Request) -> Response {
    let started = doors.engine.now();
    let (parts, body) = request.into_parts();
    let Some((log, rules)) = doors.engine.visitor(parts.uri.path()) else {
        return not_found(parts.uri).await.into_response();
    };
    let mut response = match parts.method {
        Method::GET | Method::POST => {
            let visitor = Visitor { doors: &doors, log, rules: &rules, started };
            visitor.take(&parts, body).await.unwrap_or_else(IntoResponse::into_response)
        }
        Method::OPTIONS if rules.public_write => StatusCode::NO_CONTENT.into_response(),
        _ => {
            let mut refusal = method_not_allowed(parts.method.clone(), parts.uri).await.into_response();
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
            refusal
        }
    };
    let mut set = |name, value| response.headers_mut().insert(name, HeaderValue::from_static(value));
    set(header::CACHE_CONTROL, "no-store");
    if rules.public_write {
        // Without credentials, whoever may write may also learn the id of what he wrote.
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        set(header::ACCESS_CONTROL_EXPOSE_HEADERS, "X-Event-Id, X-Request-ID");
        if parts.method == Method::OPTIONS {
            set(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST");
            set(header::ACCESS_CONTROL_ALLOW_HEADERS, "*");
            set(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
        }
    }
    response
}

/// One visit to the endpoint of a log.
struct Visitor<'a> {
    doors: &'a Doors,
    log: LogId,
    rules: &'a Rules,
    started: Timestamp,
}

impl Visitor<'_> {
    async fn take(&self, parts: &Parts, body: Body) -> Result<Response, Problem> {
        if !self.rules.public_write {
            // A GET writes here too.
            let allowed = auth::refuse_forged(parts)
                .and_then(|()| auth::require(self.doors, parts, Scope::Write, Some(&self.rules.log)));
            if let Err(problem) = allowed {
                body::refuse(body).await;
                return Err(problem);
            }
        }
        let arguments = match self.arguments(parts, body).await? {
            Ok(arguments) => arguments,
            Err(reason) => return Err(self.refuse(reason)),
        };
        let made = self.visit(parts, arguments);
        let decoded = visit(&made, &self.rules.keys, &self.rules.fields, &self.doors.engine.facts());
        let id = decoded.batch.rows().next().map(|row| row.id.to_string());
        let (Some(id), None) = (id, decoded.refused.first()) else {
            let reason = decoded.refused.first().map(|refused| refused.reason.clone());
            let problem = reason.as_ref().map_or_else(|| Problem::internal(&"a visit became no event"), problem);
            self.doors.engine.accept(self.log, decoded, None, |_| {});
            return Err(problem);
        };
        self.store(decoded).await?;
        let id = HeaderValue::from_str(&id).map_err(|error| Problem::internal(&error))?;
        let mut response = ([(header::CONTENT_TYPE, "application/json")], "null").into_response();
        response.headers_mut().insert("x-event-id", id);
        Ok(response)
    }

    async fn store(&self, decoded: Decoded) -> Result<(), Problem> {
        let (sender, receiver) = oneshot::channel();
        self.doors.engine.accept(self.log, decoded, None, move |result| drop(sender.send(result)));
        receiver.await.map_err(|error| Problem::internal(&error))??;
        Ok(())
    }

    /// What the visitor sent, or why it is not taken.
    async fn arguments(
        &self,
        parts: &Parts,
        body: Body,
    ) -> Result<Result<Map<String, serde_json::Value>, Reason>, Problem> {
        let query = parts.uri.query().unwrap_or("");
        let lists = self.rules.arrays;
        if parts.method == Method::GET {
            return Ok(arguments(query, Sent::Nothing, lists));
        }
        let held = match body::read_within(self.doors, &parts.headers, body, VISIT_BYTES_MAX).await {
            Ok(held) => held,
            Err(problem) if problem.status == StatusCode::PAYLOAD_TOO_LARGE => return Ok(Err(Reason::VisitTooLarge)),
            Err(problem) => return Err(problem),
        };
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        Ok(sent(kind, &held.bytes).and_then(|sent| arguments(query, sent, lists)))
    }

    /// What the request tells beside its arguments. What must not be kept of it is replaced with the rest of the event.
    fn visit(&self, parts: &Parts, arguments: Map<String, serde_json::Value>) -> Visit {
        let config = &self.doors.config;
        let proxies = &config.trusted_proxies;
        let mut headers: Vec<(String, String)> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        if let (Some(host), false) = (parts.uri.authority(), parts.headers.contains_key(header::HOST)) {
            headers.push(("host".to_owned(), host.to_string()));
        }
        let is_known = caller::is_by_trusted_proxy(parts, proxies)
            || auth::has_token_for(self.doors, parts, Scope::Write, &self.rules.log);
        let identity = |name| if is_known { caller::identity(&parts.headers, name) } else { Map::new() };
        let micros = self.doors.engine.now().as_micros() - self.started.as_micros();
        #[expect(clippy::cast_precision_loss, reason = "a request takes less than the 285 years that a double counts")]
        let duration_ms = micros.max(0) as f64 / 1000.0;
        Visit {
            log: self.rules.log.clone(),
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or("").to_owned(),
            version: if parts.version == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" }.to_owned(),
            protocol: caller::protocol(parts, proxies).to_owned(),
            ip: caller::address(parts, proxies).map(|address| address.to_string()).unwrap_or_default(),
            duration_ms,
            headers,
            arguments,
            user: identity(&config.user_header),
            session: identity(&config.session_header),
        }
    }

    /// Counts a visit that is not kept.
    fn refuse(&self, reason: Reason) -> Problem {
        let problem = problem(&reason);
        self.doors.engine.accept(self.log, refused(reason), None, |_| {});
        problem
    }
}

fn problem(reason: &Reason) -> Problem {
    let status = match reason {
        Reason::VisitTooLarge | Reason::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, reason.name(), reason.to_string())
}

/// What a body is. A beacon is plain text to a browser, and JSON or a form to the page that sends it.
fn sent<'a>(kind: &str, body: &'a [u8]) -> Result<Sent<'a>, Reason> {
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if body.trim_ascii().is_empty() {
        return Ok(Sent::Nothing);
    }
    match kind.as_str() {
        "application/x-www-form-urlencoded" => Ok(Sent::Form(body)),
        "application/json" => Ok(Sent::Json(body)),
        "" | "text/plain" if body.trim_ascii_start().starts_with(b"{") => Ok(Sent::Json(body)),
        "" => Ok(Sent::Form(body)),
        json if json.ends_with("+json") => Ok(Sent::Json(body)),
        _ => Err(Reason::MediaType { sent: kind }),
    }
}
