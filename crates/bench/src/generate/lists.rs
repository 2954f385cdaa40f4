//! What the made-up API is made of: its streams, paths, people and devices, each list with the commonest first.
//!
//! Kept in lines by hand: one entry a line would hide the whole.
#![cfg_attr(rustfmt, rustfmt::skip)]

/// A stream with its level, its share in a thousand events, and the names of its events, commonest first.
pub(super) struct Stream {
    pub(super) name: &'static str,
    pub(super) level: &'static str,
    pub(super) share: u32,
    pub(super) events: &'static [&'static str],
}

pub(super) const ERROR: usize = 4;
pub(super) const AUDIT: usize = 6;

pub(super) const STREAMS: [Stream; 7] = [
    Stream { name: "INFO", level: "info", share: 700, events: &[
        "request_received", "request_answered", "cart_changed", "cache_read", "cache_filled", "product_viewed", "search_answered",
        "order_placed", "stock_reserved", "price_computed", "invoice_rendered", "mail_handed_over", "webhook_delivered", "page_built",
        "upload_stored", "download_served", "task_queued", "task_done", "push_sent", "report_ready"] },
    Stream { name: "LOGIN", level: "info", share: 50, events: &[
        "login_succeeded", "logout", "login_failed", "token_renewed", "second_factor_asked", "second_factor_given", "password_changed"] },
    Stream { name: "DEBUG", level: "debug", share: 100, events: &[
        "statement_run", "pool_borrowed", "pool_returned", "template_compiled", "header_parsed", "flag_evaluated", "lock_taken"] },
    Stream { name: "WARN", level: "warning", share: 70, events: &[
        "statement_slow", "quota_near", "retry_planned", "old_client_seen", "queue_long", "disk_nearly_full", "input_refused", "clock_skewed"] },
    Stream { name: "ERROR", level: "error", share: 30, events: &[
        "api.handled_exception", "api.uncaught_exception", "upstream.failed", "database.unreachable", "task_failed", "payment_failed",
        "mail_bounced", "webhook_rejected"] },
    Stream { name: "SECURITY ALERT", level: "critical", share: 5, events: &[
        "password_guessing", "address_blocked", "forged_token", "permission_refused"] },
    Stream { name: "AUDIT", level: "notice", share: 45, events: &[
        "object_created", "object_updated", "object_deleted", "role_given", "role_taken", "setting_changed"] },
];

pub(super) const LOGGER_AREAS: [&str; 8] = ["shop.orders", "shop.catalogue", "shop.payments", "accounts", "search", "media", "tasks", "gateway"];
pub(super) const LOGGER_PARTS: [&str; 5] = ["views", "service", "storage", "client", "policy"];
pub(super) const RESOURCES: [&str; 25] = [
    "orders", "products", "users", "carts", "invoices", "payments", "refunds", "parcels", "returns", "reviews", "prices", "stocks", "suppliers",
    "coupons", "wishlists", "addresses", "devices", "messages", "images", "documents", "branches", "shifts", "vouchers", "labels", "tours",
];
/// Paths are a resource in one of these forms: `{}` stands for the resource, `#` for an id.
pub(super) const PATH_FORMS: [&str; 12] = [
    "/api/v1/{}", "/api/v1/{}/#", "/api/v1/{}/#/lines", "/api/v1/{}/#/lines/#", "/api/v1/{}/find", "/api/v1/{}/#/notes", "/api/v2/{}",
    "/api/v2/{}/#", "/api/v2/{}/#/state", "/api/v2/{}/many", "/api/v2/{}/#/files/#", "/office/{}/#/edit",
];
pub(super) const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
pub(super) const METHOD_SHARES: [u32; 5] = [62, 23, 7, 4, 4];
pub(super) const STATUSES: [u64; 16] = [200, 201, 204, 301, 302, 304, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503];
pub(super) const STATUS_SHARES: [u32; 16] = [7000, 800, 500, 100, 200, 200, 300, 200, 100, 350, 50, 80, 50, 40, 15, 15];
pub(super) const STATUS_SHARES_OF_ERRORS: [u32; 16] = [0, 0, 0, 0, 0, 0, 15, 0, 0, 10, 5, 0, 0, 40, 15, 15];
pub(super) const AGENTS: [&str; 10] = [
    "ShopApp/7.3.1", "ShopApp/7.2.0", "ShopKiosk/2.0", "Mozilla/5.0 Firefox/141.0", "Mozilla/5.0 Chrome/139.0.0.0", "Mozilla/5.0 Safari/618.2",
    "python-requests/2.32.5", "okhttp/5.1.0", "curl/8.15.0", "Go-http-client/2.0",
];
pub(super) const PLATFORMS: [&str; 4] = [" (Linux x86_64)", " (Android 16)", " (Windows)", ""];
pub(super) const GIVEN_NAMES: [&str; 40] = [
    "ada", "bela", "chitra", "dilip", "edda", "farid", "gita", "hector", "ines", "jonas", "kamala", "lars", "meera", "nikhil", "oona", "pavel", "qadir",
    "ravi", "selma", "tariq", "uma", "viktor", "wanja", "ximena", "yusuf", "zita", "arun", "berta", "cyrus", "divya", "elif", "goran", "henk", "ilse",
    "juma", "katya", "lata", "marek", "nadia", "omar",
];
pub(super) const MAIL_HOSTS: [&str; 8] =
    ["example.com", "example.net", "example.org", "mail.example", "north.example", "post.example", "school.test", "office.test"];
pub(super) const OBJECT_TYPES: [&str; 10] = ["order", "product", "user", "invoice", "payment", "refund", "parcel", "coupon", "document", "role"];
