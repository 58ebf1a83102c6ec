//! What refers to what: foreign keys, and the same seen through views that show their columns.

use super::{
    catalog::{Constraint, View},
    database::Relation,
    names::Order,
};
use std::collections::{BTreeSet, HashMap};

/// A reference between two relations of one schema.
#[derive(Debug)]
pub(super) struct Relationship {
    pub(super) name: String,
    pub(super) relation: u32,
    pub(super) columns: Vec<String>,
    pub(super) one_to_one: bool,
    pub(super) referenced_relation: String,
    pub(super) referenced_columns: Vec<String>,
}

/// A column of a relation, by their numbers.
type Place = (u32, i16);

/// Finds them all, in order.
pub(super) fn find_relationships(
    relations: &[Relation],
    constraints: &[Constraint],
    views: &[View],
    order: &Order,
) -> Vec<Relationship> {
    let by_id: HashMap<u32, &Relation> = relations.iter().map(|relation| (relation.id, relation)).collect();
    let origins: HashMap<Place, Place> = views.iter().flat_map(read_origins).collect();
    let keys: BTreeSet<(u32, BTreeSet<i16>)> = constraints
        .iter()
        .filter(|constraint| constraint.kind != "f")
        .map(|key| (key.relation, key.columns.iter().copied().collect()))
        .collect();
    let mut relationships = Vec::new();
    for reference in constraints.iter().filter(|constraint| constraint.kind == "f") {
        let one_to_one = keys.contains(&(reference.relation, reference.columns.iter().copied().collect()));
        let targets = reference.referenced_columns.as_deref().unwrap_or_default();
        for (from, columns) in shown_by(reference.relation, &reference.columns, relations, &by_id, &origins) {
            for (to, referenced_columns) in
                shown_by(reference.referenced_relation, targets, relations, &by_id, &origins)
            {
                if from.schema == to.schema {
                    relationships.push(Relationship {
                        name: reference.name.clone(),
                        relation: from.id,
                        columns: columns.clone(),
                        one_to_one,
                        referenced_relation: to.name.clone(),
                        referenced_columns,
                    });
                }
            }
        }
    }
    relationships.sort_by(|one, other| {
        order
            .compare(&one.name, &other.name)
            .then_with(|| order.compare(&one.referenced_relation, &other.referenced_relation))
    });
    relationships
}

/// The relations that show these columns of a table, under which names: itself, and views.
fn shown_by<'a>(
    table: u32,
    columns: &[i16],
    relations: &'a [Relation],
    by_id: &HashMap<u32, &'a Relation>,
    origins: &HashMap<Place, Place>,
) -> Vec<(&'a Relation, Vec<String>)> {
    let name = |relation: &Relation, wanted: i16| {
        let mut columns = relation.columns.iter();
        columns.find(|column| column.number == wanted).map(|column| column.name.clone())
    };
    let mut shown = Vec::new();
    if let Some(itself) = by_id.get(&table)
        && let Some(names) = columns.iter().map(|column| name(itself, *column)).collect()
    {
        shown.push((*itself, names));
    }
    for view in relations.iter().filter(|relation| !relation.is_table()) {
        let find = |wanted: i16| {
            let mut columns = view.columns.iter();
            let found =
                columns.find(|column| origin((view.id, column.number), origins) == (table, wanted))?;
            Some(found.name.clone())
        };
        if let Some(names) = columns.iter().map(|column| find(*column)).collect() {
            shown.push((view, names));
        }
    }
    shown
}

/// The column that another shows in the end, through views on views.
fn origin(mut place: Place, origins: &HashMap<Place, Place>) -> Place {
    // Views can't go round in circles; this holds even if they did.
    for _ in 0..origins.len() {
        match origins.get(&place) {
            Some(next) => place = *next,
            None => break,
        }
    }
    place
}

/// Which columns a view shows as they are. In the tree that the server keeps of its query, each column of its outermost
/// list says where it is from.
fn read_origins(view: &View) -> Vec<(Place, Place)> {
    let mut origins = Vec::new();
    let mut depth = 0_usize;
    let (mut column, mut table) = (0, 0);
    let mut label = String::new();
    // Braces, parentheses and words, with spaces between most of them; what is quoted has its own escaped.
    for word in view.tree.split(' ') {
        let word = word.trim_matches(['(', ')']).replace("\\{", "").replace("\\}", "");
        depth += word.matches('{').count();
        if depth == 2 {
            let value = word.trim_end_matches('}');
            match label.as_str() {
                ":resno" => column = value.parse().unwrap_or_default(),
                ":resorigtbl" => table = value.parse().unwrap_or_default(),
                ":resorigcol" => {
                    if let Ok(number) = value.parse()
                        && table != 0
                    {
                        origins.push(((view.id, column), (table, number)));
                    }
                }
                _ => {}
            }
        }
        depth = depth.saturating_sub(word.matches('}').count());
        label = word;
    }
    origins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outermost_columns_of_a_view_are_its_own() {
        let tree = "({QUERY :commandType 1 :rtable ({RTE :subquery {QUERY :targetList ({TARGETENTRY :expr {VAR \
                    :varno 1} :resno 1 :resname x :resorigtbl 9 :resorigcol 9 :resjunk false})}}) :targetList \
                    ({TARGETENTRY :expr {VAR :varno 1} :resno 1 :resname id :ressortgroupref 0 :resorigtbl 16384 \
                    :resorigcol 3 :resjunk false} {TARGETENTRY :expr {CONST :constvalue 4 [ 1 0 ]} :resno 2 :resname \
                    y :resorigtbl 0 :resorigcol 0 :resjunk false})})";
        let view = View { id: 5, tree: tree.to_owned() };
        assert_eq!(read_origins(&view), [((5, 1), (16384, 3))]);
    }
}
