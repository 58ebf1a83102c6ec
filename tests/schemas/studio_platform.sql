-- A platform database as a Studio has it before the gateway comes: its own users, checks, triggers, policies and rows.
--
-- Run by the role that is to own it. `studio_app` stands for the role that the Studio's pages ask by. The audit trail is
-- in a file of its own, since Studios have two shapes of it.

CREATE SCHEMA platform;

CREATE FUNCTION platform.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

CREATE TABLE platform.users (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email        text NOT NULL UNIQUE CHECK (email LIKE '%_@_%'),
    display_name text,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE platform.organizations (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name          text NOT NULL CHECK (name <> ''),
    slug          text NOT NULL UNIQUE CONSTRAINT organizations_slug_form CHECK (slug ~ '^[a-z0-9][a-z0-9-]*[a-z0-9]$'),
    billing_email text,
    plan          text NOT NULL DEFAULT 'free',
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER organizations_touch BEFORE UPDATE ON platform.organizations
    FOR EACH ROW EXECUTE FUNCTION platform.touch();

CREATE TABLE platform.organization_members (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES platform.organizations (id) ON DELETE CASCADE,
    user_id         uuid NOT NULL REFERENCES platform.users (id) ON DELETE CASCADE,
    role            text NOT NULL DEFAULT 'member'
                    CHECK (role IN ('owner', 'admin', 'developer', 'billing_admin', 'member')),
    invited_by      uuid REFERENCES platform.users (id),
    invited_at      timestamptz NOT NULL,
    accepted_at     timestamptz,
    UNIQUE (organization_id, user_id)
);

CREATE TABLE platform.projects (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id   uuid NOT NULL REFERENCES platform.organizations (id) ON DELETE CASCADE,
    name              text NOT NULL,
    slug              text NOT NULL CONSTRAINT projects_slug_form CHECK (slug ~ '^[a-z0-9][a-z0-9-]*[a-z0-9]$'),
    ref               varchar(40) NOT NULL UNIQUE,
    database_host     text NOT NULL,
    database_port     integer NOT NULL DEFAULT 5432 CHECK (database_port BETWEEN 1 AND 65535),
    database_name     text NOT NULL,
    database_user     text NOT NULL,
    database_password text NOT NULL,
    postgres_meta_url text NOT NULL,
    supabase_url      text NOT NULL,
    status            text NOT NULL DEFAULT 'ACTIVE_HEALTHY',
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, slug)
);
CREATE INDEX projects_by_organization ON platform.projects (organization_id, created_at);
CREATE TRIGGER projects_touch BEFORE UPDATE ON platform.projects
    FOR EACH ROW EXECUTE FUNCTION platform.touch();

CREATE TABLE platform.credentials (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id       uuid NOT NULL UNIQUE REFERENCES platform.projects (id) ON DELETE CASCADE,
    anon_key         text NOT NULL CONSTRAINT credentials_anon_key_given CHECK (anon_key <> ''),
    service_role_key text NOT NULL CHECK (service_role_key <> ''),
    jwt_secret       text NOT NULL CHECK (length(jwt_secret) > 0)
);

CREATE TABLE platform.project_members (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id uuid NOT NULL REFERENCES platform.projects (id),
    user_id    uuid NOT NULL REFERENCES platform.users (id),
    role       text NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'read_only')),
    invited_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE platform.databases (
    id         serial PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES platform.projects (id),
    label      text NOT NULL,
    is_default boolean NOT NULL DEFAULT false
);

CREATE TABLE platform.user_sessions (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id    uuid NOT NULL REFERENCES platform.users (id) ON DELETE CASCADE,
    token_hash bytea NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TYPE platform.invoice_state AS ENUM ('draft', 'open', 'paid');
CREATE TABLE platform.invoices (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES platform.organizations (id),
    amount          numeric(12, 2) NOT NULL CHECK (amount >= 0),
    state           platform.invoice_state NOT NULL DEFAULT 'draft'
);

INSERT INTO platform.users (id, email) VALUES
    ('00000000-0000-4000-8000-000000000001', 'olga@studio.test'),
    ('00000000-0000-4000-8000-000000000002', 'ada@studio.test'),
    ('00000000-0000-4000-8000-000000000003', 'dev@studio.test'),
    ('00000000-0000-4000-8000-000000000004', 'rita@studio.test'),
    ('00000000-0000-4000-8000-000000000005', 'max@studio.test'),
    ('00000000-0000-4000-8000-000000000006', 'bill@studio.test'),
    ('00000000-0000-4000-8000-000000000007', 'nobody@studio.test');

INSERT INTO platform.organizations (id, name, slug, billing_email) VALUES
    ('10000000-0000-4000-8000-000000000001', 'Acme', 'acme', 'bills@acme.test'),
    ('10000000-0000-4000-8000-000000000002', 'Quiet', 'quiet', NULL);

INSERT INTO platform.organization_members (organization_id, user_id, role, invited_at)
    SELECT '10000000-0000-4000-8000-000000000001', CAST(member.id AS uuid), member.role, '2024-05-06 07:08:09+00'
    FROM (VALUES ('00000000-0000-4000-8000-000000000001', 'owner'),
                 ('00000000-0000-4000-8000-000000000002', 'admin'),
                 ('00000000-0000-4000-8000-000000000003', 'developer'),
                 ('00000000-0000-4000-8000-000000000005', 'member'),
                 ('00000000-0000-4000-8000-000000000006', 'billing_admin')) AS member (id, role);

INSERT INTO platform.projects (id, organization_id, name, slug, ref, database_host, database_name, database_user,
                               database_password, postgres_meta_url, supabase_url) VALUES
    ('20000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', 'Shop', 'shop', 'shop',
     '127.0.0.1', 'shop', 'shop_user', 'shop-password', 'http://127.0.0.1:8080', 'http://127.0.0.1:8000'),
    ('20000000-0000-4000-8000-000000000002', '10000000-0000-4000-8000-000000000002', 'Quiet', 'quiet', 'quiet',
     '127.0.0.1', 'quiet', 'quiet_user', 'quiet-password', 'http://127.0.0.1:8080', 'http://127.0.0.1:8000');

INSERT INTO platform.credentials (project_id, anon_key, service_role_key, jwt_secret)
    SELECT id, 'anon-' || ref, 'service-' || ref, 'a-secret-of-' || ref || '-with-more-than-32-bytes'
    FROM platform.projects;

INSERT INTO platform.project_members (project_id, user_id, role)
    VALUES ('20000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000004', 'read_only');

INSERT INTO platform.databases (project_id, label, is_default) SELECT id, ref, true FROM platform.projects;
INSERT INTO platform.user_sessions (user_id, token_hash, expires_at)
    SELECT id, sha256(convert_to(email, 'UTF8')), '2030-01-01' FROM platform.users;
INSERT INTO platform.invoices (organization_id, amount, state) SELECT id, 12.50, 'open' FROM platform.organizations;

ALTER TABLE platform.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE platform.organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE platform.organization_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE platform.projects ENABLE ROW LEVEL SECURITY;
ALTER TABLE platform.credentials ENABLE ROW LEVEL SECURITY;
ALTER TABLE platform.project_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE platform.user_sessions ENABLE ROW LEVEL SECURITY;

-- By a setting, which the Studio makes for each request.
CREATE POLICY own_row ON platform.users
    USING (id::text = current_setting('app.current_user_id', true));
CREATE POLICY own_memberships ON platform.organization_members FOR SELECT
    USING (user_id::text = current_setting('app.current_user_id', true));
CREATE POLICY of_members ON platform.organizations FOR SELECT
    USING (EXISTS (SELECT FROM platform.organization_members m
                   WHERE m.organization_id = organizations.id
                     AND m.user_id::text = current_setting('app.current_user_id', true)));
CREATE POLICY of_members ON platform.projects FOR SELECT
    USING (EXISTS (SELECT FROM platform.organization_members m
                   WHERE m.organization_id = projects.organization_id
                     AND m.user_id::text = current_setting('app.current_user_id', true)));
-- For a role.
GRANT USAGE ON SCHEMA platform TO studio_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA platform TO studio_app;
CREATE POLICY app ON platform.credentials TO studio_app USING (true) WITH CHECK (true);
CREATE POLICY app ON platform.project_members TO studio_app USING (true) WITH CHECK (true);
CREATE POLICY app ON platform.user_sessions TO studio_app USING (true) WITH CHECK (true);
