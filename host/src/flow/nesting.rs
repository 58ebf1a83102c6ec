//! Measures how deep a JSON body nests, without reading it into values.

/// Tells whether objects and arrays nest deeper than `most` levels in a JSON text. The result means nothing if the
/// input is not JSON.
pub(super) fn is_deeper_than(most: usize, json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' if depth == most => return true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
            Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
            _ => 0,
        }
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        assert!(!is_deeper_than(1, br#"["[[[", "\"[[", "\\"]"#));
        assert!(is_deeper_than(1, br#"["\\", []]"#));
        assert!(!is_deeper_than(1, b"[1],[2],[3]"));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![any::<i64>().prop_map(Value::from), r#"["\\\[\]{}a]{0,8}"#.prop_map(Value::from)];
        leaf.prop_recursive(8, 64, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(r#"["\\\[\]{}a]{0,4}"#, inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_as_deep_as_its_value(value in values(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let depth = depth(&value);
            prop_assert!(!is_deeper_than(depth, &text));
            prop_assert!(depth == 0 || is_deeper_than(depth - 1, &text));
        }
    }
}
