//! Errors as an SDK reports them: an envelope with one event of 20 kB.

use serde_json::{Value, json};

/// What stands in the text for what each event has of its own.
const ID: &str = "{id}";
const USER: &str = "{user}";
const TIME: &str = "{time}";

/// Envelopes that differ in id, user and time.
pub(crate) struct Envelopes {
    event: String,
}

impl Envelopes {
    pub(crate) fn new() -> Self {
        Self { event: event().to_string() }
    }

    /// The envelope of a number. Different numbers have different ids.
    pub(crate) fn of(&self, number: u64) -> String {
        let id = format!("{:016x}{number:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let time = (1_767_225_600.5 + number as f64 / 100.0).to_string();
        let event = self.event.replace(ID, &id).replace(USER, &(number % 5000).to_string());
        let event = event.replace(&format!("\"{TIME}\""), &time);
        let head = json!({ "event_id": id, "sent_at": "2026-01-01T00:00:00Z" });
        let item = json!({ "type": "event", "content_type": "application/json", "length": event.len() });
        format!("{head}\n{item}\n{event}\n")
    }
}

/// What a web framework's integration sends: a chain of two, frames with their lines and variables, breadcrumbs.
fn event() -> Value {
    json!({
        "event_id": ID, "timestamp": TIME, "platform": "python", "level": "error", "release": "shop@4.2.1",
        "environment": "production", "server_name": "web-3", "transaction": "/checkout/{order}",
        "logger": "shop.checkout",
        "sdk": { "name": "sentry.python.django", "version": "2.75.0", "integrations": ["django", "logging", "stdlib"] },
        "user": { "id": USER, "username": "a.person", "ip_address": "203.0.113.9" },
        "tags": { "region": "eu-west-1", "tier": "gold" },
        "request": {
            "method": "POST", "url": "https://shop.example/checkout/1734", "query_string": "step=3&coupon=SPRING",
            "headers": { "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
                "Accept": "application/json", "Referer": "https://shop.example/cart" },
            "data": { "step": 3, "items": [{ "sku": "A-17", "n": 2 }, { "sku": "B-4", "n": 1 }] },
        },
        "contexts": { "trace": { "trace_id": "771a43a4192642f0b136d5159a501700", "span_id": "a1b2c3d4e5f60718", "op": "http.server" },
            "runtime": { "name": "CPython", "version": "3.12.4" } },
        "exception": { "values": [
            { "type": "KeyError", "value": "'currency'", "module": "builtins", "stacktrace": { "frames": frames(6) } },
            { "type": "CheckoutError", "value": "no price for order 1734", "module": "shop.errors",
                "mechanism": { "type": "django", "handled": false }, "stacktrace": { "frames": frames(8) } },
        ] },
        "breadcrumbs": { "values": (0..30).map(|number| json!({
            "type": "default", "category": "query", "level": "info", "timestamp": 1_767_225_590.0 + f64::from(number),
            "message": format!("SELECT id, name, price FROM product WHERE id = {number} AND tenant = %s"),
        })).collect::<Vec<_>>() },
        "modules": { "django": "5.1.15", "celery": "5.5.0", "requests": "2.33.0" },
    })
}

fn frames(count: u32) -> Vec<Value> {
    let line = |number: u32| format!("    value = self.price_of(item, currency=order.currency)  # {number}");
    let frame = |number: u32| {
        json!({
            "filename": format!("shop/checkout/step_{number}.py"), "abs_path": format!("/srv/shop/shop/checkout/step_{number}.py"),
            "function": format!("price_step_{number}"), "module": format!("shop.checkout.step_{number}"), "lineno": 40 + number, "in_app": number > 3,
            "pre_context": (0..5).map(line).collect::<Vec<_>>(), "context_line": line(9), "post_context": (5..10).map(line).collect::<Vec<_>>(),
            "vars": { "order": "<Order: 1734>", "item": "<Item: A-17>", "total": "Decimal('19.50')", "self": "<shop.checkout.Checkout object>" },
        })
    };
    (0..count).map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_about_20_kilobytes_and_an_id_of_its_own() {
        let envelopes = Envelopes::new();
        let made = [0, 1, 5001].map(|number| envelopes.of(number));
        for (envelope, number) in made.iter().zip([0, 1, 5001_u64]) {
            let lines: Vec<Value> = envelope.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert!((18_000..22_000).contains(&envelope.len()), "{}", envelope.len());
            assert_eq!(lines[1]["length"], envelope.lines().nth(2).unwrap().len());
            assert_eq!(
                (&lines[0]["event_id"], &lines[2]["user"]["id"]),
                (&lines[2]["event_id"], &json!((number % 5000).to_string()))
            );
            assert!(lines[2]["timestamp"].is_number());
        }
        assert_ne!(made[0].lines().next(), made[1].lines().next());
    }
}
