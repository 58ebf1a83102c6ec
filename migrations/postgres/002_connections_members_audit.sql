-- What the gateway adds: connections to databases of any type, and memberships. (The audit trail: see 003.)
--
-- Foreign keys take the type that platform.projects.id and platform.organizations.id really have: uuid in a database the
-- gateway made, perhaps integer in an older Studio's. `organization_members` and `project_members` may exist already,
-- with a uuid `user_id` or an enum `role`; they are used as they are.

DO $$
DECLARE
    organization_id_type text := (SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                                  WHERE attrelid = 'platform.organizations'::regclass AND attname = 'id');
    project_id_type text := (SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                             WHERE attrelid = 'platform.projects'::regclass AND attname = 'id');
    missing record;
BEGIN
    -- `database_type` is text, checked against the loaded drivers, so that a new driver needs no migration.
    EXECUTE format($table$
        CREATE TABLE IF NOT EXISTS platform.database_connections (
            id                uuid PRIMARY KEY,                    -- made by the gateway: the sealed values are bound to it
            project_id        %s NOT NULL REFERENCES platform.projects (id) ON DELETE CASCADE,
            database_type     text NOT NULL,
            identifier        text NOT NULL,
            host              text,
            port              integer CHECK (port BETWEEN 1 AND 65535),
            database_name     text,
            username          text,
            password          text,                                -- sealed
            connection_string text,                                -- sealed
            options           text NOT NULL DEFAULT '{}',          -- a JSON object; the strings its driver calls secret are sealed
            is_primary        boolean NOT NULL DEFAULT false,
            status            text NOT NULL DEFAULT 'ACTIVE'
                              CHECK (status IN ('ACTIVE', 'INACTIVE', 'ERROR', 'CONNECTING')),
            settings_version  bigint NOT NULL DEFAULT 1,           -- goes up with every change of a setting; sessions are keyed by it
            created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
            updated_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
            UNIQUE (project_id, identifier)
        )$table$, project_id_type);
    COMMENT ON TABLE platform.database_connections IS 'Made by studio-gateway';

    IF to_regclass('platform.organization_members') IS NULL THEN
        EXECUTE format($table$
            CREATE TABLE platform.organization_members (
                organization_id %s NOT NULL REFERENCES platform.organizations (id) ON DELETE CASCADE,
                user_id         text NOT NULL,
                role            text NOT NULL,
                PRIMARY KEY (organization_id, user_id)
            )$table$, organization_id_type);
        CREATE INDEX organization_members_user ON platform.organization_members (user_id);
        COMMENT ON TABLE platform.organization_members IS 'Made by studio-gateway';
    END IF;

    IF to_regclass('platform.project_members') IS NULL THEN
        EXECUTE format($table$
            CREATE TABLE platform.project_members (
                project_id %s NOT NULL REFERENCES platform.projects (id) ON DELETE CASCADE,
                user_id    text NOT NULL,
                role       text NOT NULL,
                PRIMARY KEY (project_id, user_id)
            )$table$, project_id_type);
        CREATE INDEX project_members_user ON platform.project_members (user_id);
        COMMENT ON TABLE platform.project_members IS 'Made by studio-gateway';
    END IF;

    FOR missing IN
        SELECT wanted.table_name FROM (VALUES ('organization_members'), ('project_members')) AS wanted (table_name)
        WHERE NOT EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = format('platform.%I', wanted.table_name)::regclass
              AND attname = 'role' AND NOT attisdropped)
    LOOP
        EXECUTE format('ALTER TABLE platform.%I ADD COLUMN role text', missing.table_name);
    END LOOP;
END
$$;

-- At most one primary connection for each type in a project.
CREATE UNIQUE INDEX IF NOT EXISTS database_connections_one_primary
    ON platform.database_connections (project_id, database_type) WHERE is_primary;

CREATE INDEX IF NOT EXISTS database_connections_in_order
    ON platform.database_connections (project_id, created_at, id);
