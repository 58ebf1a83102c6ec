//! Trees that no parser makes, each a little different from one that it does: the point is that the process is still there
//! after them.

use super::*;
use crate::parser::trees::{Kind, Message, TREES};
use proptest::prelude::*;
use std::{collections::HashMap, sync::LazyLock};

/// How many values of a field are tried in its place in other statements.
const VALUES: usize = 6;

/// Of how many fields one is changed; all of them take minutes.
const EVERY: usize = 307;

#[derive(Debug, Default)]
struct Made {
    fields: usize,
    trees: usize,
    written: usize,
}

/// Values of fields, by the kind of node and the name of the field.
type Seen = HashMap<(&'static str, &'static str), Vec<Value>>;

fn statements() -> Vec<Value> {
    shapes::EXAMPLES.split_inclusive(";\n").map(|sql| tree(sql).unwrap()).collect()
}

/// Every message of a tree, with its kind and a pointer to it.
fn messages(
    kind: &'static Message,
    value: &Value,
    here: String,
    found: &mut Vec<(&'static Message, String)>,
) {
    let Some(fields) = value.as_object() else { return };
    for (name, value) in fields {
        let Some(Kind::Message(inner)) = kind.field_named(name).map(|field| field.kind) else { continue };
        let inner = TREES.message(inner).unwrap();
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    messages(inner, item, format!("{here}/{name}/{index}"), found);
                }
            }
            one => messages(inner, one, format!("{here}/{name}"), found),
        }
    }
    found.push((kind, here));
}

fn messages_of(tree: &Value) -> Vec<(&'static Message, String)> {
    let mut found = Vec::new();
    messages(TREES.message_named("ParseResult").unwrap(), tree, String::new(), &mut found);
    found
}

fn values_seen(trees: &[Value]) -> Seen {
    let mut seen = Seen::new();
    for tree in trees {
        for (kind, place) in messages_of(tree) {
            for (name, value) in tree.pointer(&place).unwrap().as_object().unwrap() {
                let field = kind.field_named(name).unwrap();
                let values = seen.entry((kind.name, field.name)).or_default();
                if values.len() < VALUES && !values.contains(value) {
                    values.push(value.clone());
                }
            }
        }
    }
    seen
}

/// What a field may be changed to.
fn others(kind: Kind, list: bool, value: Option<&Value>) -> Vec<Value> {
    if list {
        let items = value.and_then(Value::as_array).cloned().unwrap_or_default();
        let mut lists = vec![json!([]), json!([{}]), json!([{"String": {"sval": "x"}}])];
        if let [first, .., last] = items.as_slice() {
            lists.push(json!([last, first]));
        }
        for cut in [0, items.len().saturating_sub(1)] {
            let mut fewer = items.clone();
            if cut < fewer.len() {
                fewer.remove(cut);
                lists.push(json!(fewer));
            }
        }
        let mut more = items.clone();
        more.extend(items.last().cloned());
        more.extend(items.first().cloned());
        lists.push(json!(more));
        return lists;
    }
    match kind {
        Kind::Text => vec![json!(""), json!("x"), json!("+"), json!("a\"; b")],
        Kind::Bool => vec![json!(true), json!(false)],
        Kind::Int => [-1, 0, 1, 2, 3, 100, 1 << 20, i64::from(i32::MIN)].map(|number| json!(number)).into(),
        Kind::Enumeration(_) => vec![],
        Kind::Message(place) if TREES.message(place).unwrap().name == "Node" => [
            json!({}),
            json!({"String": {"sval": "x"}}),
            json!({"String": {}}),
            json!({"Integer": {"ival": 5}}),
            json!({"Float": {"fval": "1.5"}}),
            json!({"Boolean": {"boolval": true}}),
            json!({"List": {}}),
            json!({"List": {"items": [{"String": {"sval": "x"}}]}}),
            json!({"A_Const": {"ival": {"ival": 5}}}),
            json!({"A_Const": {"isnull": true}}),
            json!({"ColumnRef": {"fields": [{"String": {"sval": "x"}}]}}),
            json!({"TypeName": {"names": [{"String": {"sval": "x"}}], "typemod": -1}}),
            json!({"A_Star": {}}),
        ]
        .into(),
        Kind::Message(_) => vec![json!({})],
    }
}

/// Runs work with as deep a stack as trees are given.
pub(super) fn deeply<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(64 << 20).spawn(work).unwrap().join().unwrap()
}

/// Tries every change of some fields of a statement, also to what the field is in other statements.
fn spoil_fields(whole: &Value, seen: &Seen, made: &mut Made) {
    for (kind, place) in messages_of(whole) {
        for field in kind.fields() {
            made.fields += 1;
            if !made.fields.is_multiple_of(EVERY) {
                continue;
            }
            let value = whole.pointer(&place).unwrap().get(field.name);
            let others = others(field.kind, field.list, value);
            let known = seen.get(&(kind.name, field.name)).into_iter().flatten();
            let changes = others.iter().chain(known).map(Some).chain([None]);
            for change in changes.filter(|change| *change != value) {
                let mut spoilt = whole.clone();
                let message = spoilt.pointer_mut(&place).unwrap().as_object_mut().unwrap();
                match change {
                    Some(value) => drop(message.insert(field.name.to_owned(), value.clone())),
                    None => drop(message.shift_remove(field.name)),
                }
                made.trees += 1;
                made.written += usize::from(try_tree(&spoilt));
            }
        }
    }
}

/// Whether SQL is made of it. That most are refused for their shape is seen without more.
pub(super) fn try_tree(spoilt: &Value) -> bool {
    let kind = TREES.message_named("ParseResult").unwrap();
    if shapes::check(kind, spoilt.as_object().unwrap()).is_err() {
        return false;
    }
    deparse::deparse(&spoilt.to_string(), usize::MAX, &Wanted::default()).is_ok()
}

#[test]
fn trees_of_which_one_field_is_another_are_errors_or_sql() {
    let made = deeply(|| {
        let (trees, seen) = &*EXAMPLES;
        let mut made = Made::default();
        trees.iter().for_each(|tree| spoil_fields(tree, seen, &mut made));
        made
    });
    assert!(made.trees > 3_000 && made.written > 30, "{made:?}");
}

/// What was found: each ended the process where the library checks itself.
#[test]
fn trees_that_ended_the_process_are_refused() {
    for (sql, place, value) in [
        ("alter publication p set (publish = 'insert')", "/AlterPublicationStmt/options", json!([])),
        ("select b'1'", "/SelectStmt/targetList/0/ResTarget/val/A_Const/bsval/bsval", json!("1")),
        ("select a is null", "/SelectStmt/targetList/0/ResTarget/val/NullTest/argisrow", json!(true)),
        ("create aggregate a (basetype = int)", "/DefineStmt/oldstyle", json!(false)),
        ("drop function f(int)", "/DropStmt/objects/0/ObjectWithArgs/objargs", json!([{}])),
        (
            "create aggregate a(int) (sfunc = f)",
            "/DefineStmt/args",
            json!([{"Integer": {"ival": -1}}, {"List": {}}]),
        ),
        ("create operator + (function = f)", "/DefineStmt/defnames/0/String/sval", json!("f")),
        (
            "grant a to b with admin option",
            "/GrantRoleStmt/opt/0/DefElem/arg",
            json!({"String": {"sval": "x"}}),
        ),
    ] {
        let mut spoilt = tree(sql).unwrap();
        let statement = spoilt.pointer_mut("/stmts/0/stmt").unwrap();
        let (parent, field) = place.rsplit_once('/').unwrap();
        let parent = statement.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        parent.insert(field.to_owned(), value);
        let error = deeply(move || deparse::deparse(&spoilt.to_string(), usize::MAX, &Wanted::default()))
            .unwrap_err();
        assert!(error.message.starts_with("Error deparsing"), "{sql}: {error}");
    }
}

/// The SQL of such a tree would grow with the square of it.
#[test]
fn trees_that_set_none_of_several_columns_are_refused() {
    for count in [json!(0), json!(-1), json!(u32::MAX)] {
        let mut spoilt = tree("update t set (a, b) = (1, 2)").unwrap();
        let place = "/stmts/0/stmt/UpdateStmt/targetList/0/ResTarget/val/MultiAssignRef/ncolumns";
        *spoilt.pointer_mut(place).unwrap() = count;
        let error = deeply(move || deparse::deparse(&spoilt.to_string(), usize::MAX, &Wanted::default()))
            .unwrap_err();
        assert!(error.message.starts_with("Error deparsing MultiAssignRef"), "{error}");
    }
}

static EXAMPLES: LazyLock<(Vec<Value>, Seen)> = LazyLock::new(|| {
    let trees = statements();
    let seen = values_seen(&trees);
    (trees, seen)
});

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn trees_of_which_several_fields_are_others_are_errors_or_sql(
        one in any::<prop::sample::Index>(),
        changes in prop::collection::vec(any::<[prop::sample::Index; 3]>(), 1..5),
    ) {
        let (trees, seen) = &*EXAMPLES;
        let mut spoilt = one.get(trees).clone();
        for [message, field, change] in changes {
            let found = messages_of(&spoilt);
            let (kind, place) = message.get(&found);
            if kind.fields().is_empty() {
                continue;
            }
            let field = field.get(kind.fields());
            let value = spoilt.pointer(place).unwrap().get(field.name);
            let mut values = seen.get(&(kind.name, field.name)).cloned().unwrap_or_default();
            // What stands there in other statements has the best chance to pass.
            values.extend(values.clone());
            values.extend(others(field.kind, field.list, value));
            let message = spoilt.pointer_mut(place).unwrap().as_object_mut().unwrap();
            match change.index(values.len() + 1) {
                0 => drop(message.shift_remove(field.name)),
                other => drop(message.insert(field.name.to_owned(), values[other - 1].clone())),
            }
        }
        deeply(move || try_tree(&spoilt));
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(500)
}
