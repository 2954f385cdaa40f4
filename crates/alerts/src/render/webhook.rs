//! The generic webhook: the notice itself as JSON, in a shape that only grows. Signed with [`crate::sign`].

use serde_json::{Value, json};

use crate::notice::Notice;

/// The body of the POST: `{"event_name": "new_issue", "notice": {…}}`. Texts are as they came; whoever shows them escapes them.
#[must_use]
pub fn webhook(notice: &Notice) -> Value {
    let name = notice.trigger.on().name();
    json!({
        "event_name": if notice.resolved { format!("{name}_resolved") } else { name.to_owned() },
        "headline": notice.headline(),
        "notice": notice,
    })
}
