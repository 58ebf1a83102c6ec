//! A Studio's platform database, and a look at it before and after the gateway.

use crate::PostgresDatabase;
use std::collections::BTreeMap;
use uuid::Uuid;

const PLATFORM: &str = include_str!("../schemas/studio_platform.sql");
const AUDIT: &str = include_str!("../schemas/studio_audit.sql");
const OLDER_AUDIT: &str = include_str!("../schemas/studio_audit_older.sql");

/// The people in it, by their roles in the organization `acme` or its project `shop`.
pub mod people {
    /// Owner of the organization.
    pub const OWNER: &str = "00000000-0000-4000-8000-000000000001";
    /// Admin of the organization.
    pub const ADMIN: &str = "00000000-0000-4000-8000-000000000002";
    /// Developer in the organization.
    pub const DEVELOPER: &str = "00000000-0000-4000-8000-000000000003";
    /// `read_only` in the project.
    pub const READ_ONLY: &str = "00000000-0000-4000-8000-000000000004";
    /// `member` of the organization.
    pub const MEMBER: &str = "00000000-0000-4000-8000-000000000005";
    /// `billing_admin` of the organization.
    pub const BILLING_ADMIN: &str = "00000000-0000-4000-8000-000000000006";
    /// A user of the Studio who is a member of nothing.
    pub const NOBODY: &str = "00000000-0000-4000-8000-000000000007";
    /// No user of the Studio.
    pub const STRANGER: &str = "00000000-0000-4000-8000-0000000000ff";
}

/// The shape of its `audit_logs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditShape {
    /// With `entity_type`.
    Present,
    /// Without.
    Older,
}

/// The database. Its owner is a role of its own, which is no superuser. The roles stay until somebody drops them, or
/// the run's server ends.
pub struct StudioDatabase {
    /// As a superuser sees it.
    pub database: PostgresDatabase,
    /// The role that owns schema and tables.
    pub owner: String,
    /// A login without any rights.
    pub lesser: String,
}

/// Structure of the Studio's tables, an item a line, and their rows by table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Columns, constraints, indexes, policies, triggers, grants, owners.
    pub structure: Vec<String>,
    /// Each row as JSON.
    pub rows: BTreeMap<String, Vec<String>>,
}

/// Everything that the catalogs say of relations in `platform`, except for the gateway's own.
const STRUCTURE: &str = "
    WITH theirs AS (
        SELECT c.* FROM pg_class c
        WHERE c.relnamespace = 'platform'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
          AND c.relname NOT LIKE 'gateway\\_%' AND c.relname <> 'database_connections')
    SELECT format('relation %s %s owner %s acl %s rls %s %s options %s comment %s', relname, relkind,
                  pg_get_userbyid(relowner), relacl, relrowsecurity, relforcerowsecurity, reloptions,
                  obj_description(oid, 'pg_class')) FROM theirs
    UNION ALL
    SELECT format('column %s.%s %s %s not null %s default %s identity %s acl %s', c.relname, a.attnum, a.attname,
                  format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
                  a.attidentity, a.attacl)
    FROM theirs c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT format('constraint %s.%s %s', c.relname, k.conname, pg_get_constraintdef(k.oid))
    FROM theirs c JOIN pg_constraint k ON k.conrelid = c.oid
    UNION ALL
    SELECT format('index %s', pg_get_indexdef(i.indexrelid)) FROM theirs c JOIN pg_index i ON i.indrelid = c.oid
    UNION ALL
    SELECT format('policy %s', to_jsonb(p)) FROM pg_policies p
    WHERE p.schemaname = 'platform' AND p.tablename IN (SELECT relname FROM theirs)
    UNION ALL
    SELECT format('trigger %s %s', pg_get_triggerdef(t.oid), t.tgenabled)
    FROM theirs c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT format('rule %s', pg_get_ruledef(r.oid)) FROM theirs c JOIN pg_rewrite r ON r.ev_class = c.oid
    UNION ALL
    SELECT format('function %s %s', p.oid::regprocedure, md5(p.prosrc)) FROM pg_proc p
    WHERE p.pronamespace = 'platform'::regnamespace
    UNION ALL
    SELECT format('schema %s', nspname) FROM pg_namespace WHERE nspname !~ '^pg_'
    ORDER BY 1";

impl StudioDatabase {
    /// Makes a fresh one, of a Studio with this shape of audit trail.
    pub async fn create(shape: AuditShape) -> Self {
        let database = PostgresDatabase::shared().await;
        let mark = Uuid::new_v4().simple().to_string();
        let [owner, lesser, app] = ["owner", "lesser", "app"].map(|role| format!("studio_{role}_{mark}"));
        let name = &database.name;
        database
            .run(&format!(
                "CREATE ROLE {owner} LOGIN; CREATE ROLE {lesser} LOGIN; CREATE ROLE {app} NOLOGIN;
                 GRANT CREATE ON DATABASE {name} TO {owner}"
            ))
            .await;
        let audit = if shape == AuditShape::Present { AUDIT } else { OLDER_AUDIT };
        let script = format!("SET ROLE {owner}; {PLATFORM} {audit}").replace("studio_app", &app);
        database.run(&script).await;
        Self { database, owner, lesser }
    }

    /// Makes the `DATABASE_URL` of one of its logins.
    pub fn url(&self, login: &str) -> String {
        let (scheme, rest) = self.database.url.split_once("://").expect("a URL");
        let place = rest.split_once('@').map_or(rest, |(_, place)| place);
        format!("{scheme}://{login}@{place}")
    }

    /// Runs statements as its owner.
    pub async fn run_as_owner(&self, statements: &str) {
        self.database.run(&format!("SET ROLE {}; {statements}", self.owner)).await;
    }

    /// Reads the structure and the rows that the Studio has now.
    pub async fn snapshot(&self) -> Snapshot {
        let tables = "SELECT relname::text FROM pg_class
                      WHERE relnamespace = 'platform'::regnamespace AND relkind = 'r'
                        AND relname NOT LIKE 'gateway\\_%' AND relname <> 'database_connections'";
        let mut rows = BTreeMap::new();
        for table in self.database.texts(tables).await {
            let query = format!("SELECT to_jsonb(t)::text FROM platform.{table} t ORDER BY 1");
            rows.insert(table, self.database.texts(&query).await);
        }
        Snapshot { structure: self.database.texts(STRUCTURE).await, rows }
    }

    /// Lists the names of all tables in `platform`.
    pub async fn tables(&self) -> Vec<String> {
        let query = "SELECT relname::text FROM pg_class
                     WHERE relnamespace = 'platform'::regnamespace AND relkind = 'r' ORDER BY 1";
        self.database.texts(query).await
    }
}

impl Snapshot {
    /// Asserts that the structure is that of `before`, and that all its rows are there. Gives how many more there are,
    /// by table; tables without more are left out.
    #[track_caller]
    pub fn added_since(&self, before: &Self) -> BTreeMap<String, usize> {
        let changed = |left: &[String], right: &[String]| -> Vec<String> {
            left.iter().filter(|line| !right.contains(line)).cloned().collect()
        };
        let gone = changed(&before.structure, &self.structure);
        let new = changed(&self.structure, &before.structure);
        assert!(gone.is_empty() && new.is_empty(), "structure: gone {gone:#?}, new {new:#?}");
        let mut added = BTreeMap::new();
        for (table, rows) in &self.rows {
            let old = before.rows.get(table).map_or(&[][..], Vec::as_slice);
            let gone = changed(old, rows);
            assert!(gone.is_empty(), "rows of {table} that are gone or changed: {gone:#?}");
            if rows.len() > old.len() {
                added.insert(table.clone(), rows.len() - old.len());
            }
        }
        added
    }
}
