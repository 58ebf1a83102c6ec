//! Which trees may be made SQL again.
//!
//! libpg_query writes the trees that its own parser made. Given another one, with a part missing or of the wrong kind, it
//! reads memory that is not there. So a tree from outside has to look, node by node, like what the parser makes of the
//! statements in `*.sql` here: for each kind of node, in each place where it stands there, what it has always had is there,
//! and what it has never had is not.

mod parts;

use super::{
    trees::{Message, TREES},
    write_tree,
};
use crate::room::Wanted;
use parts::{Parts, Place, SYNTAX, Visitor, visit};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::LazyLock,
};

/// Every statement that shapes are learned from, each on a line.
pub(super) const EXAMPLES: &str = concat!(
    include_str!("queries.sql"),
    include_str!("tables.sql"),
    include_str!("routines.sql"),
    include_str!("objects.sql"),
    include_str!("labels.sql"),
    include_str!("changes.sql"),
    include_str!("sessions.sql"),
);

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| learn(EXAMPLES));

/// Kinds of node that the deparser writes by one function, which needs the same of them wherever they stand. In a place
/// where one of a kind has been seen, it may have what it has had in any place.
const ALIKE: &[&str] = &[
    "AccessPriv",
    "ColumnDef",
    "Constraint",
    "CreateSeqStmt",
    "CreateStmt",
    "CreateTrigStmt",
    "DeleteStmt",
    "ExecuteStmt",
    "FunctionParameter",
    "GrantStmt",
    "IndexElem",
    "IndexStmt",
    "InsertStmt",
    "MergeStmt",
    "PartitionBoundSpec",
    "RangeVar",
    "RoleSpec",
    "TableLikeClause",
    "TypeName",
    "UpdateStmt",
    "VariableSetStmt",
    "ViewStmt",
];
/// As [`ALIKE`], for a kind that stands for things of several kinds: the same one has to have been seen in the place.
const ALIKE_WHERE_SEEN: &[&str] = &["ObjectWithArgs"];

/// Places of values that are constants: other values look like them to the parser, not to the deparser.
const CONSTANTS: &str = "VariableSetStmt ";

/// The name of an option that stands for all that have not been seen in its place.
const ANY_OPTION: &str = "any_name";

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
    /// The options that have been seen in a place, by its context and their name.
    options: HashSet<String>,
}

impl Shapes {
    fn find(&self, place: Place<'_>) -> Option<&Shape> {
        let kinds = self.seen.get(place.context);
        let takes = |family: &[&str]| {
            if place.context.contains(SYNTAX) || place.context.starts_with(CONSTANTS) {
                return false;
            }
            let several = family.len().min(2);
            kinds.is_some_and(|kinds| {
                kinds.iter().filter(|kind| family.contains(&kind.as_str())).count() >= several
            })
        };
        if FAMILIES.iter().any(|family| family.contains(&place.kind) && takes(family)) {
            return self.anywhere.get(place.own);
        }
        if ALIKE.contains(&place.kind) && kinds.is_some_and(|kinds| kinds.contains(place.kind)) {
            return self.anywhere.get(place.own);
        }
        let placed = self.placed.get(&place.key());
        match ALIKE_WHERE_SEEN.contains(&place.kind) {
            true => placed.and_then(|_| self.anywhere.get(place.own)),
            false => placed,
        }
    }

    /// The name under which an option is looked up: its own, or that of any other.
    fn option<'a>(&self, context: &str, name: &'a str) -> &'a str {
        match self.options.contains(&format!("{context}{name}")) {
            true => name,
            false => ANY_OPTION,
        }
    }
}

/// What has been seen of a kind of node in one place.
#[derive(Debug)]
struct Shape {
    /// What it always had: how many, where it is a list.
    required: Parts,
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
            let _ = visit("", kind, &tree, &mut Learning(&mut shapes));
        }
    }
    shapes
}

struct Learning<'a>(&'a mut Shapes);

impl Visitor for Learning<'_> {
    fn option<'a>(&mut self, context: &str, name: &'a str) -> &'a str {
        self.0.options.insert(format!("{context}{name}"));
        name
    }

    fn look(&mut self, place: Place<'_>, parts: &Parts) -> Result<(), String> {
        let shapes = &mut *self.0;
        remember(&mut shapes.placed, &place.key(), parts);
        if is_of_family(place.kind) || ALIKE.contains(&place.kind) || ALIKE_WHERE_SEEN.contains(&place.kind) {
            remember(&mut shapes.anywhere, place.own, parts);
            shapes.seen.entry(place.context.to_owned()).or_default().insert(place.kind.to_owned());
        }
        Ok(())
    }
}

fn remember(shapes: &mut HashMap<String, Shape>, place: &str, parts: &Parts) {
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
    visit("", kind, tree, &mut Checking)
}

struct Checking;

impl Visitor for Checking {
    fn option<'a>(&mut self, context: &str, name: &'a str) -> &'a str {
        SHAPES.option(context, name)
    }

    fn look(&mut self, place: Place<'_>, parts: &Parts) -> Result<(), String> {
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
    }
}
