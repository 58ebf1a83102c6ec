-- A Studio's audit trail, as it is now.

CREATE TABLE platform.audit_logs (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id     uuid NOT NULL REFERENCES platform.users (id),
    entity_type text NOT NULL CHECK (entity_type IN ('organization', 'project', 'member', 'credential')),
    entity_id   text NOT NULL,
    action      text NOT NULL,
    changes     jsonb,
    ip_address  inet,
    user_agent  text,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_logs_at ON platform.audit_logs (created_at);
ALTER TABLE platform.audit_logs ENABLE ROW LEVEL SECURITY;
CREATE POLICY app ON platform.audit_logs TO studio_app USING (true) WITH CHECK (true);
INSERT INTO platform.audit_logs (user_id, entity_type, entity_id, action, changes, ip_address)
    VALUES ('00000000-0000-4000-8000-000000000001', 'project', 'shop', 'create', '{"name": "Shop"}', '192.0.2.7');
