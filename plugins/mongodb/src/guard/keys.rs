//! From a key to the operators that it names, or looks as if it named.

use unicode_normalization::UnicodeNormalization;

/// Looks at each operator in a key, with its `$`, in the order of its dotted segments; mostly there is none.
///
/// Compared is what a reader sees: compatibility forms (`＄`) as the characters that they stand for, without accents,
/// without whatever is not visible ASCII, and `$$where` as `$where`. Which characters are compatible is a table of the
/// Unicode standard (UAX #15), hence a crate. It decomposes, since composing could hide a letter under an accent.
///
/// # Errors
/// The first that `look` gives.
pub(super) fn each_operator<E>(key: &str, look: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    if key.is_ascii() && !key.contains('$') {
        return Ok(());
    }
    let visible: String = key.nfkd().filter(char::is_ascii_graphic).collect();
    let segments = visible.split('.').filter(|segment| segment.starts_with('$'));
    // One `$` of several stays.
    let more = |segment: &str| segment.len() - segment.trim_start_matches('$').len() - 1;
    segments.filter_map(|segment| segment.get(more(segment)..)).try_for_each(look)
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
            let mut operators = Vec::new();
            let _ = each_operator(key, |operator| {
                operators.push(operator.to_owned());
                Ok::<_, ()>(())
            });
            assert_eq!(operators, seen, "{key:?}");
        }
    }
}
