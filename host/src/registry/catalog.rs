//! Reads the schema `platform` from PostgreSQL's catalogs. Everybody may read those, whatever their rights are.

use sqlx::AnyConnection;

use super::RegistryError;
use super::store::text;

/// The comment of a table that the migrations made.
pub(super) const MADE_BY_GATEWAY: &str = "Made by studio-gateway";

/// The login and the schema.
pub(super) struct SchemaAccess {
    /// As SQL writes it, in quotes if need be.
    pub(super) login: String,
    pub(super) server: String,
    pub(super) has_schema: bool,
    pub(super) may_use: bool,
    pub(super) may_create: bool,
}

/// A table, a view, or another relation with columns.
pub(super) struct Relation {
    pub(super) name: String,
    pub(super) is_table: bool,
    pub(super) owner: String,
    /// Whether its comment says that the gateway made it.
    pub(super) is_gateways: bool,
    /// Whether row level security is switched on for it.
    pub(super) row_security: bool,
    /// Whether row level security applies to the login.
    pub(super) row_security_active: bool,
    pub(super) rights: Vec<String>,
    pub(super) columns: Vec<String>,
    /// Columns in which every value is unique.
    pub(super) unique: Vec<String>,
}

impl Relation {
    pub(super) fn has_column(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column == name)
    }

    pub(super) fn may(&self, right: &str) -> bool {
        self.rights.iter().any(|given| given == right)
    }
}

const SCHEMA_ACCESS: &str = "
    SELECT quote_ident(CAST(current_user AS TEXT)) AS login, current_setting('server_version') AS server,
           CASE WHEN n.oid IS NULL THEN '' ELSE 'schema' END AS has_schema,
           CASE WHEN has_schema_privilege(n.oid, 'USAGE') THEN 'USAGE' ELSE '' END AS may_use,
           CASE WHEN CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
                          ELSE has_schema_privilege(n.oid, 'CREATE') END THEN 'CREATE' ELSE '' END AS may_create
    FROM (SELECT 1) one LEFT JOIN pg_namespace n ON n.nspname = 'platform'";

/// A list comes as text with one item on a line: names may contain blanks.
const RELATIONS: &str = "
    SELECT CAST(c.relname AS TEXT) AS name, CAST(c.relkind AS TEXT) AS kind,
           CAST(pg_get_userbyid(c.relowner) AS TEXT) AS owner,
           COALESCE(obj_description(c.oid, 'pg_class'), '') AS comment,
           CASE WHEN c.relrowsecurity THEN 'on' ELSE '' END AS row_security,
           CASE WHEN row_security_active(c.oid) THEN 'active' ELSE '' END AS row_security_active,
           concat_ws(E'\n',
               CASE WHEN has_table_privilege(c.oid, 'SELECT') THEN 'SELECT' END,
               CASE WHEN has_any_column_privilege(c.oid, 'INSERT') THEN 'INSERT' END,
               CASE WHEN has_any_column_privilege(c.oid, 'UPDATE') THEN 'UPDATE' END,
               CASE WHEN has_table_privilege(c.oid, 'DELETE') THEN 'DELETE' END,
               CASE WHEN has_any_column_privilege(c.oid, 'REFERENCES') THEN 'REFERENCES' END) AS rights,
           COALESCE((SELECT string_agg(CAST(a.attname AS TEXT), E'\n' ORDER BY a.attnum) FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '') AS columns,
           COALESCE((SELECT string_agg(CAST(a.attname AS TEXT), E'\n')
                     FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                     WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                       AND i.indnkeyatts = 1), '') AS unique_columns
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'platform' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    ORDER BY c.relname";

/// Sequences that the columns' defaults take numbers from, and that the login may not use.
const LOCKED_SEQUENCES: &str = "
    SELECT CAST(t.relname AS TEXT) AS relation,
           quote_ident(CAST(sn.nspname AS TEXT)) || '.' || quote_ident(CAST(s.relname AS TEXT)) AS sequence
    FROM pg_depend d
    JOIN pg_attrdef f ON d.classid = CAST('pg_attrdef' AS regclass) AND d.objid = f.oid
    JOIN pg_class s ON d.refclassid = CAST('pg_class' AS regclass) AND s.oid = d.refobjid
    JOIN pg_namespace sn ON sn.oid = s.relnamespace
    JOIN pg_class t ON t.oid = f.adrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE n.nspname = 'platform'
      -- In a CASE, since the order of conditions is the server's, and it fails for what is no sequence.
      AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE, UPDATE') END
    ORDER BY 1, 2";

/// Reads the login and the schema.
pub(super) async fn schema_access(connection: &mut AnyConnection) -> Result<SchemaAccess, RegistryError> {
    let row = sqlx::query(SCHEMA_ACCESS).fetch_one(connection).await?;
    let is_set = |column| text(&row, column).map(|text| !text.is_empty());
    Ok(SchemaAccess {
        login: text(&row, "login")?,
        server: text(&row, "server")?,
        has_schema: is_set("has_schema")?,
        may_use: is_set("may_use")?,
        may_create: is_set("may_create")?,
    })
}

/// Lists all relations of the schema, by name.
pub(super) async fn relations(connection: &mut AnyConnection) -> Result<Vec<Relation>, RegistryError> {
    let rows = sqlx::query(RELATIONS).fetch_all(connection).await?;
    let relations = rows.iter().map(|row| {
        let list = |column| text(row, column).map(|text| text.lines().map(str::to_owned).collect());
        let kind = text(row, "kind")?;
        Ok(Relation {
            name: text(row, "name")?,
            is_table: kind == "r" || kind == "p",
            owner: text(row, "owner")?,
            is_gateways: text(row, "comment")? == MADE_BY_GATEWAY,
            row_security: !text(row, "row_security")?.is_empty(),
            row_security_active: !text(row, "row_security_active")?.is_empty(),
            rights: list("rights")?,
            columns: list("columns")?,
            unique: list("unique_columns")?,
        })
    });
    relations.collect()
}

/// Lists the pairs of a table and a sequence that its rows need but the login may not use.
pub(super) async fn locked_sequences(
    connection: &mut AnyConnection,
) -> Result<Vec<(String, String)>, RegistryError> {
    let rows = sqlx::query(LOCKED_SEQUENCES).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((text(row, "relation")?, text(row, "sequence")?))).collect()
}
