//! As much of Bicep as is written here: parameters, resources, literals and symbols.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::model::Model;

pub(super) fn read(text: &str) -> Model {
    let mut parser = Parser { rest: text, names: HashMap::new() };
    let mut model = Model::default();
    while let Some(word) = parser.word_or_end() {
        let symbol = parser.word();
        match word.as_str() {
            "param" => {
                parser.expect("string");
                parser.expect("=");
                let value = parser.value();
                parser.names.insert(symbol, value);
            }
            "resource" => {
                let kind = parser.value();
                parser.expect("=");
                let body = parser.value();
                let (kind, version) = kind.as_str().unwrap().split_once('@').unwrap();
                assert_eq!(version, super::API_VERSION);
                if let Some(parent) = body["parent"].as_str() {
                    assert_eq!(parent, model.policies.last().unwrap().0);
                }
                let name = body["name"].as_str().unwrap().to_owned();
                model.add(kind, &name, &body["properties"]);
                let before = parser.names.insert(symbol.clone(), Value::String(name));
                assert_eq!(before, None, "{symbol} comes twice");
            }
            other => panic!("{other}"),
        }
    }
    model
}

struct Parser<'t> {
    rest: &'t str,
    names: HashMap<String, Value>,
}

impl Parser<'_> {
    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn word_or_end(&mut self) -> Option<String> {
        self.blank();
        (!self.rest.is_empty()).then(|| self.word())
    }

    fn word(&mut self) -> String {
        self.blank();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_.".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        assert!(!word.is_empty(), "no word: {:.40}", self.rest);
        self.rest = rest;
        word.to_owned()
    }

    fn expect(&mut self, text: &str) {
        assert!(self.eat(text), "no `{text}`: {:.40}", self.rest);
    }

    fn eat(&mut self, text: &str) -> bool {
        self.blank();
        self.rest.strip_prefix(text).map(|rest| self.rest = rest).is_some()
    }

    fn value(&mut self) -> Value {
        if self.eat("'") {
            return Value::String(self.text());
        }
        if self.eat("[") {
            let mut items = Vec::new();
            while !self.eat("]") {
                items.push(self.value());
            }
            return Value::Array(items);
        }
        if self.eat("{") {
            let mut fields = Map::new();
            while !self.eat("}") {
                let key = if self.eat("'") { self.text() } else { self.word() };
                self.expect(":");
                let value = self.value();
                fields.insert(key, value);
            }
            return Value::Object(fields);
        }
        let word = self.word();
        match word.as_str() {
            "true" | "false" | "null" => serde_json::from_str(&word).unwrap(),
            "resourceGroup" => {
                self.expect("()");
                self.word();
                json!("westeurope")
            }
            number if number.parse::<i64>().is_ok() => json!(number.parse::<i64>().unwrap()),
            symbol => {
                let name = symbol.strip_suffix(".id").unwrap_or(symbol);
                self.names.get(name).cloned().unwrap_or_else(|| panic!("`{name}` is not declared before"))
            }
        }
    }

    /// The rest of a text, behind its first quote.
    fn text(&mut self) -> String {
        let mut text = String::new();
        let mut letters = self.rest.char_indices();
        while let Some((at, c)) = letters.next() {
            match c {
                '\'' => {
                    self.rest = &self.rest[at + 1..];
                    return text;
                }
                '\\' => match letters.next().unwrap().1 {
                    'n' => text.push('\n'),
                    'r' => text.push('\r'),
                    't' => text.push('\t'),
                    escaped @ ('\'' | '\\' | '$') => text.push(escaped),
                    other => panic!("\\{other}"),
                },
                '\n' => panic!("a line ends within a text"),
                '$' => {
                    assert!(!self.rest[at..].starts_with("${"), "an expression within a text");
                    text.push(c);
                }
                c => text.push(c),
            }
        }
        panic!("a text without an end");
    }
}
