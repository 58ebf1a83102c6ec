//! What refers to what: foreign keys, and the same seen through views that show their columns.

use super::{
    budget::Budget,
    catalog::{Constraint, View},
    database::Relation,
    names::Order,
};
use std::{
    collections::{BTreeSet, HashMap},
    rc::Rc,
};
use studio_plugin_api::DriverError;

/// A reference between two relations of one schema.
#[derive(Debug)]
pub(super) struct Relationship {
    pub(super) name: String,
    pub(super) relation: u32,
    /// Shared by all relationships of its relation: there may be very many.
    pub(super) columns: Rc<[String]>,
    pub(super) one_to_one: bool,
    pub(super) referenced_relation: String,
    pub(super) referenced_columns: Rc<[String]>,
}

/// A column of a relation, by their numbers.
type Place = (u32, i16);

/// What a relationship takes of the text at the least, in bytes.
const LEAST: usize = 128;

/// Finds them all, in order.
///
/// # Errors
/// `RESULT_TOO_LARGE` when there is no room to write of all.
pub(super) fn find_relationships(
    relations: &[Relation],
    constraints: &[Constraint],
    views: &[View],
    order: &Order,
    budget: &Budget<'_>,
) -> Result<Vec<Relationship>, DriverError> {
    let shown = Shown::new(relations, views);
    let keys: BTreeSet<(u32, BTreeSet<i16>)> = constraints
        .iter()
        .filter(|constraint| constraint.kind != "f")
        .map(|key| (key.relation, key.columns.iter().copied().collect()))
        .collect();
    let mut relationships = Vec::new();
    for reference in constraints.iter().filter(|constraint| constraint.kind == "f") {
        let one_to_one = keys.contains(&(reference.relation, reference.columns.iter().copied().collect()));
        let targets = reference.referenced_columns.as_deref().unwrap_or_default();
        let referenced = shown.by(reference.referenced_relation, targets);
        for (from, columns) in shown.by(reference.relation, &reference.columns) {
            for (to, referenced_columns) in &referenced {
                if !budget.has_room_for(LEAST * (relationships.len() + 1)) {
                    return budget.refuse();
                }
                if from.schema == to.schema {
                    relationships.push(Relationship {
                        name: reference.name.clone(),
                        relation: from.id,
                        columns: columns.clone(),
                        one_to_one,
                        referenced_relation: to.name.clone(),
                        referenced_columns: referenced_columns.clone(),
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
    Ok(relationships)
}

/// Where columns of tables are shown.
struct Shown<'a> {
    relations: &'a [Relation],
    by_id: HashMap<u32, &'a Relation>,
    /// The views that show a column, by their places among all relations, and what each calls it first.
    views: HashMap<Place, Vec<(usize, &'a str)>>,
}

impl<'a> Shown<'a> {
    fn new(relations: &'a [Relation], views: &[View]) -> Self {
        let by_id = relations.iter().map(|relation| (relation.id, relation)).collect();
        let origins = origins(&views.iter().flat_map(read_origins).collect());
        let mut shown: HashMap<Place, Vec<(usize, &'a str)>> = HashMap::new();
        for (place, view) in relations.iter().enumerate().filter(|(_, relation)| !relation.is_table()) {
            for column in &view.columns {
                let Some(origin) = origins.get(&(view.id, column.number)) else { continue };
                let of_column = shown.entry(*origin).or_default();
                if of_column.last().is_none_or(|(last, _)| *last != place) {
                    of_column.push((place, &column.name));
                }
            }
        }
        Self { relations, by_id, views: shown }
    }

    /// The relations that show these columns of a table, under which names: itself, and views.
    fn by(&self, table: u32, columns: &[i16]) -> Vec<(&'a Relation, Rc<[String]>)> {
        let name = |relation: &Relation, wanted: i16| {
            let mut columns = relation.columns.iter();
            columns.find(|column| column.number == wanted).map(|column| column.name.clone())
        };
        let mut shown = Vec::new();
        if let Some(itself) = self.by_id.get(&table)
            && let Some(names) = columns.iter().map(|column| name(itself, *column)).collect()
        {
            shown.push((*itself, names));
        }
        let views = |column: &i16| self.views.get(&(table, *column)).map(Vec::as_slice).unwrap_or_default();
        for (place, _) in columns.first().map(views).unwrap_or_default() {
            let find = |column: &i16| {
                let views = views(column);
                let found = views.binary_search_by_key(place, |(place, _)| *place).ok()?;
                views.get(found).map(|(_, name)| (*name).to_owned())
            };
            if let Some(view) = self.relations.get(*place)
                && let Some(names) = columns.iter().map(find).collect()
            {
                shown.push((view, names));
            }
        }
        shown
    }
}

/// The column that each shows in the end, through views on views. Views can't go round in circles; this ends even if they
/// did.
fn origins(next: &HashMap<Place, Place>) -> HashMap<Place, Place> {
    let mut ends: HashMap<Place, Place> = HashMap::new();
    for start in next.keys() {
        let (mut path, mut place) = (Vec::new(), *start);
        let end = loop {
            if let Some(end) = ends.get(&place) {
                break *end;
            }
            let Some(next) = next.get(&place) else { break place };
            ends.insert(place, place);
            path.push(place);
            place = *next;
        };
        ends.extend(path.into_iter().map(|place| (place, end)));
    }
    ends
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

    #[test]
    fn columns_lead_to_where_they_end_however_long_the_way_and_even_in_circles() {
        let chain = (0..100_000).map(|id| ((id, 1), (id + 1, 1)));
        assert_eq!(origins(&chain.collect())[&(0, 1)], (100_000, 1));
        let circle = (0..1_000).map(|id| ((id, 1), ((id + 1) % 1_000, 1)));
        assert_eq!(origins(&circle.collect()).len(), 1_000);
    }
}
