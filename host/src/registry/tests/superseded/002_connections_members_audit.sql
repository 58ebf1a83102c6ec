-- What the gateway adds: connections to databases of any type, memberships, and the audit trail.
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

    IF to_regclass('platform.organization_members') IS NULL THEN
        EXECUTE format($table$
            CREATE TABLE platform.organization_members (
                organization_id %s NOT NULL REFERENCES platform.organizations (id) ON DELETE CASCADE,
                user_id         text NOT NULL,
                role            text NOT NULL,
                PRIMARY KEY (organization_id, user_id)
            )$table$, organization_id_type);
        CREATE INDEX organization_members_user ON platform.organization_members (user_id);
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

    -- Setting a member's role is an upsert, which needs this key.
    IF NOT EXISTS (
        SELECT FROM pg_index i
        WHERE i.indrelid = 'platform.project_members'::regclass
          AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 2 AND i.indnatts = 2
          AND (SELECT count(*) FROM pg_attribute a
               WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                 AND a.attname IN ('project_id', 'user_id')) = 2)
    THEN
        CREATE UNIQUE INDEX project_members_project_user_unique ON platform.project_members (project_id, user_id);
    END IF;
END
$$;

-- At most one primary connection for each type in a project.
CREATE UNIQUE INDEX IF NOT EXISTS database_connections_one_primary
    ON platform.database_connections (project_id, database_type) WHERE is_primary;

CREATE INDEX IF NOT EXISTS database_connections_in_order
    ON platform.database_connections (project_id, created_at, id);

-- Who did what to which project, and how it ended; never a value. It outlives the project, so it names it by `ref`.
CREATE TABLE IF NOT EXISTS platform.audit_logs (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    at             timestamptz NOT NULL,
    user_id        text,
    action         text NOT NULL,
    project_ref    text,
    target         text,
    result         text NOT NULL,
    remote_address text,
    request_id     text
);

CREATE INDEX IF NOT EXISTS audit_logs_project ON platform.audit_logs (project_ref, at);
CREATE INDEX IF NOT EXISTS audit_logs_at ON platform.audit_logs (at);
