//! OTLP: our reader against the one that is made from the description of the messages, and what real exporters send.

use std::collections::BTreeMap;

use base64::Engine as _;
use event::Timestamp;
use intake::otel::{Encoding, Signal, logs, metrics, refused, taken, traces};
use intake::{Decoded, Limits};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Map, Value, json};

use crate::native::documents;

fn received() -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000)
}

fn read_logs(body: &[u8], encoding: Encoding) -> Decoded {
    logs(body, encoding, Limits::default(), received()).unwrap()
}

fn text(text: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Any::StringValue(text.to_owned())) })
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// What a value is in the event.
fn shown(any: Option<&AnyValue>) -> Value {
    match any.and_then(|any| any.value.as_ref()) {
        None => Value::Null,
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::BoolValue(value)) => json!(value),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::DoubleValue(number)) if number.is_finite() => json!(number),
        Some(Any::DoubleValue(number)) if number.is_nan() => json!("NaN"),
        Some(Any::DoubleValue(number)) => json!(if *number > 0.0 { "Infinity" } else { "-Infinity" }),
        Some(Any::BytesValue(bytes)) => json!(base64::prelude::BASE64_STANDARD.encode(bytes)),
        Some(Any::ArrayValue(list)) => list.values.iter().map(|value| shown(Some(value))).collect(),
        Some(Any::KvlistValue(list)) => shown_pairs(&list.values),
        Some(Any::StringValueStrindex(_)) => unreachable!("it is not made here"),
    }
}

fn shown_pairs(pairs: &[KeyValue]) -> Value {
    pairs.iter().map(|pair| (pair.key.clone(), shown(pair.value.as_ref()))).collect::<Map<_, _>>().into()
}

/// The same in the JSON form of the messages.
fn json_of(any: Option<&AnyValue>) -> Value {
    match any.and_then(|any| any.value.as_ref()) {
        None => json!({}),
        Some(Any::StringValue(text)) => json!({ "stringValue": text }),
        Some(Any::BoolValue(value)) => json!({ "boolValue": value }),
        Some(Any::IntValue(number)) if number % 2 == 0 => json!({ "intValue": number.to_string() }),
        Some(Any::IntValue(number)) => json!({ "intValue": number }),
        Some(Any::DoubleValue(number)) if number.is_finite() => json!({ "doubleValue": number }),
        Some(Any::DoubleValue(_)) => json!({ "doubleValue": shown(any) }),
        Some(Any::BytesValue(_)) => json!({ "bytesValue": shown(any) }),
        Some(Any::ArrayValue(list)) => {
            let values: Vec<_> = list.values.iter().map(|value| json_of(Some(value))).collect();
            json!({ "arrayValue": { "values": values } })
        }
        Some(Any::KvlistValue(list)) => json!({ "kvlistValue": { "values": json_of_pairs(&list.values) } }),
        Some(Any::StringValueStrindex(_)) => unreachable!("it is not made here"),
    }
}

fn json_of_pairs(pairs: &[KeyValue]) -> Value {
    pairs.iter().map(|pair| json!({ "key": pair.key, "value": json_of(pair.value.as_ref()) })).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn json_of_record(record: &LogRecord) -> Value {
    json!({
        "timeUnixNano": record.time_unix_nano.to_string(), "observedTimeUnixNano": record.observed_time_unix_nano,
        "severityNumber": record.severity_number, "severityText": record.severity_text,
        "body": record.body.as_ref().map(|body| json_of(Some(body))), "attributes": json_of_pairs(&record.attributes),
        "droppedAttributesCount": record.dropped_attributes_count, "flags": record.flags,
        "traceId": hex(&record.trace_id), "spanId": hex(&record.span_id), "eventName": record.event_name,
        "unknownToUs": { "a": [1, { "b": null }] },
    })
}

fn json_of_request(request: &ExportLogsServiceRequest) -> Value {
    let scope_logs = |scope: &ScopeLogs| {
        let one = scope.scope.as_ref().map(|scope| {
            json!({ "name": scope.name, "version": scope.version, "attributes": json_of_pairs(&scope.attributes) })
        });
        let records: Vec<_> = scope.log_records.iter().map(json_of_record).collect();
        json!({ "scope": one, "log_records": records, "schemaUrl": scope.schema_url })
    };
    let resource_logs = |logs: &ResourceLogs| {
        let resource =
            logs.resource.as_ref().map(|resource| json!({ "attributes": json_of_pairs(&resource.attributes) }));
        let scopes: Vec<_> = logs.scope_logs.iter().map(scope_logs).collect();
        json!({ "resource": resource, "scopeLogs": scopes, "schema_url": logs.schema_url })
    };
    json!({ "resourceLogs": request.resource_logs.iter().map(resource_logs).collect::<Vec<_>>() })
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let scalar = prop_oneof![
        Just(None),
        any::<String>().prop_map(|text| Some(Any::StringValue(text))),
        any::<bool>().prop_map(|value| Some(Any::BoolValue(value))),
        any::<i64>().prop_map(|number| Some(Any::IntValue(number))),
        // The reader of JSON takes -0.0 for 0.0.
        any::<f64>().prop_map(|number| Some(Any::DoubleValue(if number == 0.0 { 0.0 } else { number }))),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| Some(Any::BytesValue(bytes))),
    ];
    scalar.prop_map(|value| AnyValue { value }).prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| AnyValue { value: Some(Any::ArrayValue(ArrayValue { values })) }),
            pairs(inner).prop_map(|values| AnyValue { value: Some(Any::KvlistValue(KeyValueList { values })) }),
        ]
    })
}

fn pairs(value: impl Strategy<Value = AnyValue>) -> impl Strategy<Value = Vec<KeyValue>> {
    let key = prop_oneof![
        "[a-c._\\\\]{0,3}",
        "(user\\.id|http\\.url|service\\.name|exception\\.stacktrace)",
        any::<String>()
    ];
    // A key stands once.
    proptest::collection::btree_map(key, value, 0..4).prop_map(|pairs: BTreeMap<_, _>| {
        let pair = |(key, value)| KeyValue { key, value: Some(value), ..KeyValue::default() };
        pairs.into_iter().map(pair).collect()
    })
}

prop_compose! {
    fn record()(
        time in any::<u64>(), observed in any::<u64>(), severity in 0..30_i32, severity_text in "(INFO|warn|.{0,3})",
        body in proptest::option::of(any_value()), attributes in pairs(any_value()), dropped in 0..3_u32, flags in any::<u32>(),
        trace in prop_oneof![Just(vec![0; 16]), proptest::collection::vec(any::<u8>(), 16)],
        span in prop_oneof![Just(vec![]), proptest::collection::vec(any::<u8>(), 8)], name in "(a\\.b)?",
    ) -> LogRecord {
        LogRecord {
            time_unix_nano: time % (1 << 62), observed_time_unix_nano: observed, severity_number: severity, severity_text, body,
            attributes, dropped_attributes_count: dropped, flags, trace_id: trace, span_id: span, event_name: name,
        }
    }
}

prop_compose! {
    fn request()(
        resource in proptest::option::of(pairs(any_value())), scope in proptest::option::of((".{0,4}", pairs(any_value()))),
        records in proptest::collection::vec(record(), 0..4), schema_url in "(http://a)?", twice in any::<bool>(),
    ) -> ExportLogsServiceRequest {
        let scope = scope.map(|(name, attributes)| InstrumentationScope { name, attributes, ..InstrumentationScope::default() });
        let scope_logs = vec![ScopeLogs { scope, log_records: records, schema_url: schema_url.clone() }];
        let resource = resource.map(|attributes| Resource { attributes, ..Resource::default() });
        let one = ResourceLogs { resource, scope_logs, schema_url };
        ExportLogsServiceRequest { resource_logs: if twice { vec![one.clone(), one] } else { vec![one] } }
    }
}

/// An object that is not there is the same as an empty one.
fn part<'a>(document: &'a Value, path: &str) -> &'a Value {
    static EMPTY: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| json!({}));
    document.pointer(path).unwrap_or(&EMPTY)
}

fn check(record: &LogRecord, around: (&ResourceLogs, &ScopeLogs), document: &Value) {
    assert_eq!(part(document, "/otel/attributes"), &shown_pairs(&record.attributes));
    let resource = around.0.resource.as_ref().map(|resource| shown_pairs(&resource.attributes));
    assert_eq!(part(document, "/otel/resource"), &resource.unwrap_or(json!({})));
    let scope = around.1.scope.as_ref().map(|scope| shown_pairs(&scope.attributes));
    assert_eq!(part(document, "/otel/scope/attributes"), &scope.unwrap_or(json!({})));
    let body = shown(record.body.as_ref());
    match &body {
        Value::Null => assert_eq!(document.get("message"), None),
        Value::String(text)
            if record.body.as_ref().is_some_and(|body| matches!(body.value, Some(Any::StringValue(_)))) =>
        {
            assert_eq!(document.get("message").and_then(Value::as_str).unwrap_or(""), text);
        }
        _ => assert_eq!(part(document, "/otel/body"), &body),
    }
    let id = |bytes: &[u8]| bytes.iter().any(|byte| *byte != 0).then(|| json!(hex(bytes)));
    assert_eq!(document.get("trace_id").cloned(), id(&record.trace_id));
    assert_eq!(document.get("span_id").cloned(), id(&record.span_id));
    let number = |path: &str| document.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    assert_eq!(number("/otel/severity_number"), u64::try_from(record.severity_number).unwrap());
    assert_eq!(number("/otel/flags"), u64::from(record.flags));
    let nanos = match (record.time_unix_nano, record.observed_time_unix_nano) {
        (0, observed) => observed,
        (time, _) => time,
    };
    if nanos != 0 {
        let moment = Timestamp::from_micros(i64::try_from(nanos / 1000).unwrap());
        assert_eq!(document["timestamp"], json!(moment.to_string()));
        assert!(nanos % 1000 == 0 || number("/otel/time_unix_nano") == nanos);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn every_record_comes_back_from_both_encodings(request in request()) {
        let bytes = request.encode_to_vec();
        let decoded = read_logs(&bytes, Encoding::Protobuf);
        let records: Vec<_> = request.resource_logs.iter()
            .flat_map(|logs| logs.scope_logs.iter().flat_map(move |scope| scope.log_records.iter().map(move |record| (record, (logs, scope)))))
            .collect();
        assert_eq!((decoded.received, &decoded.refused), (records.len(), &vec![]));
        let found = documents(&decoded);
        for ((record, around), document) in records.iter().zip(&found) {
            check(record, *around, document);
        }
        let json = json_of_request(&request).to_string();
        let from_json = documents(&read_logs(json.as_bytes(), Encoding::Json));
        let without_id = |documents: Vec<Value>| documents.into_iter().map(|mut one| { one["id"].take(); one }).collect::<Vec<_>>();
        assert_eq!(without_id(from_json), without_id(found));
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            for decoded in [logs(&bytes, encoding, Limits::default(), received()), traces(&bytes, encoding, Limits::default(), received()), metrics(&bytes, encoding)].into_iter().flatten() {
                assert_eq!(decoded.received, decoded.batch.len() + decoded.refused_count());
            }
        }
    }

    #[test]
    fn a_damaged_request_is_taken_or_refused(request in request(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = request.encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(decoded) = logs(&bytes, Encoding::Protobuf, Limits::default(), received()) {
            assert_eq!(decoded.received, decoded.batch.len() + decoded.refused_count());
            documents(&decoded);
        }
    }
}

fn one_log(record: LogRecord, resource: Vec<KeyValue>) -> Value {
    let scope = InstrumentationScope {
        name: "shop.pay".to_owned(),
        version: "1".to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records: vec![record], ..ScopeLogs::default() }];
    let resource = Some(Resource { attributes: resource, ..Resource::default() });
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }],
    };
    documents(&read_logs(&request.encode_to_vec(), Encoding::Protobuf)).remove(0)
}

#[test]
fn the_shared_keys_of_a_record() {
    let string = |text: &str| Any::StringValue(text.to_owned());
    let stack = "Traceback (most recent call last):\n  File \"/app/pay.py\", line 7, in pay\n    charge()\nshop.NoFunds: no funds";
    let attributes = vec![
        pair("user.id", Any::IntValue(7)),
        pair("enduser.id", string("other")),
        pair("http.method", string("POST")),
        pair("http.scheme", string("http")),
        pair("http.host", string("shop.example:8080")),
        pair("http.target", string("/pay/7?m=1")),
        pair("http.status_code", Any::IntValue(500)),
        pair("http.user_agent", string("curl/8")),
        pair("client.address", string("203.0.113.9")),
        pair("http.request.header.x_request_id", Any::ArrayValue(ArrayValue { values: vec![text("req-1").unwrap()] })),
        pair("exception.type", string("shop.NoFunds")),
        pair("exception.message", string("no funds")),
        pair("exception.stacktrace", string(stack)),
    ];
    let record = LogRecord {
        severity_number: 17,
        severity_text: "ERROR".to_owned(),
        body: text("paid"),
        attributes,
        event_name: "payment_failed".to_owned(),
        ..LogRecord::default()
    };
    let resource = vec![
        pair("service.name", string("shop")),
        pair("service.version", string("1.2")),
        pair("host.name", string("a")),
        pair("deployment.environment", string("live")),
    ];
    let event = one_log(record, resource);
    let found: Vec<_> = [
        "level",
        "stream",
        "event",
        "message",
        "logger",
        "user",
        "request_id",
        "method",
        "url",
        "path",
        "status",
        "user_agent",
        "ip",
        "release",
        "environment",
        "service",
        "host",
    ]
    .map(|key| event[key].to_string())
    .into();
    assert_eq!(
        found.join(" "),
        r#""error" "ERROR" "payment_failed" "paid" "shop.pay" "7" "req-1" "POST" "http://shop.example:8080/pay/7?m=1" "/pay/7" 500 "curl/8" "203.0.113.9" "1.2" "live" "shop" "a""#
    );
    assert_eq!(
        event["exception"],
        json!({ "type": "shop.NoFunds", "message": "no funds", "frames": [{ "function": "pay", "file": "/app/pay.py", "line": 7, "context_line": "charge()" }] })
    );
    assert_eq!(event["otel"]["attributes"]["user.id"], json!(7));
    assert_eq!(event["otel"]["resource"]["service.name"], json!("shop"));
    assert_eq!(event["otel"]["scope"], json!({ "name": "shop.pay", "version": "1" }));
}

#[test]
fn a_body_that_is_no_text() {
    let body =
        |value| one_log(LogRecord { body: Some(AnyValue { value: Some(value) }), ..LogRecord::default() }, Vec::new());
    let list = Any::KvlistValue(KeyValueList {
        values: vec![pair("message", Any::StringValue("said".to_owned())), pair("n", Any::IntValue(1))],
    });
    let event = body(list);
    assert_eq!((&event["message"], &event["otel"]["body"]), (&json!("said"), &json!({ "message": "said", "n": 1 })));
    let event = body(Any::ArrayValue(ArrayValue { values: vec![text("a").unwrap()] }));
    assert_eq!((&event["message"], &event["otel"]["body"]), (&json!("[\"a\"]"), &json!(["a"])));
}

fn a_span() -> Span {
    let string = |text: &str| Any::StringValue(text.to_owned());
    let raised = span::Event {
        name: "exception".to_owned(),
        time_unix_nano: 1_767_225_600_000_000_000,
        attributes: vec![pair("exception.type", string("KeyError")), pair("exception.message", string("'sku'"))],
        ..span::Event::default()
    };
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        parent_span_id: vec![3; 8],
        name: "GET /pay/<int:n>".to_owned(),
        kind: 2,
        start_time_unix_nano: 1_767_225_600_000_000_000,
        end_time_unix_nano: 1_767_225_600_012_500_000,
        attributes: vec![
            pair("http.route", string("/pay/<int:n>")),
            pair("url.full", string("http://a.example/pay/7?m=1#x")),
        ],
        events: vec![raised],
        links: vec![span::Link { trace_id: vec![4; 16], span_id: vec![5; 8], ..span::Link::default() }],
        status: Some(Status { code: 2, message: "boom".to_owned() }),
        ..Span::default()
    }
}

fn read_spans(spans: Vec<Span>) -> Vec<Value> {
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    };
    documents(&traces(&request.encode_to_vec(), Encoding::Protobuf, Limits::default(), received()).unwrap())
}

#[test]
fn a_span_is_one_event_with_an_id_of_its_own() {
    let found =
        read_spans(vec![a_span(), a_span(), Span { span_id: vec![9; 8], ..a_span() }, Span { kind: 3, ..a_span() }]);
    let mut event = found[0].clone();
    assert_eq!(found[1]["id"], event["id"]);
    assert_ne!(found[2]["id"], event["id"]);
    assert_ne!(found[3]["id"], event["id"]);
    event.as_object_mut().unwrap().remove("id");
    assert_eq!(
        event,
        json!({
            "timestamp": "2026-01-01T00:00:00.000000Z", "stream": "SPAN", "level": "error", "event": "span", "message": "GET /pay/<int:n>", "user": "system",
            "trace_id": "01".repeat(16), "span_id": "02".repeat(8), "url": "http://a.example/pay/7?m=1#x", "path": "/pay/7", "duration_ms": 12.5,
            "exception": { "type": "KeyError", "message": "'sku'" },
            "otel": {
                "attributes": { "http.route": "/pay/<int:n>", "url.full": "http://a.example/pay/7?m=1#x" }, "kind": "server",
                "events": [{ "name": "exception", "time": "2026-01-01T00:00:00.000000Z", "attributes": { "exception.type": "KeyError", "exception.message": "'sku'" } }],
                "links": [{ "trace_id": "04".repeat(16), "span_id": "05".repeat(8) }],
                "parent_span_id": "03".repeat(8), "status": { "code": "error", "message": "boom" },
            },
        })
    );
}

#[test]
fn json_by_hand() {
    let body = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1767225600000000000","severityNumber":"SEVERITY_NUMBER_WARN","body":{"stringValue":"a"},"traceId":"5B8EFFF798038103D269B633813FC60C","parentSpanId":"","new":{"x":1}}]}]}]}"#;
    let event = documents(&read_logs(body, Encoding::Json)).remove(0);
    assert_eq!(
        (&event["level"], &event["trace_id"], &event["stream"]),
        (&json!("warning"), &json!("5b8efff798038103d269b633813fc60c"), &json!("WARN"))
    );
    for broken in [
        "",
        "[]",
        "null",
        "{\"resourceLogs\":3}",
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"traceId\":\"zz!\"}]}]}]}",
        "{} x",
    ] {
        assert!(logs(broken.as_bytes(), Encoding::Json, Limits::default(), received()).is_err(), "{broken}");
    }
    assert_eq!(read_logs(b"{}", Encoding::Json).received, 0);
}

#[test]
fn a_resource_is_not_multiplied_without_bound() {
    let resource =
        Some(Resource { attributes: vec![pair("a", Any::StringValue("x".repeat(200_000)))], ..Resource::default() });
    let scope_logs = vec![ScopeLogs { log_records: vec![LogRecord::default(); 5000], ..ScopeLogs::default() }];
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }],
    };
    let decoded = read_logs(&request.encode_to_vec(), Encoding::Protobuf);
    assert_eq!(decoded.received, 5000);
    assert!(decoded.refused_count() > 4000 && decoded.batch.bytes() < 200 << 20, "{}", decoded.batch.bytes());
    assert!(decoded.refused[0].reason.to_string().contains("fewer records"));
}

#[test]
fn a_deeply_nested_value_is_refused_alone() {
    let mut value = Any::BoolValue(true);
    for _ in 0..200 {
        value = Any::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(value) }] });
    }
    let deep = LogRecord { attributes: vec![pair("a", value)], ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![deep, LogRecord::default()], ..ScopeLogs::default() }];
    let request =
        ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] };
    let decoded = read_logs(&request.encode_to_vec(), Encoding::Protobuf);
    assert_eq!((decoded.batch.len(), decoded.refused[0].reason.name()), (1, "too_deep"));
}

#[test]
fn metrics_are_counted() {
    let body = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":[{"asInt":"1"},{}]}},{"sum":{"dataPoints":[{}]}}]}]}]}"#;
    let decoded = metrics(body, Encoding::Json).unwrap();
    assert_eq!((decoded.received, decoded.refused_count(), decoded.unlisted["metric"]), (3, 3, 3));
}

#[test]
fn answers() {
    let answer = taken(Signal::Logs, Encoding::Protobuf, 3, "too large");
    let partial = ExportLogsServiceResponse::decode(answer.as_slice()).unwrap().partial_success.unwrap();
    assert_eq!((partial.rejected_log_records, partial.error_message.as_str()), (3, "too large"));
    assert!(taken(Signal::Logs, Encoding::Protobuf, 0, "").is_empty());
    assert_eq!(taken(Signal::Traces, Encoding::Json, 0, ""), b"{\"partialSuccess\":{}}");
    assert_eq!(refused(Encoding::Json, 3, "no", None), b"{\"code\":3,\"message\":\"no\"}");
    assert_eq!(refused(Encoding::Protobuf, 3, "no", None), b"\x08\x03\x12\x02no");
}
