//! From a key to the operators that it names, or looks as if it named.

use unicode_normalization::UnicodeNormalization;

/// The operators in a key, with their `$`, in the order of its dotted segments; mostly none.
///
/// Compared is what a reader sees: compatibility forms (`＄`) as the characters that they stand for, without accents,
/// without whatever is not visible ASCII, and `$$where` as `$where`. Which characters are compatible is a table of the
/// Unicode standard (UAX #15), hence a crate. It decomposes, since composing could hide a letter under an accent.
pub(super) fn operators(key: &str) -> Vec<String> {
    if key.is_ascii() && !key.contains('$') {
        return Vec::new();
    }
    let visible: String = key.nfkd().filter(char::is_ascii_graphic).collect();
    visible
        .split('.')
        .filter(|segment| segment.starts_with('$'))
        .map(|segment| format!("${}", segment.trim_start_matches('$')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_read_as_a_person_sees_them() {
        for (key, seen) in [
            ("", &[][..]),
            ("name", &[]),
            ("größe", &[]),
            ("price$", &[]),
            ("items.$", &["$"]),
            ("items.$[where].x", &["$[where]"]),
            ("$gte", &["$gte"]),
            ("a.$where.$function", &["$where", "$function"]),
            ("＄ｗｈｅｒｅ", &["$where"]),
            ("﹩where", &["$where"]),
            ("a．$where", &["$where"]),
            ("\u{200b}$wh\u{ad}ere\u{feff} ", &["$where"]),
            ("$whe\u{301}re", &["$where"]),
            ("$$where", &["$where"]),
            ("𝓪", &[]),
        ] {
            assert_eq!(operators(key), seen, "{key:?}");
        }
    }
}
