//! The grammar of template expressions: `[concat('a', parameters('b').c[0])]`.
//!
//! Nothing is looked up here. Depth is bounded, so that an expression costs what its length says.

use std::sync::Arc;

/// Calls within calls. The deepest that Bicep has been seen to write is some twenty.
const DEEPEST: usize = 100;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Text(Arc<str>),
    Number(Arc<str>),
    Call(Call),
    Access { base: Box<Expr>, steps: Vec<Step> },
}

/// `name(arguments)`; the name of a function of the template's own has a dot: `contoso.uniqueName`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) name: Arc<str>,
    pub(super) arguments: Vec<Expr>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) key: Expr,
    /// `.?name`: null where there is none.
    pub(super) absence: Absence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    Wrong,
    Null,
}

/// What a string of a template is.
#[derive(Debug, PartialEq)]
pub(super) enum Written<'t> {
    /// As it stands.
    Plain,
    /// `[[x]` is how `[x]` is written.
    Escaped(&'t str),
    Expression(&'t str),
}

pub(super) fn written(text: &str) -> Written<'_> {
    match text.strip_prefix('[') {
        Some(rest) if rest.starts_with('[') => Written::Escaped(rest),
        Some(rest) => rest.strip_suffix(']').map_or(Written::Plain, Written::Expression),
        None => Written::Plain,
    }
}

/// Reads what stands between the brackets; the error is in words.
pub(super) fn parse(text: &str) -> Result<Expr, String> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let expression = parser.expression()?;
    parser.space();
    match parser.peek() {
        None => Ok(expression),
        Some(found) => Err(parser.unexpected(found, "the end of the expression")),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn expression(&mut self) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("the expression has calls within calls more than {DEEPEST} deep"));
        }
        let base = self.atom()?;
        let steps = self.steps()?;
        self.depth -= 1;
        Ok(if steps.is_empty() { base } else { Expr::Access { base: Box::new(base), steps } })
    }

    fn atom(&mut self) -> Result<Expr, String> {
        self.space();
        match self.peek() {
            Some('\'') => self.quoted().map(Expr::Text),
            Some(sign) if sign == '-' || sign == '+' || sign.is_ascii_digit() => self.number(),
            Some(letter) if is_word(letter) => self.call(),
            Some(found) => Err(self.unexpected(found, "a function, a text in single quotes or a number")),
            None => Err("the expression ends where a function, a text in single quotes or a number is expected".into()),
        }
    }

    fn quoted(&mut self) -> Result<Arc<str>, String> {
        let rest = &self.text[self.at + 1..];
        let mut found = String::new();
        let mut from = 0;
        while let Some(quote) = rest[from..].find('\'') {
            found.push_str(&rest[from..from + quote]);
            from += quote + 1;
            if !rest[from..].starts_with('\'') {
                self.at += 1 + from;
                return Ok(found.into());
            }
            found.push('\'');
            from += 1;
        }
        Err("a text in single quotes has no end".into())
    }

    fn number(&mut self) -> Result<Expr, String> {
        let rest = &self.text[self.at..];
        let end = rest[1..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(rest.len(), |end| end + 1);
        let digits = rest[..end].trim_start_matches('+');
        if digits.parse::<i64>().is_err() && !digits.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(format!("{digits} is no number"));
        }
        self.at += end;
        Ok(Expr::Number(digits.into()))
    }

    fn call(&mut self) -> Result<Expr, String> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !is_word(c) && c != '.').unwrap_or(rest.len());
        let name: Arc<str> = rest[..end].into();
        self.at += end;
        self.space();
        if !self.take('(') {
            return Err(format!("{name} is followed by no '('; a text stands in single quotes: '{name}'"));
        }
        Ok(Expr::Call(Call { arguments: self.arguments(&name)?, name }))
    }

    fn arguments(&mut self, name: &str) -> Result<Vec<Expr>, String> {
        let mut arguments = Vec::new();
        self.space();
        if self.take(')') {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            self.space();
            if self.take(')') {
                return Ok(arguments);
            }
            if !self.take(',') {
                return Err(match self.peek() {
                    Some(found) => self.unexpected(found, &format!("',' or ')' in {name}(…)")),
                    None => format!("{name}( is not closed"),
                });
            }
        }
    }

    fn steps(&mut self) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        loop {
            self.space();
            if self.take('.') {
                let absence = self.absence();
                steps.push(Step { key: Expr::Text(self.word()?), absence });
            } else if self.take('[') {
                let absence = self.absence();
                steps.push(Step { key: self.expression()?, absence });
                self.space();
                if !self.take(']') {
                    return Err("an index in brackets is not closed".into());
                }
            } else {
                return Ok(steps);
            }
        }
    }

    fn absence(&mut self) -> Absence {
        if self.take('?') { Absence::Null } else { Absence::Wrong }
    }

    fn word(&mut self) -> Result<Arc<str>, String> {
        self.space();
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        if end == 0 {
            return Err("a dot is followed by no name".into());
        }
        self.at += end;
        Ok(rest[..end].into())
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(sign);
        if found {
            self.at += sign.len_utf8();
        }
        found
    }

    fn unexpected(&self, found: char, wanted: &str) -> String {
        format!("'{found}' at character {} where {wanted} is expected", self.text[..self.at].chars().count() + 1)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An expression in full brackets.
    fn shown(expression: &Expr) -> String {
        match expression {
            Expr::Text(text) => format!("'{text}'"),
            Expr::Number(number) => number.to_string(),
            Expr::Call(call) => {
                let arguments: Vec<String> = call.arguments.iter().map(shown).collect();
                format!("{}({})", call.name, arguments.join(","))
            }
            Expr::Access { base, steps } => steps.iter().fold(shown(base), |all, step| {
                let mark = if step.absence == Absence::Null { "?" } else { "" };
                format!("{all}[{mark}{}]", shown(&step.key))
            }),
        }
    }

    #[test]
    fn expressions() {
        let check = |text: &str, expected: &str| assert_eq!(shown(&parse(text).unwrap()), expected, "{text}");
        check("a()", "a()");
        check(" a ( 'it''s' , -1,\r\n b ( ) ) ", "a('it's',-1,b())");
        check("a('').b .c['d'] [0]", "a('')['b']['c']['d'][0]");
        check("a().?b[?'c']", "a()[?'b'][?'c']");
        check("contoso.name('x')", "contoso.name('x')");
        check("a(b()[c('d').e])", "a(b()[c('d')['e']])");
        check("'a'", "'a'");
        check("a(1.5, 'ü').ü", "a(1.5,'ü')['ü']");
    }

    #[test]
    fn what_is_no_expression() {
        let check = |text: &str, expected: &str| assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        check("", "the expression ends where a function, a text in single quotes or a number is expected");
        check("a", "a is followed by no '('; a text stands in single quotes: 'a'");
        check("a('b)", "a text in single quotes has no end");
        check("a('b'", "a( is not closed");
        check("a(1 2)", "'2' at character 5 where ',' or ')' in a(…) is expected");
        check("a() b", "'b' at character 5 where the end of the expression is expected");
        check("a().", "a dot is followed by no name");
        check("a()[0", "an index in brackets is not closed");
        check("10.0.0.1", "10.0.0.1 is no number");
        check("\"a\"", "'\"' at character 1 where a function, a text in single quotes or a number is expected");
        check(&"a(".repeat(10_000), "the expression has calls within calls more than 100 deep");
    }

    #[test]
    fn what_strings_are() {
        assert_eq!(written("a"), Written::Plain);
        assert_eq!(written("[a"), Written::Plain);
        assert_eq!(written("[a] b"), Written::Plain);
        assert_eq!(written("[[a]"), Written::Escaped("[a]"));
        assert_eq!(written("[a()]"), Written::Expression("a()"));
        assert_eq!(written("["), Written::Plain);
    }
}
