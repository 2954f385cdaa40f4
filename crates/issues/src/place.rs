//! Where a function is: the part of a path that stays the same from deploy to deploy, and whose code it is.

/// Folders that say nothing about what is in them, so that the same file is found with them and without.
const PLAIN_FOLDERS: [&str; 40] = [
    "app",
    "src",
    "lib",
    "dist",
    "build",
    "out",
    "code",
    "workspace",
    "srv",
    "opt",
    "home",
    "usr",
    "var",
    "www",
    "html",
    "task",
    "current",
    "releases",
    "release",
    "public",
    "static",
    "js",
    "assets",
    "_next",
    "chunks",
    "target",
    "main",
    "java",
    "kotlin",
    "site-packages",
    "dist-packages",
    "node_modules",
    "bin",
    "tmp",
    "root",
    "server",
    "repo",
    "esm",
    "cjs",
    "local",
];

/// Files that stand for their folder.
const STANDING_FOR_FOLDER: [&str; 3] = ["__init__", "index", "mod"];

/// Endings of files that say how they were made.
const ENDINGS: [&str; 26] = [
    "py",
    "pyc",
    "js",
    "mjs",
    "cjs",
    "jsx",
    "ts",
    "tsx",
    "mts",
    "vue",
    "svelte",
    "rb",
    "php",
    "phtml",
    "erb",
    "go",
    "java",
    "kt",
    "cs",
    "min",
    "bundle",
    "chunk",
    "esm",
    "prod",
    "development",
    "production",
];

/// The last two parts of a path, as `orders/views` of `/srv/shop/releases/20240501/orders/views.py`, and whether a
/// build put a hash into the name. A module `shop.orders.views` gives the same.
pub(crate) fn of_file(file: &str) -> (String, bool) {
    let file = file.split(['?', '#']).next().unwrap_or(file);
    let file = file.split_once("://").map_or(file, |(_, rest)| rest);
    let mut segments = file.rsplit(['/', '\\']).filter(|segment| !segment.is_empty() && *segment != ".");
    let (stem, has_hash) = stem(segments.next().unwrap_or(""));
    let parent = segments.next().unwrap_or("");
    if STANDING_FOR_FOLDER.contains(&stem.as_str()) {
        let grandparent = segments.next().unwrap_or("");
        let of_folder = if is_plain(parent) { String::new() } else { parent.to_owned() };
        if stem == "__init__" {
            return (joined(grandparent, &of_folder), has_hash);
        }
        return (joined(&of_folder, &stem), has_hash);
    }
    (joined(parent, &stem), has_hash)
}

/// The same of a module with dots.
pub(crate) fn of_module(module: &str) -> String {
    let mut segments = module.rsplit(['.', '/', ':']);
    let stem = segments.next().unwrap_or("");
    joined(segments.next().unwrap_or(""), stem)
}

fn joined(parent: &str, stem: &str) -> String {
    if is_plain(parent) || stem.is_empty() {
        return stem.to_owned();
    }
    format!("{parent}/{stem}")
}

/// Whether a folder is no part of a name: a usual one, a number, a hash, a version, a host.
fn is_plain(folder: &str) -> bool {
    folder.is_empty()
        || folder.starts_with('@')
        || folder.bytes().any(|byte| matches!(byte, b':' | b'.'))
        || PLAIN_FOLDERS.contains(&folder)
        || is_hash(folder)
        || folder.bytes().all(|byte| byte.is_ascii_digit())
}

/// A name of a file without ending and without what a build adds: `main` of `main.3f2a9c1d.chunk.js`.
fn stem(name: &str) -> (String, bool) {
    let mut out = String::with_capacity(name.len());
    let mut has_hash = false;
    for (place, part) in name.split('.').enumerate() {
        if place > 0 && (ENDINGS.contains(&part) || part == "rs") {
            has_hash |= matches!(part, "min" | "bundle" | "chunk");
        } else if is_hash(part) || part == "_" {
            has_hash |= part != "_";
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            let kept = part.rsplit_once('-').filter(|(_, tail)| is_hash(tail) || is_mixed_hash(tail));
            let kept = kept.or_else(|| part.rsplit_once('_').filter(|(_, tail)| is_hash(tail)));
            has_hash |= kept.is_some();
            out.push_str(kept.map_or(part, |(kept, _)| kept));
        }
    }
    let is_number = !out.is_empty() && out.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && has_hash { (String::new(), true) } else { (out, has_hash) }
}

/// `3f2a9c1d`: six hexadecimal digits or more, of both kinds.
fn is_hash(text: &str) -> bool {
    text.len() >= 6
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && text.bytes().any(|byte| byte.is_ascii_digit())
}

/// `DiwrgTda`, `BKsd82_x`: eight letters and digits that are no word.
fn is_mixed_hash(text: &str) -> bool {
    let inner = text.as_bytes().get(1..).unwrap_or(&[]);
    text.len() == 8
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && (inner.iter().any(u8::is_ascii_uppercase) && text.bytes().any(|byte| byte.is_ascii_lowercase())
            || text.bytes().any(|byte| byte.is_ascii_digit()))
}

/// Whose code a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    App,
    /// A library, the language itself, or the browser.
    Library,
    /// What watches others and stands between them: its frames come and go with its versions.
    Watcher,
}

/// Judges by the path.
pub(crate) fn owner(file: &str) -> Owner {
    let inside = ["node:", "<", "[native", "[internal", "internal/"];
    if inside.iter().any(|start| file.starts_with(start)) || file == "native" {
        return Owner::Library;
    }
    let mut previous = "";
    let mut owner = Owner::App;
    let mut is_of_go = false;
    for segment in file.split(['/', '\\']) {
        let is_library = match segment {
            "sentry_sdk" | "opentelemetry" | "ddtrace" | "newrelic" | "wrapt" | "elasticapm" | "@sentry"
            | "dd-trace" | "@opentelemetry" | "@sentry-internal" | "rollbar"
                if owner == Owner::Library =>
            {
                return Owner::Watcher;
            }
            "site-packages"
            | "dist-packages"
            | "node_modules"
            | "bower_components"
            | "rustc"
            | "vendor"
            | "gems"
            | "chrome-extension:"
            | "moz-extension:"
            | "safari-extension:"
            | "safari-web-extension:"
            | "cdn.jsdelivr.net"
            | "unpkg.com"
            | "cdnjs.cloudflare.com"
            | "www.googletagmanager.com"
            | "www.google-analytics.com"
            | "connect.facebook.net"
            | "(webpack)" => true,
            "registry" | "git" => previous == ".cargo",
            "mod" => previous == "pkg",
            "src" => matches!(previous, "go" | "Go" | "GOROOT" | "libexec"),
            // Go's own packages have no host in their path; those of an application in GOPATH do.
            host if is_of_go && previous == "src" && host.contains('.') => {
                owner = Owner::App;
                false
            }
            "library" => previous.len() == 40,
            "ruby" => previous == "lib",
            "runtime" | "bootstrap" => previous == "webpack",
            other => {
                other.starts_with("python") && previous == "lib"
                    || other.starts_with("node_modules_")
                    || other.ends_with("-vendor-cargo-deps")
            }
        };
        if is_library {
            owner = Owner::Library;
            is_of_go = segment == "src";
        }
        previous = segment;
    }
    owner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_of_a_path() {
        let check = |file: &str, expected: &str| assert_eq!(of_file(file).0, expected, "{file}");
        check("/srv/shop/releases/20240501123456/orders/views.py", "orders/views");
        check("orders/views.py", "orders/views");
        check("/app/cart.py", "cart");
        check("cart.py", "cart");
        check("/srv/shop/orders/__init__.py", "shop/orders");
        check("webpack:///./src/cart.ts?a1b2", "cart");
        check("https://shop.example/static/js/main.3f2a9c1d.chunk.js", "main");
        check("https://shop.example/assets/index-DiwrgTda.js", "index");
        check("https://shop.example/_next/static/chunks/123-abcdef0123.js", "");
        check("C:\\inetpub\\Shop\\Cart.cs", "Shop/Cart");
        check("file:///app/main.mjs", "main");
        check("https://shop.example/checkout", "checkout");
        check("", "");
        assert_eq!(of_module("shop.orders.views"), "orders/views");
        assert_eq!(of_module("app.cart"), "cart");
        assert!(of_file("main.3f2a9c1d.js").1);
        assert!(!of_file("checkout-settings.js").1);
    }

    #[test]
    fn whose_code_it_is() {
        let check = |file: &str, expected| assert_eq!(owner(file) != Owner::App, expected, "{file}");
        check("/usr/lib/python3.11/json/decoder.py", true);
        check("/venv/lib/python3.11/site-packages/django/db/utils.py", true);
        check("/app/node_modules/express/lib/router.js", true);
        check("node:internal/process/task_queues", true);
        check("/rustc/9fc6b43126469e3858e2fe86cafb4f0fd5068869/library/core/src/panicking.rs", true);
        check("/home/ann/.cargo/registry/src/index.crates.io-6f17d22bba15001f/tokio-1.38.0/src/runtime/task.rs", true);
        check("/usr/local/go/src/net/http/server.go", true);
        check("/root/go/pkg/mod/github.com/gin-gonic/gin@v1.9.1/context.go", true);
        check("/usr/lib/ruby/3.2.0/net/http.rb", true);
        check("/var/www/vendor/symfony/http-kernel/HttpKernel.php", true);
        check("/app/orders/views.py", false);
        check("/Users/ann/go/src/github.com/shop/cart/cart.go", false);
        check("/app/node_modules/pay/src/cart.js", true);
        check("/nix/store/eeee-vendor-cargo-deps/c19b/tokio-1.43.0/src/runtime/task.rs", true);
        check("./src/pay.rs", false);
        check("", false);
    }
}
