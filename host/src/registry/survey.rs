//! Reports the tables of the platform database, their owners, and the rights that the gateway's login lacks.

use std::collections::BTreeMap;

use sqlx::AnyConnection;

use super::RegistryError;
use super::catalog::{Relation, SchemaAccess, locked_sequences, relations, schema_access};
use super::dialect::Dialect;
use super::layout::{Owner, TABLES, Table, is_used};
use super::row_security::{Policy, limited, policies, restrictive};
use super::store::Store;

/// A report on the platform database. Both lists are for people to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Facts about the database.
    pub facts: Vec<String>,
    /// Wrong or missing things.
    pub problems: Vec<Problem>,
}

/// A wrong or missing thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The problem, and the statement that mends it.
    pub text: String,
    /// Whether a gateway must not serve with it: it would report that existing rows do not exist.
    pub stops_start: bool,
}

impl Survey {
    /// Refuses a database with a problem that stops the start.
    ///
    /// # Errors
    /// [`RegistryError::Unfit`].
    pub fn refuse(&self) -> Result<(), RegistryError> {
        let stopping = self.problems.iter().filter(|problem| problem.stops_start);
        let texts: Vec<_> = stopping.map(|problem| problem.text.clone()).collect();
        if texts.is_empty() { Ok(()) } else { Err(RegistryError::Unfit(texts)) }
    }
}

/// Describes the relations that have a name the gateway needs, but that it can't use.
pub(super) async fn foreign_tables(connection: &mut AnyConnection) -> Result<Vec<String>, RegistryError> {
    Ok(unusable(&relations(connection).await?))
}

/// Lists the reasons why the migrations can't be applied.
pub(super) async fn obstacles(connection: &mut AnyConnection) -> Result<Vec<String>, RegistryError> {
    let access = schema_access(connection).await?;
    let relations = relations(connection).await?;
    Ok(missing_for_migrations(&access, &relations))
}

impl Store {
    /// Implements [`super::Registry::survey`].
    pub(super) async fn look_around(&self) -> Result<Survey, RegistryError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(Survey {
                facts: vec!["an SQLite file of the gateway's own".to_owned()],
                ..Survey::default()
            });
        }
        let mut transaction = self.reader.begin_with(self.dialect.begin_to_look()).await?;
        let access = schema_access(&mut transaction).await?;
        let relations = relations(&mut transaction).await?;
        let policies = policies(&mut transaction).await?;
        let sequences = locked_sequences(&mut transaction).await?;
        let mut survey = Survey { facts: facts(&access, &relations), problems: Vec::new() };
        let foreign = unusable(&relations);
        survey.problems.extend(foreign.iter().map(|text| Problem { text: text.clone(), stops_start: true }));
        if access.has_schema && !access.may_use {
            survey.problems.push(Problem {
                text: format!(
                    "the login {0} may not use the schema `platform`: GRANT USAGE ON SCHEMA platform TO {0};",
                    access.login
                ),
                stops_start: true,
            });
            return Ok(survey);
        }
        for table in ["organization_members", "project_members"] {
            let names = self.role_names(&mut transaction, table).await?;
            if !names.is_empty() {
                survey.facts.push(format!("{table}.role takes {}", names.join(", ")));
            }
        }
        if foreign.is_empty() {
            // Only after the check above: now the table of migrations is known to be the gateway's.
            let may_read = relations
                .iter()
                .all(|relation| relation.name != "gateway_migrations" || relation.may("SELECT"));
            if may_read && self.plan_migrations(&mut transaction).await?.pending > 0 {
                survey.facts.extend(additions(&relations));
                let missing = missing_for_migrations(&access, &relations);
                survey.problems.extend(missing.into_iter().map(|text| Problem { text, stops_start: false }));
            }
        }
        survey.problems.extend(missing_rights(&access, &relations, &sequences));
        survey.problems.extend(hidden_rows(&access, &relations, &policies));
        Ok(survey)
    }
}

/// Pairs the existing tables with the gateway's requirements on them.
fn used(relations: &[Relation]) -> impl Iterator<Item = (&Relation, &'static Table)> {
    relations.iter().filter_map(|relation| {
        TABLES.iter().find(|table| table.name == relation.name).map(|table| (relation, table))
    })
}

fn facts(access: &SchemaAccess, relations: &[Relation]) -> Vec<String> {
    let mut facts = vec![format!("PostgreSQL {}, schema `platform`, login {}", access.server, access.login)];
    if !access.has_schema {
        facts.push("the schema `platform` is not there yet".to_owned());
        return facts;
    }
    let list = |title: &str, wanted: &dyn Fn(&Relation) -> bool| {
        let names: Vec<_> = relations
            .iter()
            .filter(|relation| wanted(relation))
            .map(|relation| relation.name.as_str())
            .collect();
        (!names.is_empty()).then(|| format!("{title}: {}", names.join(", ")))
    };
    let is_own = |relation: &Relation| {
        let is_always = |table: &Table| table.name == relation.name && table.owner == Owner::Gateway;
        is_used(&relation.name) && (relation.is_gateways || TABLES.iter().any(is_always))
    };
    facts.extend(list("the gateway's own tables", &is_own));
    facts.extend(list("the Studio's tables that the gateway uses", &|relation| {
        is_used(&relation.name) && !is_own(relation)
    }));
    facts.extend(list("other tables, which the gateway never touches", &|relation| {
        !is_used(&relation.name) && !is_former_audit(relation)
    }));
    facts.extend(list("the audit trail of an older gateway, which gets a name of its own", &is_former_audit));
    facts.extend(list("row level security is switched on for", &|relation| relation.row_security));
    facts
}

/// Tells whether it is the audit trail of an older gateway, under its former name. The migration checks more closely.
fn is_former_audit(relation: &Relation) -> bool {
    let audit = TABLES.iter().find(|table| table.name == "gateway_audit_logs");
    relation.name == "audit_logs" && audit.is_some_and(|table| relation.columns == table.columns)
}

/// Describes the relations under the gateway's table names that it can't use and that no migration mends.
fn unusable(relations: &[Relation]) -> Vec<String> {
    let mut problems = Vec::new();
    for (relation, table) in used(relations) {
        let missing: Vec<_> =
            table.columns.iter().copied().filter(|column| !relation.has_column(column)).collect();
        let name = table.name;
        if !relation.is_table && table.owner == Owner::Gateway {
            problems.push(format!(
                "`platform.{name}` is there already, and is no table: the gateway needs its name"
            ));
        } else if !missing.is_empty() {
            let whose = match table.owner {
                Owner::Gateway => "is there already, and is not the gateway's, which needs its name",
                Owner::Studio => "can't be used",
            };
            let columns = missing.join("`, `");
            problems.push(format!("the table `platform.{name}` {whose}: it has no column `{columns}`"));
        }
    }
    problems
}

/// Lists the columns and indexes that the migrations add to a Studio's own tables.
fn additions(relations: &[Relation]) -> Vec<String> {
    let mut additions = Vec::new();
    for (relation, table) in used(relations) {
        let missing: Vec<_> =
            table.added.iter().copied().filter(|column| !relation.has_column(column)).collect();
        let mut added = Vec::new();
        if !missing.is_empty() {
            added.push(format!("the columns `{}`", missing.join("`, `")));
        }
        if let Some(unique) = table.unique
            && !relation.unique.iter().any(|column| column == unique)
        {
            added.push(format!("a unique index on `{unique}`"));
        }
        if !added.is_empty() {
            additions.push(format!(
                "the migrations add to the table `platform.{}`, which lacks them: {}",
                table.name,
                added.join(", ")
            ));
        }
    }
    additions
}

fn missing_for_migrations(access: &SchemaAccess, relations: &[Relation]) -> Vec<String> {
    let mut missing = Vec::new();
    let login = &access.login;
    let advice = "run `studio-gateway migrate` once as the owner of the schema, or";
    if !access.may_create {
        missing.push(if access.has_schema {
            format!(
                "the login {login} may not make the gateway's tables: {advice} GRANT CREATE ON SCHEMA platform TO {login};"
            )
        } else {
            format!(
                "the login {login} may not make the schema `platform`: {advice} CREATE SCHEMA platform AUTHORIZATION {login};"
            )
        });
    }
    for (relation, table) in used(relations) {
        if matches!(table.name, "organizations" | "projects") && !relation.may("REFERENCES") {
            let name = table.name;
            missing.push(format!(
                "the login {login} may not make tables that refer to platform.{name}: {advice} GRANT REFERENCES ON \
                 platform.{name} TO {login};"
            ));
        }
    }
    missing
}

fn missing_rights(
    access: &SchemaAccess,
    relations: &[Relation],
    sequences: &[(String, String)],
) -> Vec<Problem> {
    let login = &access.login;
    let mut problems = Vec::new();
    for (relation, table) in used(relations) {
        let missing: Vec<_> = table.rights.iter().copied().filter(|right| !relation.may(right)).collect();
        if !missing.is_empty() {
            let (rights, name) = (missing.join(", "), table.name);
            problems.push(Problem {
                text: format!(
                    "the login {login} may not {rights} on platform.{name}: GRANT {rights} ON platform.{name} TO {login};"
                ),
                stops_start: missing.contains(&table.essential),
            });
        }
    }
    for (relation, sequence) in sequences.iter().filter(|(relation, _)| is_used(relation)) {
        problems.push(Problem {
            text: format!(
                "the login {login} may not take numbers for new rows of platform.{relation}: GRANT USAGE ON SEQUENCE \
                 {sequence} TO {login};"
            ),
            stops_start: false,
        });
    }
    problems
}

fn hidden_rows(
    access: &SchemaAccess,
    relations: &[Relation],
    policies: &BTreeMap<String, Vec<Policy>>,
) -> Vec<Problem> {
    let login = &access.login;
    let mut problems = Vec::new();
    for (relation, table) in used(relations).filter(|(relation, _)| relation.row_security_active) {
        let applying = policies.get(table.name).map_or(&[][..], Vec::as_slice);
        let limited = limited(applying, table.rights);
        if limited.is_empty() {
            continue;
        }
        let name = table.name;
        let mend = match restrictive(applying).as_slice() {
            [] => format!(
                "CREATE POLICY studio_gateway ON platform.{name} TO {login} USING (true) WITH CHECK (true); or, for \
                 every table, ALTER ROLE {login} BYPASSRLS;"
            ),
            names => format!(
                "ALTER ROLE {login} BYPASSRLS; (no other policy makes up for the restrictive `{}`)",
                names.join("`, `")
            ),
        };
        let owner = if relation.owner == *login { ", though it owns the table," } else { "" };
        problems.push(Problem {
            text: format!(
                "row level security hides rows of platform.{name} from the login {login}{owner} for {}: {mend}",
                limited.join(", ")
            ),
            stops_start: limited.contains(&table.essential),
        });
    }
    problems
}
