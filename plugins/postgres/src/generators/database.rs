//! What there is, put together and in order.

use super::{
    budget::Budget,
    catalog::{Constraint, Schema, View, name},
    names::Order,
    relationships::{Relationship, find_relationships},
};
use serde::Deserialize;
use std::collections::HashMap;
use studio_plugin_api::DriverError;

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
    fn is_system(&self) -> bool {
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
    signature: String,
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

/// What the catalogs gave.
pub(super) struct Found {
    pub(super) schemas: Vec<Schema>,
    pub(super) relations: Vec<Relation>,
    pub(super) types: Vec<Type>,
    pub(super) functions: Vec<Function>,
    pub(super) constraints: Vec<Constraint>,
    pub(super) views: Vec<View>,
}

/// All there is.
pub(super) struct Database<'a> {
    pub(super) schemas: Vec<String>,
    pub(super) relations: Vec<Relation>,
    types: Vec<Type>,
    type_places: HashMap<TypeName, usize>,
    /// The first one of each name, whatever its schema.
    first_types: HashMap<String, usize>,
    relation_places: HashMap<u32, usize>,
    pub(super) functions: Vec<Function>,
    relationships: HashMap<u32, Vec<Relationship>>,
    /// What may still be written about it.
    pub(super) budget: Budget<'a>,
}

impl<'a> Database<'a> {
    /// Puts together what was found, to be written within a budget.
    ///
    /// # Errors
    /// `RESULT_TOO_LARGE` where that can't be enough.
    pub(super) fn new(found: Found, budget: Budget<'a>) -> Result<Self, DriverError> {
        let Found { schemas, mut relations, mut types, mut functions, constraints, views } = found;
        let order = Order::new();
        let mut schemas: Vec<_> = schemas.into_iter().map(|schema| schema.name).collect();
        schemas.sort_by(|one, other| order.compare(one, other));
        let relationships = find_relationships(&relations, &constraints, &views, &order, &budget)?;
        let by_name = |one: (&str, &str), other: (&str, &str)| {
            order.compare(one.0, other.0).then_with(|| order.compare(one.1, other.1))
        };
        relations.sort_by(|one, other| by_name((&one.schema, &one.name), (&other.schema, &other.name)));
        for relation in &mut relations {
            relation.columns.sort_by(|one, other| order.compare(&one.name, &other.name));
        }
        types.sort_by(|one, other| by_name((&one.schema, &one.name), (&other.schema, &other.name)));
        functions.sort_by(|one, other| {
            by_name((&one.schema, &one.name), (&other.schema, &other.name))
                .then_with(|| order.compare(&one.signature, &other.signature))
        });
        for function in &mut functions {
            function.arguments.sort_by(|one, other| order.compare(&one.name, &other.name));
        }
        let name_of = |type_: &Type| TypeName { schema: type_.schema.clone(), name: type_.name.clone() };
        let type_places = types.iter().enumerate().map(|(place, type_)| (name_of(type_), place)).collect();
        let mut first_types = HashMap::new();
        for (place, type_) in types.iter().enumerate() {
            first_types.entry(type_.name.clone()).or_insert(place);
        }
        let mut relation_places = HashMap::new();
        for (place, relation) in relations.iter().enumerate() {
            relation_places.entry(relation.id).or_insert(place);
        }
        let mut of_relations: HashMap<u32, Vec<Relationship>> = HashMap::new();
        for relationship in relationships {
            of_relations.entry(relationship.relation).or_default().push(relationship);
        }
        let relationships = of_relations;
        Ok(Self {
            schemas,
            relations,
            types,
            type_places,
            first_types,
            relation_places,
            functions,
            relationships,
            budget,
        })
    }

    pub(super) fn has_schema(&self, name: &str) -> bool {
        self.schemas.iter().any(|schema| schema == name)
    }
    pub(super) fn type_named(&self, name: &TypeName) -> Option<&Type> {
        self.types.get(*self.type_places.get(name)?)
    }
    /// A type as SQL writes it without its schema.
    pub(super) fn type_called(&self, format: &str) -> Option<&Type> {
        self.types.get(*self.first_types.get(format)?)
    }
    pub(super) fn relation(&self, id: u32) -> Option<&Relation> {
        self.relations.get(*self.relation_places.get(&id)?)
    }
    /// What a relation refers to, in order.
    pub(super) fn relationships_of(&self, relation: &Relation) -> &[Relationship] {
        self.relationships.get(&relation.id).map(Vec::as_slice).unwrap_or_default()
    }
    /// The enumerations of all schemas but the system's.
    pub(super) fn enumerations(&self) -> impl Iterator<Item = &Type> {
        self.types.iter().filter(|type_| type_.kind() == Kind::Enumeration && !type_.is_system())
    }
    /// The composite types of the schemas asked for.
    pub(super) fn composites(&self) -> impl Iterator<Item = &Type> {
        self.types.iter().filter(|type_| type_.kind() == Kind::Composite && self.has_schema(&type_.schema))
    }
}
