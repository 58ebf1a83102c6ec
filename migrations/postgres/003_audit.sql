-- The audit trail: who did what to which project, and how it ended; never a value. It outlives the project, so it names
-- it by `ref`. Its name is the gateway's own, because a Studio has an `audit_logs` of its own shape.
--
-- Gateways that were there before this file wrote to a `platform.audit_logs` of their own. It is known by its columns,
-- exactly, and takes the new name with all its rows. Any other `audit_logs` is somebody else's and stays as it is.

DO $$
DECLARE
    old_columns text := (SELECT string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
                         FROM pg_attribute
                         WHERE attrelid = to_regclass('platform.audit_logs') AND attnum > 0 AND NOT attisdropped);
    own record;
BEGIN
    IF to_regclass('platform.gateway_audit_logs') IS NOT NULL THEN
        -- It is the gateway's: the program looked before.
        NULL;
    ELSIF old_columns = 'id uuid, at timestamp with time zone, user_id text, action text, project_ref text, target text, '
                     'result text, remote_address text, request_id text'
    THEN
        -- With its indexes, whose names a Studio's `audit_logs` may need.
        ALTER TABLE platform.audit_logs RENAME TO gateway_audit_logs;
        ALTER INDEX IF EXISTS platform.audit_logs_pkey RENAME TO gateway_audit_logs_pkey;
        ALTER INDEX IF EXISTS platform.audit_logs_project RENAME TO gateway_audit_logs_project;
        ALTER INDEX IF EXISTS platform.audit_logs_at RENAME TO gateway_audit_logs_at;
    ELSE
        CREATE TABLE platform.gateway_audit_logs (
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
        CREATE INDEX gateway_audit_logs_project ON platform.gateway_audit_logs (project_ref, at);
        CREATE INDEX gateway_audit_logs_at ON platform.gateway_audit_logs (at);
    END IF;

    -- Those that were made before tables said who made them; by their owner alone, who may have changed since.
    FOR own IN
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'platform'::regnamespace
          AND c.relname IN ('database_connections', 'gateway_audit_logs', 'gateway_migrations')
          AND pg_has_role(c.relowner, 'USAGE')
    LOOP
        EXECUTE format('COMMENT ON TABLE platform.%I IS %L', own.relname, 'Made by studio-gateway');
    END LOOP;
END
$$;
