-- Who owns what: organizations, their projects, and each project's own API credentials.
--
-- The same tables as postgres/001, in SQLite's terms: ids are UUID version 4 in text, times are RFC 3339 UTC text with
-- milliseconds, so that they sort as text. Absent text is '' here, never NULL, as in older Studio databases.

CREATE TABLE IF NOT EXISTS organizations (
    id            TEXT PRIMARY KEY NOT NULL DEFAULT (lower(
                      hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
                      substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    name          TEXT NOT NULL,
    slug          TEXT NOT NULL UNIQUE,
    billing_email TEXT NOT NULL DEFAULT '',
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE TABLE IF NOT EXISTS projects (
    id                TEXT PRIMARY KEY NOT NULL DEFAULT (lower(
                          hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
                          substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    organization_id   TEXT NOT NULL REFERENCES organizations (id),
    name              TEXT NOT NULL,
    slug              TEXT NOT NULL,
    ref               TEXT NOT NULL UNIQUE,                -- what URLs and tokens call the project
    database_host     TEXT NOT NULL DEFAULT '',            -- '' when the project has no database of its own
    database_port     INTEGER NOT NULL DEFAULT 5432,
    database_name     TEXT NOT NULL DEFAULT '',
    database_user     TEXT NOT NULL DEFAULT '',
    database_password TEXT NOT NULL DEFAULT '',            -- sealed
    postgres_meta_url TEXT NOT NULL DEFAULT '',
    supabase_url      TEXT NOT NULL DEFAULT '',
    status            TEXT NOT NULL DEFAULT 'ACTIVE_HEALTHY',
    created_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE INDEX IF NOT EXISTS projects_organization ON projects (organization_id);

CREATE TABLE IF NOT EXISTS credentials (
    project_id       TEXT PRIMARY KEY NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    anon_key         TEXT NOT NULL DEFAULT '',
    service_role_key TEXT NOT NULL DEFAULT '',
    jwt_secret       TEXT NOT NULL DEFAULT ''              -- sealed
);
