//! A forbidden operator at a random place, in a random disguise, in random filters, updates and pipelines.

use super::*;
use proptest::{collection::vec, prelude::*, sample::Index, sample::select};

const FORBIDDEN: [&str; 6] =
    ["$where", "$function", "$accumulator", "$eval", "$_internalJs", "$_internalJsEmit"];
/// What a person does not see, or hardly: soft hyphen, joiners, direction marks, a filler, a tag, a variation selector,
/// accents, spaces, control characters.
const UNSEEN: &[&str] = &[
    "\u{ad}",
    "\u{200b}",
    "\u{200d}",
    "\u{2060}",
    "\u{feff}",
    "\u{202e}",
    "\u{3164}",
    "\u{e0041}",
    "\u{fe0f}",
    "\u{301}",
    " ",
    "\u{a0}",
    "\t",
    "\n",
    "\u{1}",
    "\u{7f}",
];

fn harmless_key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z_]{1,6}(\\.[a-z0-9]{1,3}){0,2}",
        // The two characters that stand for a dollar, besides itself.
        2 => "[^$\u{ff04}\u{fe69}\0]{0,8}",
        3 => select(vec!["$gte", "$in", "$and", "$elemMatch", "$expr", "$cond", "$set", "$literal", "$id", "a.$[where].b", "a.$"])
            .prop_map(str::to_owned),
        1 => select(vec!["where", "function", "_internal", "a$where", "$wherever", "out", "merge"]).prop_map(str::to_owned),
    ]
}

fn leaf() -> impl Strategy<Value = Bson> {
    prop_oneof![
        any::<i32>().prop_map(Bson::from),
        any::<f64>().prop_map(Bson::from),
        any::<String>().prop_map(Bson::from),
        select(vec!["$where", "$function", "$out", "function() {}"]).prop_map(Bson::from),
        select(vec!["$where", "$out"]).prop_map(|text| Bson::JavaScriptCode(text.into())),
        Just(Bson::Null),
        // Whatever is under `$literal` is a value.
        (select(vec!["$where", "＄function", "$out", "a.$merge", "$_internalJs"]), any::<i32>())
            .prop_map(|(key, value)| bson!({ "$literal": [{ key: value }] })),
    ]
}

fn collect(pairs: Vec<(String, Bson)>) -> Document {
    pairs.into_iter().collect()
}

fn value() -> impl Strategy<Value = Bson> {
    leaf().prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Bson::Array),
            vec((harmless_key(), inner.clone()), 0..5).prop_map(|pairs| Bson::Document(collect(pairs))),
            vec((harmless_key(), inner), 0..3).prop_map(|pairs| {
                let scope = collect(pairs);
                Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code: "f".into(), scope })
            }),
        ]
    })
}

fn filter() -> impl Strategy<Value = Document> {
    vec((harmless_key(), value()), 0..5).prop_map(collect)
}

fn stages() -> impl Strategy<Value = Bson> {
    let stage = prop_oneof![
        (
            select(vec!["$match", "$set", "$project", "$group", "$fill", "$geoNear", "$setWindowFields"]),
            filter()
        )
            .prop_map(|(name, specification)| bson!({ name: specification })),
        filter()
            .prop_map(|filter| bson!({ "$graphLookup": { "from": "c", "restrictSearchWithMatch": filter } })),
    ];
    vec(stage, 0..3).prop_map(Bson::Array).prop_recursive(3, 12, 3, |inner| {
        let stage = prop_oneof![
            filter().prop_map(|filter| bson!({ "$match": filter })),
            inner
                .clone()
                .prop_map(|stages| bson!({ "$lookup": { "from": "c", "pipeline": stages, "as": "a" } })),
            inner.clone().prop_map(|stages| bson!({ "$unionWith": { "coll": "c", "pipeline": stages } })),
            (inner.clone(), inner).prop_map(|(one, other)| bson!({ "$facet": { "a": one, "b": other } })),
        ];
        vec(stage, 0..3).prop_map(Bson::Array)
    })
}

fn update() -> impl Strategy<Value = Bson> {
    prop_oneof![
        (filter(), filter()).prop_map(|(set, push)| bson!({ "$set": set, "$push": push })),
        vec(filter(), 0..3).prop_map(|sets| sets.into_iter().map(|set| bson!({ "$set": set })).collect()),
    ]
}

/// A way to write an operator that a person reads as the operator.
fn disguise(operator: &'static str) -> impl Strategy<Value = String> {
    let character = |plain: char| {
        let wide = char::from_u32(plain as u32 + 0xfee0).unwrap();
        let shown = prop_oneof![
            6 => Just(plain),
            1 => Just(plain.to_ascii_uppercase()),
            1 => Just(wide),
        ];
        let unseen = prop_oneof![6 => Just(""), 1 => select(UNSEEN)];
        (unseen, shown).prop_map(|(unseen, shown)| format!("{unseen}{shown}"))
    };
    let characters: Vec<_> = operator.chars().map(character).collect();
    let before = prop_oneof![4 => Just(""), 1 => select(vec!["a.", "a．", ".", "$", "＄", "a.b.", "$set."])];
    let after = prop_oneof![4 => Just(""), 1 => select(vec![".a", ".", "．0"]), 1 => select(UNSEEN)];
    (before, characters, after)
        .prop_map(|(before, characters, after)| format!("{before}{}{after}", characters.concat()))
}

fn forbidden(operators: &'static [&'static str]) -> impl Strategy<Value = (&'static str, String)> {
    select(operators).prop_flat_map(|operator| {
        (Just(operator), prop_oneof![Just(operator.to_owned()), disguise(operator)])
    })
}

/// Puts a key into the document or array chosen, wherever that is, except under `$literal`.
fn hide(whole: &mut Bson, place: Index, key: &str) {
    let mut left = place.index(count(whole));
    put(whole, &mut left, key);
}

fn is_literal(document: &Document) -> bool {
    document.len() == 1 && document.contains_key("$literal")
}

fn count(value: &Bson) -> usize {
    match value {
        Bson::Document(document)
        | Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { scope: document, .. }) => {
            if is_literal(document) { 1 } else { 1 + document.values().map(count).sum::<usize>() }
        }
        Bson::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// Whether it was put; `left` counts down the documents and arrays on the way.
fn put(value: &mut Bson, left: &mut usize, key: &str) -> bool {
    let here = *left == 0;
    let is_container = matches!(value, Bson::Document(_) | Bson::Array(_) | Bson::JavaScriptCodeWithScope(_));
    if is_container && !here {
        *left -= 1;
    }
    match value {
        Bson::Array(items) if here => {
            items.insert(items.len() / 2, bson!({ key: "1" }));
            true
        }
        Bson::Array(items) => items.iter_mut().any(|item| put(item, left, key)),
        Bson::Document(document)
        | Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { scope: document, .. }) => {
            if here {
                let mut entries: Vec<_> = std::mem::take(document).into_iter().collect();
                entries.insert(entries.len() / 2, (key.to_owned(), bson!("1")));
                *document = entries.into_iter().collect();
                return true;
            }
            !is_literal(document) && document.iter_mut().any(|(_, value)| put(value, left, key))
        }
        _ => false,
    }
}

/// The refusal names the operator in MongoDB's spelling, or an internal one in the caller's letters, and its place.
fn check_refusal(result: Result<(), DriverError>, operator: &str, key: &str) -> Result<(), TestCaseError> {
    let error = result.expect_err("the operator must be found");
    let (code, named, field) = told(&error);
    prop_assert_eq!(code, ErrorCode::Forbidden);
    if operator.starts_with("$_") {
        prop_assert!(named.eq_ignore_ascii_case(operator), "{}", named);
    } else {
        prop_assert_eq!(named, operator);
    }
    prop_assert!(field.ends_with(key), "{:?} at {:?}", key, field);
    prop_assert!(error.message.contains(operator) || operator.starts_with("$_"), "{}", error.message);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn javascript_hidden_in_a_filter_is_found(filter in filter(), place: Index, (operator, key) in forbidden(&FORBIDDEN)) {
        let mut whole = Bson::Document(filter);
        hide(&mut whole, place, &key);
        check_refusal(check_filter("filter", whole.as_document().unwrap()), operator, &key)?;
    }

    #[test]
    fn javascript_hidden_in_an_update_is_found(mut update in update(), place: Index, (operator, key) in forbidden(&FORBIDDEN)) {
        hide(&mut update, place, &key);
        check_refusal(check_update("update", &update), operator, &key)?;
    }

    #[test]
    fn javascript_hidden_in_a_pipeline_is_found(
        mut stages in stages(),
        place: Index,
        (operator, key) in forbidden(&FORBIDDEN),
        granted in select(ROLES.to_vec()),
    ) {
        hide(&mut stages, place, &key);
        check_refusal(pipeline(stages.clone(), granted).map(drop), operator, &key)?;
        check_refusal(check_view("pipeline", stages.as_array().unwrap()), operator, &key)?;
    }

    #[test]
    fn writes_hidden_in_a_viewers_pipeline_are_found(
        mut stages in stages(),
        place: Index,
        (operator, key) in forbidden(&["$out", "$merge"]),
    ) {
        hide(&mut stages, place, &key);
        check_refusal(pipeline(stages.clone(), Access::Read).map(drop), operator, &key)?;
    }

    #[test]
    fn harmless_requests_pass(filter in filter(), update in update(), stages in stages(), granted in select(ROLES.to_vec())) {
        prop_assert!(check_filter("filter", &filter).is_ok());
        prop_assert!(check_update("update", &update).is_ok());
        prop_assert_eq!(pipeline(stages, granted).map_err(|error| error.message), Ok(Effect::Reads));
    }

    #[test]
    fn whatever_stands_under_literal_passes(hidden in filter(), place: Index, (_, key) in forbidden(&FORBIDDEN)) {
        let mut hidden = Bson::Document(hidden);
        hide(&mut hidden, place, &key);
        let literal = bson!({ "$literal": hidden });
        let filter = doc! { "$expr": { "$eq": ["$a", literal.clone()] } };
        let stages = bson!([{ "$set": { "a": literal } }]);
        prop_assert!(check_filter("filter", &filter).is_ok());
        prop_assert!(pipeline(stages, Access::Read).is_ok());
    }
}
