//! What there is, put together and in order.

use super::{
    budget::Budget,
    names::Order,
    relationships::{Relationship, find_relationships},
    rows::{Found, Function, Kind, Relation, Type, TypeName},
};
use std::collections::HashMap;
use studio_plugin_api::DriverError;

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
