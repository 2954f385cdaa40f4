//! Whether an event tells of a login, and how it went.

/// What an event says of a login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// The name of the event.
    pub event: Option<&'a str>,
    /// Its stream.
    pub stream: Option<&'a str>,
    /// Its level.
    pub level: Option<&'a str>,
    /// The method of the request.
    pub method: Option<&'a str>,
    /// Its path.
    pub path: Option<&'a str>,
    /// The status of the answer.
    pub status: Option<i64>,
}

/// How a login went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Refused.
    Failed,
    /// Somebody is in.
    Succeeded,
}

/// Longest name of an event that is looked at, in bytes.
const EVENT_BYTES_MAX: usize = 64;

/// How names of events end that tell of a failure, without what stands between words.
const FAILED: [&str; 15] = [
    "loginfailed",
    "loginfailure",
    "loginerror",
    "loginfail",
    "failedlogin",
    "logindenied",
    "loginrejected",
    "authenticationfailed",
    "authenticationfailure",
    "authfailed",
    "authfailure",
    "signinfailed",
    "invalidcredentials",
    "invalidpassword",
    "wrongpassword",
];

/// How they end that tell of a success.
const SUCCEEDED: [&str; 10] = [
    "loginsucceeded",
    "loginsuccess",
    "loginsuccessful",
    "successfullogin",
    "userloggedin",
    "authenticationsucceeded",
    "authenticationsuccess",
    "authsucceeded",
    "signinsucceeded",
    "usersignedin",
];

/// Names that tell of a login in the stream LOGIN, where the level says how it went.
const LOGIN: [&str; 7] = ["login", "userlogin", "signin", "loggedin", "signedin", "authentication", "auth"];

/// Last segments of paths at which one logs in.
const PATHS: [&str; 16] = [
    "login",
    "log-in",
    "log_in",
    "logon",
    "signin",
    "sign-in",
    "sign_in",
    "authenticate",
    "auth",
    "session",
    "sessions",
    "token",
    "token-auth",
    "obtain_token",
    "wp-login.php",
    "login.php",
];

impl Outcome {
    /// Its name, as an event has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Succeeded => "succeeded",
        }
    }
}

impl Attempt<'_> {
    /// How the login went; `None` when the event tells of none. A name says it (`user_login_failed`), the level of an event
    /// `login` of the stream LOGIN, or a status 401 or 403 where one logs in.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.by_name().or_else(|| self.by_status())
    }

    /// Whether an event of this name may tell of a login.
    pub(super) fn may_be_named(event: &str) -> bool {
        Attempt { event: Some(event), stream: Some("LOGIN"), ..Attempt::default() }.by_name().is_some()
    }

    fn by_name(&self) -> Option<Outcome> {
        let event = self.event?.as_bytes();
        let is_likely = event.len() <= EVENT_BYTES_MAX
            && event.iter().any(|byte| matches!(byte, b'g' | b'G' | b'u' | b'U' | b'p' | b'i'));
        if !is_likely {
            return None;
        }
        let mut room = [0; EVENT_BYTES_MAX];
        let mut length = 0;
        for byte in event.iter().filter(|byte| byte.is_ascii_alphanumeric()) {
            room[length] = byte.to_ascii_lowercase();
            length += 1;
        }
        let folded = &room[..length];
        // Most differ in the last letter already.
        let end = |name: &str| name.as_bytes().last() == folded.last() && folded.ends_with(name.as_bytes());
        let ends = |names: &[&str]| names.iter().any(|name| end(name));
        if ends(&FAILED) {
            return Some(Outcome::Failed);
        }
        if ends(&SUCCEEDED) {
            return Some(Outcome::Succeeded);
        }
        let is_login = self.stream == Some("LOGIN") && LOGIN.iter().any(|name| folded == name.as_bytes());
        let is_bad = matches!(self.level, Some("warning" | "error" | "critical"));
        is_login.then_some(if is_bad { Outcome::Failed } else { Outcome::Succeeded })
    }

    fn by_status(&self) -> Option<Outcome> {
        if !matches!(self.status, Some(401 | 403)) || matches!(self.method, Some("GET" | "HEAD" | "OPTIONS")) {
            return None;
        }
        let path = self.path?.split(['?', '#']).next()?.trim_end_matches('/');
        let last = path.rsplit('/').next()?;
        PATHS.iter().any(|known| last.eq_ignore_ascii_case(known)).then_some(Outcome::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes() {
        let check = |attempt: Attempt<'_>, expected: Option<Outcome>| {
            assert_eq!(attempt.outcome(), expected, "{attempt:?}");
        };
        let event = |event| Attempt { event: Some(event), ..Attempt::default() };
        for name in [
            "login_failed",
            "user_login_failed",
            "authentication_failed",
            "auth.login-failed",
            "LoginFailed",
            "User login failed",
            "invalid_credentials",
            "account.authentication_failure",
        ] {
            check(event(name), Some(Outcome::Failed));
        }
        for name in ["login_succeeded", "user_logged_in", "LoginSuccess", "Login successful"] {
            check(event(name), Some(Outcome::Succeeded));
        }
        for name in [
            "",
            "login",
            "logout",
            "login_page_viewed",
            "payment_failed",
            "author_failed_upload",
            "request",
            "login_failed_login_failed_login_failed_login_failed_login_failed_login_failed",
        ] {
            check(event(name), None);
        }
        let login = |level| Attempt { stream: Some("LOGIN"), level: Some(level), ..event("login") };
        check(login("notice"), Some(Outcome::Succeeded));
        check(login("warning"), Some(Outcome::Failed));
        check(Attempt { event: Some("logout"), ..login("warning") }, None);
        let post = |path, status| Attempt {
            method: Some("POST"),
            path: Some(path),
            status: Some(status),
            ..Attempt::default()
        };
        for path in
            ["/login", "/Login/", "/api/v1/auth/login?next=/", "/oauth/token", "/accounts/sign_in", "/wp-login.php"]
        {
            check(post(path, 401), Some(Outcome::Failed));
            check(post(path, 403), Some(Outcome::Failed));
            check(post(path, 200), None);
            check(Attempt { method: Some("GET"), ..post(path, 401) }, None);
        }
        check(post("/logins/7", 401), None);
        check(post("/", 401), None);
    }
}
