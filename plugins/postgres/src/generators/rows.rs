//! The rows that the catalogs give: what each has, and what it means by itself.

use serde::{Deserialize, Deserializer, de::Error as _};

/// What the catalogs gave.
pub(super) struct Found {
    pub(super) schemas: Vec<Schema>,
    pub(super) relations: Vec<Relation>,
    pub(super) types: Vec<Type>,
    pub(super) functions: Vec<Function>,
    pub(super) constraints: Vec<Constraint>,
    pub(super) views: Vec<View>,
}

/// A schema.
#[derive(Debug, Deserialize)]
pub(super) struct Schema {
    #[serde(deserialize_with = "name")]
    pub(super) name: String,
}

/// A key, or a reference to one.
#[derive(Debug, Deserialize)]
pub(super) struct Constraint {
    #[serde(deserialize_with = "name")]
    pub(super) name: String,
    /// `f` for a reference.
    pub(super) kind: String,
    pub(super) relation: u32,
    pub(super) columns: Vec<i16>,
    pub(super) referenced_relation: u32,
    pub(super) referenced_columns: Option<Vec<i16>>,
}

/// What a view is made from, as the server keeps it.
#[derive(Debug, Deserialize)]
pub(super) struct View {
    pub(super) id: u32,
    pub(super) tree: String,
}

/// A type by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub(super) struct TypeName {
    #[serde(deserialize_with = "name")]
    pub(super) schema: String,
    #[serde(deserialize_with = "name")]
    pub(super) name: String,
}

impl TypeName {
    /// What an array is of.
    pub(super) fn element(&self) -> Option<Self> {
        let name = self.name.strip_prefix('_')?;
        Some(Self { schema: self.schema.clone(), name: name.to_owned() })
    }
}

/// A table, a view, or what looks like one.
#[derive(Debug, Deserialize)]
pub(super) struct Relation {
    pub(super) id: u32,
    #[serde(deserialize_with = "name")]
    pub(super) schema: String,
    #[serde(deserialize_with = "name")]
    pub(super) name: String,
    kind: String,
    pub(super) insertable: bool,
    pub(super) updatable: bool,
    pub(super) columns: Vec<Column>,
}

impl Relation {
    /// Not a view.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.kind.as_str(), "r" | "p" | "f")
    }
    pub(super) fn is_foreign(&self) -> bool {
        self.kind == "f"
    }
    pub(super) fn is_materialized(&self) -> bool {
        self.kind == "m"
    }
}

/// A column.
#[derive(Debug, Deserialize)]
pub(super) struct Column {
    pub(super) number: i16,
    #[serde(deserialize_with = "name")]
    pub(super) name: String,
    /// That of its domain, where it has one.
    #[serde(rename = "type")]
    pub(super) type_name: TypeName,
    pub(super) nullable: bool,
    has_default: bool,
    identity: String,
    generated: bool,
    pub(super) writable: bool,
}

impl Column {
    pub(super) fn is_identity(&self) -> bool {
        !self.identity.is_empty()
    }
    /// Can be left out of a new row.
    pub(super) fn is_optional(&self) -> bool {
        self.nullable || self.is_identity() || self.has_default
    }
    /// Never to be given a value.
    pub(super) fn is_fixed(&self) -> bool {
        self.generated || self.identity == "a"
    }
}

/// A type.
#[derive(Debug, Deserialize)]
pub(super) struct Type {
    #[serde(deserialize_with = "name")]
    pub(super) schema: String,
    #[serde(deserialize_with = "name")]
    pub(super) name: String,
    kind: String,
    /// That of a row, or of a composite type; 0 for others.
    pub(super) relation: u32,
    relation_kind: String,
    pub(super) labels: Vec<String>,
    pub(super) attributes: Vec<Attribute>,
}

/// What a type is to those who write it down.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Enumeration,
    Composite,
    Table,
    View,
    Range,
    Other,
}

impl Type {
    pub(super) fn kind(&self) -> Kind {
        match (self.kind.as_str(), self.relation_kind.as_str()) {
            // Without labels it has no values to write down, and without attributes no value at all.
            ("e", _) if !self.labels.is_empty() => Kind::Enumeration,
            ("r" | "m", _) => Kind::Range,
            ("c", "c") if self.attributes.is_empty() => Kind::Other,
            ("c", "c") => Kind::Composite,
            ("c", "v" | "m") => Kind::View,
            ("c", _) => Kind::Table,
            _ => Kind::Other,
        }
    }
    pub(super) fn is_system(&self) -> bool {
        matches!(self.schema.as_str(), "pg_catalog" | "information_schema" | "pg_toast")
    }
}

/// A part of a composite type.
#[derive(Debug, Deserialize)]
pub(super) struct Attribute {
    #[serde(deserialize_with = "name")]
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) type_name: TypeName,
    /// The type as SQL writes it.
    pub(super) format: String,
}

/// A function.
#[derive(Debug, Deserialize)]
pub(super) struct Function {
    #[serde(deserialize_with = "name")]
    pub(super) schema: String,
    #[serde(deserialize_with = "name")]
    pub(super) name: String,
    pub(super) signature: String,
    pub(super) arguments: Vec<Argument>,
    pub(super) returns: TypeName,
    /// 0 for what is no row.
    pub(super) returns_relation: u32,
    pub(super) returns_set: bool,
    pub(super) returns_many_rows: bool,
}

/// What a function takes or gives.
#[derive(Debug, Deserialize)]
pub(super) struct Argument {
    #[serde(deserialize_with = "name")]
    pub(super) name: String,
    mode: String,
    #[serde(rename = "type")]
    pub(super) type_name: TypeName,
    /// The type as SQL writes it.
    pub(super) format: String,
    pub(super) type_id: u32,
    /// 0 for what is no row.
    pub(super) relation: u32,
    pub(super) optional: bool,
}

impl Argument {
    /// A row of a relation, or a composite value.
    pub(super) fn is_row(&self) -> bool {
        self.relation != 0
    }
    pub(super) fn is_input(&self) -> bool {
        matches!(self.mode.as_str(), "i" | "b" | "v")
    }
    /// A column of `RETURNS TABLE`.
    pub(super) fn is_table_column(&self) -> bool {
        self.mode == "t"
    }
}

/// How long a name may be, in bytes: four times what PostgreSQL has unless it is built for more.
const LONGEST_NAME: usize = 256;

/// Reads a name. A longer one is no name of PostgreSQL's, and each of its letters may be a level: `_` is an array's.
fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    match name.len() <= LONGEST_NAME {
        true => Ok(name),
        false => Err(D::Error::custom(format!("a name of {} bytes", name.len()))),
    }
}
