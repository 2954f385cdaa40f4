//! The same question has the same answer, whatever client sent the event and whatever it calls its keys.

use event::Timestamp;
use intake::{Decoded, Limits, Messages, Protocol, native};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::native::{RECEIVED, documents};

/// What every client below says, as far as it can.
const SAID: [(&str, &str); 6] = [
    ("level", "error"),
    ("message", "the payment failed"),
    ("exception.type", "PaymentError"),
    ("user", "7"),
    ("request_id", "req-4711"),
    ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
];

fn received() -> Timestamp {
    Timestamp::parse(RECEIVED).unwrap().0
}

/// What the shared column of a key holds in an event, as JSON; null when there is none.
fn column(decoded: &Decoded, row: usize, key: &str) -> Value {
    let found =
        decoded.batch.row(row).fields().find(|field| !field.sent && &*decoded.batch.keys()[field.key as usize] == key);
    found.map_or(Value::Null, |field| {
        let mut json = Vec::new();
        field.value.write_json(&mut json);
        serde_json::from_slice(&json).unwrap()
    })
}

/// Asks for what everybody says, but for the keys in `never`, which the client has no word for; and for more.
#[track_caller]
fn check(client: &str, decoded: &Decoded, never: &[&str], more: Value) {
    assert_eq!((decoded.batch.len(), decoded.refused_count()), (1, 0), "{client}: {:?}", decoded.refused);
    for (key, expected) in SAID.iter().filter(|(key, _)| !never.contains(key)) {
        assert_eq!(column(decoded, 0, key), *expected, "{client}: {key}");
    }
    for (key, expected) in more.as_object().unwrap() {
        let found = match key.as_str() {
            "timestamp" => decoded.batch.row(0).timestamp.to_string().into(),
            "frames" => column(decoded, 0, "exception.frames").as_array().map_or(0, Vec::len).into(),
            "chain" => column(decoded, 0, "exception.chain").as_array().map_or(0, Vec::len).into(),
            _ => column(decoded, 0, key),
        };
        assert_eq!(found, *expected, "{client}: {key}");
    }
}

/// The same of a document that comes through the native door, and through Elasticsearch's: both give it back.
#[track_caller]
fn document(client: &str, sent: Value, never: &[&str], more: Value) {
    let decoded = native(sent.to_string().as_bytes(), Limits::default(), received());
    check(client, &decoded, never, more.clone());
    let shown = documents(&decoded).remove(0);
    // The time is shown in one form.
    for (key, value) in sent.as_object().unwrap().iter().filter(|(key, _)| *key != "timestamp") {
        assert_eq!(shown.get(key), Some(value), "{client}: {key}");
    }
    let body = format!("{{\"index\":{{\"_index\":\"shop\"}}}}\n{sent}\n");
    let bulk = intake::elasticsearch::bulk(body.as_bytes(), None, Limits::default(), received());
    check(client, &bulk.parts[0].decoded, never, more);
}

const NODE: &str = "PaymentError: no money\n    at pay (/app/cart.js:7:3)\n    at main (/app/main.js:1:1)\ncaused by: Error: refused\n    at charge (/app/bank.js:2:2)";
const PYTHON: &str =
    "Traceback (most recent call last):\n  File \"/app/shop.py\", line 7, in pay\n    charge()\nPaymentError: no money";
const JAVA: &str = "PaymentError: no money\n\tat com.shop.Cart.pay(Cart.java:7)\n\tat com.shop.Main.main(Main.java:3)";

const R: &str = "req-4711";
const T: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn node() {
    document(
        "pino",
        json!({"level": 50, "time": "2026-11-20T16:02:14.525Z", "pid": 77, "hostname": "web-1", "name": "shop", "user": {"id": 7}, "trace_id": T,
            "req": {"id": R, "method": "GET", "url": "/pay/7?m=1", "remoteAddress": "203.0.113.9", "headers": {"user-agent": "curl/8"}},
            "res": {"statusCode": 500}, "responseTime": 22, "err": {"type": "PaymentError", "message": "no money", "stack": NODE}, "msg": "the payment failed"}),
        &[],
        json!({"timestamp": "2026-11-20T16:02:14.525000Z", "stream": "ERROR", "logger": "shop", "method": "GET", "path": "/pay/7", "ip": "203.0.113.9", "user_agent": "curl/8",
            "status": 500, "duration_ms": 22, "host": "web-1", "exception.message": "no money", "frames": 2, "chain": 2}),
    );
    document(
        "winston",
        json!({"@timestamp": "2026-11-20T16:02:14.525Z", "message": "the payment failed", "severity": "error",
            "fields": {"user": {"id": 7}, "request_id": R, "traceId": T, "status": 500, "label": "shop", "stack": NODE, "event": "payment_failed"}}),
        &[],
        json!({"timestamp": "2026-11-20T16:02:14.525000Z", "status": 500, "event": "payment_failed", "exception.message": "no money", "frames": 2}),
    );
    document(
        "bunyan",
        json!({"name": "shop", "hostname": "web-1", "pid": 77, "level": 50, "req_id": R, "trace_id": T, "user": "7", "time": "2026-11-20T16:02:14.525Z", "v": 0,
            "err": {"message": "no money", "name": "PaymentError", "stack": NODE, "code": "E1"}, "msg": "the payment failed"}),
        &[],
        json!({"logger": "shop", "host": "web-1", "release": null, "exception.message": "no money", "frames": 2}),
    );
}

#[test]
fn elastic_common_schema() {
    let more = json!({"timestamp": "2026-11-20T16:02:14.525000Z", "logger": "shop.pay", "event": "payment_failed", "source": "shop.log", "duration_ms": 22.5, "span_id": "b7ad6b7169203331",
        "method": "GET", "status": 500, "url": "http://shop/pay/7?m=1", "path": "/pay/7", "ip": "203.0.113.9", "user_agent": "curl/8", "service": "shop", "release": "1.4.2",
        "environment": "production", "host": "web-1", "exception.message": "no money", "frames": 2});
    document(
        "ECS, nested",
        json!({"@timestamp": "2026-11-20T16:02:14.525Z", "log": {"level": "ERROR", "logger": "shop.pay"}, "message": "the payment failed",
            "event": {"action": "payment_failed", "dataset": "shop.log", "duration": 22_500_000}, "trace": {"id": T}, "span": {"id": "b7ad6b7169203331"},
            "transaction": {"id": "00f067aa0ba902b7"}, "http": {"request": {"id": R, "method": "GET"}, "response": {"status_code": 500}},
            "url": {"full": "http://shop/pay/7?m=1", "path": "/pay/7"}, "user": {"id": "7", "name": "bob", "email": "bob@shop.example"},
            "client": {"ip": "203.0.113.9"}, "source": {"ip": "10.0.0.1"}, "user_agent": {"original": "curl/8"},
            "service": {"name": "shop", "version": "1.4.2", "environment": "production"}, "host": {"name": "web-1", "hostname": "web-1.local"},
            "error": {"type": "PaymentError", "message": "no money", "stack_trace": JAVA}}),
        &[],
        more.clone(),
    );
    document(
        "ECS, dotted",
        json!({"@timestamp": "2026-11-20T16:02:14.525Z", "log.level": "ERROR", "log.logger": "shop.pay", "message": "the payment failed", "event.action": "payment_failed",
            "event.dataset": "shop.log", "event.duration": 22_500_000, "trace.id": T, "span.id": "b7ad6b7169203331", "http.request.id": R, "http.request.method": "GET",
            "http.response.status_code": 500, "url.original": "http://shop/pay/7?m=1", "user.id": "7", "source.ip": "203.0.113.9", "user_agent.original": "curl/8",
            "service.name": "shop", "service.version": "1.4.2", "service.environment": "production", "host.hostname": "web-1", "error.type": "PaymentError",
            "error.message": "no money", "error.stack_trace": JAVA}),
        &[],
        more,
    );
}

#[test]
fn python() {
    let more = json!({"method": "GET", "path": "/pay/7", "status": 500, "ip": "127.0.0.1", "exception.message": "no money", "frames": 1});
    let common = json!({"request": "GET /pay/7?m=1", "code": 500, "user_id": 7, "ip": "127.0.0.1", "request_id": R, "trace_id": T, "level": "error",
        "timestamp": "2026-11-20T15:59:36.557202Z", "logger": "shop.views", "event": "the payment failed"});
    let with = |exception: Value| {
        let mut event = common.clone();
        event["exception"] = exception;
        event
    };
    document("structlog, text", with(json!(PYTHON)), &[], more.clone());
    let list = json!([{"exc_type": "PaymentError", "exc_value": "no money", "exc_notes": [], "is_cause": false, "is_group": false, "exceptions": [],
        "frames": [{"filename": "/app/shop.py", "lineno": 7, "name": "pay", "locals": {}}]}]);
    document("structlog, list", with(list), &[], more);
    document(
        "structlog, a name",
        json!({"event": "request_failed", "level": "error", "user_id": 7, "correlation_id": R, "trace_id": T, "exception": PYTHON}),
        &["message"],
        json!({"event": "request_failed", "message": null}),
    );
    document(
        "a record as JSON",
        json!({"name": "shop.pay", "levelname": "ERROR", "levelno": 40, "msg": "the payment failed", "created": 1_763_654_534.525, "pathname": "/app/shop.py", "funcName": "pay",
            "lineno": 7, "process": 77, "exc_text": PYTHON, "user_id": 7, "request_id": R, "otelTraceID": T, "otelSpanID": "0", "otelServiceName": "shop"}),
        &[],
        json!({"timestamp": "2025-11-20T16:02:14.525000Z", "logger": "shop.pay", "span_id": null, "service": "shop", "frames": 1}),
    );
    let form: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("name", "shop.pay"),
            ("levelname", "ERROR"),
            ("levelno", "40"),
            ("msg", "the %s failed"),
            ("args", "('payment',)"),
            ("exc_text", PYTHON),
        ])
        .extend_pairs([("created", "1763654534.525"), ("user_id", "7"), ("request_id", R), ("trace_id", T)])
        .finish();
    check(
        "HTTPHandler",
        &intake::records(form.as_bytes(), Limits::default(), received()),
        &[],
        json!({"timestamp": "2025-11-20T16:02:14.525000Z", "logger": "shop.pay", "frames": 1}),
    );
    document(
        "gramex",
        json!({"level": "ERROR", "msg": "the payment failed", "datetime": "2026-11-20 15:42:32Z", "args.x": "7", "user.id": "7", "request.uri": "/pay/7?m=1", "port": 7290,
            "headers.User-Agent": "curl/8", "headers.X-Request-Id": R, "trace.id": T, "exc_info": PYTHON}),
        &[],
        json!({"timestamp": "2026-11-20T15:42:32.000000Z", "path": "/pay/7", "user_agent": "curl/8"}),
    );
}

#[test]
fn go() {
    let go = "main.pay\n\t/app/pay.go:7\nmain.main\n\t/app/main.go:3";
    document(
        "zap",
        json!({"level": "error", "ts": 1_763_654_534.525, "logger": "shop", "caller": "shop/pay.go:7", "msg": "the payment failed", "error": "PaymentError: no money",
            "user_id": 7, "request_id": R, "traceId": T, "stacktrace": go}),
        &[],
        json!({"timestamp": "2025-11-20T16:02:14.525000Z", "logger": "shop", "exception.message": "no money", "frames": 2}),
    );
    for (client, sent) in [
        (
            "logrus",
            json!({"level": "error", "time": "2026-11-20T16:02:14Z", "msg": "the payment failed", "error": "no money"}),
        ),
        (
            "slog",
            json!({"level": "ERROR+2", "time": "2026-11-20T16:02:14Z", "msg": "the payment failed", "err": "no money"}),
        ),
        (
            "zerolog",
            json!({"level": "error", "time": "2026-11-20T16:02:14Z", "message": "the payment failed", "error": "no money"}),
        ),
    ] {
        let mut sent = sent;
        for (key, value) in
            [("user", json!(7)), ("request_id", json!(R)), ("trace_id", json!(T)), ("duration", json!("22.5ms"))]
        {
            sent[key] = value;
        }
        let more = json!({"timestamp": "2026-11-20T16:02:14.000000Z", "exception.type": null, "exception.message": "no money", "duration_ms": 22.5});
        document(client, sent, &["exception.type"], more);
    }
}

#[test]
fn java_and_dotnet() {
    document(
        "log4j2",
        json!({"instant": {"epochSecond": 1_763_654_534, "nanoOfSecond": 525_000_000}, "thread": "main", "level": "ERROR", "loggerName": "com.shop.Cart", "message": "the payment failed",
            "contextMap": {"userId": "7", "request_id": R, "traceId": T}, "endOfBatch": false,
            "thrown": {"name": "PaymentError", "message": "no money", "extendedStackTrace": [
                {"class": "com.shop.Cart", "method": "pay", "file": "Cart.java", "line": 7}, {"class": "com.shop.Main", "method": "main", "file": "Main.java", "line": 3}]}}),
        &[],
        json!({"timestamp": "2025-11-20T16:02:14.525000Z", "logger": "com.shop.Cart", "exception.message": "no money", "frames": 2}),
    );
    document(
        "logstash-logback",
        json!({"@timestamp": "2026-11-20T16:02:14.525Z", "@version": "1", "level": "ERROR", "logger_name": "com.shop.Cart", "message": "the payment failed", "HOSTNAME": "web-1",
            "stack_trace": JAVA, "mdc": {"user": "7", "request_id": R, "trace_id": T}}),
        &[],
        json!({"logger": "com.shop.Cart", "host": "web-1", "exception.message": "no money", "frames": 2}),
    );
    let dotnet = "PaymentError: no money\n   at Shop.Cart.Pay(Int32 n) in /src/Cart.cs:line 7";
    document(
        "Serilog, compact",
        json!({"@t": "2026-11-20T16:02:14.5250000Z", "@mt": "the {What} failed", "@m": "the payment failed", "@l": "Error", "@x": dotnet, "@tr": T, "@sp": "b7ad6b7169203331",
            "SourceContext": "Shop.Cart", "UserId": 7, "RequestId": R, "RequestMethod": "GET", "RequestPath": "/pay/7", "StatusCode": 500, "Elapsed": 22.5, "MachineName": "web-1"}),
        &[],
        json!({"timestamp": "2026-11-20T16:02:14.525000Z", "logger": "Shop.Cart", "method": "GET", "path": "/pay/7", "status": 500, "duration_ms": null, "host": "web-1", "frames": 1}),
    );
    document(
        "Serilog, in full",
        json!({"Timestamp": "2026-11-20T16:02:14.5250000Z", "Level": "Error", "MessageTemplate": "the {What} failed", "RenderedMessage": "the payment failed", "Exception": dotnet,
            "TraceId": T, "Properties": {"SourceContext": "Shop.Cart", "UserId": "7", "RequestId": R}}),
        &[],
        json!({"timestamp": "2026-11-20T16:02:14.525000Z", "logger": "Shop.Cart", "exception.message": "no money"}),
    );
    document(
        "Application Insights, as exported",
        json!({"timestamp": "2026-11-20T16:02:14.525Z", "severityLevel": 3, "message": "the payment failed", "innermostType": "PaymentError", "innermostMessage": "no money", "operation_Id": T,
            "operation_ParentId": "b7ad6b7169203331", "user_Id": "7", "correlationId": R, "session_Id": "s1", "cloud_RoleName": "shop", "cloud_RoleInstance": "web-1",
            "client_IP": "203.0.113.9", "application_Version": "1.4.2", "resultCode": "500", "durationMs": 22}),
        &[],
        json!({"span_id": "b7ad6b7169203331", "session": "s1", "service": "shop", "host": "web-1", "ip": "203.0.113.9", "release": "1.4.2", "status": 500, "duration_ms": 22,
            "exception.message": "no money"}),
    );
}

#[test]
fn php_and_ruby() {
    document(
        "Monolog",
        json!({"message": "the payment failed", "context": {"exception": {"class": "PaymentError", "message": "no money", "code": 0, "file": "/app/Cart.php:7",
                "trace": ["/app/Cart.php:7", "/app/index.php:3"]}, "user_id": 7}, "level": 400, "level_name": "ERROR", "channel": "shop", "datetime": "2026-11-20T16:02:14.525000+00:00",
            "extra": {"request_id": R, "trace_id": T}}),
        &[],
        json!({"timestamp": "2026-11-20T16:02:14.525000Z", "logger": "shop", "exception.message": "no money", "frames": 2}),
    );
    document(
        "lograge",
        json!({"method": "GET", "path": "/pay/7", "format": "html", "controller": "Pay", "action": "show", "status": 500, "duration": 22.5, "view": 0.1, "db": 1.0, "level": "ERROR",
            "message": "the payment failed", "request_id": R, "user_id": 7, "trace_id": T, "exception": ["PaymentError", "no money"], "exception_class": "PaymentError"}),
        &[],
        json!({"method": "GET", "path": "/pay/7", "status": 500, "duration_ms": null}),
    );
}

#[test]
fn servers_and_clouds() {
    document(
        "nginx",
        json!({"time_iso8601": "2026-11-20T16:02:14+00:00", "remote_addr": "203.0.113.9", "remote_user": "7", "request": "GET /pay/7?m=1 HTTP/1.1", "request_uri": "/pay/7?m=1",
            "request_method": "GET", "status": "500", "request_time": "0.022", "http_user_agent": "curl/8", "http_x_request_id": R, "hostname": "web-1"}),
        &["level", "message", "exception.type", "trace_id"],
        json!({"timestamp": "2026-11-20T16:02:14.000000Z", "method": "GET", "path": "/pay/7", "status": 500, "duration_ms": 22.0, "ip": "203.0.113.9", "user_agent": "curl/8", "host": "web-1"}),
    );
    document(
        "Google Cloud",
        json!({"severity": "ERROR", "timestampSeconds": 1_763_654_534, "timestampNanos": 525_000_000, "jsonPayload": {"message": "the payment failed", "user_id": 7, "request_id": R},
            "logging.googleapis.com/trace": format!("projects/shop/traces/{T}"), "logging.googleapis.com/spanId": "b7ad6b7169203331", "labels": {"environment": "production"},
            "serviceContext": {"service": "shop", "version": "1.4.2"}, "stack_trace": JAVA,
            "httpRequest": {"requestMethod": "GET", "requestUrl": "http://shop/pay/7?m=1", "status": 500, "latency": "0.0225s", "remoteIp": "203.0.113.9", "userAgent": "curl/8"}}),
        &[],
        json!({"timestamp": "2025-11-20T16:02:14.525000Z", "span_id": "b7ad6b7169203331", "method": "GET", "url": "http://shop/pay/7?m=1", "path": "/pay/7", "status": 500,
            "duration_ms": 22.5, "ip": "203.0.113.9", "user_agent": "curl/8", "service": "shop", "release": "1.4.2", "environment": "production", "frames": 2}),
    );
    document(
        "AWS Lambda Powertools",
        json!({"level": "ERROR", "location": "pay:7", "message": "the payment failed", "timestamp": "2026-11-20 16:02:14,525+0000", "service": "shop", "user_id": "7",
            "function_request_id": R, "trace_id": T, "exception_name": "PaymentError", "exception": PYTHON}),
        &[],
        json!({"service": "shop", "frames": 1}),
    );
    document(
        "the journal, through a shipper",
        json!({"__REALTIME_TIMESTAMP": "1763654534525000", "MESSAGE": "the payment failed", "PRIORITY": "3", "_HOSTNAME": "web-1", "SYSLOG_IDENTIFIER": "shop", "user_id": 7,
            "request_id": R, "trace_id": T, "error": {"type": "PaymentError"}}),
        &[],
        json!({"timestamp": "2025-11-20T16:02:14.525000Z", "host": "web-1", "source": "shop", "exception.type": "PaymentError"}),
    );
    document(
        "OpenTelemetry's collector",
        json!({"@timestamp": "2026-11-20T16:02:14.525Z", "SeverityNumber": 17, "Body": "the payment failed", "TraceId": T, "SpanId": "b7ad6b7169203331",
            "Attributes": {"exception.type": "PaymentError", "exception.message": "no money", "exception.stacktrace": PYTHON, "enduser.id": "7", "http.request.id": R,
                "http.method": "GET", "http.target": "/pay/7?m=1", "http.route": "/pay/{n}", "http.status_code": 500},
            "Resource": {"service.name": "shop", "service.version": "1.4.2", "deployment.environment.name": "production", "host.name": "web-1"}}),
        &[],
        json!({"span_id": "b7ad6b7169203331", "method": "GET", "path": "/pay/7", "status": 500, "service": "shop", "release": "1.4.2", "environment": "production", "host": "web-1",
            "exception.message": "no money", "frames": 1}),
    );
}

#[test]
fn doors_with_a_shape_of_their_own() {
    let message = |protocol: Protocol, sent: String| {
        let mut messages = Messages::new(protocol, Limits::default(), received(), TimeZone::UTC);
        messages.push(sent.as_bytes(), 0, None);
        messages.finish()
    };
    let gelf = json!({"version": "1.1", "host": "web-1", "short_message": "the payment failed", "full_message": JAVA, "timestamp": 1_763_654_534.525, "level": 3, "_user_id": 7,
        "_request_id": R, "_traceId": T, "_logger_name": "shop"});
    let more = json!({"timestamp": "2025-11-20T16:02:14.525000Z", "host": "web-1", "logger": "shop", "frames": 2});
    check("GELF", &message(Protocol::Gelf, gelf.to_string()), &[], more);
    let line = json!({"msg": "the payment failed", "levelname": "ERROR", "user_id": 7, "reqId": R, "trace_id": T, "error": {"kind": "PaymentError"}});
    check(
        "syslog",
        &message(Protocol::Syslog, format!("<11>Nov 20 15:59:36 web1 app[12]: {line}")),
        &[],
        json!({"host": "web1", "source": "app"}),
    );
    let attribute = |key: &str, value: Value| json!({"key": key, "value": value});
    let otlp = json!({"resourceLogs": [{"resource": {"attributes": [attribute("service.name", json!({"stringValue": "shop"}))]}, "scopeLogs": [{"logRecords": [{
        "timeUnixNano": "1763654534525000000", "severityNumber": 17, "traceId": T, "spanId": "b7ad6b7169203331", "body": {"stringValue": "the payment failed"},
        "attributes": [attribute("exception.type", json!({"stringValue": "PaymentError"})), attribute("exception.stacktrace", json!({"stringValue": PYTHON})),
            attribute("enduser.id", json!({"intValue": "7"})), attribute("request_id", json!({"stringValue": R})), attribute("http.status_code", json!({"intValue": "500"}))]}]}]}]});
    let decoded =
        intake::otel::logs(otlp.to_string().as_bytes(), intake::otel::Encoding::Json, Limits::default(), received())
            .unwrap();
    check("OTLP", &decoded, &[], json!({"service": "shop", "span_id": "b7ad6b7169203331", "status": 500, "frames": 1}));
    let sentry = json!({"event_id": "9ec79c33ec9942ab8353589fcb2e04dc", "timestamp": 1_763_654_534.525, "level": "error", "message": "the payment failed", "user": {"id": "7"},
        "tags": {"request_id": R}, "contexts": {"trace": {"trace_id": T, "span_id": "b7ad6b7169203331"}},
        "exception": {"values": [{"type": "PaymentError", "value": "no money", "stacktrace": {"frames": [{"function": "pay", "lineno": 7}]}}]}});
    let stored = intake::sentry::store(sentry.to_string().as_bytes(), Limits::default(), received());
    check(
        "Sentry",
        &stored.decoded,
        &[],
        json!({"exception.message": "no money", "frames": 1, "span_id": "b7ad6b7169203331"}),
    );
    let azure = json!({"name": "x", "time": "2026-11-20T16:02:14.525Z", "tags": {"ai.operation.id": T, "ai.user.id": "7", "ai.cloud.role": "shop"},
        "data": {"baseType": "ExceptionData", "baseData": {"severityLevel": 3, "exceptions": [{"typeName": "PaymentError", "message": "the payment failed", "stack": PYTHON}]}}});
    check(
        "Application Insights",
        &intake::azure::track(azure.to_string().as_bytes(), Limits::default(), received()),
        &["request_id"],
        json!({"service": "shop", "frames": 1}),
    );
}

#[test]
fn names_that_mean_something_elsewhere() {
    let nothing = |sent: Value, key: &str| {
        let decoded = native(sent.to_string().as_bytes(), Limits::default(), received());
        assert_eq!(column(&decoded, 0, key), Value::Null, "{sent}: {key}");
    };
    nothing(json!({"name": "Bob", "created": 1_763_654_534}), "logger");
    nothing(json!({"duration": 22}), "duration_ms");
    nothing(json!({"Elapsed": 22.5}), "duration_ms");
    nothing(json!({"code": "23505"}), "status");
    nothing(json!({"log": "shop"}), "message");
    nothing(json!({"error": true}), "exception.message");
    nothing(json!({"remote_addr": "-"}), "ip");
    nothing(json!({"trace": "Traceback (most recent call last)"}), "trace_id");
    nothing(json!({"event": "object_created"}), "message");
    nothing(json!({"http.route": "/pay/{n}"}), "path");
}

#[test]
fn types_that_differ_are_kept_and_found() {
    let column = |sent: Value, key: &str| {
        let decoded = native(sent.to_string().as_bytes(), Limits::default(), received());
        let shown = documents(&decoded).remove(0);
        for (key, value) in sent.as_object().unwrap() {
            assert_eq!(shown.get(key), Some(value), "{sent}");
        }
        column(&decoded, 0, key)
    };
    assert_eq!(column(json!({"status": null, "code": 404}), "status"), 404);
    assert_eq!(column(json!({"message": null, "msg": "x"}), "message"), "x");
    assert_eq!(column(json!({"message": null}), "message"), Value::Null);
    assert_eq!(column(json!({"message": null, "event": "It failed"}), "message"), "It failed");
    assert_eq!(column(json!({"path": null, "url": "http://shop/pay"}), "path"), "/pay");
    assert_eq!(column(json!({"event": {"action": "paid"}}), "event"), "paid");
    assert_eq!(column(json!({"event": "It failed"}), "message"), "It failed");
    assert_eq!(column(json!({"url": "http://shop/pay/7?m=1"}), "path"), "/pay/7");
    assert_eq!(column(json!({"url": {"path": "/pay/7"}}), "path"), "/pay/7");
    assert_eq!(column(json!({"request": {"id": "r"}}), "request_id"), "r");
    assert_eq!(column(json!({"user": ["a"], "user_id": 7}), "user"), "7");
    assert_eq!(column(json!({"code": 5, "http.status_code": 404}), "status"), 404);
    assert_eq!(column(json!({"level": "gold", "severity": "error"}), "level"), "error");
    let object = json!({"exception": {"exception_class": "PaymentError", "exception_message": "no money", "stacktrace": JAVA, "n": [1, 2]}});
    assert_eq!(column(object.clone(), "exception.type"), "PaymentError");
    assert_eq!(column(object, "exception.frames")[1]["line"], 7);
    assert_eq!(
        column(json!({"exception": {"type": "A", "n": 1}, "error": {"stack": JAVA}}), "exception.frames"),
        Value::Null
    );
    assert_eq!(column(json!({"exception": 5, "err": {"type": "A"}}), "exception.type"), "A");
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-5..700_i64).prop_map(Value::from),
        Just(json!(22.5)),
        prop_oneof![
            Just("error"),
            Just("GET /pay?x=1"),
            Just("404"),
            Just("bob"),
            Just(""),
            Just("-"),
            Just("It failed"),
            Just("1.5ms"),
            Just("http://h/p?q"),
            Just("/p?q"),
            Just(NODE),
            Just(PYTHON),
            Just(JAVA),
            Just(T),
            Just("1734afac-4628-446d-b344-f39b42f48bd9")
        ]
        .prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!(["a.rb:7", {"exc_type": "E", "frames": []}])),
        Just(json!([{"exc_type": "E", "exc_value": "v", "frames": [{"name": "f", "filename": "a.py", "lineno": 1}]}])),
    ]
}

/// Objects of members that mean something, and scalars of all types.
fn mixed() -> impl Strategy<Value = Value> {
    let member = "(id|type|message|stack|stacktrace|name|level|action|status_code|full|path|class|trace|user|exception|msg|request_id|url)";
    let object = proptest::collection::vec((member, scalar()), 1..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()));
    prop_oneof![2 => scalar(), 1 => object]
}

fn shared_name() -> impl Strategy<Value = String> {
    "(user|level|message|event|source|logger|request_id|trace_id|span_id|session|url|method|path|status|duration_ms|ip|user_agent|release|environment|service|host|exception\
        |error|err|req|res|http|log|fields|context|labels|request|code|severity|levelname|name|created|time|ts|msg|user_id|user\\.id|trace\\.id|error\\.type|exception\\.type\
        |stack|stacktrace|duration|request_time|responseTime|uri|env|trace|thrown|instant|stream|id|_HOSTNAME|PRIORITY)"
}

/// What must be in the columns of an event, told apart from how it is made.
fn check_columns(sent: &Map<String, Value>, decoded: &Decoded, row: usize) {
    let own = |key: &str| sent.get(key).filter(|value| !value.is_null() && !value.is_object());
    for key in ["message", "event", "logger", "request_id", "trace_id", "session", "url", "path", "ip", "host"] {
        if let Some(value) = own(key).filter(|value| value.is_string() || value.is_i64()) {
            assert_eq!(column(decoded, row, key), *value, "{key} of {sent:?}");
        }
    }
    let is_nobody = |value: &Value| value.is_null() || value == "" || value.is_array() || value.is_object();
    let user = match sent.get("user").filter(|value| !is_nobody(value)) {
        Some(Value::String(name)) => Some(name.clone()),
        Some(other) => Some(other.to_string()),
        None => None,
    };
    match user {
        Some(user) => assert_eq!(column(decoded, row, "user"), *user),
        None => assert!(column(decoded, row, "user").is_string()),
    }
    if let Some(code) = sent.get("code").and_then(Value::as_i64).filter(|code| (100..600).contains(code))
        && sent.get("status").is_none_or(Value::is_null)
    {
        assert_eq!(column(decoded, row, "status"), code);
    }
    if sent.get("exception").and_then(Value::as_str) == Some(PYTHON) {
        assert_eq!(column(decoded, row, "exception.type"), "PaymentError");
        assert_eq!(column(decoded, row, "exception.frames")[0]["line"], 7);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_mixture_of_types_comes_back(events in proptest::collection::vec(proptest::collection::vec((shared_name(), mixed()), 0..8), 1..6)) {
        let events: Vec<Map<String, Value>> = events.into_iter().map(|members| members.into_iter().collect()).collect();
        let body: Vec<String> = events.iter().map(|event| Value::Object(event.clone()).to_string()).collect();
        let decoded = native(body.join("\n").as_bytes(), Limits::default(), received());
        prop_assert_eq!((decoded.batch.len(), decoded.refused_count()), (events.len(), 0));
        for (row, (sent, got)) in events.iter().zip(documents(&decoded)).enumerate() {
            for (key, value) in sent {
                if key == "id" && (value.is_null() || value == "") { continue; }
                prop_assert_eq!(got.get(key), Some(value), "{}: {:?}", key, sent);
            }
            check_columns(sent, &decoded, row);
        }
    }
}
