//! A text of SQL in pieces, as PostgreSQL's lexer divides it (its manual, 4.1), for texts of any length: nothing is kept of
//! what was read.

/// A piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A keyword, or a name without quotation marks.
    Word(&'a str),
    /// A text, as it stands between its quotation marks.
    Text(&'a str),
    /// A name between quotation marks, a digit, or a sign.
    Other(u8),
}

impl Piece<'_> {
    /// Whether it is this keyword.
    pub(crate) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// Divides a text.
#[derive(Debug, Clone)]
pub(crate) struct Pieces<'a> {
    text: &'a str,
    place: usize,
    /// The last piece was a text with escapes, which goes on where another text follows in a line below.
    escapes: bool,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, place: 0, escapes: false }
    }

    /// Tells how many bytes were read.
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.place + ahead).copied()
    }

    /// Goes on to the first byte from here that is so, or to the end.
    fn skip_until(&mut self, is_end: impl Fn(u8) -> bool) {
        let rest = self.text.as_bytes().get(self.place..).unwrap_or_default();
        self.place += rest.iter().position(|byte| is_end(*byte)).unwrap_or(rest.len());
    }

    /// Leaves out spaces and comments. Whether there was the end of a line, and no comment of the other kind.
    fn skip_spaces(&mut self) -> bool {
        let (mut has_line_end, mut has_block) = (false, false);
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(b' ' | b'\t' | b'\x0b' | b'\x0c'), _) => self.place += 1,
                (Some(b'\n' | b'\r'), _) => {
                    has_line_end = true;
                    self.place += 1;
                }
                (Some(b'-'), Some(b'-')) => self.skip_until(|byte| matches!(byte, b'\n' | b'\r')),
                (Some(b'/'), Some(b'*')) => {
                    has_block = true;
                    self.skip_block();
                }
                _ => return has_line_end && !has_block,
            }
        }
    }

    /// Comments of this kind nest.
    fn skip_block(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.byte(0) {
            match (byte, self.byte(1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    self.place += 2;
                }
                (b'*', Some(b'/')) => {
                    depth = depth.saturating_sub(1);
                    self.place += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.place += 1,
            }
        }
    }

    fn from(&self, start: usize) -> &'a str {
        self.text.get(start..self.place).unwrap_or_default()
    }

    /// Takes what is between quotation marks, of which the first is here. Two in it stand for one.
    fn take_quoted(&mut self, mark: u8, escapes: bool) -> &'a str {
        self.place += 1;
        let start = self.place;
        while let Some(byte) = self.byte(0) {
            let stands_for_itself = byte == mark && self.byte(1) == Some(mark);
            if stands_for_itself || (byte == b'\\' && escapes) {
                self.place += 2;
            } else if byte == mark {
                let inner = self.from(start);
                self.place += 1;
                return inner;
            } else {
                self.place += 1;
            }
        }
        self.place = self.text.len();
        self.from(start)
    }

    /// Takes a text between `$tag$`, where one begins here.
    fn take_dollar_quoted(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.place..)?;
        let tag = rest.get(1..)?.split('$').next()?;
        let mark = rest.get(..tag.len() + 2)?;
        let fits = mark.ends_with('$')
            && tag.bytes().all(is_of_word)
            && !tag.starts_with(|first: char| first.is_ascii_digit());
        if !fits {
            return None;
        }
        let inner = rest.get(mark.len()..)?;
        let end = inner.find(mark);
        let inner = inner.get(..end.unwrap_or(inner.len()))?;
        self.place += mark.len() + inner.len() + end.map_or(0, |_| mark.len());
        Some(inner)
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let goes_on = self.skip_spaces() && self.escapes;
        self.escapes = false;
        let byte = self.byte(0)?;
        match byte {
            b'\'' => {
                self.escapes = goes_on;
                Some(Piece::Text(self.take_quoted(byte, goes_on)))
            }
            b'e' | b'E' if self.byte(1) == Some(b'\'') => {
                self.place += 1;
                self.escapes = true;
                Some(Piece::Text(self.take_quoted(b'\'', true)))
            }
            b'"' => {
                self.take_quoted(byte, false);
                Some(Piece::Other(byte))
            }
            b'$' => Some(match self.take_dollar_quoted() {
                Some(inner) => Piece::Text(inner),
                None => {
                    self.place += 1;
                    Piece::Other(byte)
                }
            }),
            _ if is_of_word(byte) && !byte.is_ascii_digit() => {
                let start = self.place;
                self.skip_until(|byte| !is_of_word(byte) && byte != b'$');
                Some(Piece::Word(self.from(start)))
            }
            _ => {
                self.place += 1;
                Some(Piece::Other(byte))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(sql: &str) -> String {
        let show = |piece: Piece<'_>| match piece {
            Piece::Word(word) => word.to_owned(),
            Piece::Text(text) => format!("<{text}>"),
            Piece::Other(byte) => (byte as char).to_string(),
        };
        Pieces::new(sql).map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn texts_names_and_comments_are_divided_as_postgresql_does() {
        for (sql, pieces) in [
            ("select 'a''b', \"c\"\"d\" -- e'\n from/* /* */ ' */t", "select <a''b> , \" from t"),
            (r"e'a\'b' 'c\' x", r"<a\'b> <c\> x"),
            ("e'a\\'b'\n -- '\n 'c\\'d' x", r"<a\'b> <c\'d> x"),
            ("e'a' 'c\\' x", r"<a> <c\> x"),
            ("e'a'\n/* */'c\\' x", r"<a> <c\> x"),
            ("$$ a'$b$ $$ $t$ $$ $t$ a$b$c $1$2 $", "< a'$b$ > < $$ > a$b$c $ 1 $ 2 $"),
            ("U&'a\\' b'1' x'f' n'c'", r"U & <a\> b <1> x <f> n <c>"),
            ("a1.b;c", "a1 . b ; c"),
            ("'open", "<open>"),
            ("$a$open", "<open>"),
            ("/* open", ""),
            ("1e'\\''", r"1 <\'>"),
            ("é$$a", "é$$a"),
        ] {
            assert_eq!(shown(sql), pieces, "{sql}");
        }
    }

    /// Words in their order, as PostgreSQL's own lexer finds them.
    fn scanned(sql: &str) -> Option<Vec<String>> {
        let tokens = pg_query::scan(sql).ok()?.tokens;
        let text = |start: i32, end: i32| sql.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?);
        let words = tokens.iter().filter_map(|token| text(token.start, token.end));
        let is_word = |text: &&str| text.starts_with(|first: char| first.is_alphabetic() || first == '_');
        let quoted = |text: &&str| !text.contains(['\'', '"']);
        Some(words.filter(is_word).filter(quoted).map(str::to_lowercase).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn words_are_found_where_postgresql_finds_them(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "'", "''", "\"", "$$", "$a$", "$", "\\", "\\'", " e'", " E'", "--", "\n", "/*", "*/", ";", "create",
                    " ", "role ", "name", "é", "1 ", "(", ")", "+", " U&'", " b'",
                ]),
                0..14,
            )
        ) {
            let sql = parts.concat();
            if let Some(words) = scanned(&sql) {
                let found: Vec<_> = Pieces::new(&sql)
                    .filter_map(|piece| match piece {
                        Piece::Word(word) => Some(word.to_lowercase()),
                        _ => None,
                    })
                    .collect();
                let ours: Vec<_> = found.into_iter().filter(|word| !["u", "b"].contains(&word.as_str())).collect();
                prop_assert_eq!(ours, words, "{}", sql);
            }
        }
    }
}
