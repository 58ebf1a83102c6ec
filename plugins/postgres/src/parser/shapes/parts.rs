//! What the shape of a node is: its parts, and what makes it mean another thing.

use super::super::trees::{Field, Kind, Message, TREES};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, btree_map::Entry};

/// Before the names of functions that have a syntax of their own. Their arguments are only what has been seen of them.
pub(super) const SYNTAX: &str = "pg_catalog.";

/// What a node consists of: how many, where it is a list.
pub(super) type Parts = BTreeMap<String, usize>;

/// Fields, by their kind of node, whose value is a part of it: the deparser knows some values and no others, but needs the
/// same other parts with each.
const CHOICES: &[(&str, &[&str])] = &[
    ("AlterEventTrigStmt", &["tgenabled"]),
    ("AlterExtensionContentsStmt", &["action"]),
    ("AlterPublicationStmt", &["action"]),
    ("AlterRoleStmt", &["action"]),
    ("AlterTableStmt", &["objtype"]),
    ("Constraint", &["generated_when", "fk_matchtype", "fk_upd_action", "fk_del_action"]),
    ("CreateAmStmt", &["amtype"]),
    ("CreateCastStmt", &["context"]),
    ("CreatePolicyStmt", &["cmd_name"]),
    ("CreateRoleStmt", &["stmt_type"]),
    ("CreateStmt", &["oncommit"]),
    ("CreateTrigStmt", &["timing"]),
    ("IndexElem", &["ordering", "nulls_ordering"]),
    ("IntoClause", &["onCommit"]),
    ("LockStmt", &["mode"]),
    ("MergeWhenClause", &["override"]),
    ("NullTest", &["argisrow"]),
    ("RangeVar", &["relpersistence"]),
    ("RuleStmt", &["event"]),
    ("ViewStmt", &["withCheckOption"]),
];

/// Options whose value the deparser compares with those that it knows.
const OPTIONS_OF_CHOICES: &[&str] = &[
    "admin",
    "format",
    "generated",
    "inherit",
    "set",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
    "volatility",
];

/// What statements drop of which they name one alone.
const DROPPED_ALONE: &[&str] = &[
    "OBJECT_CAST",
    "OBJECT_OPCLASS",
    "OBJECT_OPFAMILY",
    "OBJECT_POLICY",
    "OBJECT_RULE",
    "OBJECT_TRANSFORM",
    "OBJECT_TRIGGER",
];

/// What stands in lists together with others, each in its place. The empty name is that of nothing at all.
const IN_SEQUENCES: &[&str] = &["", "IndexElem", "Integer", "List", "String", "TypeName"];

fn is_choice(kind: &Message, field: &str) -> bool {
    CHOICES.iter().any(|(of, fields)| *of == kind.name && fields.contains(&field))
}

/// Where a node is, and what it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The node around it, and the field of that.
    pub(super) context: &'a str,
    /// Its kind.
    pub(super) kind: &'a str,
    /// Its kind, with what makes it mean another thing.
    pub(super) own: &'a str,
}

impl Place<'_> {
    pub(super) fn key(&self) -> String {
        format!("{}{}", self.context, self.own)
    }
}

/// Sees every node of a tree.
pub(super) trait Visitor {
    /// Gives the name that an option goes by in a place.
    fn option<'a>(&mut self, context: &str, name: &'a str) -> &'a str;

    /// Looks at a node.
    ///
    /// # Errors
    /// What is wrong with it, which ends the visit.
    fn look(&mut self, place: Place<'_>, parts: &Parts) -> Result<(), String>;
}

/// Goes through a tree, outermost first, with each node's kind and place, and what it consists of.
pub(super) fn visit(
    context: &str,
    kind: &Message,
    object: &Map<String, Value>,
    visitor: &mut impl Visitor,
) -> Result<(), String> {
    let parts = parts(kind, object)?;
    let name = if kind.name == "Node" && object.is_empty() { "nothing" } else { kind.name };
    let mut own = format!("{name}{}", variant(kind, object, &parts));
    if kind.name == "DefElem" {
        let option = object.get("defname").and_then(Value::as_str).unwrap_or_default();
        own += &format!(" {:?}", visitor.option(context, option));
        if OPTIONS_OF_CHOICES.contains(&option) {
            own += &format!("={:?}", argument(object));
        }
    }
    visitor.look(Place { context, kind: name, own: &own }, &parts)?;
    for (name, value) in object {
        let Some(Field { kind: Kind::Message(inner), .. }) = kind.field_named(name) else { continue };
        let Some(inner) = TREES.message(*inner) else { continue };
        let context = match kind.name {
            // What is in a node, or in a list, stands where that does.
            "Node" => context.to_owned(),
            "List" | "DefElem" => format!("{context}{own}.{name} "),
            _ => format!("{own}.{name} "),
        };
        let items = match value {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for item in items {
            let Value::Object(item) = item else { return Err(format!("{name} is not an object")) };
            visit(&context, inner, item, visitor)?;
        }
    }
    Ok(())
}

/// What a node consists of, but for numbers and truths: whatever they are, nothing is missing.
fn parts(kind: &Message, object: &Map<String, Value>) -> Result<Parts, String> {
    let mut parts = BTreeMap::new();
    for (name, value) in object {
        match kind.field_named(name) {
            None if kind.name == "Node" => return Err(format!("Deparser does not handle node type: {name}")),
            None => return Err(format!("{} has no {name}", kind.name)),
            // An empty text is an absent one on the wire, and to the deparser a place in memory that is not there. Only
            // the text of a constant may be empty.
            Some(Field { kind: Kind::Text, .. }) if value == "" && kind.name != "String" => {}
            Some(_) if is_choice(kind, name) => {
                parts.insert(name.clone(), 1);
                parts.insert(format!("{name} {value}"), 1);
            }
            Some(Field { kind: Kind::Int | Kind::Bool, .. }) => {}
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
fn variant(kind: &Message, object: &Map<String, Value>, parts: &Parts) -> String {
    let mut variant = String::new();
    for (name, value) in object {
        match kind.field_named(name) {
            // What becomes of that which depends on a thing, concerns nothing else of a statement.
            _ if is_choice(kind, name) || name == "behavior" => {}
            Some(Field { kind: Kind::Enumeration(_), .. }) => {
                variant += &format!(" {}", value.as_str().unwrap_or_default());
            }
            _ => {}
        }
    }
    let names = |field: &str| names(items(object, field));
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let is = |field: &str| object.get(field) == Some(&Value::Bool(true));
    let count = |field: &str| items(object, field).len();
    let number = |field: &str| object.get(field).and_then(Value::as_i64).unwrap_or_default();
    match kind.name {
        "A_Const" if is("isnull") => variant + " null",
        // One part or another is there, never none.
        "A_Const" | "InferClause" => {
            variant + &parts.keys().map(|name| format!(" {name}")).collect::<String>()
        }
        "AlterPublicationStmt" => {
            variant + if parts.contains_key("pubobjects") { " of objects" } else { " of options" }
        }
        "BitString" => variant + " " + text("bsval").get(..1).unwrap_or_default(),
        "IndexElem" => variant + if parts.contains_key("name") { " name" } else { " expr" },
        "BoolExpr" => variant + if parts.get("args") == Some(&1) { " of one" } else { "" },
        // The deparser lists as many columns as it says, and when it says none, all that follow, for each of them anew.
        "MultiAssignRef" if !(1..=i64::from(i32::MAX)).contains(&number("ncolumns")) => variant + " of none",
        // Its bits say which ends of the frame have an offset.
        "WindowDef" => variant + &object.get("frameOptions").map(Value::to_string).unwrap_or_default(),
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
        // What it holds is told by where it is in the list, and how many there are.
        "List" => variant + &sequence(items(object, "items")),
        "ObjectWithArgs" => match operator(&names("objname")) {
            "" => format!("{variant} operator {}", count("objargs")),
            _ => variant,
        },
        "DefineStmt" if parts.contains_key("args") => variant + &sequence(items(object, "args")),
        "DefineStmt" if is("oldstyle") => variant + " oldstyle",
        "DefineStmt" if variant.contains("OBJECT_OPERATOR") => variant + operator(&names("defnames")),
        "DropStmt" if DROPPED_ALONE.contains(&text("removeType")) => {
            format!("{variant} {}", count("objects"))
        }
        "CreateStmt" if parts.contains_key("partbound") => {
            format!("{variant} partition {}", count("inhRelations"))
        }
        "AlterDomainStmt" => variant + " " + text("subtype"),
        "AlterSubscriptionStmt" if variant.contains("ENABLED") => format!("{variant} {}", count("options")),
        "CreateOpClassItem" => {
            variant + &object.get("itemtype").map(|kind| format!(" {kind}")).unwrap_or_default()
        }
        "GrantRoleStmt" => variant + if is("is_grant") { " grant" } else { " revoke" },
        "PartitionBoundSpec" if is("is_default") => variant + " default",
        "PartitionBoundSpec" => variant + " " + text("strategy"),
        "ReplicaIdentityStmt" => variant + " " + text("identity_type"),
        "VariableSetStmt" if variant.contains("VAR_SET_MULTI") => variant + " " + text("name"),
        _ => variant,
    }
}

fn items<'a>(object: &'a Map<String, Value>, field: &str) -> &'a [Value] {
    object.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn names(items: &[Value]) -> Vec<&str> {
    items.iter().filter_map(|name| name.pointer("/String/sval")?.as_str()).collect()
}

/// Whether a name is that of an operator, where there is one.
fn operator(names: &[&str]) -> &'static str {
    let is_sign = |letter: char| "+-*/<>=~!@#%^&|`?".contains(letter);
    match names {
        [] => "",
        [name] | [_, name] if !name.is_empty() && name.chars().all(is_sign) => "",
        _ => " not an operator",
    }
}

/// The kinds of what is in a list, where each has a place, or it is an operator's name.
fn sequence(items: &[Value]) -> String {
    let kind =
        |item: &Value| item.as_object().and_then(|item| item.keys().next().cloned()).unwrap_or_default();
    let mut kinds: Vec<_> = items.iter().map(kind).collect();
    let count = kinds.len();
    kinds.dedup();
    match kinds.as_slice() {
        [] => String::new(),
        [one] if one == "String" && operator(&names(items)).is_empty() => " operator".to_owned(),
        // There are as many as the deparser takes of each.
        [one] if one == "TypeName" => format!(" of {count} TypeName"),
        [one] if !one.is_empty() => String::new(),
        several if several.iter().any(|kind| IN_SEQUENCES.contains(&kind.as_str())) => {
            format!(" of {count} {several:?}")
        }
        _ => String::new(),
    }
}

/// The value of an option, where it is one that is compared.
fn argument(option: &Map<String, Value>) -> Option<&Value> {
    let argument = option.get("arg")?;
    ["/String/sval", "/Integer/ival", "/Boolean/boolval", "/A_Const/sval/sval", "/A_Const/ival/ival"]
        .iter()
        .find_map(|path| argument.pointer(path))
}
