//! What a statement needs to be harmless, as PostgreSQL's own parser reads it: the names that must stand for nothing but
//! what PostgreSQL itself brings, and plain tables.
//!
//! Names are taken whatever they mean where they stand: one too many costs a proof, and one too few somebody's trust.

use crate::parser::{
    self,
    deep::run_if_small,
    node::{Node, Part, Unknown},
};
use std::collections::BTreeSet;

/// The kinds of nodes that a proof knows. A tree with any other is not proved.
const KNOWN: &[&str] = &[
    // A list or a place in it that is empty.
    "Node",
    "List",
    "RawStmt",
    "SelectStmt",
    "InsertStmt",
    "UpdateStmt",
    "DeleteStmt",
    "OnConflictClause",
    "InferClause",
    "IndexElem",
    "LockingClause",
    "WithClause",
    "CommonTableExpr",
    "ResTarget",
    "MultiAssignRef",
    "SetToDefault",
    "RangeVar",
    "RangeSubselect",
    "JoinExpr",
    "Alias",
    "SortBy",
    "WindowDef",
    "GroupingSet",
    "GroupingFunc",
    "ColumnRef",
    "ParamRef",
    "A_Star",
    "A_Const",
    "Integer",
    "Float",
    "Boolean",
    "String",
    "BitString",
    "A_Expr",
    "A_ArrayExpr",
    "A_Indirection",
    "A_Indices",
    "BoolExpr",
    "BooleanTest",
    "NullTest",
    "CaseExpr",
    "CaseWhen",
    "CoalesceExpr",
    "MinMaxExpr",
    "RowExpr",
    "SubLink",
    "FuncCall",
    "SQLValueFunction",
    "TypeCast",
    "TypeName",
    "CollateClause",
];

/// The kinds that need nothing of the database: those of `select 1, 'a'`.
const CONSTANT: &[&str] =
    &["RawStmt", "SelectStmt", "ResTarget", "A_Const", "Integer", "Float", "Boolean", "String", "BitString"];

/// The kinds that may change rows, or lock them.
const WRITING: &[&str] = &["InsertStmt", "UpdateStmt", "DeleteStmt", "LockingClause"];

/// The operators behind what is written without one: `IN`, `CASE`, `USING`, `GREATEST`, `BETWEEN`.
const IMPLIED: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

/// The word behind which a server may make a schema for temporary tables, whether it is written as a call or not; and the
/// sign that some servers are told to read in another way than the parser.
const ODD: [&str; 2] = ["current_schema", "\\"];

/// A table's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Relation {
    /// Empty where none is written.
    pub(super) schema: String,
    pub(super) name: String,
}

/// What a statement needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Needs {
    /// What it calls.
    pub(super) functions: BTreeSet<String>,
    /// What it reads of rows, which a function that has the name may give.
    pub(super) columns: BTreeSet<String>,
    pub(super) operators: BTreeSet<String>,
    pub(super) types: BTreeSet<String>,
    pub(super) relations: BTreeSet<Relation>,
    /// What it gives a name to itself, so that no table needs to have it.
    pub(super) own_relations: BTreeSet<String>,
    /// It may change rows, or lock them.
    pub(super) writes: bool,
}

impl Needs {
    /// Reads one statement; nothing where no catalog could prove it.
    pub(super) fn of(sql: &str) -> Option<Self> {
        let has = |odd: &str| {
            sql.as_bytes().windows(odd.len()).any(|part| part.eq_ignore_ascii_case(odd.as_bytes()))
        };
        if ODD.into_iter().any(has) {
            return None;
        }
        let wire = run_if_small(sql, parser::parse)?;
        let mut statements = Node::whole(&wire).ok()?.nodes("stmts");
        let only = statements.next()?.ok()?;
        match statements.next() {
            None => Self::of_tree(only).ok().flatten(),
            Some(_) => None,
        }
    }

    /// Whether there is nothing to ask for.
    pub(super) fn are_none(&self) -> bool {
        *self == Self::default()
    }

    fn of_tree(statement: Node<'_>) -> Result<Option<Self>, Unknown> {
        let mut needs = Self::default();
        let (mut selects, mut is_constant) = (0, true);
        let mut left = vec![statement];
        while let Some(node) = left.pop() {
            let kind = node.kind();
            if !KNOWN.contains(&kind) {
                return Ok(None);
            }
            selects += usize::from(kind == "SelectStmt");
            is_constant &= CONSTANT.contains(&kind);
            needs.writes |= WRITING.contains(&kind);
            needs.take(node)?;
            for part in node.parts() {
                if let (_, Part::Node(inner)) = part? {
                    left.push(inner);
                }
            }
        }
        if !is_constant || selects != 1 {
            needs.operators.extend(IMPLIED.map(str::to_owned));
        }
        Ok(needs.is_ascii().then_some(needs))
    }

    fn take(&mut self, node: Node<'_>) -> Result<(), Unknown> {
        match node.kind() {
            "FuncCall" => self.functions.extend(node.texts("funcname")?.pop()),
            // A column of a table is never alone: what is before it is a row.
            "ColumnRef" => self.columns.extend(node.texts("fields")?.into_iter().skip(1)),
            "A_Indirection" | "ResTarget" => self.columns.extend(node.texts("indirection")?),
            "A_Expr" => {
                let name = node.texts("name")?.pop();
                self.operators.extend(name.filter(|name| !name.contains("BETWEEN")));
            }
            "SubLink" => self.operators.extend(node.texts("operName")?.pop()),
            "SortBy" => self.operators.extend(node.texts("useOp")?.pop()),
            // One of an index is as good as its table's indexes are.
            "IndexElem" => self.types.extend(node.texts("opclass")?),
            "TypeName" => self.types.extend(node.texts("names")?.pop()),
            "CommonTableExpr" => self.own_relations.extend([node.text("ctename")?.to_owned()]),
            "RangeVar" => {
                let (schema, name) = (node.text("schemaname")?.to_owned(), node.text("relname")?.to_owned());
                self.relations.insert(Relation { schema, name });
            }
            _ => {}
        }
        Ok(())
    }

    /// Servers read other letters in names as their databases' encodings have them.
    fn is_ascii(&self) -> bool {
        let Self { functions, columns, operators, types, relations, own_relations, writes: _ } = self;
        let names = [functions, columns, operators, types, own_relations].into_iter().flatten();
        let mut names = names.chain(relations.iter().flat_map(|relation| [&relation.schema, &relation.name]));
        names.all(|name| name.is_ascii())
    }
}
