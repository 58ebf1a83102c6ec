//! What refers to what: foreign keys, and the same seen through views that show their columns.

use super::{
    budget::Budget,
    names::Order,
    rows::{Constraint, Relation, View},
};
use serde_json::json;
use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
    rc::Rc,
};
use studio_plugin_api::DriverError;

/// A relation that shows columns of a table, and the names that it has for them.
type Showing<'a> = (&'a Relation, Rc<[String]>);

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
    // In the order of the table, as PostgREST has it: a reference in another order is to many.
    let keys: BTreeSet<(u32, Vec<i16>)> = constraints
        .iter()
        .filter(|constraint| constraint.kind != "f")
        .map(|key| {
            let mut columns = key.columns.clone();
            columns.sort_unstable();
            (key.relation, columns)
        })
        .collect();
    let mut relationships = Vec::new();
    for reference in constraints.iter().filter(|constraint| constraint.kind == "f") {
        let one_to_one = keys.contains(&(reference.relation, reference.columns.clone()));
        let targets = reference.referenced_columns.as_deref().unwrap_or_default();
        let referenced = shown.by(reference.referenced_relation, targets, budget)?;
        for (from, columns) in shown.by(reference.relation, &reference.columns, budget)? {
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
            .then_with(|| compare_lists(&one.referenced_columns, &other.referenced_columns, order))
    });
    Ok(relationships)
}

/// By their texts in JSON, as postgres-meta has it.
fn compare_lists(one: &[String], other: &[String], order: &Order) -> Ordering {
    let text = |list: &[String]| json!(list).to_string();
    if one == other { Ordering::Equal } else { order.compare(&text(one), &text(other)) }
}

/// Where columns of tables are shown.
struct Shown<'a> {
    relations: &'a [Relation],
    by_id: HashMap<u32, &'a Relation>,
    /// The views that show a column, by their places among all relations, and all that each calls it.
    views: HashMap<Place, Vec<(usize, Vec<&'a str>)>>,
}

impl<'a> Shown<'a> {
    fn new(relations: &'a [Relation], views: &[View]) -> Self {
        let by_id = relations.iter().map(|relation| (relation.id, relation)).collect();
        let origins = origins(&views.iter().flat_map(read_origins).collect());
        let mut shown: HashMap<Place, Vec<(usize, Vec<&'a str>)>> = HashMap::new();
        for (place, view) in relations.iter().enumerate().filter(|(_, relation)| !relation.is_table()) {
            for column in &view.columns {
                let Some(origin) = origins.get(&(view.id, column.number)) else { continue };
                let of_column = shown.entry(*origin).or_default();
                match of_column.last_mut() {
                    Some((last, names)) if *last == place => names.push(&column.name),
                    _ => of_column.push((place, vec![&column.name])),
                }
            }
        }
        Self { relations, by_id, views: shown }
    }

    /// The relations that show these columns of a table, under which names: itself, and views. A view that shows one of
    /// them twice shows them all twice.
    ///
    /// # Errors
    /// `RESULT_TOO_LARGE` when there is no room to write of all.
    fn by(&self, table: u32, columns: &[i16], budget: &Budget<'_>) -> Result<Vec<Showing<'a>>, DriverError> {
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
                views.get(found).map(|(_, names)| names.as_slice())
            };
            if let Some(view) = self.relations.get(*place)
                && let Some(names) = columns.iter().map(find).collect::<Option<Vec<_>>>()
            {
                let count = names.iter().fold(1, |count: usize, names| count.saturating_mul(names.len()));
                let size = LEAST.saturating_mul(columns.len());
                if !budget.has_room_for(count.saturating_add(shown.len()).saturating_mul(size)) {
                    return budget.refuse();
                }
                shown.extend(choices(&names).into_iter().map(|names| (view, names)));
            }
        }
        Ok(shown)
    }
}

/// One name of each list, in all ways.
fn choices(lists: &[&[&str]]) -> Vec<Rc<[String]>> {
    let mut chosen = vec![Vec::new()];
    for names in lists {
        chosen = chosen
            .into_iter()
            .flat_map(|chosen: Vec<String>| {
                names.iter().map(move |name| [chosen.as_slice(), &[(*name).to_owned()]].concat())
            })
            .collect();
    }
    chosen.into_iter().map(Rc::from).collect()
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
    fn a_view_that_shows_columns_twice_shows_a_key_in_all_ways() {
        let ways: Vec<_> =
            choices(&[&["a", "a2"], &["b"], &["c", "c2"]]).iter().map(|names| names.join(" ")).collect();
        assert_eq!(ways, ["a b c", "a b c2", "a2 b c", "a2 b c2"]);
    }

    #[test]
    fn columns_lead_to_their_origin_over_long_chains_and_circles() {
        let chain = (0..100_000).map(|id| ((id, 1), (id + 1, 1)));
        assert_eq!(origins(&chain.collect())[&(0, 1)], (100_000, 1));
        let circle = (0..1_000).map(|id| ((id, 1), ((id + 1) % 1_000, 1)));
        assert_eq!(origins(&circle.collect()).len(), 1_000);
    }
}
