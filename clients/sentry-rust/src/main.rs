//! A message, an error with a cause, a panic, a transaction with a span, logs and an attachment.

mod setup; // the snippet of the page

use std::error::Error;
use std::fmt;

use sentry::protocol::{Attachment, Context, User};

#[derive(Debug)]
struct StockError(std::num::ParseIntError);

impl fmt::Display for StockError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("no stock: 日本")
    }
}

impl Error for StockError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn reserve() -> Result<i32, StockError> {
    "grün".parse().map_err(StockError)
}

fn main() {
    let guard = setup::sentry();
    sentry::configure_scope(|scope| {
        scope.set_user(Some(User {
            id: Some("7".into()),
            username: Some("bob".into()),
            email: Some("bob@example.com".into()),
            ip_address: Some("203.0.113.9".parse().unwrap()),
            ..User::default()
        }));
        scope.set_tag("plan", "pro");
        scope.set_tag("request_id", "req-rust-1");
        let order = [("total".to_owned(), 9.75.into()), ("big".to_owned(), (1_u64 << 60).into())];
        scope.set_context("order", Context::Other(order.into_iter().collect()));
    });
    sentry::add_breadcrumb(sentry::Breadcrumb {
        category: Some("cart".into()),
        message: Some("opened cart für Zoë".into()),
        ..sentry::Breadcrumb::default()
    });
    sentry::capture_message("cart is odd", sentry::Level::Warning);
    if let Err(error) = reserve() {
        sentry::capture_error(&error);
    }
    sentry::with_scope(
        |scope| {
            let buffer = (0..=255).collect();
            scope.add_attachment(Attachment { buffer, filename: "cart.bin".into(), ..Attachment::default() });
        },
        || sentry::capture_message("with a file", sentry::Level::Info),
    );
    sentry::logger_warn!(cart = "a1", n = 3, total = 9.75, vip = true, "cart has {} lines", 3);
    let transaction = sentry::start_transaction(sentry::TransactionContext::new("nightly", "task"));
    transaction.start_child("db.query", "select stock").finish();
    transaction.finish();
    let _ = std::thread::spawn(|| panic!("the shelf fell: 7")).join();
    drop(guard);
}
