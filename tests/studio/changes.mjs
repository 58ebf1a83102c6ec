// What a Studio's forms change: of each kind, one thing is made, changed and taken away, and what can't be is tried.

import { library } from './page.mjs'

/** Applies changes one after the other to what was made; `null` stands for taking it away. */
async function apply(resource, made, changes) {
  const id = made.data?.id ?? 1
  for (const change of changes) {
    await (change === null ? resource.remove(id, { cascade: true }) : resource.update(id, change))
  }
}

export default async function changes() {
  const studio = await library()
  await schemasAndTypes(studio)
  await tables(studio)
  await functionsAndTriggers(studio)
  await policies(studio)
  await rolesAndPrivileges(studio)
  await publicationsAndExtensions(studio)
}

async function schemasAndTypes({ schemas, types }) {
  const made = await schemas.create({ name: 'made ☃', owner: 'rich_owner' })
  await schemas.create({ name: 'made ☃' })
  await schemas.create({ name: 'for nobody', owner: 'no such role' })
  await apply(schemas, made, [{ name: 'made "twice"' }, { owner: 'postgres' }, { name: 'shop' }, null, null])
  await types.list({ includedSchemas: ['made "twice"'] })
}

async function tables({ tables, columns }) {
  const made = await tables.create({ name: 'made "1"', schema: 'public', comment: "it's ☃" })
  await tables.create({ name: 'made "1"', schema: 'public' })
  await tables.create({ name: 'x', schema: 'no such schema' })
  const table_id = made.data?.id
  for (const column of [
    { name: 'id', type: 'int8', is_identity: true, is_primary_key: true },
    { name: 'label', type: 'text', default_value: "it's", is_unique: true, is_nullable: false, comment: 'A label' },
    { name: 'at', type: 'timestamptz', default_value: 'now()', default_value_format: 'expression' },
    { name: 'tags', type: 'text[]', default_value: '{}' },
    { name: 'mood', type: 'mood', check: "mood <> 'sad'" },
    { name: 'naïve ☃', type: 'varchar(20)' },
    { name: 'wrong', type: 'no_such_type' },
    { name: 'label', type: 'text' },
  ]) {
    await columns.create({ table_id, ...column })
  }
  for (const [number, change] of [
    [2, { name: 'label "2"', comment: 'Another', is_nullable: true }],
    [2, { is_unique: false }],
    [2, { default_value: 'y' }],
    [3, { drop_default: true, type: 'text' }],
    [5, { check: 'mood is not null' }],
    [1, { is_identity: false }],
    [4, { type: 'int4' }],
    [99, { name: 'x' }],
  ]) {
    await columns.update(`${table_id}.${number}`, change)
  }
  await columns.remove(`${table_id}.4`, { cascade: true })
  await columns.remove(`${table_id}.99`)
  await apply(tables, made, [
    { rls_enabled: true, rls_forced: true },
    { replica_identity: 'FULL' },
    { primary_keys: [] },
    { primary_keys: [{ name: 'id' }] },
    { comment: 'Again' },
    { name: 'made 2', schema: 'shop' },
    { schema: 'no such schema' },
    null,
    null,
  ])
}

async function functionsAndTriggers({ functions, triggers }) {
  const made = await functions.create({
    name: 'made', args: ['a integer', 'b integer'], definition: 'select a + b', return_type: 'integer', behavior: 'STABLE',
    security_definer: true, config_params: { search_path: 'public' },
  })
  await functions.create({ name: 'wrong', definition: 'selec 1', return_type: 'integer' })
  await apply(functions, made, [
    { definition: 'select a - b' },
    { name: 'made "2"', schema: 'shop' },
    { definition: 'select nothing' },
    null,
    null,
  ])
  await functions.create({
    name: 'keep_name', language: 'plpgsql', return_type: 'trigger',
    definition: "begin\n  new.name := coalesce(new.name, 'it''s ☃');\n  return new;\nend",
  })
  const trigger = await triggers.create({
    name: 'made', table: 'users', function_name: 'keep_name', activation: 'BEFORE', events: ['INSERT', 'UPDATE'],
    orientation: 'ROW', condition: 'new.id > 0', function_args: ["it's", '☃'],
  })
  await triggers.create({ name: 'x', table: 'users', function_name: 'nothing', activation: 'AFTER', events: ['DELETE'] })
  await apply(triggers, trigger, [{ enabled_mode: 'DISABLED' }, { enabled_mode: 'ALWAYS', name: 'made "2"' }, null, null])
}

async function policies({ policies }) {
  const made = await policies.create({
    name: 'made ☃', table: 'users', definition: 'true', check: "name <> 'x'", action: 'RESTRICTIVE', roles: ['rich_reader'],
  })
  await policies.create({ name: 'wrong', table: 'users', definition: 'auth.uid() = id' })
  await apply(policies, made, [
    { definition: 'id > 1', check: 'id > 2' },
    { name: 'made "2"', roles: ['rich_writer', 'public'] },
    { roles: ['no such role'] },
    null,
    null,
  ])
}

async function rolesAndPrivileges({ roles, tablePrivileges, columnPrivileges, tables }) {
  const made = await roles.create({
    name: 'made "role"', can_login: true, password: "it's", valid_until: '2099-01-01', connection_limit: 3,
    member_of: ['rich_reader'], config: { search_path: 'public, shop' },
  })
  await roles.create({ name: 'made "role"' })
  await apply(roles, made, [
    { name: 'made 2', can_create_db: true },
    { config: [{ op: 'add', path: 'statement_timeout', value: '5s' }] },
    { connection_limit: -2 },
    null,
    null,
  ])
  const users = await tables.retrieve({ name: 'users', schema: 'public' })
  const relation_id = users.data?.id
  const column_id = `${relation_id}.2`
  const to = { grantee: 'rich_group', privilege_type: 'ALL' }
  await tablePrivileges.grant([{ relation_id, is_grantable: true, ...to }, { relation_id, ...to, grantee: 'public' }])
  await tablePrivileges.revoke([{ relation_id, ...to }])
  await tablePrivileges.grant([{ relation_id, ...to, grantee: 'no such role' }])
  await columnPrivileges.grant([{ column_id, ...to, privilege_type: 'UPDATE' }])
  await columnPrivileges.revoke([{ column_id, ...to, privilege_type: 'UPDATE' }])
}

async function publicationsAndExtensions({ publications, extensions }) {
  const tables = ['public.users', 'shop.orders']
  const made = await publications.create({ name: 'made ☃', publish_insert: true, publish_truncate: true, tables })
  await publications.create({ name: 'made ☃' })
  await apply(publications, made, [
    { name: 'made 2', publish_update: true },
    { tables: ['public.todos'] },
    { owner: 'rich_owner' },
    { tables: [] },
    { tables: ['public.nothing'] },
    null,
    null,
  ])
  await extensions.create({ name: 'citext', schema: 'shop', cascade: true })
  await extensions.create({ name: 'citext' })
  await extensions.create({ name: 'no_such_extension' })
  await extensions.update('citext', { schema: 'public', update: true })
  await extensions.remove('citext', { cascade: true })
  await extensions.remove('citext')
}
