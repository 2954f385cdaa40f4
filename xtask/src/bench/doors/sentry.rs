//! Errors as an SDK reports them: an envelope with one event of 20 kB.

use bench::Batches;
use serde_json::{Value, json};

/// So many envelopes, each with an id of its own.
pub(super) fn envelopes(count: u64) -> Batches {
    let mut bodies = Batches::default();
    let mut event = event();
    for number in 0..count {
        let id = format!("{:016x}{number:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        event["event_id"] = json!(id);
        event["user"]["id"] = json!((number % 5000).to_string());
        event["timestamp"] = json!(1_767_225_600.5 + number as f64 / 100.0);
        let payload = event.to_string();
        let head = json!({ "event_id": id, "sent_at": "2026-01-01T00:00:00Z" });
        let item = json!({ "type": "event", "content_type": "application/json", "length": payload.len() });
        bodies.push(format!("{head}\n{item}\n{payload}\n").as_bytes(), 1);
    }
    bodies
}

/// What a web framework's integration sends: a chain of two, frames with their lines and variables, breadcrumbs.
fn event() -> Value {
    json!({
        "event_id": "", "timestamp": 0, "platform": "python", "level": "error", "release": "shop@4.2.1",
        "environment": "production", "server_name": "web-3", "transaction": "/checkout/{order}",
        "logger": "shop.checkout",
        "sdk": { "name": "sentry.python.django", "version": "2.75.0", "integrations": ["django", "logging", "stdlib"] },
        "user": { "id": "", "username": "a.person", "ip_address": "203.0.113.9" },
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
    use super::{envelopes, event};

    #[test]
    fn an_error_has_about_20_kilobytes() {
        let bytes = event().to_string().len();
        assert!((18_000..22_000).contains(&bytes), "{bytes}");
        assert_eq!(envelopes(3).bodies().count(), 3);
    }
}
