-- The audit trail under the name that it has in PostgreSQL, where a Studio has an `audit_logs` of its own.

ALTER TABLE audit_logs RENAME TO gateway_audit_logs;

DROP INDEX IF EXISTS audit_logs_project;
DROP INDEX IF EXISTS audit_logs_at;

CREATE INDEX gateway_audit_logs_project ON gateway_audit_logs (project_ref, at);
CREATE INDEX gateway_audit_logs_at ON gateway_audit_logs (at);
