//! What each kind of channel shows.

use alerts::render::{discord, email, slack, teams, telegram, webhook};
use alerts::{Notice, Trigger};

use crate::{at, crash, kept};

/// As JSON, each object of a list on a line of its own.
fn pretty(value: &serde_json::Value) -> String {
    value.to_string().replace("},{", "},\n{").replace(":[{", ":[\n{")
}

#[test]
fn slack_shows_a_crash() {
    insta::assert_snapshot!(pretty(&slack(&crash())), @r##"
    {"text":"[production] New issue: attempt to divide by zero (shop)","mrkdwn":false,"link_names":false,"unfurl_links":false,"unfurl_media":false,"blocks":[
    {"type":"header","text":{"type":"plain_text","text":"New issue: attempt to divide by zero","emoji":false}},
    {"type":"section","fields":[
    {"type":"plain_text","text":"Environment\nproduction","emoji":false},
    {"type":"plain_text","text":"Log\nshop","emoji":false},
    {"type":"plain_text","text":"Level\nerror","emoji":false},
    {"type":"plain_text","text":"Request\nGET /checkout?email=[REDACTED:email]&amp;step=3","emoji":false},
    {"type":"plain_text","text":"Occurrences\n1","emoji":false},
    {"type":"plain_text","text":"Users\n1","emoji":false},
    {"type":"plain_text","text":"Release\n1.1","emoji":false},
    {"type":"plain_text","text":"Suspected deploy\n1.1 by ann","emoji":false},
    {"type":"plain_text","text":"Browser\nFirefox 128","emoji":false},
    {"type":"plain_text","text":"User\n7","emoji":false}]},
    {"type":"section","fields":[
    {"type":"plain_text","text":"Time\n2026-01-02 03:04:05 UTC","emoji":false}]},
    {"type":"section","text":{"type":"mrkdwn","text":"```thread 'main' panicked:\n  attempt to divide by zero```","verbatim":true}},
    {"type":"section","text":{"type":"mrkdwn","text":"Before it\n```03:04:01 POST /login 200\n03:04:03 POST /cart 200```","verbatim":true}},
    {"type":"section","text":{"type":"mrkdwn","text":"<https://everlog.example.com/issues/42|Open in Everlog>","verbatim":true}}]}
    "##);
}

#[test]
fn a_mail_shows_a_crash() {
    let mail = email(&crash());
    insta::assert_snapshot!(mail.subject, @"[production] New issue: attempt to divide by zero (shop)");
    insta::assert_snapshot!(mail.text, @r##"
    New issue

        attempt to divide by zero

    Environment: production
    Log: shop
    Level: error
    Request: GET /checkout?email=[REDACTED:email]&step=3
    Occurrences: 1
    Users: 1
    Release: 1.1
    Suspected deploy: 1.1 by ann
    Browser: Firefox 128
    User: 7
    Time: 2026-01-02 03:04:05 UTC

    Message:
        thread 'main' panicked:
          attempt to divide by zero

    Before it:
        03:04:01 POST /login 200
        03:04:03 POST /cart 200

    https://everlog.example.com/issues/42
    "##);
    insta::assert_snapshot!(mail.html, @r##"
    <!doctype html>
    <html><body style="margin:0;padding:24px;font:14px/1.5 sans-serif;color:#222">
    <p style="margin:0;color:#c0392b;font-weight:bold">New issue</p>
    <h1 style="margin:4px 0 16px;font-size:18px">attempt to divide by zero</h1>
    <table style="border-collapse:collapse">
    <tr><td style="padding:2px 16px 2px 0;color:#666">Environment</td><td>production</td></tr>
    <tr><td style="padding:2px 16px 2px 0;color:#666">Log</td><td>shop</td></tr>
    <tr><td style="padding:2px 16px 2px 0;color:#666">Level</td><td>error</td></tr>
    <tr><td style="padding:2px 16px 2px 0;color:#666">Request</td><td>GET /checkout?email=[REDACTED:email]&amp;step=3</td></tr>
    <tr><td style="padding:2px 16px 2px 0;color:#666">Occurrences</td><td>1</td></tr>
    <tr><td style="padding:2px 16px 2px 0;color:#666">Users</td><td>1</td></tr>
    <tr><td style="padding:2px 16px 2px 0;color:#666">Release</td><td>1.1</td></tr>
    <tr><td style="padding:2px 16px 2px 0;color:#666">Suspected deploy</td><td>1.1 by ann</td></tr>
    <tr><td style="padding:2px 16px 2px 0;color:#666">Browser</td><td>Firefox 128</td></tr>
    <tr><td style="padding:2px 16px 2px 0;color:#666">User</td><td>7</td></tr>
    <tr><td style="padding:2px 16px 2px 0;color:#666">Time</td><td>2026-01-02 03:04:05 UTC</td></tr>
    </table>
    <p style="margin:16px 0 4px;color:#666">Message</p>
    <pre style="margin:0;padding:12px;background:#f5f5f5;white-space:pre-wrap;font:12px/1.5 monospace">thread &#39;main&#39; panicked:
      attempt to divide by zero</pre>
    <p style="margin:16px 0 4px;color:#666">Before it</p>
    <pre style="margin:0;padding:12px;background:#f5f5f5;white-space:pre-wrap;font:12px/1.5 monospace">03:04:01 POST /login 200
    03:04:03 POST /cart 200</pre>
    <p style="margin:16px 0"><a href="https://everlog.example.com/issues/42">Open in Everlog</a></p>
    </body></html>
    "##);
}

#[test]
fn teams_shows_a_crash() {
    insta::assert_snapshot!(pretty(&teams(&crash())), @r##"
    {"type":"message","summary":"[production] New issue: attempt to divide by zero (shop)","attachments":[
    {"contentType":"application/vnd.microsoft.card.adaptive","contentUrl":null,"content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","type":"AdaptiveCard","version":"1.4","msteams":{"width":"Full"},"body":[
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"New issue","weight":"bolder","color":"attention"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"attempt to divide by zero","size":"large","weight":"bolder"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"Environment: ","isSubtle":true},
    {"type":"TextRun","text":"production"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"Log: ","isSubtle":true},
    {"type":"TextRun","text":"shop"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"Level: ","isSubtle":true},
    {"type":"TextRun","text":"error"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"Request: ","isSubtle":true},
    {"type":"TextRun","text":"GET /checkout?email=[REDACTED:email]&step=3"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"Occurrences: ","isSubtle":true},
    {"type":"TextRun","text":"1"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"Users: ","isSubtle":true},
    {"type":"TextRun","text":"1"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"Release: ","isSubtle":true},
    {"type":"TextRun","text":"1.1"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"Suspected deploy: ","isSubtle":true},
    {"type":"TextRun","text":"1.1 by ann"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"Browser: ","isSubtle":true},
    {"type":"TextRun","text":"Firefox 128"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"User: ","isSubtle":true},
    {"type":"TextRun","text":"7"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"Time: ","isSubtle":true},
    {"type":"TextRun","text":"2026-01-02 03:04:05 UTC"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"Message","isSubtle":true}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"thread 'main' panicked:\n  attempt to divide by zero","fontType":"monospace"}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"Before it","isSubtle":true}]},
    {"type":"RichTextBlock","inlines":[
    {"type":"TextRun","text":"03:04:01 POST /login 200\n03:04:03 POST /cart 200","fontType":"monospace"}]}],"actions":[
    {"type":"Action.OpenUrl","title":"Open in Everlog","url":"https://everlog.example.com/issues/42"}]}}]}
    "##);
}

#[test]
fn discord_shows_a_crash() {
    insta::assert_snapshot!(pretty(&discord(&crash())), @r##"
    {"content":"\\[production\\] New issue\\: attempt to divide by zero \\(shop\\)","allowed_mentions":{"parse":[]},"embeds":[
    {"title":"New issue\\: attempt to divide by zero","description":"```\nthread 'main' panicked:\n  attempt to divide by zero\n```\nBefore it\n```\n03:04:01 POST /login 200\n03:04:03 POST /cart 200\n```","color":12597547,"timestamp":"2026-01-02T03:04:05.000000Z","fields":[
    {"name":"Environment","value":"production","inline":true},
    {"name":"Log","value":"shop","inline":true},
    {"name":"Level","value":"error","inline":true},
    {"name":"Request","value":"GET /checkout?email=\\[REDACTED\\:email\\]\\&step=3","inline":false},
    {"name":"Occurrences","value":"1","inline":true},
    {"name":"Users","value":"1","inline":true},
    {"name":"Release","value":"1.1","inline":true},
    {"name":"Suspected deploy","value":"1.1 by ann","inline":true},
    {"name":"Browser","value":"Firefox 128","inline":true},
    {"name":"User","value":"7","inline":true},
    {"name":"Time","value":"2026\\-01\\-02 03\\:04\\:05 UTC","inline":true}],"url":"https://everlog.example.com/issues/42"}]}
    "##);
}

#[test]
fn telegram_shows_a_crash() {
    insta::assert_snapshot!(pretty(&telegram(&crash(), "-100123")), @r##"{"chat_id":"-100123","text":"<b>New issue</b>\n<code>attempt to divide by zero</code>\n\nEnvironment: <code>production</code>\nLog: <code>shop</code>\nLevel: <code>error</code>\nRequest: <code>GET /checkout?email=[REDACTED:email]&amp;step=3</code>\nOccurrences: <code>1</code>\nUsers: <code>1</code>\nRelease: <code>1.1</code>\nSuspected deploy: <code>1.1 by ann</code>\nBrowser: <code>Firefox 128</code>\nUser: <code>7</code>\nTime: <code>2026-01-02 03:04:05 UTC</code>\n\nMessage\n<code>thread &#39;main&#39; panicked:</code>\n<code>  attempt to divide by zero</code>\n\nBefore it\n<code>03:04:01 POST /login 200</code>\n<code>03:04:03 POST /cart 200</code>\n\n<a href=\"https://everlog.example.com/issues/42\">Open in Everlog</a>","parse_mode":"HTML","link_preview_options":{"is_disabled":true}}"##);
}

#[test]
fn a_webhook_gets_everything() {
    insta::assert_snapshot!(pretty(&webhook(&crash())), @r##"
    {"event_name":"new_issue","headline":"[production] New issue: attempt to divide by zero (shop)","notice":{"id":"2fe5f36f5cd2da34278093547f66fc00","rule":"new_issue","trigger":"new_issue","resolved":false,"title":"attempt to divide by zero","log":"shop","environment":"production","level":"error","issue":"42","occurrences":1,"users":1,"release":"1.1","suspect_deploy":"1.1 by ann","method":"GET","path":"/checkout?email=[REDACTED:email]&step=3","message":"thread 'main' panicked:\n  attempt to divide by zero","link":"https://everlog.example.com/issues/42","first_seen":"2026-01-02T03:04:05.000000Z","last_seen":"2026-01-02T03:04:05.000000Z","facts":[
    {"label":"Browser","value":"Firefox 128"},
    {"label":"User","value":"7"}],"trail":["03:04:01 POST /login 200","03:04:03 POST /cart 200"],"held":0,"time":"2026-01-02T03:04:05.000000Z"}}
    "##);
    assert_eq!(kept(&crash()), crash());
}

#[test]
fn every_channel_has_title_environment_path_and_link() {
    let mail = email(&crash());
    let (telegram, webhook) = (telegram(&crash(), "1").to_string(), webhook(&crash()).to_string());
    let shown = [slack(&crash()).to_string(), mail.text, mail.html, teams(&crash()).to_string(), telegram, webhook];
    for text in shown {
        for wanted in ["attempt to divide by zero", "production", "/checkout", "https://everlog.example.com/issues/42"]
        {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }
}

#[test]
fn what_happened_is_said_in_a_few_words() {
    let check = |trigger: Trigger, resolved: bool, expected: &str| {
        let notice = Notice { resolved, ..Notice::new("mine", trigger, at(0)) };
        assert_eq!(notice.headline(), expected);
        assert_eq!(kept(&notice), notice);
    };
    check(Trigger::NewIssue, false, "New issue");
    check(Trigger::Regression, false, "Regression: it is back");
    check(Trigger::Reached(10_000), false, "10,000 occurrences");
    check(Trigger::Spike { count: 1200, usual: 10, window_seconds: 300 }, false, "Spike: 1,200 in 5m, usually 10");
    check(Trigger::Silence { seconds: 925 }, false, "Silence for 15m");
    check(Trigger::Silence { seconds: 925 }, true, "Over: Silence for 15m");
    check(Trigger::Security { count: 50 }, false, "Security: 50 times");
    check(Trigger::DiskFull { days: 0 }, false, "Disk full within a day");
    check(Trigger::DiskFull { days: 5 }, false, "Disk full in 5 days");
    check(Trigger::DeliveryFailing { seconds: 90 }, false, "Delivery failing for 1m30s");
    let threshold = Trigger::Threshold { value: 12.0, limit: "10 or more".to_owned(), window_seconds: 300 };
    check(threshold, false, "12 in 5m (limit: 10 or more)");
    check(Trigger::Digest { count: 1 }, false, "1 notice was held back");
    assert_eq!(Notice::test("ops", at(0)).headline(), "Test: this channel works: sent to ops to try it");
}
