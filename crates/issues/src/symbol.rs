//! The name of a function without what compilers, runtimes and versions add to it.

use std::borrow::Cow;

/// Families of languages that name functions alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    JavaScript,
    Ruby,
    Php,
    /// Java, Kotlin, Scala, Groovy.
    Java,
    DotNet,
    Go,
    /// Rust, C++, C, and others whose names have `::`.
    Colons,
    Unknown,
}

impl Language {
    /// Told by the ending of the file, else by the shape of the names.
    pub(crate) fn of(file: &str, module: &str, function: &str) -> Self {
        let file = file.split(['?', '#']).next().unwrap_or(file);
        let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
        match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
            "py" | "pyc" | "pyx" => return Self::Python,
            "js" | "mjs" | "cjs" | "jsx" | "ts" | "tsx" | "mts" | "vue" | "svelte" => return Self::JavaScript,
            "rb" | "erb" | "rake" | "haml" | "ru" => return Self::Ruby,
            "php" | "phtml" => return Self::Php,
            "java" | "kt" | "kts" | "scala" | "groovy" => return Self::Java,
            "cs" | "vb" | "fs" | "cshtml" | "razor" => return Self::DotNet,
            "go" | "s" => return Self::Go,
            "rs" | "c" | "cc" | "cpp" | "cxx" | "h" | "hpp" => return Self::Colons,
            _ => {}
        }
        Self::of_shape(file, module, function)
    }

    fn of_shape(file: &str, module: &str, function: &str) -> Self {
        match file {
            "Native Method" | "Unknown Source" | "<generated>" | "NativeMethodAccessorImpl.java" => return Self::Java,
            "<anonymous>" | "native" => return Self::JavaScript,
            "[internal function]" => return Self::Php,
            _ => {}
        }
        if file.starts_with("<frozen ") || file == "<string>" || file == "<stdin>" {
            return Self::Python;
        }
        if file.starts_with("<internal:") {
            return Self::Ruby;
        }
        if file.starts_with("node:") || file.starts_with("[native") || file.contains("://") {
            return Self::JavaScript;
        }
        if function.contains('\\') || function.contains("->") {
            return Self::Php;
        }
        if function.contains("(*")
            || module.split_once('/').is_some_and(|(host, _)| host.contains('.'))
            || module == "main"
        {
            return Self::Go;
        }
        if function.contains("::") {
            return Self::Colons;
        }
        if module.contains(", Version=")
            || function.contains(">d__")
            || function.contains(">b__")
            || function.contains('`')
        {
            return Self::DotNet;
        }
        if function.contains('.')
            || module.contains('.')
            || module.starts_with(|first: char| first.is_ascii_uppercase())
        {
            return Self::DotNet;
        }
        Self::Unknown
    }

    /// Whether a name says by itself where the function is.
    pub(crate) fn is_qualified(self, function: &str) -> bool {
        match self {
            Self::Java | Self::DotNet | Self::Go => function.contains('.'),
            Self::Colons => function.contains("::"),
            Self::Php => function.contains("::") || function.contains('\\'),
            Self::Python | Self::JavaScript | Self::Ruby | Self::Unknown => false,
        }
    }
}

/// A function by its stable name; empty where it has none.
pub(crate) fn clean<'a>(language: Language, module: &str, function: &'a str) -> Cow<'a, str> {
    let function = function.trim();
    match language {
        Language::Python | Language::Unknown => Cow::Borrowed(function),
        Language::JavaScript => Cow::Borrowed(javascript(function)),
        Language::Ruby => ruby(function),
        Language::Php => php(function),
        Language::Java => Cow::Owned(java(module, function)),
        Language::DotNet => Cow::Owned(dotnet(module, function)),
        Language::Go => Cow::Owned(go(module, function)),
        Language::Colons => colons(function),
    }
}

/// The last part of a name; nothing for an anonymous function, which every browser writes in its own way.
fn javascript(function: &str) -> &str {
    let mut name = function;
    for ahead in ["async ", "async*", "new ", "get ", "set ", "bound ", "static "] {
        name = name.strip_prefix(ahead).unwrap_or(name);
    }
    name = name.split(" [as ").next().unwrap_or(name);
    name = name.split(" (").next().unwrap_or(name);
    // Firefox: `pay/<` is an anonymous function in `pay`, `pay/save` is `save`.
    name = name.rsplit('/').next().unwrap_or(name);
    if name.ends_with('<') && !name.ends_with(">") {
        return "";
    }
    name = name.rsplit('.').next().unwrap_or(name);
    name = name.trim_start_matches('#');
    // A guess from the source, as `try {`.
    if name.contains(['{', ';', '=']) {
        return "";
    }
    match name {
        "?" | "<anonymous>" | "anonymous" | "<unknown>" | "{anonymous}" | "global code" | "module code"
        | "eval code" | "eval" | "null" | "undefined" | "<computed>" | "(anonymous)" | "<anonymous" | "anonymous>" => {
            ""
        }
        _ => name,
    }
}

/// `Cart#pay` (since Ruby 3.4) and `block (2 levels) in pay` are `pay`.
fn ruby(function: &str) -> Cow<'_, str> {
    let name = function.rsplit(" in ").next().unwrap_or(function);
    let name = if name.starts_with('<') { name } else { name.rsplit(['#', '.']).next().unwrap_or(name) };
    // A compiled template: `_app_views_orders_show_html_erb__4242_70`.
    if name.contains("_erb__") || name.contains("_haml__") {
        return Cow::Borrowed(name.split("__").next().unwrap_or(name));
    }
    Cow::Borrowed(name)
}

/// `Shop\Cart->pay` and `Shop\Cart::pay` are one; a closure says since PHP 8.4 where it was written.
fn php(function: &str) -> Cow<'_, str> {
    let function = function.split('\0').next().unwrap_or(function);
    if let Some((_, inside)) = function.split_once("{closure:") {
        let written_in = inside.split("()").next().unwrap_or(inside).trim_end_matches('}');
        return Cow::Owned(written_in.replace("->", "::"));
    }
    let function = function.split('(').next().unwrap_or(function);
    let function = function.split("@anonymous").next().unwrap_or(function);
    if function.contains("->") { Cow::Owned(function.replace("->", "::")) } else { Cow::Borrowed(function) }
}

/// Class and method with dots; `Cart$pay$1.invokeSuspend` and `Cart.lambda$pay$3` are `Cart.pay`.
fn java(module: &str, function: &str) -> String {
    // `java.base/java.lang.Thread`, `app//com.shop.Cart`: what loaded the class.
    let module = module.rsplit('/').next().unwrap_or(module);
    let (module, function) = if module.is_empty() {
        function.rsplit('/').next().unwrap_or(function).rsplit_once('.').unwrap_or(("", function))
    } else {
        (module, function)
    };
    let mut out = String::with_capacity(module.len() + function.len() + 1);
    let (package, class) = module.rsplit_once('.').unwrap_or(("", module));
    out.push_str(package);
    for (place, part) in class.split('$').chain(function.split('$')).enumerate() {
        let made = place > 0
            && (part.is_empty()
                || part.bytes().all(|byte| byte.is_ascii_digit())
                || matches!(
                    part,
                    "lambda" | "anonfun" | "default" | "inlined" | "invokeSuspend" | "Companion" | "suspendImpl"
                )
                || part.starts_with("lambda-"));
        if made {
            continue;
        }
        // Kotlin writes a hash of inline classes after the name.
        let part = part.split_once('-').map_or(part, |(name, _)| name);
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(part);
    }
    out
}

/// `Shop.Cart.<PayAsync>d__3.MoveNext` is `Shop.Cart.PayAsync`.
fn dotnet(module: &str, function: &str) -> String {
    let function = function.strip_prefix("async ").unwrap_or(function);
    let function = function.split([' ', '(']).next().unwrap_or(function);
    let module =
        if module.contains([' ', ',']) || function.contains(module) && !module.is_empty() { "" } else { module };
    let mut out = String::with_capacity(module.len() + function.len() + 1);
    let mut was_machine = false;
    let both = module.split(['.', '+', '/']).chain(function.split(['.', '+', '/']));
    for part in both.filter(|part| !part.is_empty()) {
        if was_machine && part == "MoveNext" {
            continue;
        }
        was_machine = part.contains(">d__") || part.ends_with(">d");
        let named = part.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let name = match named {
            // `<>c__DisplayClass5_0`: where captured variables are kept.
            Some(("", _)) => continue,
            Some((_, rest)) if rest.starts_with("g__") => {
                rest.trim_start_matches("g__").split('|').next().unwrap_or(rest)
            }
            Some((name, _)) => name,
            None => part.split(['`', '[', '<']).next().unwrap_or(part),
        };
        if name.is_empty() || name.contains(']') {
            continue;
        }
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(name);
    }
    out
}

/// `github.com/shop/cart.(*Cart).Pay.func1` is `cart.Cart.Pay`.
fn go(module: &str, function: &str) -> String {
    let function = function.split("[...]").collect::<String>();
    let function = function.rsplit('/').next().unwrap_or(&function);
    let mut out = String::with_capacity(module.len() + function.len());
    let package = module.rsplit('/').find(|part| !is_major_version(part)).unwrap_or("");
    let package = package.split('@').next().unwrap_or(package);
    let has_package = package.is_empty() || function.strip_prefix(package).is_some_and(|rest| rest.starts_with('.'));
    if !has_package {
        out.push_str(package);
    }
    for part in function.split('.').filter(|part| !part.is_empty()) {
        let name = part.trim_start_matches("(*").trim_start_matches('(').trim_end_matches(')').trim_end_matches("-fm");
        let name = name.split_once("-range").map_or(name, |(name, _)| name);
        let made = ["func", "gowrap", "deferwrap"]
            .iter()
            .any(|made| name.strip_prefix(made).is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())))
            || name.bytes().all(|byte| byte.is_ascii_digit());
        if made && !out.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(name);
    }
    out
}

fn is_major_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Rust and C++: no generics, arguments, closures, hashes; `<shop::Cart as shop::Pay>::pay` is `shop::Cart::pay`.
fn colons(function: &str) -> Cow<'_, str> {
    let function = function.split(" + ").next().unwrap_or(function);
    // `0x7f3838de9e4b - shop::pay`, in a full backtrace.
    let after_address = function.split_once(" - ").filter(|(address, _)| address.starts_with("0x"));
    let function = after_address.map_or(function, |(_, name)| name);
    let plain = !function.contains(['<', '{', '(', '[', ' ', '$']) && !function.contains("::h");
    if plain {
        return Cow::Borrowed(function);
    }
    let mut name = String::with_capacity(function.len());
    push_colons(&mut name, &function.replace("(anonymous namespace)", "").replace("operator()", "call"));
    let mut out = String::with_capacity(name.len());
    for part in name.split("::") {
        let made = part.is_empty() || part.starts_with('{') || part.contains('$') || is_rust_hash(part);
        if !made {
            if !out.is_empty() {
                out.push_str("::");
            }
            out.push_str(part.trim());
        }
    }
    Cow::Owned(out)
}

/// Copies a name without what stands in brackets, but for `<A as B>` and `<impl B for A>` at the begin of a part.
fn push_colons(out: &mut String, name: &str) {
    let mut rest = name;
    while let Some(at) = rest.find(['<', '(', '[']) {
        let (before, opened) = rest.split_at(at);
        out.push_str(before);
        let length = closed(opened);
        let inside = opened.get(1..length.saturating_sub(1)).unwrap_or("");
        let begins_part = before.is_empty() && out.is_empty() || before.ends_with("::");
        if opened.starts_with('(') {
            // Arguments: the name ends here.
            return;
        }
        if opened.starts_with('<') && begins_part && !inside.is_empty() {
            let (own, of_trait) = match inside.strip_prefix("impl ") {
                Some(inside) => inside.rsplit_once(" for ").map_or((inside, ""), |(of_trait, own)| (own, of_trait)),
                None => inside.split_once(" as ").unwrap_or((inside, "")),
            };
            let is_parameter = !own.contains("::") && own.len() <= 2 && !of_trait.is_empty();
            if inside.starts_with("impl ") {
                out.clear();
            }
            push_colons(
                out,
                if is_parameter { of_trait } else { own }.trim_start_matches("&mut ").trim_start_matches(['&', '*']),
            );
        }
        rest = opened.get(length..).unwrap_or("");
    }
    out.push_str(rest);
}

/// The length of a bracket with what is in it.
fn closed(opened: &str) -> usize {
    let mut depth = 0_usize;
    let mut previous = b' ';
    for (place, byte) in opened.bytes().enumerate() {
        match byte {
            b'<' | b'(' | b'[' => depth += 1,
            b'>' if previous == b'-' => {}
            b'>' | b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return place + 1;
        }
        previous = byte;
    }
    opened.len()
}

fn is_rust_hash(part: &str) -> bool {
    part.strip_prefix('h').is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_of_a_function() {
        let check = |language, module: &str, function: &str, expected: &str| {
            assert_eq!(clean(language, module, function), expected, "{module} {function}");
        };
        use Language::{Colons, DotNet, Go, Java, JavaScript, Php, Ruby};
        for name in
            ["pay", "async pay", "Object.pay", "Cart.prototype.pay", "new pay", "Object.get [as pay]", "async*pay"]
        {
            check(JavaScript, "", name, if name.contains("[as") { "get" } else { "pay" });
        }
        for name in ["", "?", "<anonymous>", "Object.<anonymous>", "pay/<", "pay/</<", "global code"] {
            check(JavaScript, "", name, "");
        }
        for name in ["pay", "block in pay", "rescue in block (2 levels) in pay", "Cart#pay", "Shop::Cart.pay"] {
            check(Ruby, "", name, "pay");
        }
        check(Ruby, "", "_app_views_orders_show_html_erb___1234567_890", "_app_views_orders_show_html_erb");
        check(Php, "", "Shop\\Cart->pay", "Shop\\Cart::pay");
        check(Php, "", "{closure:Shop\\Cart::pay():12}", "Shop\\Cart::pay");
        check(Php, "", "class@anonymous\0/app/a.php:3$0->run", "class");
        for (module, function) in [
            ("com.shop.Cart", "pay"),
            ("app//com.shop.Cart", "lambda$pay$3"),
            ("com.shop.Cart$pay$1", "invokeSuspend"),
            ("com.shop.Cart", "pay-IoAF18A"),
            ("", "com.shop.Cart.pay"),
        ] {
            check(Java, module, function, "com.shop.Cart.pay");
        }
        for (module, function) in [
            ("Shop.Cart", "PayAsync"),
            ("", "Shop.Cart.<PayAsync>d__3.MoveNext"),
            ("", "Shop.Cart.<>c__DisplayClass5_0.<PayAsync>b__1"),
            ("", "Shop.Cart`1.PayAsync[T](T item)"),
            ("Shop, Version=1.2.3.0, Culture=neutral", "Shop.Cart.PayAsync"),
            ("Shop.Cart", "async PayAsync"),
        ] {
            check(DotNet, module, function, "Shop.Cart.PayAsync");
        }
        check(DotNet, "", "Shop.Cart..ctor", "Shop.Cart.ctor");
        check(DotNet, "", "Program.<Main>$", "Program.Main");
        for (module, function) in [
            ("", "github.com/shop/cart.(*Cart).Pay"),
            ("", "github.com/shop/cart.(*Cart).Pay.func1.2"),
            ("github.com/shop/cart/v2", "(*Cart).Pay"),
            ("", "cart.Cart.Pay-fm"),
            ("", "cart.(*Cart[...]).Pay"),
        ] {
            check(Go, module, function, "cart.Cart.Pay");
        }
        for name in [
            "shop::Cart::pay",
            "shop::Cart::pay::h0123456789abcdef",
            "shop::Cart::pay::{{closure}}",
            "shop::Cart::pay::{closure#0}::{closure#1}",
            "<shop::Cart as shop::Pay<u32>>::pay",
            "shop::pay::<impl shop::Pay for shop::Cart>::pay",
            "shop::Cart<alloc::string::String>::pay",
            "shop[8f3e2a1b]::Cart::pay",
            "shop::Cart::pay(int, std::string const&)",
        ] {
            check(Colons, "", name, "shop::Cart::pay");
        }
        check(Colons, "", "<F as axum::handler::Handler<M,S>>::call", "axum::handler::Handler::call");
    }

    #[test]
    fn no_name_makes_it_panic() {
        for name in ["<", "<<", "::", "<impl ", "<>", "(", "a<b", "é<é", "$", "$$", "<>d__", ".", "/", "[", "<a as >"]
        {
            for language in [
                Language::JavaScript,
                Language::Java,
                Language::DotNet,
                Language::Go,
                Language::Colons,
                Language::Php,
                Language::Ruby,
            ] {
                clean(language, name, name);
            }
        }
    }
}
