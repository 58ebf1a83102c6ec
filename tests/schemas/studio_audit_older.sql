-- A Studio's audit trail, as it was before it had an `entity_type`.

CREATE TABLE platform.audit_logs (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id    uuid NOT NULL REFERENCES platform.users (id),
    action     text NOT NULL,
    changes    jsonb,
    ip_address inet,
    user_agent text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_logs_project ON platform.audit_logs (user_id, created_at);
INSERT INTO platform.audit_logs (user_id, action, changes)
    VALUES ('00000000-0000-4000-8000-000000000001', 'project.create', '{"ref": "shop"}');
