//! Which trees may be made SQL again.
//!
//! libpg_query writes the trees that its own parser made. Given another one, with a part missing or of the wrong kind, it
//! reads memory that is not there. So a tree from outside has to look, node by node, like what the parser makes of the
//! statements in `shapes.sql`: for each kind of node, in each place where it stands there, what it has always had is there,
//! and what it has never had is not.

use super::{
    trees::{Field, Kind, Message, TREES},
    write_tree,
};
use crate::room::Wanted;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    sync::LazyLock,
};

/// What has been seen in `shapes.sql`.
static SHAPES: LazyLock<Shapes> = LazyLock::new(|| learn(include_str!("shapes.sql")));

/// Kinds of node that can stand for one another: where two of a family can be, all can. First those that give a value,
/// then those that give rows; and queries, which are as free wherever one can be.
const FAMILIES: [&[&str]; 3] = [
    &[
        "A_ArrayExpr",
        "A_Const",
        "A_Expr",
        "A_Indirection",
        "BoolExpr",
        "BooleanTest",
        "CaseExpr",
        "CoalesceExpr",
        "CollateClause",
        "ColumnRef",
        "FuncCall",
        "GroupingFunc",
        "MinMaxExpr",
        "NullTest",
        "ParamRef",
        "RowExpr",
        "SQLValueFunction",
        "SubLink",
        "TypeCast",
    ],
    &["JoinExpr", "RangeFunction", "RangeSubselect", "RangeVar"],
    &["SelectStmt"],
];

/// Before the names of functions that have a syntax of their own. Their arguments are only what has been seen of them.
const SYNTAX: &str = "pg_catalog.";

fn is_of_family(kind: &str) -> bool {
    FAMILIES.iter().any(|family| family.contains(&kind))
}

#[derive(Debug, Default)]
struct Shapes {
    /// By their kind and place.
    placed: HashMap<String, Shape>,
    /// Those of families, by their kind alone.
    anywhere: HashMap<String, Shape>,
    /// The kinds that have been seen in a place.
    seen: HashMap<String, BTreeSet<String>>,
}

impl Shapes {
    fn find(&self, place: Place<'_>) -> Option<&Shape> {
        let takes = |family: &[&str]| {
            if place.context.contains(SYNTAX) {
                return false;
            }
            let seen = self.seen.get(place.context);
            let several = family.len().min(2);
            seen.is_some_and(|kinds| {
                kinds.iter().filter(|kind| family.contains(&kind.as_str())).count() >= several
            })
        };
        if FAMILIES.iter().any(|family| family.contains(&place.kind) && takes(family)) {
            return self.anywhere.get(place.own);
        }
        self.placed.get(&place.key())
    }
}

/// Where a node is, and what it is.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    /// The node around it, and the field of that.
    context: &'a str,
    /// Its kind.
    kind: &'a str,
    /// Its kind, with what makes it mean another thing.
    own: &'a str,
}

impl Place<'_> {
    fn key(&self) -> String {
        format!("{}{}", self.context, self.own)
    }
}

/// What has been seen of a kind of node in one place.
#[derive(Debug)]
struct Shape {
    /// What it always had: how many, where it is a list.
    required: BTreeMap<String, usize>,
    /// What it ever had.
    allowed: BTreeSet<String>,
}

/// Learns from statements. They are few, and short, so any thread can parse them one by one.
fn learn(statements: &str) -> Shapes {
    let mut shapes = Shapes::default();
    for statement in statements.split_inclusive(";\n") {
        let tree = write_tree(statement, &Wanted::default())
            .ok()
            .and_then(|json| serde_json::from_slice::<Value>(&json).ok());
        if let (Some(Value::Object(tree)), Some(kind)) = (tree, TREES.message_named("ParseResult")) {
            // Nothing is refused while learning.
            let _ = visit("", kind, &tree, &mut |place, parts| {
                remember(&mut shapes.placed, &place.key(), parts);
                if is_of_family(place.kind) {
                    remember(&mut shapes.anywhere, place.own, parts);
                    shapes.seen.entry(place.context.to_owned()).or_default().insert(place.kind.to_owned());
                }
                Ok(())
            });
        }
    }
    shapes
}

fn remember(shapes: &mut HashMap<String, Shape>, place: &str, parts: &BTreeMap<String, usize>) {
    let allowed = parts.keys().cloned();
    match shapes.get_mut(place) {
        Some(shape) => {
            shape.allowed.extend(allowed);
            shape.required.retain(|name, count| match parts.get(name) {
                Some(given) => {
                    *count = (*count).min(*given);
                    true
                }
                None => false,
            });
        }
        None => {
            let shape = Shape { allowed: allowed.collect(), required: parts.clone() };
            shapes.insert(place.to_owned(), shape);
        }
    }
}

/// Refuses a tree that does not look like the parser's, in a sentence that says where.
pub(super) fn check(kind: &Message, tree: &Map<String, Value>) -> Result<(), String> {
    visit("", kind, tree, &mut |place, parts| {
        let refuse = |why: &str| Err(format!("Error deparsing {}: {why}", place.kind));
        let Some(shape) = SHAPES.find(place) else {
            return refuse(&format!("the deparser does not handle one here: {}", place.key()));
        };
        if let Some((missing, _)) =
            shape.required.iter().find(|(name, count)| parts.get(*name).is_none_or(|given| given < *count))
        {
            return refuse(&format!("{missing} is missing"));
        }
        match parts.keys().find(|name| !shape.allowed.contains(*name)) {
            Some(surplus) => refuse(&format!("{surplus} cannot be here")),
            None => Ok(()),
        }
    })
}

/// Goes through a tree, outermost first, with each node's kind and place, and what it consists of.
fn visit(
    context: &str,
    kind: &Message,
    object: &Map<String, Value>,
    look: &mut impl FnMut(Place<'_>, &BTreeMap<String, usize>) -> Result<(), String>,
) -> Result<(), String> {
    let parts = parts(kind, object)?;
    let name = if kind.name == "Node" && object.is_empty() { "nothing" } else { kind.name };
    let own = format!("{name}{}", variant(kind, object, &parts));
    look(Place { context, kind: name, own: &own }, &parts)?;
    for (name, value) in object {
        let Some(Field { kind: Kind::Message(inner), .. }) = kind.field_named(name) else { continue };
        let Some(inner) = TREES.message(*inner) else { continue };
        let context = match kind.name {
            // What is in a node, or in a list, stands where that does.
            "Node" => context.to_owned(),
            "List" => format!("{context}{own}.{name} "),
            _ => format!("{own}.{name} "),
        };
        let items = match value {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for item in items {
            let Value::Object(item) = item else { return Err(format!("{name} is not an object")) };
            visit(&context, inner, item, look)?;
        }
    }
    Ok(())
}

/// What a node consists of, but for numbers and truths: whatever they are, nothing is missing.
fn parts(kind: &Message, object: &Map<String, Value>) -> Result<BTreeMap<String, usize>, String> {
    let mut parts = BTreeMap::new();
    for (name, value) in object {
        match kind.field_named(name) {
            None if kind.name == "Node" => return Err(format!("Deparser does not handle node type: {name}")),
            None => return Err(format!("{} has no {name}", kind.name)),
            Some(Field { kind: Kind::Int | Kind::Bool, .. }) => {}
            // An empty text is an absent one on the wire, and to the deparser a place in memory that is not there. Only
            // the text of a constant may be empty.
            Some(Field { kind: Kind::Text, .. }) if value == "" && kind.name != "String" => {}
            // Which kind of node it is, is looked at in the node.
            Some(_) if kind.name == "Node" => {}
            Some(_) => {
                let count = value.as_array().map_or(1, Vec::len);
                if let (1.., Entry::Vacant(entry)) = (count, parts.entry(name.clone())) {
                    entry.insert(count);
                }
            }
        }
    }
    if kind.name == "Node" && object.len() > 1 {
        return Err("a node is of one kind".to_owned());
    }
    Ok(parts)
}

/// What makes a node mean another thing: its enumerations, the value it holds, the names that the parser gives a meaning.
fn variant(kind: &Message, object: &Map<String, Value>, parts: &BTreeMap<String, usize>) -> String {
    let mut variant = String::new();
    for (name, value) in object {
        if let Some(Field { kind: Kind::Enumeration(_), .. }) = kind.field_named(name) {
            variant += &format!(" {}", value.as_str().unwrap_or_default());
        }
    }
    let names = |field: &str| {
        let names = object.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        names.iter().filter_map(|name| name.pointer("/String/sval")?.as_str()).collect::<Vec<_>>()
    };
    match kind.name {
        "A_Const" if object.get("isnull") == Some(&Value::Bool(true)) => variant + " null",
        // One part or another is there, never none.
        "A_Const" | "IndexElem" | "InferClause" => {
            variant + &parts.keys().map(|name| format!(" {name}")).collect::<String>()
        }
        "BoolExpr" => variant + if parts.get("args") == Some(&1) { " of one" } else { "" },
        // Its bits say which ends of the frame have an offset.
        "WindowDef" => variant + &object.get("frameOptions").map(Value::to_string).unwrap_or_default(),
        "DefElem" => variant + " " + object.get("defname").and_then(Value::as_str).unwrap_or_default(),
        "SelectStmt" => variant.replace(" LIMIT_OPTION_DEFAULT", "").replace(" LIMIT_OPTION_COUNT", ""),
        "A_Expr" if !variant.contains("AEXPR_OP") => variant + " " + &names("name").join("."),
        "A_Expr" => variant + operator(&names("name")),
        "SubLink" => variant + operator(&names("operName")),
        "SortBy" => variant + operator(&names("useOp")),
        // Syntax of its own, with as many arguments as it has places for.
        "FuncCall" => match names("funcname").as_slice() {
            ["pg_catalog", name] => format!("{variant} {SYNTAX}{name} {:?}", parts.get("args")),
            _ => variant,
        },
        "TypeName" => match names("names").as_slice() {
            // The bits of the first modifier say which fields it has.
            ["pg_catalog", "interval"] => {
                let fields = object.get("typmods").and_then(|list| list.pointer("/0/A_Const/ival/ival"));
                format!("{variant} interval {}", fields.map(Value::to_string).unwrap_or_default())
            }
            ["pg_catalog", name] => variant + " " + name,
            _ => variant,
        },
        _ => variant,
    }
}

/// Whether a name is that of an operator, where there is one.
fn operator(names: &[&str]) -> &'static str {
    let is_sign = |letter: char| "+-*/<>=~!@#%^&|`?".contains(letter);
    match names.last() {
        Some(name) if name.is_empty() || !name.chars().all(is_sign) => " not an operator",
        _ => "",
    }
}
