//! What the name of a key says about its value: a secret, an address, a person, or nothing.
//!
//! A name is judged within the place it stands in, from the outside in, so that a path of a batch, a key of nested JSON
//! and an argument of a query string come to the same verdict.

use std::borrow::Cow;

use super::{Level, Redact};

/// What kind of value stands at a place, which decides what is looked for in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Free text.
    Text,
    /// An id that is made of digits as often as not: no card number is looked for.
    Opaque,
    /// A request or what tells of one: its body and its arguments are an address like its URL.
    Request,
    /// A URL, a path, a query string, a header or a field of a form.
    Address,
    /// Who somebody is.
    Identity,
    /// The address of a machine, which is often that of a person.
    Ip,
    /// A telephone number.
    Phone,
    /// What is known of a token.
    Token,
    /// Cookies by their names.
    Cookies,
}

/// A rule for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule<'r> {
    /// Its name in the mark.
    pub(super) name: &'r str,
    /// Whether the owner of the log named the key: then whatever stands there goes, `null` and `true` too.
    pub(super) own: bool,
}

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged<'r> {
    /// The value goes whole.
    Secret(Rule<'r>),
    /// The value goes, unless it is an object, whose keys are judged.
    SecretLeaf(Rule<'r>, Place),
    /// An object of this kind; anything else is what its surroundings are.
    Inside(Place),
    /// The value is of this kind.
    In(Place),
}

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict<'r> {
    Secret(Rule<'r>),
    Look(Place),
}

impl<'r> Judged<'r> {
    /// The verdict, once it is known whether the value is an object with keys of its own.
    pub(super) fn resolve(self, parent: Place, is_object: bool) -> Verdict<'r> {
        match self {
            Self::Secret(rule) => Verdict::Secret(rule),
            Self::SecretLeaf(rule, _) if !is_object => Verdict::Secret(rule),
            Self::SecretLeaf(_, place) => Verdict::Look(place),
            Self::Inside(place) if is_object => Verdict::Look(place),
            Self::Inside(_) => Verdict::Look(inherited(parent)),
            Self::In(place) => Verdict::Look(place),
        }
    }
}

/// Longest name that is folded without memory of its own, in bytes.
const SHORT_BYTES_MAX: usize = 64;

/// What becomes of each byte of a name that is folded: 0 for those that are left out.
const FOLDED: [u8; 128] = {
    let mut folded = [0; 128];
    let mut byte = 0_u8;
    while byte < 128 {
        folded[byte as usize] = if matches!(byte, b'-' | b'_') { 0 } else { byte.to_ascii_lowercase() };
        byte += 1;
    }
    folded
};

/// The same as [`fold`], put into `room` when the name is short and plain, as nearly all are.
fn fold_into<'n>(name: &str, room: &'n mut [u8; SHORT_BYTES_MAX]) -> Cow<'n, str> {
    let mut length = 0;
    for byte in name.bytes() {
        let (Some(folded), Some(place)) = (FOLDED.get(usize::from(byte)), room.get_mut(length)) else {
            return Cow::Owned(fold(name));
        };
        *place = *folded;
        length += usize::from(!matches!(byte, b'-' | b'_'));
    }
    match std::str::from_utf8(&room[..length]) {
        Ok(folded) => Cow::Borrowed(folded),
        Err(_) => Cow::Owned(fold(name)),
    }
}

/// Lower case, without hyphens and underscores.
pub(super) fn fold(name: &str) -> String {
    name.chars().filter(|character| !matches!(character, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// What a key without a meaning of its own inherits.
fn inherited(parent: Place) -> Place {
    match parent {
        Place::Address | Place::Identity => parent,
        _ => Place::Text,
    }
}

impl Redact {
    /// Judges the name of a key. One that is a path itself, `user.card` or `user[card]`, is judged part by part.
    pub(super) fn judge(&self, parent: Place, name: &str) -> Judged<'_> {
        if !name.bytes().any(|byte| matches!(byte, b'.' | b'[' | b']')) {
            return self.judge_part(parent, name);
        }
        if !self.own.is_empty()
            && let Some(rule) = self.own_rule(&fold(name))
        {
            return Judged::Secret(rule);
        }
        let mut parts = name.split(['.', '[', ']']).filter(|part| !part.is_empty()).peekable();
        let mut place = parent;
        while let Some(part) = parts.next() {
            let judged = self.judge_part(place, part);
            if parts.peek().is_none() {
                return judged;
            }
            match judged.resolve(place, true) {
                Verdict::Secret(rule) => return Judged::Secret(rule),
                Verdict::Look(below) => place = below,
            }
        }
        Judged::In(inherited(parent))
    }

    fn own_rule(&self, folded: &str) -> Option<Rule<'_>> {
        if self.own.is_empty() {
            return None;
        }
        self.own.get(folded).map(|name| Rule { name, own: true })
    }

    fn judge_part(&self, parent: Place, name: &str) -> Judged<'_> {
        let mut room = [0; SHORT_BYTES_MAX];
        let folded = &*fold_into(name, &mut room);
        if let Some(rule) = self.own_rule(folded) {
            return Judged::Secret(rule);
        }
        if self.level == Level::Off {
            return Judged::In(Place::Text);
        }
        let secret = |name| Rule { name, own: false };
        match parent {
            Place::Token if !is_harmless_of_token(folded) => return Judged::Secret(secret("token")),
            Place::Token => return Judged::In(Place::Text),
            Place::Cookies => return Judged::Secret(secret("cookie")),
            _ => {}
        }
        match folded {
            "token" | "authtoken" => return Judged::SecretLeaf(secret("token"), Place::Token),
            "auth" | "authentication" => return Judged::SecretLeaf(secret("auth"), Place::Text),
            "cookies" => return Judged::SecretLeaf(secret("cookie"), Place::Cookies),
            _ => {}
        }
        if let Some(name) = secret_name(folded) {
            return Judged::Secret(secret(name));
        }
        if self.level == Level::Strict
            && let Some(judged) = judge_person(parent, folded)
        {
            return judged;
        }
        judge_address(parent, folded)
    }

    /// Whether a key alone makes its value a secret, and by which rule.
    pub(super) fn secret(&self, name: &str) -> Option<Rule<'_>> {
        match self.judge(Place::Text, name) {
            Judged::Secret(rule) | Judged::SecretLeaf(rule, _) => Some(rule),
            _ => None,
        }
    }
}

/// The rule for a name under which applications send secrets.
fn secret_name(folded: &str) -> Option<&'static str> {
    let exact = match folded {
        "pwd" | "pw" | "passphrase" => "password",
        "clientsecret" => "client_secret",
        "secret" | "signingkey" | "encryptionkey" => "secret",
        "privatekey" | "sshkey" | "rsaprivatekey" => "private_key",
        "csrf" | "xsrf" | "csrfmiddlewaretoken" => "csrf_token",
        "cookie" | "setcookie" | "sessioncookie" | "phpsessid" | "jsessionid" | "connectsid" => "cookie",
        "credentials" | "credential" | "jwt" | "bearer" | "accesstokens" | "refreshtokens" => "credentials",
        "xsentryauth" | "httpauth" | "basicauth" | "xforwardedauth" => "authorization",
        "sentrykey" | "sentrysecret" | "ikey" | "instrumentationkey" | "xamzsignature" | "accesskey" => "api_key",
        "cvv" | "cvv2" | "cvc" | "cvc2" | "cardsecuritycode" => "card_code",
        "cardnumber" | "ccnumber" | "creditcard" | "creditcardnumber" => "card",
        "nexttoken" | "pagetoken" | "nextpagetoken" | "continuationtoken" | "synctoken" | "cancellationtoken"
        | "idempotencytoken" => return None,
        _ => "",
    };
    match () {
        () if !exact.is_empty() => Some(exact),
        () if folded.as_bytes().contains(&b'w') && (folded.contains("password") || folded.contains("passwd")) => {
            let of_one = |end: &&str| folded.ends_with(*end);
            let about = ["changed", "changedat", "resetat", "expires", "expiresat", "length", "attempts", "count"];
            let further =
                ["strength", "policy", "updatedat", "lastchanged", "required", "enabled", "hint", "validators"];
            (!about.iter().chain(&further).any(of_one)).then_some("password")
        }
        () if folded.ends_with("authorization") => Some("authorization"),
        () if folded.ends_with("csrftoken") || folded.ends_with("xsrftoken") => Some("csrf_token"),
        () if folded.ends_with("token") => Some("token"),
        () if ["secret", "secretkey", "secretaccesskey"].iter().any(|end| folded.ends_with(end)) => Some("secret"),
        () if folded.ends_with("apikey") => Some("api_key"),
        () if folded.ends_with("privatekey") => Some("private_key"),
        () => None,
    }
}

/// What tells of a token without being it: `token.identifier` says who called.
fn is_harmless_of_token(folded: &str) -> bool {
    matches!(
        folded,
        "identifier" | "application" | "id" | "pk" | "uuid" | "name" | "label" | "type" | "kind" | "scope" | "scopes"
    ) || matches!(folded, "count" | "length" | "limit" | "used" | "usage" | "total" | "prompt" | "completion" | "input")
        || matches!(folded, "output" | "user" | "username" | "userid" | "valid" | "active" | "alg" | "algorithm")
        || ["expires", "expiry", "issued", "created", "updated", "exp", "iat"]
            .iter()
            .any(|start| folded.starts_with(start))
}

/// Who somebody is, for the level `strict`.
fn judge_person(parent: Place, folded: &str) -> Option<Judged<'static>> {
    Some(Judged::In(match folded {
        "ip" | "ipaddress" | "ipaddr" | "clientip" | "remoteip" | "remoteaddr" | "userip" | "xforwardedfor" => {
            Place::Ip
        }
        "xrealip" | "cfconnectingip" | "trueclientip" => Place::Ip,
        "remoteaddress" | "sourceipaddress" | "calleripaddress" => Place::Ip,
        "phone" | "phonenumber" | "mobile" | "mobilenumber" | "telephone" | "tel" => Place::Phone,
        "useragent" if parent == Place::Identity => Place::Address,
        "user" | "userid" | "username" | "person" | "personid" | "enduser" | "actor" | "actorid" | "login" => {
            Place::Identity
        }
        "usr" | "remoteuser" | "userauthenticatedid" | "useraccountid" => Place::Identity,
        "email" | "emailaddress" | "useremail" | "mail" | "uid" | "cid" | "clientid" | "userpseudoid" => {
            Place::Identity
        }
        // A header is looked through; `url` under a person is a URL of his.
        _ if parent == Place::Identity => Place::Identity,
        _ => return None,
    }))
}

/// URLs, paths, query strings, headers and forms.
fn judge_address(parent: Place, folded: &str) -> Judged<'static> {
    let in_request = parent == Place::Request;
    Judged::In(match folded {
        "request" | "req" | "http" => Place::Request,
        "traceid" | "spanid" | "requestid" | "correlationid" | "parentid" | "parentspanid" | "eventid" => Place::Opaque,
        "path" | "query" | "querystring" | "target" | "referer" | "referrer" | "requestline" | "requestpath" => {
            Place::Address
        }
        "fullpath" | "useragent" | "dl" | "dr" | "pagelocation" | "pagereferrer" | "form" | "header" => Place::Address,
        "args" => return Judged::Inside(Place::Address),
        "data" | "body" | "json" | "params" | "get" | "post" | "payload" | "files" if in_request => Place::Address,
        _ if ["url", "uri", "href", "headers", "querystring"].iter().any(|end| folded.ends_with(end)) => Place::Address,
        _ => inherited(parent),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::{Key, Settings};
    use crate::vocabulary::Shared;

    fn rules(level: Level) -> Redact {
        Redact::new(&Settings { level: Some(level), ..Settings::default() }, Level::Standard, Some(&Key::new([7; 32])))
            .unwrap()
    }

    #[test]
    fn names_of_secrets() {
        let rules = rules(Level::Standard);
        let secret = |name: &str| rules.secret(name).map(|rule| rule.name);
        for name in ["password", "PassWd", "new_password", "db.password", "user[password]", "DB_PASSWORD", "pwd"] {
            assert_eq!(secret(name), Some("password"), "{name}");
        }
        for name in ["sessionToken", "X-Auth-Token", "token", "access_token", "auth.token.value"] {
            assert_eq!(secret(name), Some("token"), "{name}");
        }
        for (name, rule) in [
            ("Authorization", "authorization"),
            ("http.request.header.proxy-authorization", "authorization"),
            ("Set-Cookie", "cookie"),
            ("cookies.theme", "cookie"),
            ("api-key", "api_key"),
            ("X-Api-Key", "api_key"),
            ("client-secret", "client_secret"),
            ("csrfmiddlewaretoken", "csrf_token"),
            ("auth", "auth"),
            ("awsSecretAccessKey", "secret"),
        ] {
            assert_eq!(secret(name), Some(rule), "{name}");
        }
        for name in [
            "pass",
            "tokens",
            "secretary",
            "keyword",
            "token.identifier",
            "token_identifier",
            "token_application",
            "prompt_tokens",
            "gen_ai.usage.input_tokens",
            "nextPageToken",
            "password_changed_at",
            "auth.method",
            "author",
            "session",
            "key",
            "monkey",
        ] {
            assert_eq!(secret(name), None, "{name}");
        }
    }

    #[test]
    fn places() {
        let place = |level: Level, path: &str| match rules(level).judge(Place::Text, path).resolve(Place::Text, false) {
            Verdict::Look(place) => place,
            Verdict::Secret(rule) => panic!("{path}: {rule:?}"),
        };
        for path in
            ["url", "path", "request.url", "request.headers.From", "http.target", "url.query", "req.query.email"]
        {
            assert_eq!(place(Level::Standard, path), Place::Address, "{path}");
        }
        for path in ["request.data.email", "args.email", "azure.data.baseData.url", "Referer", "http.request.header.x"]
        {
            assert_eq!(place(Level::Standard, path), Place::Address, "{path}");
        }
        for path in ["user", "user.email", "message", "person.email", "args", "data.email", "email", "ip"] {
            assert_eq!(place(Level::Standard, path), Place::Text, "{path}");
        }
        for path in ["user", "user.email", "sentry.user.name", "user_id", "person.id", "enduser.id", "email"] {
            assert_eq!(place(Level::Strict, path), Place::Identity, "{path}");
        }
        for path in crate::vocabulary::names(Shared::User) {
            assert_eq!(place(Level::Strict, path), Place::Identity, "{path}");
        }
        assert_eq!(place(Level::Strict, "user.ip_address"), Place::Ip);
        assert_eq!(place(Level::Strict, "user_agent"), Place::Address);
        assert_eq!(place(Level::Strict, "message"), Place::Text);
    }
}
