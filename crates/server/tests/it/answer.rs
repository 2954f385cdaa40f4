//! What the server answered.

use axum::http::HeaderMap;
use serde_json::Value;

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn read(response: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { status, headers, body: response.bytes().await?.to_vec() })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The answer as JSON, which must have this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }

    /// The answer as problem details of this status and kind, which must have every member that a client may rely on.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!((self.status, self.header("content-type")), (status, "application/problem+json"), "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:everlog:problem:{kind}"), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["instance"], format!("urn:request:{}", self.header("x-request-id")));
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        problem
    }

    /// Checks a receipt: so many accepted, so many of them there before, nothing refused.
    #[track_caller]
    pub(crate) fn accepted(&self, accepted: usize, duplicates: usize) {
        let receipt = self.expect(200);
        let counts = (receipt["accepted"].as_u64(), receipt["duplicates"].as_u64());
        assert_eq!(counts, (Some(accepted as u64), Some(duplicates as u64)), "{receipt}");
        assert_eq!(receipt["refused"], Value::Array(Vec::new()));
    }

    /// The path of the next page, from the header `Link`.
    pub(crate) fn next(&self) -> Option<String> {
        let link = self.headers.get("link")?.to_str().unwrap();
        let (path, relation) = link.split_once(';').unwrap();
        assert_eq!(relation.trim(), "rel=\"next\"");
        Some(path.trim_matches(['<', '>']).to_owned())
    }
}
