-- What the gateway adds: connections to databases of any type, memberships, and the audit trail.

-- `database_type` is text, checked against the loaded drivers, so that a new driver needs no migration.
CREATE TABLE IF NOT EXISTS database_connections (
    id                TEXT PRIMARY KEY NOT NULL,           -- made by the gateway: the sealed values are bound to it
    project_id        TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    database_type     TEXT NOT NULL,
    identifier        TEXT NOT NULL,
    host              TEXT,
    port              INTEGER CHECK (port BETWEEN 1 AND 65535),
    database_name     TEXT,
    username          TEXT,
    password          TEXT,                                -- sealed
    connection_string TEXT,                                -- sealed
    options           TEXT NOT NULL DEFAULT '{}',          -- a JSON object; the strings its driver calls secret are sealed
    is_primary        INTEGER NOT NULL DEFAULT 0,
    status            TEXT NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'INACTIVE', 'ERROR', 'CONNECTING')),
    settings_version  INTEGER NOT NULL DEFAULT 1,          -- goes up with every change of a setting; sessions are keyed by it
    created_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    UNIQUE (project_id, identifier)
);

-- At most one primary connection for each type in a project.
CREATE UNIQUE INDEX IF NOT EXISTS database_connections_one_primary
    ON database_connections (project_id, database_type) WHERE is_primary;

CREATE INDEX IF NOT EXISTS database_connections_in_order
    ON database_connections (project_id, created_at, id);

CREATE TABLE IF NOT EXISTS organization_members (
    organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id         TEXT NOT NULL,
    role            TEXT NOT NULL,
    PRIMARY KEY (organization_id, user_id)
);

CREATE INDEX IF NOT EXISTS organization_members_user ON organization_members (user_id);

CREATE TABLE IF NOT EXISTS project_members (
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL,
    role       TEXT NOT NULL,
    PRIMARY KEY (project_id, user_id)
);

CREATE INDEX IF NOT EXISTS project_members_user ON project_members (user_id);

-- Who did what to which project, and how it ended; never a value. It outlives the project, so it names it by `ref`.
CREATE TABLE IF NOT EXISTS audit_logs (
    id             TEXT PRIMARY KEY NOT NULL DEFAULT (lower(
                       hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
                       substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    at             TEXT NOT NULL,
    user_id        TEXT,
    action         TEXT NOT NULL,
    project_ref    TEXT,
    target         TEXT,
    result         TEXT NOT NULL,
    remote_address TEXT,
    request_id     TEXT
);

CREATE INDEX IF NOT EXISTS audit_logs_project ON audit_logs (project_ref, at);
CREATE INDEX IF NOT EXISTS audit_logs_at ON audit_logs (at);
