//! Patterns of keys.

/// A pattern over bytes, as Redis has it: `*` is any bytes, `?` is one, and `\` takes the next for what it is.
#[derive(Debug)]
pub(crate) struct Glob(Vec<Part>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Byte(u8),
}

impl Glob {
    /// Any bytes are a pattern.
    pub(crate) fn new(pattern: &[u8]) -> Self {
        let mut parts = Vec::with_capacity(pattern.len());
        let mut bytes = pattern.iter().copied();
        while let Some(byte) = bytes.next() {
            parts.push(match byte {
                b'*' => Part::Any,
                b'?' => Part::One,
                b'\\' => Part::Byte(bytes.next().unwrap_or(b'\\')),
                byte => Part::Byte(byte),
            });
        }
        Self(parts)
    }

    /// Whether it describes the whole key. It never takes longer than the lengths of both multiplied.
    pub(crate) fn matches(&self, key: &[u8]) -> bool {
        let (mut part, mut place) = (0, 0);
        // Where the last `*` is, and how far it reaches by now.
        let mut star = None;
        while let Some(byte) = key.get(place) {
            match self.0.get(part) {
                Some(Part::Any) => {
                    star = Some((part, place));
                    part += 1;
                }
                Some(Part::One) => (part, place) = (part + 1, place + 1),
                Some(Part::Byte(wanted)) if wanted == byte => (part, place) = (part + 1, place + 1),
                _ => match star {
                    None => return false,
                    Some((star_part, reach)) => {
                        star = Some((star_part, reach + 1));
                        (part, place) = (star_part + 1, reach + 1);
                    }
                },
            }
        }
        self.0.get(part..).unwrap_or_default().iter().all(|part| *part == Part::Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, without any cleverness.
    fn fits(parts: &[Part], key: &[u8]) -> bool {
        match (parts, key) {
            ([], []) => true,
            ([Part::Any, rest @ ..], _) => (0..=key.len()).any(|reach| fits(rest, &key[reach..])),
            ([Part::One, rest @ ..], [_, later @ ..]) => fits(rest, later),
            ([Part::Byte(wanted), rest @ ..], [byte, later @ ..]) => wanted == byte && fits(rest, later),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_the_definition_says(pattern in "[ab*?\\\\]{0,8}", key in "[ab*]{0,10}") {
            let glob = Glob::new(pattern.as_bytes());
            prop_assert_eq!(glob.matches(key.as_bytes()), fits(&glob.0, key.as_bytes()));
        }
    }

    #[test]
    fn patterns_match_whole_keys() {
        for (pattern, key, matches) in [
            ("user:*", "user:1", true),
            ("user:*", "users", false),
            ("*:1", "user:1", true),
            ("user:?", "user:12", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("*", "", true),
            ("[ab]", "a", false),
            ("", "a", false),
        ] {
            assert_eq!(Glob::new(pattern.as_bytes()).matches(key.as_bytes()), matches, "{pattern} {key}");
        }
        assert!(Glob::new(b"a*").matches(b"a\xFF"));
        assert!(Glob::new(b"\xAC\xED*").matches(b"\xAC\xED\x00\x05t"));
    }
}
