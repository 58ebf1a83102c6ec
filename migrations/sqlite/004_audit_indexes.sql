-- A narrower index on the projects of the audit trail. Each row is written into it at its project's place, which is most
-- of its cost. Without the time it is half as large; within a project, rows follow each other as they were written.

DROP INDEX gateway_audit_logs_project;

CREATE INDEX gateway_audit_logs_project ON gateway_audit_logs (project_ref);
