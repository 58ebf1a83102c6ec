//! Splits Rust's source text into words, strings and signs, without comments and tests: enough of a parser to find
//! calls.

/// A piece of source text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, a keyword or a number.
    Word(String),
    /// The text of a string literal.
    Text(String),
    /// Any other character.
    Sign(char),
}

impl Token {
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own == word)
    }

    pub(super) fn is_sign(&self, sign: char) -> bool {
        *self == Self::Sign(sign)
    }
}

/// Splits source text, and leaves out items that are for tests alone.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut rest = source;
    let mut found = Vec::new();
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            2 + rest.find("*/").expect("the comment's end")
        } else if let Some((text, length)) = string(rest) {
            found.push(Token::Text(text));
            length
        } else if let Some(length) = character(rest) {
            length
        } else if is_of_word(first) {
            let length = rest.find(|character| !is_of_word(character)).unwrap_or(rest.len());
            found.push(Token::Word(rest[..length].to_owned()));
            length
        } else {
            if !first.is_whitespace() {
                found.push(Token::Sign(first));
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    without_tests(found)
}

/// Gives source text without comments, strings and tests. Statements and items end their lines.
pub(crate) fn code(source: &str) -> String {
    let (mut code, mut is_after_word) = (String::new(), false);
    for token in tokens(source) {
        let is_word = matches!(token, Token::Word(_));
        if is_word && is_after_word {
            code.push(' ');
        }
        match token {
            Token::Word(word) => code.push_str(&word),
            Token::Text(_) => code.push_str("\"\""),
            Token::Sign(sign) => code.push(sign),
        }
        if code.ends_with([';', '}', ']']) {
            code.push('\n');
        }
        is_after_word = is_word;
    }
    code
}

/// Tells whether a character may be part of a name.
pub(crate) fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Reads a string literal of any kind: its text, unescaped only as far as quotes go, and its length in the source.
fn string(source: &str) -> Option<(String, usize)> {
    let prefix = source.bytes().take(3).position(|byte| byte == b'"' || byte == b'#')?;
    if !["", "b", "c", "r", "br", "cr"].contains(&&source[..prefix]) {
        return None;
    }
    if source[..prefix].ends_with('r') {
        let hashes = source[prefix..]
            .find('"')
            .filter(|count| source[prefix..][..*count].chars().all(|c| c == '#'))?;
        let begin = prefix + hashes + 1;
        let end = begin + source[begin..].find(&format!("\"{}", "#".repeat(hashes)))?;
        return Some((source[begin..end].to_owned(), end + 1 + hashes));
    }
    let inner = source[prefix..].strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inner.find(|character| {
        let is_end = character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        is_end
    })?;
    Some((inner[..end].replace("\\\"", "\""), prefix + 1 + end + 1))
}

/// Measures a character literal. Returns `None` for a lifetime.
fn character(source: &str) -> Option<usize> {
    let prefix = if source.starts_with("b'") { 1 } else { 0 };
    let inner = source[prefix..].strip_prefix('\'')?;
    let length = match inner.strip_prefix('\\') {
        Some(escaped) => 2 + escaped[1..].find('\'')?,
        None => inner.chars().next()?.len_utf8(),
    };
    inner[length..].starts_with('\'').then_some(prefix + 1 + length + 1)
}

/// Leaves out each item below `#[cfg(test)]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let is_mark = |at: usize| {
        mark.iter().enumerate().all(|(offset, wanted)| match tokens.get(at + offset) {
            Some(Token::Word(word)) => word == wanted,
            Some(Token::Sign(sign)) => *wanted == sign.to_string(),
            _ => false,
        })
    };
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_mark(at) {
            at = end_of_item(&tokens, at + mark.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Finds the end of an item: behind its braces, or its semicolon.
fn end_of_item(tokens: &[Token], begin: usize) -> usize {
    let mut depth = 0;
    for (offset, token) in tokens[begin..].iter().enumerate() {
        match token {
            Token::Sign('{' | '(' | '[') => depth += 1,
            Token::Sign(')' | ']') => depth -= 1,
            Token::Sign('}') => {
                depth -= 1;
                if depth == 0 {
                    return begin + offset + 1;
                }
            }
            Token::Sign(';') if depth == 0 => return begin + offset + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Finds the bracket that closes the one at `open`.
pub(super) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (offset, token) in tokens[open..].iter().enumerate() {
        match token {
            Token::Sign('{' | '(' | '[') => depth += 1,
            Token::Sign('}' | ')' | ']') => {
                depth -= 1;
                if depth == 0 {
                    return open + offset;
                }
            }
            _ => {}
        }
    }
    panic!("a bracket is not closed");
}

#[test]
fn comments_and_tests_are_left_out_and_strings_are_whole() {
    let source = r##"
        // call("comment")
        fn a<'x>(_: &'x str) { call("one \" \\", b'\'', '"', r#"raw " text"#) }
        #[cfg(test)]
        mod tests { fn b() { call("test") } }
        /* call("block") */ const C: char = '\u{1F600}';
    "##;
    let texts: Vec<String> = tokens(source)
        .into_iter()
        .filter_map(|token| match token {
            Token::Text(text) => Some(text),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["one \" \\\\", "raw \" text"]);
    assert!(tokens(source).iter().any(|token| token.is_word("C")));
    assert!(!tokens(source).iter().any(|token| token.is_word("b") || token.is_word("tests")));
    assert_eq!(
        code("pub use a::{b, c}; // d\nconst E: &str = \"f::g\";"),
        "pub use a::{b,c}\n;\nconst E:&str=\"\";\n"
    );
}
