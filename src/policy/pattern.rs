//! What a target FQDN or target URL may look like, and what it matches.
//!
//! Azure's dialect (azure-docs, firewall-faq.yml, the wildcard table): `*` is the left-most character or is not
//! there at all, and means anything to its left. Full globs are Egret's own, marked by `glob:`.

use std::fmt;

use crate::flow::{HostName, MAX_NAME};

/// A target FQDN of an application rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FqdnPattern {
    /// `*`: any name.
    Any,
    /// `www.contoso.com`: just this name.
    Exact(HostName),
    /// `*.contoso.com`: names below it, at any depth, not the name itself. Holds `contoso.com`.
    Subdomains(HostName),
    /// `*contoso.com`: whatever ends so, lookalikes such as `evilcontoso.com` too. Holds `contoso.com`.
    Suffix(Box<str>),
    /// `glob:gr-prod-*.cloudapp.net`: a full glob, `*` crossing dots as Azure's does.
    Glob(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("`{text}`: Azure Firewall takes `*` only as the left-most character; the nearest it accepts is `{nearest}`{glob}", glob = glob_hint(.text))]
    StarPosition { text: String, nearest: String },
    #[error("`{text}` is no host name: {source}")]
    NotAName { text: String, source: crate::flow::NameError },
    #[error("`{text}`: part of a label has no A-label form; write `*.{}`", .text.trim_start_matches(['*', '-']))]
    UnicodeTail { text: String },
    #[error("`{text}` is no glob: {why}")]
    BadGlob { text: String, why: String },
    #[error("`{text}`: a target URL holds {what}; leave it out")]
    UrlPart { text: String, what: &'static str },
}

fn glob_hint(text: &str) -> String {
    if text.contains('/') { String::new() } else { format!(" (in egret.toml, `glob:{text}` says it exactly)") }
}

impl FqdnPattern {
    /// Reads a pattern in Azure's dialect, or a full glob where it is marked by `glob:`.
    pub fn parse(text: &str) -> Result<FqdnPattern, PatternError> {
        match text.strip_prefix("glob:") {
            Some(glob) => parse_glob(glob),
            None => FqdnPattern::parse_azure(text),
        }
    }

    /// Reads a pattern in Azure's dialect only.
    pub fn parse_azure(text: &str) -> Result<FqdnPattern, PatternError> {
        let text = text.trim();
        if text == "*" {
            return Ok(FqdnPattern::Any);
        }
        let (star, rest) = match text.strip_prefix('*') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if rest.contains('*') {
            return Err(PatternError::StarPosition { text: text.to_owned(), nearest: nearest_legal(text) });
        }
        let name = |part: &str| {
            HostName::parse_typed(part).map_err(|source| PatternError::NotAName { text: text.to_owned(), source })
        };
        match rest.strip_prefix('.') {
            _ if !star => Ok(FqdnPattern::Exact(name(rest)?)),
            Some(below) => Ok(FqdnPattern::Subdomains(name(below)?)),
            None if !rest.split('.').next().is_some_and(str::is_ascii) => {
                Err(PatternError::UnicodeTail { text: text.to_owned() })
            }
            // A tail may begin in the middle of a label, with a hyphen too (`*-prod.contoso.com`).
            None => Ok(FqdnPattern::Suffix(name(&format!("x{rest}"))?.as_str()[1..].into())),
        }
    }

    pub fn matches(&self, name: &HostName) -> bool {
        let name = name.as_str();
        match self {
            FqdnPattern::Any => true,
            FqdnPattern::Exact(exact) => exact.as_str() == name,
            FqdnPattern::Subdomains(parent) => {
                name.strip_suffix(parent.as_str()).is_some_and(|left| left.len() > 1 && left.ends_with('.'))
            }
            FqdnPattern::Suffix(tail) => name.ends_with(&**tail),
            FqdnPattern::Glob(glob) => compile_glob(glob).is_ok_and(|glob| glob.compile_matcher().is_match(name)),
        }
    }
}

/// What is left of the text after its last `*`, as a wider pattern that Azure takes.
fn nearest_legal(text: &str) -> String {
    let host = text.split('/').next().unwrap_or(text);
    let tail = host.rsplit('*').next().unwrap_or(host);
    let tail = tail.find('.').map_or("", |dot| &tail[dot..]);
    if tail.len() > 1 { format!("*{tail}") } else { "*".to_owned() }
}

fn parse_glob(text: &str) -> Result<FqdnPattern, PatternError> {
    let lower = text.trim().to_ascii_lowercase();
    let bad = |why: String| PatternError::BadGlob { text: text.to_owned(), why };
    let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.*?[]{},!".contains(&b);
    if lower.is_empty() || !lower.bytes().all(known) {
        return Err(bad("it holds letters, digits, - _ . and the signs * ? [ ] { } , ! only".to_owned()));
    }
    if lower.len() > MAX_NAME {
        return Err(bad(format!("it is longer than the {MAX_NAME} bytes of a host name")));
    }
    compile_glob(&lower).map_err(|error| bad(error.kind().to_string()))?;
    Ok(FqdnPattern::Glob(lower.into()))
}

pub(crate) fn compile_glob(glob: &str) -> Result<globset::Glob, globset::Error> {
    globset::GlobBuilder::new(glob).literal_separator(false).backslash_escape(false).build()
}

impl fmt::Display for FqdnPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FqdnPattern::Any => f.write_str("*"),
            FqdnPattern::Exact(name) => name.fmt(f),
            FqdnPattern::Subdomains(name) => write!(f, "*.{name}"),
            FqdnPattern::Suffix(tail) => write!(f, "*{tail}"),
            FqdnPattern::Glob(glob) => write!(f, "glob:{glob}"),
        }
    }
}

/// A target URL of an application rule: a host pattern and a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UrlPattern {
    pub host: FqdnPattern,
    pub path: PathPattern,
}

/// What of the path a target URL wants. The query never counts. Letter case does: Azure documents neither.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// No path in the pattern: taken as any path (undocumented by Azure).
    Any,
    /// `/test`: this path, with or without one trailing slash.
    Exact(Box<str>),
    /// `/test/*`: whatever begins so, the slash included.
    Prefix(Box<str>),
}

impl UrlPattern {
    /// Reads a target URL: no scheme, no port, no query, no blank, `*` left-most or right-most.
    pub fn parse(text: &str) -> Result<UrlPattern, PatternError> {
        let text = text.trim();
        let part = |what| PatternError::UrlPart { text: text.to_owned(), what };
        if text.contains("://") {
            return Err(part("no scheme"));
        }
        if text.contains('?') {
            return Err(part("no query"));
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(part("no blank"));
        }
        let (host, path) = match text.find('/') {
            Some(at) => (&text[..at], &text[at..]),
            None => (text, ""),
        };
        if host.contains(':') {
            return Err(part("no port"));
        }
        Ok(UrlPattern { host: FqdnPattern::parse_azure(host)?, path: PathPattern::parse(text, path)? })
    }
}

impl PathPattern {
    fn parse(text: &str, path: &str) -> Result<PathPattern, PatternError> {
        let (prefix, star) = match path.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (path, false),
        };
        if prefix.contains('*') {
            return Err(PatternError::StarPosition { text: text.to_owned(), nearest: nearest_legal(text) });
        }
        Ok(match (prefix, star) {
            ("", _) => PathPattern::Any,
            (prefix, true) => PathPattern::Prefix(prefix.into()),
            (exact, false) => PathPattern::Exact(exact.trim_end_matches('/').into()),
        })
    }

    /// `path` as it stands in the request, the query still on it.
    pub fn matches(&self, path: &str) -> bool {
        let path = path.split(['?', '#']).next().unwrap_or(path);
        match self {
            PathPattern::Any => true,
            PathPattern::Exact(exact) => path.strip_suffix('/').unwrap_or(path) == &**exact,
            PathPattern::Prefix(prefix) => path.starts_with(&**prefix),
        }
    }
}

/// Could an origin read another path in this one? Dot segments and backslashes, escaped or not, are where servers
/// and patterns differ.
pub(super) fn is_ambiguous(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or(path).to_ascii_lowercase();
    let path = path.replace("%2e", ".").replace("%5c", "\\").replace("%2f", "/");
    path.contains('\\') || path.split('/').any(|segment| matches!(segment, "." | ".."))
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            PathPattern::Any => self.host.fmt(f),
            PathPattern::Exact(path) if path.is_empty() => write!(f, "{}/", self.host),
            PathPattern::Exact(path) => write!(f, "{}{path}", self.host),
            PathPattern::Prefix(path) => write!(f, "{}{path}*", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, name: &str, expected: bool) {
        let parsed = FqdnPattern::parse(pattern).unwrap();
        assert_eq!(parsed.matches(&HostName::parse(name).unwrap()), expected, "{pattern} on {name}");
    }

    #[test]
    fn wildcards() {
        check("*", "anything.test", true);
        check("www.contoso.com", "WWW.contoso.com.", true);
        check("www.contoso.com", "a.www.contoso.com", false);
        check("*.contoso.com", "any.contoso.com", true);
        check("*.contoso.com", "a.b.contoso.com", true);
        check("*.contoso.com", "contoso.com", false);
        check("*.contoso.com", "evilcontoso.com", false);
        check("*contoso.com", "contoso.com", true);
        check("*contoso.com", "evilcontoso.com", true);
        check("*-prod.contoso.com", "a-prod.contoso.com", true);
        check("glob:gr-Prod-*.cloudapp.net", "gr-prod-mwh.cloudapp.net", true);
        check("glob:gr-Prod-*.cloudapp.net", "gr-test-mwh.cloudapp.net", false);
        check("glob:grmdsprod*mini*.servicebus.windows.net", "grmdsprodbn1mini3.servicebus.windows.net", true);
    }

    #[test]
    fn refusals_name_the_nearest_legal_spelling() {
        let error = |text: &str| FqdnPattern::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("gr-Prod-*.cloudapp.net"),
            "`gr-Prod-*.cloudapp.net`: Azure Firewall takes `*` only as the left-most character; the nearest it \
             accepts is `*.cloudapp.net` (in egret.toml, `glob:gr-Prod-*.cloudapp.net` says it exactly)"
        );
        for bad in ["www.contoso.*", "*.contoso.*", "*.*.test.local", "aabbcc*.test.local", "test.*.testcom.com"] {
            assert!(error(bad).contains("left-most"), "{bad}");
        }
        assert!(error("a b.test").contains("no host name"));
        assert!(error("glob:a/b").contains("no glob"));
        assert!(error("glob:[a").contains("no glob"));
        let long = format!("glob:*{}", "a".repeat(300));
        assert!(error(&long).ends_with("is no glob: it is longer than the 253 bytes of a host name"));
        assert!(FqdnPattern::parse(&long[..5 + 253]).is_ok());
    }

    #[test]
    fn a_tail_is_ascii_where_it_may_begin_within_a_label() {
        let tail = |text: &str| FqdnPattern::parse(text).map(|pattern| pattern.to_string()).map_err(|e| e.to_string());
        assert_eq!(
            tail("*bücher.example").unwrap_err(),
            "`*bücher.example`: part of a label has no A-label form; write `*.bücher.example`"
        );
        assert!(tail("*-bücher.example").unwrap_err().ends_with("write `*.bücher.example`"));
        assert_eq!(tail("*.bücher.example").unwrap(), "*.xn--bcher-kva.example");
        assert_eq!(tail("*Prod.bücher.example").unwrap(), "*prod.xn--bcher-kva.example");
        assert_eq!(tail("*-PROD.Contoso.com").unwrap(), "*-prod.contoso.com");
        assert!(tail("*con toso.com").unwrap_err().contains("no host name"));
    }

    #[test]
    fn letters_of_a_path_count() {
        let pattern = UrlPattern::parse("WWW.Contoso.com/Test/*").unwrap();
        assert!(pattern.host.matches(&HostName::parse("www.contoso.COM").unwrap()));
        assert!(pattern.path.matches("/Test/a") && !pattern.path.matches("/test/a"));
    }

    #[test]
    fn url_paths() {
        let check = |pattern: &str, path: &str, expected: bool| {
            assert_eq!(UrlPattern::parse(pattern).unwrap().path.matches(path), expected, "{pattern} on {path}");
        };
        check("www.contoso.com/test", "/test", true);
        check("www.contoso.com/test", "/test/", true);
        check("www.contoso.com/test", "/test?with_query=1", true);
        check("www.contoso.com/test", "/test/a", false);
        check("www.contoso.com/test/*", "/test/anything", true);
        check("www.contoso.com/test/*", "/test", false);
        check("www.contoso.com/test/*", "/test?x=1", false);
        check("www.contoso.com", "/", true);
        for path in ["/a/../b", "/a/%2E%2e/b", "/a/./b", "/a/..", "/a%2f../b", "/a\\..\\b", "/a%5cb"] {
            assert!(is_ambiguous(path), "{path}");
        }
        assert!(!is_ambiguous("/a/..b/c...d/.e?x=../..") && !is_ambiguous("/"));
        for bad in ["www.contoso.*/test/*", "www.contoso.com/test?example=1", "www.contoso.com:8080", "https://a.test/"]
        {
            assert!(UrlPattern::parse(bad).is_err(), "{bad}");
        }
    }

    /// No request has one, and at the end of a pattern it would be lost where the pattern is shown and read again.
    #[test]
    fn a_url_has_no_blank() {
        for bad in ["a.test/x y", "a.test/x\u{c}/", "a.test/\0", "a.test/\u{a0}x"] {
            let error = UrlPattern::parse(bad).unwrap_err();
            assert!(matches!(error, PatternError::UrlPart { what: "no blank", .. }), "{bad}: {error}");
        }
        assert!(UrlPattern::parse(" a.test/x ").is_ok());
    }
}
