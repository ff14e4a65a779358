//! JSON as people write templates in it, every value with the place where it stands.
//!
//! Comments and trailing commas are let pass, and a file may hold several values one after the other. Depth and
//! number of values are bounded, so that what a file costs depends on its size alone.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use jsonc_parser::ast;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::policy::Spot;

/// More values than this are no policy: Azure's largest is some two hundred thousand.
const MOST_VALUES: usize = 2_000_000;
/// Top-level values of one file.
const MOST_DOCUMENTS: usize = 64;

/// A value and where it was written. What an expression made stands where the expression does.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub value: Value,
    pub at: Spot,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// As it is written: `100`, `1e3`.
    Number(Arc<str>),
    Text(Arc<str>),
    List(Vec<Node>),
    Object(Object),
    /// What only Azure knows, such as the address of something that is not there yet.
    Unknown(Unknown),
}

/// A value that cannot be told here, by what it takes to tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// What `--set` would have to give, each once: `parameters.adminIp`, `reference(fw-ip).ipAddress`.
    pub names: Vec<Arc<str>>,
    /// The value as far as it is known, for people: `fw-{parameters.env}`.
    pub shown: Arc<str>,
}

/// Names in the order in which they stand. Azure takes them in any letter case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object(pub Vec<(Key, Node)>);

#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub name: Arc<str>,
    pub at: Spot,
}

/// Why a text is no JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not JSON: {what}")]
pub struct SyntaxError {
    /// In lower case, without a full stop.
    pub what: String,
    /// Bytes of the text.
    pub span: Range<usize>,
}

/// Reads all top-level values of a text. `file` is the number that their spots name.
///
/// # Errors
/// The first place that is no JSON; also what is too deep (512 levels) or holds more than two million values.
pub fn parse(text: &str, file: u32) -> Result<Vec<Node>, SyntaxError> {
    let start = text.len() - text.trim_start_matches('\u{feff}').len();
    let commas = text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    if commas > MOST_VALUES {
        let what = format!("it holds more than {MOST_VALUES} values, which no policy does");
        return Err(SyntaxError { what, span: start..start });
    }
    let mut documents = Vec::new();
    let mut from = start;
    while documents.len() < MOST_DOCUMENTS {
        let rest = parse_one(text, from, text.len(), file, &mut documents)?;
        match rest {
            Some(next) => from = next,
            None => return Ok(documents),
        }
    }
    Err(SyntaxError { what: format!("more than {MOST_DOCUMENTS} values one after the other"), span: from..from })
}

/// Reads the value that begins at `from`; answers where the next one does.
fn parse_one(
    text: &str,
    from: usize,
    to: usize,
    file: u32,
    documents: &mut Vec<Node>,
) -> Result<Option<usize>, SyntaxError> {
    match parse_to_ast(&text[from..to], &CollectOptions::default(), &DIALECT) {
        Ok(parsed) => {
            documents.extend(parsed.value.map(|value| Reader { from, file }.node(value)));
            Ok(None)
        }
        Err(error) if matches!(error.kind(), ParseErrorKind::MultipleRootJsonValues) && to == text.len() => {
            let next = from + error.range().start;
            if next <= from {
                return Err(syntax(&error, from));
            }
            parse_one(text, from, next, file, documents)?;
            Ok(Some(next))
        }
        Err(error) => Err(syntax(&error, from)),
    }
}

const DIALECT: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

fn syntax(error: &ParseError, from: usize) -> SyntaxError {
    let words = error.kind().to_string();
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_lowercase().to_string()).unwrap_or_default();
    let what = format!("{first}{}", letters.as_str().trim_end_matches('.'));
    SyntaxError { what, span: from + error.range().start..from + error.range().end }
}

struct Reader {
    from: usize,
    file: u32,
}

impl Reader {
    fn spot(&self, range: jsonc_parser::common::Range) -> Spot {
        Spot::new(self.file, self.from + range.start..self.from + range.end)
    }

    fn node(&self, value: ast::Value<'_>) -> Node {
        use jsonc_parser::common::Ranged;
        let at = self.spot(value.range());
        let value = match value {
            ast::Value::NullKeyword(_) => Value::Null,
            ast::Value::BooleanLit(flag) => Value::Bool(flag.value),
            ast::Value::NumberLit(number) => Value::Number(number.value.into()),
            ast::Value::StringLit(text) => Value::Text(text.value.into()),
            ast::Value::Array(list) => Value::List(list.elements.into_iter().map(|item| self.node(item)).collect()),
            ast::Value::Object(object) => {
                Value::Object(Object(object.properties.into_iter().map(|property| self.property(property)).collect()))
            }
        };
        Node { value, at }
    }

    fn property(&self, property: ast::ObjectProp<'_>) -> (Key, Node) {
        use jsonc_parser::common::Ranged;
        let at = self.spot(property.name.range());
        (Key { name: property.name.as_str().into(), at }, self.node(property.value))
    }
}

impl Object {
    /// By its name in any letter case; the last of several, as Azure takes it. Null counts as not there.
    pub fn get(&self, name: &str) -> Option<&Node> {
        let found = self.0.iter().rev().find(|(key, _)| key.name.eq_ignore_ascii_case(name));
        found.map(|(_, node)| node).filter(|node| node.value != Value::Null)
    }

    pub fn iter(&self) -> impl Iterator<Item = &(Key, Node)> {
        self.0.iter()
    }
}

impl Node {
    pub fn new(value: Value, at: Spot) -> Node {
        Node { value, at }
    }

    pub fn object(&self) -> Option<&Object> {
        match &self.value {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// A member of an object; None where this is none.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.object()?.get(name)
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// `a list`, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
            Value::Unknown(_) => "a value that is not known here",
        }
    }
}

/// The names that stand a second time in their object, in any letter case: only the last of them counts.
pub fn duplicates(documents: &[Node]) -> Vec<&Key> {
    let mut found = Vec::new();
    documents.iter().for_each(|document| find_duplicates(document, &mut found));
    found
}

fn find_duplicates<'n>(node: &'n Node, found: &mut Vec<&'n Key>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| find_duplicates(item, found)),
        Value::Object(object) => {
            let mut seen = HashSet::with_capacity(object.0.len());
            for (key, value) in object.iter() {
                if !seen.insert(key.name.to_ascii_lowercase()) {
                    found.push(key);
                }
                find_duplicates(value, found);
            }
        }
        _ => {}
    }
}

/// The JSON path of what begins nearest before `span` ends, in the document that holds it:
/// `$.resources[2].properties.priority`.
pub fn path_of(documents: &[Node], spot: Spot) -> Option<String> {
    let span = spot.span()?;
    let document = documents.iter().find(|document| holds(document, &span))?;
    let mut path = String::from("$");
    let mut node = document;
    while let Some((step, next)) = step_into(node, &span) {
        path.push_str(&step);
        node = next;
    }
    Some(path)
}

fn holds(node: &Node, span: &Range<usize>) -> bool {
    node.at.span().is_some_and(|at| at.start <= span.start && span.end <= at.end)
}

fn step_into<'n>(node: &'n Node, span: &Range<usize>) -> Option<(String, &'n Node)> {
    match &node.value {
        Value::List(items) => {
            let at = items.partition_point(|item| item.at.span().is_some_and(|at| at.end < span.end));
            items.get(at).filter(|item| holds(item, span)).map(|item| (format!("[{at}]"), item))
        }
        Value::Object(object) => object.iter().find_map(|(key, value)| {
            let named = key.at.span().is_some_and(|at| at.start <= span.start && span.end <= at.end);
            (named || holds(value, span)).then(|| (step_of(&key.name), value))
        }),
        _ => None,
    }
}

fn step_of(name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { format!(".{name}") } else { format!("['{}']", name.replace('\'', "\\'")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        let mut documents = parse(text, 0).unwrap();
        assert_eq!(documents.len(), 1, "{text}");
        documents.remove(0)
    }

    #[test]
    fn what_templates_are_written_in() {
        let node = one("\u{feff}// a comment\r\n{ \"Name\": \"x\", /* b */ \"list\": [1, true, null,], }");
        assert_eq!(node.get("name").and_then(Node::text), Some("x"));
        assert_eq!(node.get("LIST").and_then(Node::list).map(<[Node]>::len), Some(3));
        assert_eq!(one("{\"a\": null}").get("a"), None);
        assert_eq!(one("{\"a\": 1, \"A\": 2}").get("a").unwrap().value, Value::Number("2".into()));
    }

    #[test]
    fn names_that_stand_twice() {
        let node = [one("{\"a\": 1, \"b\": [{\"c\": 1, \"C\": 2, \"c\": 3}], \"A\": {\"a\": 1}}")];
        let names: Vec<&str> = duplicates(&node).into_iter().map(|key| &*key.name).collect();
        assert_eq!(names, ["C", "c", "A"]);
        assert!(duplicates(&[one("[{\"a\": 1}, {\"a\": 2}]")]).is_empty());
    }

    #[test]
    fn several_values_in_one_file() {
        let documents = parse("{\"a\": 1}\n{\"b\": 2} // c\n[3]", 0).unwrap();
        assert_eq!(documents.len(), 3);
        assert_eq!(documents[1].at.span(), Some(9..17));
        assert!(parse("", 0).unwrap().is_empty());
    }

    #[test]
    fn paths() {
        let text = "{\"a\": [{\"b c\": 1}, {\"d\": \"x\"}]}";
        let documents = parse(text, 0).unwrap();
        let path = |what: &str| {
            let at = text.find(what).unwrap();
            path_of(&documents, Spot::new(0, at..at + what.len())).unwrap()
        };
        assert_eq!(path("\"x\""), "$.a[1].d");
        assert_eq!(path("1"), "$.a[0]['b c']");
        assert_eq!(path("\"d\""), "$.a[1].d");
    }

    #[test]
    fn what_is_no_json() {
        let error = |text: &str| parse(text, 0).unwrap_err();
        assert_eq!(error("{\"a\": [1, 2").span, 6..11);
        assert!(error(&"[".repeat(10_000)).to_string().contains("depth"));
        assert!(error(&format!("[{}1]", "1,".repeat(MOST_VALUES))).to_string().contains("2000000 values"));
        for bad in ["{a: 1}", "{'a': 1}", "{\"a\": 1 \"b\": 2}", "[+1]", "[0x10]", "{", "}", "\"a"] {
            assert!(parse(bad, 0).is_err(), "{bad}");
        }
    }
}
