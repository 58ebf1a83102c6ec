-- Who owns what: organizations, their projects, and each project's own API credentials.
--
-- A Studio platform database may have these tables already, with ids of another type (serial) and without some columns.
-- So: make what is not there, with the id types that are in use, and add only what the gateway cannot do without. Nothing
-- that exists is changed, and no ALTER TABLE runs where there is nothing to add (it would need the table's owner).
-- What the gateway makes it says so of, in a comment on the table, so that people can tell it from a Studio's.
-- Absent text is '' here, never NULL, because older Studio tables declare most of these columns NOT NULL.

DO $$
DECLARE
    organization_id_type text;
    project_id_type text;
    missing record;
BEGIN
    IF to_regclass('platform.organizations') IS NULL THEN
        CREATE TABLE platform.organizations (
            id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            name          text NOT NULL,
            slug          text NOT NULL UNIQUE,
            billing_email text NOT NULL DEFAULT '',
            created_at    timestamptz NOT NULL DEFAULT now(),
            updated_at    timestamptz NOT NULL DEFAULT now()
        );
        COMMENT ON TABLE platform.organizations IS 'Made by studio-gateway';
    END IF;

    organization_id_type := (SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                             WHERE attrelid = 'platform.organizations'::regclass AND attname = 'id');

    IF to_regclass('platform.projects') IS NULL THEN
        EXECUTE format($table$
            CREATE TABLE platform.projects (
                id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
                organization_id   %s NOT NULL REFERENCES platform.organizations (id),
                name              text NOT NULL,
                slug              text NOT NULL,
                ref               text NOT NULL UNIQUE,                -- what URLs and tokens call the project
                database_host     text NOT NULL DEFAULT '',            -- '' when the project has no database of its own
                database_port     integer NOT NULL DEFAULT 5432,
                database_name     text NOT NULL DEFAULT '',
                database_user     text NOT NULL DEFAULT '',
                database_password text NOT NULL DEFAULT '',            -- sealed, or plain when an older Studio wrote it
                postgres_meta_url text NOT NULL DEFAULT '',
                supabase_url      text NOT NULL DEFAULT '',
                status            text NOT NULL DEFAULT 'ACTIVE_HEALTHY',
                created_at        timestamptz NOT NULL DEFAULT now(),
                updated_at        timestamptz NOT NULL DEFAULT now()
            )$table$, organization_id_type);
        CREATE INDEX projects_organization ON platform.projects (organization_id);
        COMMENT ON TABLE platform.projects IS 'Made by studio-gateway';
    END IF;

    project_id_type := (SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                        WHERE attrelid = 'platform.projects'::regclass AND attname = 'id');

    IF to_regclass('platform.credentials') IS NULL THEN
        EXECUTE format($table$
            CREATE TABLE platform.credentials (
                project_id       %s PRIMARY KEY REFERENCES platform.projects (id) ON DELETE CASCADE,
                anon_key         text NOT NULL DEFAULT '',
                service_role_key text NOT NULL DEFAULT '',
                jwt_secret       text NOT NULL DEFAULT ''          -- sealed, or plain when an older Studio wrote it
            )$table$, project_id_type);
        COMMENT ON TABLE platform.credentials IS 'Made by studio-gateway';
    END IF;

    -- Columns that the gateway cannot do without and an older table may lack. The same list is in the program, which
    -- tells of it before.
    FOR missing IN
        SELECT wanted.* FROM (VALUES
            ('organizations', 'slug', 'text'),
            ('projects', 'organization_id', organization_id_type),
            ('projects', 'name', 'text'),
            ('projects', 'slug', 'text'),
            ('projects', 'database_host', 'text DEFAULT '''''),
            ('projects', 'database_port', 'integer DEFAULT 5432'),
            ('projects', 'database_name', 'text DEFAULT '''''),
            ('projects', 'database_user', 'text DEFAULT '''''),
            ('projects', 'database_password', 'text DEFAULT '''''),
            ('credentials', 'jwt_secret', 'text DEFAULT ''''')
        ) AS wanted (table_name, column_name, definition)
        WHERE NOT EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = format('platform.%I', wanted.table_name)::regclass
              AND attname = wanted.column_name AND NOT attisdropped)
    LOOP
        EXECUTE format('ALTER TABLE platform.%I ADD COLUMN %I %s',
                       missing.table_name, missing.column_name, missing.definition);
    END LOOP;

    -- A ref or a slug that names two things would let one caller act on the other's: refuse such a database here.
    FOR missing IN
        SELECT wanted.* FROM (VALUES ('organizations', 'slug'), ('projects', 'ref')) AS wanted (table_name, column_name)
        WHERE NOT EXISTS (
            SELECT FROM pg_index i
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
            WHERE i.indrelid = format('platform.%I', wanted.table_name)::regclass
              AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1
              AND a.attname = wanted.column_name)
    LOOP
        EXECUTE format('CREATE UNIQUE INDEX %I ON platform.%I (%I)',
                       missing.table_name || '_' || missing.column_name || '_unique',
                       missing.table_name, missing.column_name);
    END LOOP;
END
$$;
