//! Answers of more than one page: each page names the next one in its `Link` header.

use reqwest::header::HeaderMap;

use super::client::{ANSWER_TIMEOUT, Client, Failure, log_path, percent};
use super::output::{WrongUsage, note};

/// How often a page is asked for.
const ATTEMPTS_MAX: u32 = 5;

/// The query string of a question, being built.
#[derive(Clone, Default, Debug)]
pub(super) struct Question(String);

impl Question {
    pub(super) fn with(mut self, key: &str, value: &str) -> Self {
        self.push(&format!("{}={}", percent(key), percent(value)));
        self
    }

    pub(super) fn with_some(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds a condition of the URL grammar, such as `status>=500` or `path`.
    pub(super) fn with_condition(mut self, condition: &str) -> anyhow::Result<Self> {
        if condition.is_empty() {
            return Err(WrongUsage("--filter: expected a condition such as 'status>=500'".to_owned()).into());
        }
        match condition.split_once('=') {
            Some((key, value)) => self = self.with(key, value),
            None => self.push(&percent(condition)),
        }
        Ok(self)
    }

    fn push(&mut self, part: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(part);
    }

    /// The path that asks it at a door that is no log's.
    pub(super) fn below(&self, path: &str) -> String {
        format!("{path}?{}", self.0)
    }

    /// The path that asks it at one of the doors of a log.
    pub(super) fn path(&self, log: &str, door: &str) -> String {
        format!("{}?{}", log_path(log, door), self.0)
    }
}

/// The pages of one answer, each a text of lines.
pub(super) struct Pages<'a> {
    client: &'a Client,
    next: Option<String>,
    /// How many events were found in all, as soon as the first page told it.
    pub(super) total: Option<u64>,
    /// What the server said beside an answer without events.
    pub(super) hint: Option<String>,
    /// What is missing in the answer, in the words of the server; it is told once.
    pub(super) warning: Option<String>,
}

impl<'a> Pages<'a> {
    pub(super) fn new(client: &'a Client, path: String) -> Self {
        Self { client, next: Some(path), total: None, hint: None, warning: None }
    }

    /// Whom it asks.
    pub(super) fn client(&self) -> &'a Client {
        self.client
    }

    /// The next page, whole; none after the last. A page that breaks off is asked for again.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(path) = self.next.take() else { return Ok(None) };
        let mut attempt = 1;
        loop {
            let error = match self.page(&path).await {
                Ok(body) => return Ok(Some(body)),
                Err(error) => error,
            };
            let wait = error.downcast_ref::<Failure>().and_then(Failure::wait);
            // What fails at the very first request will hardly be better in a second.
            let Some(wait) = wait.filter(|_| self.total.is_some() && attempt < ATTEMPTS_MAX) else { return Err(error) };
            tokio::time::sleep(wait * attempt).await;
            attempt += 1;
        }
    }

    async fn page(&mut self, path: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.client.send(self.client.get(path)?.timeout(ANSWER_TIMEOUT)).await?;
        let next = next_link(answer.headers()).filter(|next| next != path);
        let total = answer.headers().get("x-total-count").and_then(|value| value.to_str().ok()?.parse().ok());
        self.hint = answer.headers().get("x-everlog-hint").and_then(|value| Some(value.to_str().ok()?.to_owned()));
        let warning = answer.headers().get("x-everlog-warning").and_then(|value| value.to_str().ok());
        if let (Some(warning), None) = (warning, &self.warning) {
            note(&format!("warning: {warning}"));
            self.warning = Some(warning.to_owned());
        }
        let body = answer.bytes().await.map_err(|error| self.client.unreachable(&error))?;
        self.total = self.total.or(total);
        self.next = next;
        Ok(body.into())
    }
}

/// The lines of a page.
pub(super) fn lines(page: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    page.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn next_link(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all("link").iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|value| value.split(", <")).find_map(|link| {
        let (target, parameters) = link.trim_start_matches('<').split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| matches!(parameter.trim(), r#"rel="next""# | "rel=next"));
        is_next.then(|| target.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_reach_the_server_as_they_were_typed() {
        let check = |condition: &str| Question::default().with_condition(condition).unwrap().0;
        assert_eq!(check("status>=500"), "status%3E=500");
        assert_eq!(check("status>500"), "status%3E500");
        assert_eq!(check("path~=a b&c"), "path~=a%20b%26c");
        assert_eq!(check("user.id!"), "user.id%21");
        let question = Question::default().with("_q", "a:b").with_some("_from", None).with("_limit", "5");
        assert_eq!(question.path("my log", "/events"), "/api/v1/logs/my%20log/events?_q=a%3Ab&_limit=5");
    }

    #[test]
    fn the_next_page() {
        let check = |link: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("link", link.parse().unwrap());
            next_link(&headers)
        };
        assert_eq!(
            check(r#"</api/v1/logs/a/events?_cursor=x>; rel="next""#).as_deref(),
            Some("/api/v1/logs/a/events?_cursor=x")
        );
        assert_eq!(check(r#"</a>; rel="prev", </b?c=d,e>; rel="next""#).as_deref(), Some("/b?c=d,e"));
        assert_eq!(check(r#"</a>; rel="prev""#), None);
    }
}
