//! What a frame says about the cause: the stable name of its function, and whether it is the application's own.

use crate::frames::Frame;
use crate::place::{Owner, of_file, of_module, owner};
use crate::symbol::{Language, clean};

/// What a frame is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The application's own code.
    App,
    /// The application's own code, known by its file alone.
    Anonymous,
    /// Code of others.
    Library,
    /// What the runtime puts between: panic handlers, proxies, reflection, wrappers.
    Machinery,
    /// The name is made by a build, or there is none.
    Nameless,
}

/// A frame made comparable.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) name: String,
    pub(crate) standing: Standing,
    pub(crate) language: Language,
    /// Whether it looks like the application's own, whatever the client says.
    pub(crate) seems_own: bool,
}

pub(crate) fn judge(sent: &Frame<'_>) -> Judged {
    // Without debugging symbols .NET has arguments in place of a file: `Int32 amount`, `Closure , Object`.
    let bare;
    let frame = if is_of_arguments(&sent.file) {
        bare = Frame { file: "".into(), ..sent.clone() };
        &bare
    } else {
        sent
    };
    let language = Language::of(&frame.file, &frame.module, &frame.function);
    let function = clean(language, &frame.module, &frame.function);
    let whose = owner(&frame.file);
    let seems_own = whose == Owner::App && !is_of_library(language, frame, &function);
    let judged = |name: String, standing| Judged { name, standing, language, seems_own };
    if whose == Owner::Watcher || is_machinery(language, frame, &function) {
        return judged(function.into_owned(), Standing::Machinery);
    }
    let in_app = frame.in_app.0.unwrap_or(seems_own);
    if is_address(&function) {
        return judged(String::new(), Standing::Nameless);
    }
    let own = if in_app { Standing::App } else { Standing::Library };
    if language.is_qualified(&function) {
        return judged(function.into_owned(), own);
    }
    let (place, is_built) = place(language, frame);
    if language == Language::JavaScript && (is_built || is_served(&frame.file)) && is_minified(&function) {
        return judged(String::new(), Standing::Nameless);
    }
    if function.is_empty() {
        let standing = if place.is_empty() || is_built { Standing::Nameless } else { Standing::Anonymous };
        return judged(place, if in_app { standing } else { Standing::Library });
    }
    let mut name = place;
    name.push(':');
    name.push_str(&function);
    judged(name, own)
}

fn is_of_arguments(file: &str) -> bool {
    file.contains([' ', ','])
        && !file.contains(['/', '\\', '.', '<'])
        && !matches!(file, "Native Method" | "Unknown Source")
        && !file.starts_with('[')
}

fn place(language: Language, frame: &Frame<'_>) -> (String, bool) {
    let is_module = !frame.module.is_empty() && frame.module.len() <= 200 && !frame.module.contains([' ', ',']);
    let by_module = is_module && language != Language::JavaScript && &*frame.module != "__main__";
    if by_module || frame.file.is_empty() && is_module {
        return (of_module(&frame.module), false);
    }
    of_file(&frame.file)
}

/// A culprit as people say it: `objects.token.permissions in has_permission`.
pub(crate) fn culprit(frame: &Frame<'_>, judged: &Judged) -> String {
    let Some((place, function)) = judged.name.split_once(':').filter(|(_, function)| !function.starts_with(':')) else {
        return judged.name.clone();
    };
    let is_dotted = frame.module.contains('.') && !frame.module.contains([' ', ',', '/']);
    let place = if is_dotted && judged.language == Language::Python {
        frame.module.to_string()
    } else {
        place.replace('/', ".")
    };
    if place.is_empty() { function.to_owned() } else { format!("{place} in {function}") }
}

fn is_address(function: &str) -> bool {
    function.starts_with("0x") || matches!(function, "??" | "<unknown>" | "unknown" | "<redacted>" | "__unknown__")
}

fn is_served(file: &str) -> bool {
    file.starts_with("http://") || file.starts_with("https://")
}

/// Whether a build may have made the name: it would be another one after the next.
fn is_minified(function: &str) -> bool {
    function.is_empty() || function.chars().count() <= 2 || function.starts_with("_0x")
}

/// Since Python 3.12 the loop of a comprehension is no frame of its own.
const PYTHON_MACHINERY: [&str; 4] = ["<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"];

/// What compilers make of `async`, and what wraps callbacks.
const JAVASCRIPT_MACHINERY: [&str; 13] = [
    "__awaiter",
    "asyncGeneratorStep",
    "_next",
    "_throw",
    "fulfilled",
    "rejected",
    "__generator",
    "tryCatch",
    "sentryWrapped",
    "processTicksAndRejections",
    "_asyncToGenerator",
    "maybeInvoke",
    "__async",
];

/// Parts of the names of classes that a JVM or a framework makes while it runs.
const JAVA_MACHINERY: [&str; 12] = [
    "$$Lambda",
    "$Proxy",
    "GeneratedMethodAccessor",
    "internal.reflect.",
    "sun.reflect.",
    "lang.reflect.",
    "LambdaForm",
    "DirectMethodHandle",
    "CGLIB$",
    "FastClass",
    "ByteBuddy",
    "java.lang.invoke.",
];

/// How names begin that panic, unwind, or start a program.
const COLONS_MACHINERY: [&str; 20] = [
    "core::panicking",
    "std::panicking",
    "std::sys",
    "std::backtrace",
    "std::panic::",
    "std::rt::",
    "std::terminate",
    "core::ops::function::",
    "core::option::",
    "core::result::",
    "backtrace::",
    "__rustc::",
    "__rust_",
    "__libc_",
    "__GI_",
    "__cxa_",
    "__pthread",
    "_Unwind_",
    "rust_begin_unwind",
    "rust_panic",
];

/// Functions of the C library that do.
const C_MACHINERY: [&str; 8] = ["_start", "main", "abort", "raise", "start_thread", "__clone", "clone3", "gsignal"];

fn is_machinery(language: Language, frame: &Frame<'_>, function: &str) -> bool {
    let begins = |known: &[&str]| known.iter().any(|start| function.starts_with(start));
    if function.starts_with("lambda_method") {
        return true;
    }
    match language {
        Language::Python => PYTHON_MACHINERY.contains(&function),
        Language::JavaScript => JAVASCRIPT_MACHINERY.contains(&function),
        Language::Java => {
            let class = if frame.module.is_empty() { &frame.function } else { &frame.module };
            frame.function.starts_with("access$") || JAVA_MACHINERY.iter().any(|made| class.contains(made))
        }
        Language::DotNet => begins(&["System.Runtime.", "System.Threading.Tasks."]) || function.is_empty(),
        Language::Go => begins(&["runtime.", "debug.Stack", "debug.PrintStack"]) || function == "panic",
        Language::Colons | Language::Unknown => begins(&COLONS_MACHINERY) || C_MACHINERY.contains(&function),
        Language::Ruby | Language::Php => function == "{main}",
    }
}

/// Packages of Java and its like that are nobody's own.
const JAVA: [&str; 54] = [
    "java.",
    "javax.",
    "jakarta.",
    "jdk.",
    "sun.",
    "com.sun.",
    "kotlin.",
    "kotlinx.",
    "scala.",
    "akka.",
    "groovy.",
    "clojure.",
    "org.springframework.",
    "org.apache.",
    "org.hibernate.",
    "org.eclipse.",
    "org.jboss.",
    "org.postgresql.",
    "org.mongodb.",
    "org.slf4j.",
    "org.junit.",
    "org.codehaus.",
    "org.aopalliance.",
    "org.jetbrains.",
    "org.thymeleaf.",
    "io.netty.",
    "io.vertx.",
    "io.grpc.",
    "io.micrometer.",
    "io.undertow.",
    "io.ktor.",
    "io.quarkus.",
    "io.micronaut.",
    "io.lettuce.",
    "io.reactivex.",
    "io.sentry.",
    "reactor.",
    "okhttp3.",
    "okio.",
    "retrofit2.",
    "feign.",
    "com.fasterxml.",
    "com.zaxxer.",
    "com.mysql.",
    "com.mongodb.",
    "com.google.",
    "com.netflix.",
    "com.android.",
    "com.squareup.",
    "redis.clients.",
    "android.",
    "androidx.",
    "dalvik.",
    "ch.qos.",
];

/// The same of .NET.
const DOTNET: [&str; 22] = [
    "System.",
    "Microsoft.",
    "Newtonsoft.",
    "Npgsql.",
    "MySql.",
    "MySqlConnector.",
    "Dapper.",
    "Serilog.",
    "Polly.",
    "MediatR.",
    "AutoMapper.",
    "FluentValidation.",
    "Grpc.",
    "Quartz.",
    "Hangfire.",
    "StackExchange.",
    "MassTransit.",
    "RabbitMQ.",
    "MongoDB.",
    "Autofac.",
    "Castle.",
    "Sentry.",
];

/// Crates, for names without a file.
const CRATES: [&str; 44] = [
    "core",
    "std",
    "alloc",
    "proc_macro",
    "test",
    "tokio",
    "futures",
    "futures_util",
    "futures_core",
    "hyper",
    "hyper_util",
    "axum",
    "axum_core",
    "tower",
    "tower_http",
    "tower_service",
    "tracing",
    "actix_web",
    "actix_rt",
    "actix_server",
    "actix_http",
    "rayon",
    "rayon_core",
    "anyhow",
    "eyre",
    "color_eyre",
    "reqwest",
    "sqlx",
    "sqlx_core",
    "diesel",
    "serde",
    "serde_json",
    "async_std",
    "poem",
    "rocket",
    "warp",
    "tonic",
    "h2",
    "rustls",
    "parking_lot",
    "hashbrown",
    "mio",
    "sentry",
    "sentry_core",
];

/// Go's own packages: the first part of their paths, which has no host.
const GO: [&str; 36] = [
    "archive",
    "bufio",
    "bytes",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "encoding",
    "errors",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "sync",
    "syscall",
    "testing",
];

/// Whether the name tells that the code is of others.
fn is_of_library(language: Language, frame: &Frame<'_>, function: &str) -> bool {
    let begins = |known: &[&str]| known.iter().any(|start| function.starts_with(start));
    match language {
        Language::Java => begins(&JAVA),
        Language::DotNet => begins(&DOTNET),
        Language::Go => {
            let path: &str = if frame.module.is_empty() { &frame.function } else { &frame.module };
            GO.contains(&path.split(['/', '.']).next().unwrap_or(path))
        }
        Language::Colons => {
            let of_crate = function.split("::").next().unwrap_or(function);
            CRATES.contains(&of_crate)
        }
        Language::Php => &*frame.file == "[internal function]",
        Language::Python | Language::JavaScript | Language::Ruby | Language::Unknown => false,
    }
}
