//! The Elasticsearch door on the wire: what its clients look at.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::server::{Server, ask, client, until};

/// The door, as a client without a token on this machine uses it.
struct Door<'a>(&'a Server);

/// A status and a body.
type Told = (u16, Value);

async fn told(request: RequestBuilder) -> Told {
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["x-elastic-product"], "Elasticsearch", "clients refuse an answer without it");
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
    if status >= 400 && !body["error"].is_null() {
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(body["error"]["root_cause"][0]["type"], body["error"]["type"], "{body}");
    }
    (status, body)
}

impl Door<'_> {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.0.request(method, &format!("/es{path}")).header("content-type", "application/json")
    }

    async fn get(&self, path: &str) -> Told {
        told(self.request(Method::GET, path)).await
    }

    async fn send(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Told {
        told(self.request(method, path).body(body)).await
    }

    async fn bulk(&self, path: &str, body: &str) -> Value {
        let (status, answer) = self.send(Method::POST, path, body.to_owned()).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn source(&self, path: &str) -> Value {
        let (status, found) = self.get(path).await;
        assert_eq!((status, &found["found"]), (200, &json!(true)), "{found}");
        found["_source"].clone()
    }
}

/// The statuses of the items of an answer.
fn statuses(answer: &Value) -> Vec<u64> {
    let items = answer["items"].as_array().unwrap();
    items.iter().map(|item| item.as_object().unwrap().values().next().unwrap()["status"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake() {
    let server = Server::start().await;
    let door = Door(&server);
    for path in ["", "/"] {
        let (status, info) = door.get(path).await;
        assert_eq!((status, &info["tagline"]), (200, &json!("You Know, for Search")));
        assert!(info["version"]["number"].as_str().unwrap().starts_with("8."));
        assert_eq!(info, door.get(path).await.1, "the cluster stays the same");
    }
    let nine = "application/vnd.elasticsearch+json; compatible-with=9";
    let response = door.request(Method::GET, "/").header("accept", nine).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/vnd.elasticsearch+json;compatible-with=9");
    assert_eq!(door.send(Method::HEAD, "/", "").await.0, 200);
    assert_eq!(door.get("/_cluster/health?wait_for_status=yellow").await.1["status"], "green");
    assert_eq!(door.get("/_license").await.1["license"]["type"], "basic");
    assert_eq!(door.send(Method::HEAD, "/_index_template/logs", "").await.0, 404);
    assert_eq!(door.send(Method::PUT, "/_index_template/logs", "{}").await.1, json!({ "acknowledged": true }));
    let (status, refused) = door.get("/_no_such_thing").await;
    assert_eq!((status, &refused["error"]["type"]), (400, &json!("illegal_argument_exception")));
    assert_eq!(door.send(Method::PATCH, "/", "").await.0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_bulk_are_answered_one_by_one_in_order() {
    let server = Server::start().await;
    let door = Door(&server);
    let body = concat!(
        "{\"index\":{\"_index\":\"web\",\"_id\":\"1\"}}\n{\"n\":1}\n",
        "{\"create\":{\"_index\":\"other\",\"_id\":\"1\"}}\n{\"n\":2}\n\n",
        "{\"index\":{\"_index\":\"web\",\"pipeline\":null},\"attempts\":0}\n{\"n\":\"three\"}\n",
        "{\"delete\":{\"_index\":\"web\",\"_id\":\"1\"}}\n",
        "{\"update\":{\"_index\":\"web\",\"_id\":\"1\"}}\n{\"doc\":{\"n\":9}}\n",
        "{\"index\":{\"_index\":\"web\"}}\n{\"n\":\n",
        "{\"index\":{\"_index\":\"no/name\"}}\n{\"n\":5}\n",
        "nonsense\n",
        "{\"index\":{\"_index\":\"web\",\"_id\":\"1\"}}\n{\"n\":\"again\"}\n",
        "{\"create\":{\"_index\":\"web\",\"_id\":\"1\"}}\n{\"n\":\"again\"}\n",
        "{\"index\":{\"_index\":\"web\",\"_id\":\"é\"}}\n{\"n\":7}",
    );
    let answer = door.bulk("/_bulk?refresh=wait_for&timeout=1m", body).await;
    assert_eq!(statuses(&answer), [201, 201, 201, 400, 400, 400, 400, 400, 200, 409, 201]);
    assert_eq!(answer["errors"], true);
    let items = answer["items"].as_array().unwrap();
    assert_eq!(items[0]["index"]["result"], "created");
    assert_eq!(items[1]["create"]["_index"], "other");
    assert_eq!(items[6]["index"]["error"]["type"], "invalid_index_name_exception");
    assert_eq!(items[8]["index"]["result"], "noop");
    assert_eq!(items[9]["create"]["error"]["type"], "version_conflict_engine_exception");
    let numbers: Vec<&Value> = [0, 2, 10].iter().map(|at| &items[*at]["index"]["_seq_no"]).collect();
    assert!(numbers.is_sorted_by(|one, other| one.as_u64() < other.as_u64()), "{numbers:?}");
    assert_eq!(door.source("/web/_doc/1").await["n"], 1, "nothing was overwritten or removed");
    assert_eq!(door.source("/web/_doc/%C3%A9").await["n"], 7);
    // What each of them became can be asked as anything else.
    let events = server.get("/api/v1/logs/web/events?_sort=n").await.expect(200);
    assert_eq!(events.as_array().unwrap().len(), 3);
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("everlog_events_refused_total{log=\"web\",reason=\"conflict\"} 2\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_sent_again_is_stored_once() {
    let server = Server::start().await;
    let door = Door(&server);
    let body: String = (0..100).map(|n| format!("{{\"index\":{{\"_id\":\"id {n}\"}}}}\n{{\"n\":{n}}}\n")).collect();
    assert!(statuses(&door.bulk("/once/_bulk", &body).await).iter().all(|status| *status == 201));
    server.flush().await;
    let answer = door.bulk("/once/_bulk/", &body).await;
    assert_eq!(answer["errors"], false, "whoever repeats is told that all is well");
    assert!(statuses(&answer).iter().all(|status| *status == 200));
    let (_, told) = door.get("/_cat/indices/once?format=json").await;
    assert_eq!(told[0]["docs.count"], "100");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_nobody_can_mend_are_kept() {
    let server = Server::start().await;
    let door = Door(&server);
    let deep = format!("{}1{}", "{\"a\":".repeat(400), "}".repeat(400));
    let many: String = (0..2000).map(|n| format!("\"k{n}\":{n},")).collect();
    let lines = [
        "{\"x\":1}",
        "{\"x\":\"7\"}",
        "{\"x\":{\"y\":2}}",
        "{\"x\":[1,\"a\",null]}",
        "{\"x\":1.5}",
        "{\"x\":null}",
        "{\"\":1,\".\":2,\"a..b\":3,\"_id\":4,\"_source\":5,\" \":6}",
        "{\"a.b\":1,\"a\":{\"b\":2}}",
        "{\"x\":1,\"x\":2}",
        &deep,
        &format!("{{{many}\"end\":true}}"),
        "{\"n\":123456789012345678901234567890}",
    ];
    let body: String = lines.iter().map(|line| format!("{{\"index\":{{}}}}\n{line}\n")).collect();
    let answer = door.bulk("/odd/_bulk", &body).await;
    assert_eq!(answer["errors"], false, "{answer}");
    for (item, line) in answer["items"].as_array().unwrap().iter().zip(lines) {
        let id = item["index"]["_id"].as_str().unwrap();
        let mut source = door.source(&format!("/odd/_doc/{id}")).await;
        assert!(source["@timestamp"].is_string(), "{source}");
        source.as_object_mut().unwrap().remove("@timestamp");
        let sent = if line == deep { json!({ "document": deep }) } else { serde_json::from_str(line).unwrap() };
        assert_eq!(source, sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_comes_back_as_it_was_sent() {
    let server = Server::start().await;
    let door = Door(&server);
    let sent = [
        json!({ "@timestamp": "2026-11-20T16:02:14.525123456Z", "timestamp": "soon", "id": 5, "level": "WARN" }),
        json!({ "@timestamp": 1_763_654_534_525_i64, "user": { "id": 7 }, "msg": "héllo", "status": "404", "received": 1 }),
        json!({ "@timestamp": "2026-11-20T16:02:14Z", "level": 30, "user": "system", "stream": "INFO", "event": null }),
        json!({ "@timestamp": "2026-11-20T16:02:14Z", "exception": "Traceback\nKeyError: 'x'", "severity": "error" }),
        json!({ "@timestamp": "2026-11-20T16:02:14Z", "timestamp": "2026-11-20T16:02:14.000000Z", "id": "d4" }),
        json!({ "@timestamp": "2026-11-20T16:02:14Z", "client": { "ip": "203.0.113.9" }, "user_agent": { "original": "curl/8.5.0" } }),
    ];
    for (n, document) in sent.iter().enumerate() {
        let (status, _) = door.send(Method::PUT, &format!("/same/_doc/d{n}"), document.to_string()).await;
        assert_eq!(status, 201);
    }
    for flushed in [false, true] {
        if flushed {
            server.flush().await;
        }
        for (n, document) in sent.iter().enumerate() {
            assert_eq!(&door.source(&format!("/same/_doc/d{n}")).await, document);
        }
    }
    // Beside it stands what is the same for all doors.
    let warned = server.get("/api/v1/logs/same/events?level=warning").await.expect(200);
    assert_eq!(warned[0]["id"], 5, "as it was sent");
    let events = server.get("/api/v1/logs/same/events?user=7&status=404").await.expect(200);
    assert_eq!(events[0]["timestamp"], "2025-11-20T16:02:14.525000Z");
    let bots = server.get("/api/v1/logs/same/events?client.kind=bot").await.expect(200);
    assert_eq!(bots[0]["client"], json!({ "ip": "203.0.113.9", "kind": "bot", "name": "curl 8" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn single_documents() {
    let server = Server::start().await;
    let door = Door(&server);
    let (status, made) = door.send(Method::POST, "/shop/_doc", r#"{"n":1}"#).await;
    assert_eq!((status, &made["result"]), (201, &json!("created")));
    let id = made["_id"].as_str().unwrap();
    assert_eq!(door.source(&format!("/shop/_doc/{id}/")).await["n"], 1);
    let odd = "/shop/_create/a%2Fb%20%C3%A9";
    assert_eq!(door.send(Method::PUT, odd, r#"{"n":2}"#).await.0, 201);
    let (status, refused) = door.send(Method::PUT, odd, r#"{"n":3}"#).await;
    assert_eq!((status, &refused["error"]["type"]), (409, &json!("version_conflict_engine_exception")));
    let (status, again) = door.send(Method::PUT, "/shop/_doc/a%2Fb%20%C3%A9", r#"{"n":3}"#).await;
    assert_eq!((status, &again["result"]), (200, &json!("noop")));
    assert_eq!(door.source("/shop/_doc/a%2Fb%20%C3%A9").await["n"], 2);
    assert_eq!(door.get("/shop/_source/a%2Fb%20%C3%A9").await.1["n"], 2);
    assert_eq!(door.send(Method::HEAD, "/shop/_doc/nope", "").await.0, 404);
    let (status, missing) = door.get("/shop/_doc/nope").await;
    assert_eq!((status, missing), (404, json!({ "_index": "shop", "_id": "nope", "found": false })));
    let (status, refused) = door.get("/nowhere/_doc/1").await;
    assert_eq!((status, &refused["error"]["type"]), (404, &json!("index_not_found_exception")));
    for (method, path) in [(Method::DELETE, format!("/shop/_doc/{id}")), (Method::POST, format!("/shop/_update/{id}"))]
    {
        assert_eq!(door.send(method, &path, r#"{"doc":{}}"#).await.0, 405);
    }
    let wanted = json!({ "docs": [{ "_index": "shop", "_id": "a/b é" }, { "_index": "shop", "_id": "x" }, { "_index": "no", "_id": "1" }] });
    let (_, many) = door.send(Method::POST, "/_mget", wanted.to_string()).await;
    assert_eq!(many["docs"][0]["_source"]["n"], 2);
    assert_eq!(many["docs"][1]["found"], false);
    assert_eq!(many["docs"][2]["error"]["type"], "index_not_found_exception");
    let (_, many) = door.send(Method::POST, "/shop/_mget", json!({ "ids": [id, "a/b é"] }).to_string()).await;
    assert_eq!(many["docs"].as_array().unwrap().iter().map(|one| &one["found"]).collect::<Vec<_>>(), [true, true]);
    for (body, status) in [("", 400), ("[1]", 400), ("{", 400)] {
        assert_eq!(door.send(Method::POST, "/shop/_doc", body).await.0, status, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn indices() {
    let server = Server::start().await;
    let door = Door(&server);
    assert_eq!(door.send(Method::HEAD, "/web-1", "").await.0, 404);
    assert_eq!(door.send(Method::PUT, "/web-1", "").await.1["index"], "web-1");
    let (status, refused) = door.send(Method::PUT, "/web-1", r#"{"mappings":{}}"#).await;
    assert_eq!((status, &refused["error"]["type"]), (400, &json!("resource_already_exists_exception")));
    assert_eq!(door.send(Method::HEAD, "/web-1", "").await.0, 200);
    assert_eq!(door.send(Method::PUT, "/No%20Name", "").await.1["error"]["type"], "invalid_index_name_exception");
    door.bulk("/web-1/_bulk", "{\"index\":{}}\n{\"s\":\"a\",\"n\":1,\"f\":1.5,\"b\":true,\"o\":{\"s\":\"x\"}}\n").await;
    let (_, mapping) = door.get("/web-*/_mapping").await;
    let properties = &mapping["web-1"]["mappings"]["properties"];
    let kinds = ["s", "n", "f", "b", "@timestamp"].map(|name| properties[name]["type"].as_str().unwrap());
    assert_eq!(kinds, ["text", "long", "double", "boolean", "date"]);
    assert_eq!(properties["o"]["properties"]["s"]["fields"]["keyword"]["type"], "keyword");
    assert!(properties["_added"].is_null(), "{properties}");
    let (_, caps) = door.send(Method::POST, "/web-1/_field_caps", r#"{"fields":"*"}"#).await;
    assert_eq!(caps["fields"]["n"]["long"]["aggregatable"], true);
    assert_eq!(caps["fields"]["s.keyword"]["keyword"]["type"], "keyword");
    let (_, all) = door.get("/*").await;
    assert!(all["web-1"]["settings"]["index"]["uuid"].is_string() && all["default"].is_object(), "{all}");
    for path in ["/web-1/_refresh", "/_all/_refresh", "/_refresh", "/web-1/_flush"] {
        assert_eq!(door.send(Method::POST, path, "").await.1["_shards"]["failed"], 0);
    }
    assert_eq!(door.get("/_all/_refresh").await.0, 200);
    let (_, text) = door.get("/_cat/indices/web*?v").await;
    assert!(text.as_str().unwrap().starts_with("health status index"), "{text}");
    let (_, rows) = door.get("/_cat/indices?format=json&h=index,docs.count").await;
    assert!(rows.as_array().unwrap().contains(&json!({ "index": "web-1", "docs.count": "1" })), "{rows}");
    assert_eq!(door.get("/nope/_mapping").await.0, 404);
    assert_eq!(door.get("/nope*/_mapping").await.1, json!({}));
    assert_eq!(door.get("/nope,web-1/_mapping?ignore_unavailable=true").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_what_they_allow() {
    let server = Server::start_with(&[("EVERLOG_REQUIRE_TOKEN", "true")]).await;
    let door = Door(&server);
    let make = async |scopes: Value, logs: Value| {
        let made = server.as_admin(Method::POST, "/api/v1/tokens", &json!({ "scopes": scopes, "logs": logs })).await;
        made.expect(201)["token"].as_str().unwrap().to_owned()
    };
    let (write, read) = (make(json!(["write"]), json!(["web"])).await, make(json!(["read"]), json!(["web"])).await);
    assert_eq!(door.get("/").await.0, 200, "who asks for the version finds a server of Elasticsearch");
    let (status, refused) = door.get("/_cat/indices").await;
    assert_eq!((status, &refused["error"]["type"]), (401, &json!("security_exception")));
    let body =
        "{\"index\":{\"_index\":\"web\",\"_id\":\"1\"}}\n{\"n\":1}\n{\"index\":{\"_index\":\"other\"}}\n{\"n\":2}\n";
    let bulk = |token: &str| {
        door.request(Method::POST, "/_bulk").header("authorization", format!("ApiKey {token}")).body(body)
    };
    assert_eq!(told(bulk("nonsense")).await.0, 401);
    assert_eq!(told(bulk(&read)).await.0, 403);
    let (status, answer) = told(bulk(&write)).await;
    assert_eq!((status, statuses(&answer)), (200, vec![201, 403]));
    let by =
        |token: &str, method: Method, path: &str| told(door.request(method, path).basic_auth("elastic", Some(token)));
    assert_eq!(by(&write, Method::GET, "/web/_doc/1").await.0, 403);
    assert_eq!(by(&read, Method::GET, "/web/_doc/1").await.0, 200);
    assert_eq!(by(&read, Method::GET, "/other/_doc/1").await.0, 403, "not even whether it exists");
    assert_eq!(by(&read, Method::GET, "/_all/_mapping").await.1.as_object().unwrap().len(), 1);
    for token in [&write, &read] {
        for path in ["/web", "/web/_doc/1", "/_all", "/*"] {
            let status = by(token, Method::DELETE, path).await.0;
            assert!(matches!(status, 403 | 405), "{path}: {status}");
        }
    }
    assert_eq!(by(&read, Method::GET, "/web/_doc/1").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_its_own() {
    let server = Server::start().await;
    let answer = server.get("/_cluster/health").await;
    assert_eq!(answer.status, 404, "the root of the main address is Everlog's own");
    drop(server);
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let server = Server::start_with(&[("EVERLOG_LISTEN_ELASTICSEARCH", &address)]).await;
    let url = format!("http://{address}");
    let info = until("the listener", async || client().get(&url).send().await.ok()).await;
    assert_eq!(info.headers()["x-elastic-product"], "Elasticsearch");
    let body = "{\"index\":{\"_index\":\"own\",\"_id\":\"1\"}}\n{\"n\":1}\n";
    assert_eq!(told(client().put(format!("{url}/_bulk")).body(body)).await.0, 200);
    assert_eq!(told(client().get(format!("{url}/own/_doc/1"))).await.1["_source"]["n"], 1);
    assert_eq!(ask(client().get(format!("{url}/healthz"))).await.status, 404, "and nothing else is there");
    assert_eq!(server.get("/api/v1/logs/own/events").await.expect(200).as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_removed_by_an_administrator_and_stays_so() {
    let mut server = Server::start().await;
    let delete = async |server: &Server, path: &str| {
        told(server.request(Method::DELETE, &format!("/es{path}")).bearer_auth(server.admin_token())).await
    };
    let body: String =
        (0..50).map(|n| format!("{{\"index\":{{\"_id\":\"{n}\"}}}}\n{{\"n\":{n},\"word\":\"vanishing\"}}\n")).collect();
    Door(&server).bulk("/gone/_bulk", &body).await;
    server.flush().await;
    Door(&server).bulk("/gone/_bulk", &body.replace("_id\":\"", "_id\":\"later ")).await;
    Door(&server).bulk("/kept/_bulk", &body).await;
    for path in ["/gone*", "/_all", "/*", "/default"] {
        assert_eq!(delete(&server, path).await.0, 400, "{path}");
    }
    assert_eq!(delete(&server, "/nope").await.0, 404);
    assert_eq!(Door(&server).send(Method::DELETE, "/gone", "").await.0, 403, "who is only on this machine is no admin");
    assert_eq!(delete(&server, "/gone").await, (200, json!({ "acknowledged": true })));
    assert_eq!(delete(&server, "/gone").await.0, 404);
    for round in 0..2 {
        if round == 1 {
            server.kill9();
            server.restart().await;
        }
        assert_eq!(Door(&server).get("/gone/_doc/1").await.0, 404);
        assert_eq!(Door(&server).get("/kept/_doc/1").await.0, 200);
        let told = server.events("stream=AUDIT&event=log_removed").await;
        assert_eq!((told.len(), &told[0]["object_id"], &told[0]["events"]), (1, &json!("gone"), &json!(100)));
    }
    // Nothing of it is under the name again, and ids that were there are new.
    let answer = Door(&server).bulk("/gone/_bulk", &body).await;
    assert!(statuses(&answer).iter().all(|status| *status == 201));
    let (_, rows) = Door(&server).get("/_cat/indices/gone?format=json").await;
    assert_eq!(rows[0]["docs.count"], "50");
    server.stop().await;
    server.restart().await;
    assert_eq!(Door(&server).get("/gone/_doc/later%201").await.0, 404);
    assert_eq!(Door(&server).get("/gone/_doc/1").await.0, 200);
}
