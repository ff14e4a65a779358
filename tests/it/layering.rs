//! Which module may use which: the table of `src/lib.rs`, kept.
//!
//! Sources are read as tokens, without comments, literals and what is compiled for tests only. A path that begins
//! with `crate::`, or with enough `super::` to reach the root, names a module; it has to be in the table.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

struct Layer {
    module: &'static str,
    may_use: &'static [&'static str],
    /// Words that must not stand in it, whatever they are part of.
    never: &'static [&'static [&'static str]],
}

const SERVERS: &[&str] = &["tokio", "hyper", "hyper_util"];
const SOCKETS: &[&str] = &["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener", "socket2"];
const FILES: &[&str] = &["fs", "OpenOptions"];
const CLOCKS: &[&str] = &["Instant", "SystemTime", "jiff"];
const FORMATS: &[&str] = &["serde_json", "toml"];
const LOGS: &[&str] = &["tracing", "println", "eprintln"];
const PURE: &[&[&str]] = &[SERVERS, SOCKETS, FILES, CLOCKS, FORMATS, LOGS];

/// The one file of `config` that reads files.
const READS_FILES: &str = "config/load.rs";

/// What `control` may use: everything but the jail and the command line. The command line may use everything.
const BELOW_CONTROL: &[&str] =
    &["flow", "policy", "wire", "allowlist", "vnet", "doctor", "azure", "lint", "config", "telemetry", "net", "proxy"];

const LAYERS: &[Layer] = &[
    Layer { module: "flow", may_use: &[], never: PURE },
    Layer { module: "wire", may_use: &["flow"], never: PURE },
    Layer { module: "policy", may_use: &["flow"], never: PURE },
    Layer { module: "allowlist", may_use: &["flow", "policy"], never: PURE },
    Layer { module: "vnet", may_use: &["flow", "policy", "allowlist"], never: PURE },
    Layer { module: "doctor", may_use: &["flow", "policy", "allowlist", "vnet"], never: PURE },
    Layer {
        module: "azure",
        may_use: &["flow", "policy", "vnet", "allowlist"],
        never: &[SERVERS, SOCKETS, FILES, CLOCKS, LOGS],
    },
    Layer { module: "lint", may_use: &["flow", "policy", "allowlist"], never: PURE },
    Layer {
        module: "config",
        may_use: &["flow", "policy", "vnet", "allowlist", "azure"],
        never: &[SERVERS, SOCKETS, LOGS, FILES],
    },
    Layer { module: "telemetry", may_use: &["flow", "policy", "vnet", "azure"], never: &[&["hyper", "hyper_util"]] },
    Layer { module: "net", may_use: &["flow", "wire", "policy", "config"], never: &[FORMATS, &["serde"]] },
    Layer {
        module: "proxy",
        may_use: &["flow", "wire", "policy", "vnet", "net", "telemetry", "config"],
        never: &[FORMATS, FILES],
    },
    Layer { module: "control", may_use: BELOW_CONTROL, never: &[] },
    Layer { module: "jail", may_use: &["flow", "net"], never: &[] },
];

#[test]
fn modules_use_what_the_table_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources = rust_files(&root);
    assert!(sources.len() > 20, "the sources are not where they were: {}", root.display());
    let mut wrong = Vec::new();
    for path in sources {
        let inside = path.strip_prefix(&root).unwrap();
        if inside.components().count() == 1 && (inside.ends_with("lib.rs") || inside.ends_with("main.rs")) {
            continue;
        }
        wrong.extend(violations(inside, &fs::read_to_string(&path).unwrap()));
    }
    assert!(wrong.is_empty(), "walls are crossed:\n{}", wrong.join("\n"));
}

/// The picture that people read says the same. What is not written yet is in no picture.
#[test]
fn the_picture_is_the_table() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let rows: Vec<(&str, &str)> = text.lines().filter_map(row).collect();
    let shown = |module: &&str| rows.iter().any(|(shown, _)| shown == module);
    let mut checked = 0;
    for layer in LAYERS.iter().filter(|layer| layer.module != "control") {
        let Some((module, may_use)) = rows.iter().find(|(module, _)| *module == layer.module) else { continue };
        let mut table: Vec<&str> = layer.may_use.iter().copied().filter(shown).collect();
        let mut picture: Vec<&str> = may_use.split(", ").filter(|name| *name != "–").collect();
        picture.iter_mut().for_each(|name| *name = name.split(' ').next().unwrap());
        table.sort_unstable();
        picture.sort_unstable();
        assert_eq!(picture, table, "{module}");
        checked += 1;
    }
    assert!(checked > 5, "the table is not where it was: {rows:?}");
}

/// The first and the third cell of a row of the picture.
fn row(line: &str) -> Option<(&str, &str)> {
    let cells: Vec<&str> = line.strip_prefix("//! |")?.split('|').map(str::trim).collect();
    let [module, _, may_use, ""] = cells.as_slice() else { return None };
    Some((module.trim_matches(['[', ']', '`']), may_use))
}

#[test]
fn violations_are_found() {
    let check = |path: &str, text: &str, expected: &[&str]| {
        let found = violations(Path::new(path), text);
        let expected: Vec<String> = expected.iter().map(|what| format!("{path}: {what}")).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("policy/tree.rs", "use crate::flow::Host;\nuse super::pattern;", &[]);
    check("policy/tree.rs", "use crate::proxy::Session;", &["uses crate::proxy"]);
    check("policy/tree.rs", "use crate::{flow::{Host, net}, net::dial, cli};", &["uses crate::cli", "uses crate::net"]);
    check("policy/mod.rs", "use super::net;", &["uses crate::net"]);
    check("policy/a/b.rs", "use super::super::super::{config, flow};", &["uses crate::config"]);
    check("policy/a/b.rs", "use super::super::net;", &[]);
    check("flow/addr.rs", "fn f() -> crate::policy::Policy {}", &["uses crate::policy"]);
    check("flow/addr.rs", "fn f() { std::time::Instant::now(); }", &["names Instant"]);
    check("wire/dns.rs", "use std::{fs, net::UdpSocket};", &["names UdpSocket", "names fs"]);
    check("wire/dns.rs", "use tokio::io;", &["names tokio"]);
    check("config/raw.rs", "use std::fs;", &["names fs"]);
    check("config/load.rs", "use std::fs;", &[]);
    check("net/dial.rs", "use crate::{config::Timeouts, proxy};", &["uses crate::proxy"]);
    check("novel/mod.rs", "", &["is in no layer: add it to the table"]);
    check("flow/addr.rs", "use crate::Policy;", &["uses crate::Policy"]);
}

#[test]
fn what_does_not_count() {
    let check = |text: &str| assert_eq!(violations(Path::new("flow/addr.rs"), text), Vec::<String>::new(), "{text}");
    check("//! crate::policy and tokio\n/* std::fs /* crate::net */ tokio */ /// Instant");
    check(
        "const A: &str = \"crate::policy \\\" tokio\"; const B: &str = r#\"crate::net \" fs\"#; const C: char = '\"';",
    );
    check("fn f<'a>(x: &'a str) {} // tokio");
    check("#[cfg(test)]\nmod tests { use crate::policy::Policy; fn f() { std::fs::read(\"}\") } }");
    check("#[cfg(test)]\nmod tests;\n#[cfg(test)]\nuse tokio::net;");
    check("#[cfg(test)]\n#[allow(dead_code, reason = \"tests only\")]\nfn f() { crate::net::dial() }");
    let after = "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::net;";
    assert_eq!(violations(Path::new("flow/addr.rs"), after), ["flow/addr.rs: uses crate::net"]);
}

/// What is wrong with a source file; `path` is inside `src`.
fn violations(path: &Path, text: &str) -> Vec<String> {
    let shown = path.display();
    let (module, depth) = place(path);
    if module == "cli" {
        return Vec::new();
    }
    let Some(layer) = LAYERS.iter().find(|layer| layer.module == module) else {
        return vec![format!("{shown}: is in no layer: add it to the table")];
    };
    // A file of this name is declared under `cfg(test)`.
    if path.file_stem().is_some_and(|stem| stem == "tests") {
        return Vec::new();
    }
    let tokens = without_tests(&tokens(text));
    let is_allowed = |name: &str| name == module || layer.may_use.contains(&name);
    let used = modules_used(&tokens, depth).into_iter().filter(|name| !is_allowed(name));
    let may_name = |word: &str| path == Path::new(READS_FILES) && FILES.contains(&word);
    let never: BTreeSet<&str> = layer.never.iter().copied().flatten().copied().collect();
    let named: BTreeSet<&str> =
        tokens.iter().copied().filter(|token| never.contains(token) && !may_name(token)).collect();
    let used = used.map(|name| format!("{shown}: uses crate::{name}"));
    used.chain(named.iter().map(|name| format!("{shown}: names {name}"))).collect()
}

/// The module at the top that a file belongs to, and how many `super::` lead from the file to the root.
fn place(path: &Path) -> (String, usize) {
    let mut parts: Vec<String> = path.with_extension("").iter().map(|part| part.to_string_lossy().into()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    (parts.first().cloned().unwrap_or_default(), parts.len())
}

/// The names that follow `crate::`, or as many `super::` as lead to the root; of a group `{a::b, c}` each.
fn modules_used<'a>(tokens: &[&'a str], depth: usize) -> BTreeSet<&'a str> {
    let mut used = BTreeSet::new();
    let mut supers = 0;
    for (at, token) in tokens.iter().enumerate() {
        let continues = tokens.get(at + 1) == Some(&"::");
        supers = match *token {
            "super" if continues => supers + 1,
            "::" => supers,
            _ => 0,
        };
        let at_root = *token == "crate" || supers == depth;
        if at_root && continues && *token != "::" {
            used.extend(first_names(&tokens[at + 2..]));
        }
    }
    used.remove("super");
    used
}

fn first_names<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    if tokens.first() != Some(&"{") {
        return tokens.first().copied().into_iter().collect();
    }
    let mut names = Vec::new();
    let mut open = 0;
    for pair in tokens.windows(2) {
        match pair[0] {
            "{" => open += 1,
            "}" => open -= 1,
            _ => {}
        }
        if open == 0 {
            break;
        }
        if open == 1 && matches!(pair[0], "{" | ",") && pair[1] != "}" {
            names.push(pair[1]);
        }
    }
    names
}

/// Leaves out each item under `#[cfg(test)]`: up to its closing brace, or to its semicolon if that comes first.
fn without_tests<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        if rest.starts_with(&ATTRIBUTE) {
            rest = after_item(&rest[ATTRIBUTE.len()..]);
        } else {
            kept.push(*token);
            rest = after;
        }
    }
    kept
}

fn after_item<'a, 'b>(tokens: &'b [&'a str]) -> &'b [&'a str] {
    let mut open = 0;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "{" => open += 1,
            "}" => open -= 1,
            _ => {}
        }
        if open == 0 && matches!(*token, ";" | "}") {
            return &tokens[at + 1..];
        }
    }
    &[]
}

/// Words, `::` and single signs. Comments and literals are left out.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, is_token) = token(rest, first);
        if is_token {
            found.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    found
}

/// How long the token at the start of `text` is, and whether it counts.
fn token(text: &str, first: char) -> (usize, bool) {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let until = |end: &str| text.find(end).map_or(text.len(), |at| at + end.len());
    match first {
        '/' if text.starts_with("//") => (until("\n"), false),
        '/' if text.starts_with("/*") => (block_comment(text), false),
        'r' if raw_string(text).is_some() => (raw_string(text).unwrap_or(1), false),
        'b' if text.starts_with("br") && raw_string(&text[1..]).is_some() => {
            (1 + raw_string(&text[1..]).unwrap_or(1), false)
        }
        '"' => (quoted(text, '"'), false),
        '\'' if is_char(text) => (quoted(text, '\''), false),
        ':' if text.starts_with("::") => (2, true),
        _ if is_word(first) => (text.find(|c| !is_word(c)).unwrap_or(text.len()), true),
        _ => (first.len_utf8(), !first.is_whitespace()),
    }
}

fn block_comment(text: &str) -> usize {
    let mut open = 0;
    let mut at = 0;
    while at < text.len() {
        let step = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step.0;
        open += step.1;
        if open == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of `r"…"` or `r#"…"#`, with any number of `#`.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let inside = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(1 + hashes + 1 + length)
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// `'x'` or `'\n'`, and not the lifetime `'x`.
fn is_char(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
