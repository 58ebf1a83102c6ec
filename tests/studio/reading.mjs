// SQL that reads, written as a Studio writes it: pages of rows, counts, plans, several statements in one text.

import { query } from './page.mjs'

/** Someone else's eyes: what comes last counts, unless it has no rows. */
export const asRole = (role, sql) => `
    set local role '${role}';

    -- If the statement has no rows, those of the one before it are shown.
    select 1 as "NO_ROWS";

    ${sql}
  `.trim()

/** The same for a caller of the database's HTTP interface, who comes with claims. */
export const asCaller = (role, sql) => `
    select set_config('role', '${role}', true),
           set_config('request.jwt.claims', '{"role": "${role}", "sub": "it''s ☃"}', true),
           set_config('request.method', 'POST', true),
           set_config('request.path', '/a-path', true),
           set_config('request.headers', '{"accept": "*/*"}', true);

    -- If the statement has no rows, those of the one before it are shown.
    select 1 as "NO_ROWS";

    ${sql}
  `.trim()

/** A page of rows, whose large values are cut. */
const page = (table, columns, rest = '') => {
  const cut = columns.map((name) => `case
        when octet_length(${name}::text) > 40
        then left(${name}::text, 40) || '...'
        else ${name}::text
      end as ${name}`)
  return `with base_rows as (select * from ${table} ${rest} limit 100 offset 0)
  select ${cut.join(',')} from base_rows;`
}

const users = ['id', 'name', 'email', 'status', 'created_at']
const odd = '"Odd Schema"."Weird ""Table"" 100%"'

/** Pages, and what is looked for in them. */
const rows = {
  page: page('public.users', users, 'order by users.id asc nulls last'),
  'page-sorted': page('public.users', users, 'order by users.status desc nulls first, users.id asc nulls last'),
  'page-equal': page('public.users', users, "where name = 'O''Neil \"☃\"'"),
  'page-like': page('public.users', users, "where name ~~* '%o%' and name !~~ 'x\\_%' order by id"),
  'page-in': page('public.users', users, "where id in (1,2) and email is not null and status <> 'sad' order by id"),
  'page-none': page('public.users', users, 'where false'),
  'page-odd': page(odd, ['"ID"', '"select"', '"quote""d"', '"naïve ☃"', '"a.b"', '"$dollar"'], 'order by "ID"'),
  'page-arrays': `with base_rows as (select * from public.every_type order by id limit 10 offset 0)
    select id, case when octet_length(names::text) > 5 then (select array_cat(names[1:1]::text[], array['...']::text[]))::text[]
      else names::text[] end, jsonbs::jsonb[], enums::text[], a_json, a_bytea, a_numeric, a_bigint from base_rows;`,
  all: 'select * from public.every_type order by id;',
  cell: `select "name" from public.users where id = 3;`,
  composite: `select * from shop.customers where country = 'NZ' and number = 1;`,
  view: 'select * from public.todos_view order by id limit 100 offset 0;',
  'materialized-view': 'select * from "Odd Schema"."Mat View";',
  count: 'select count(*) from public.users;',
  'count-exactly': "select (select count(*) from public.users where name ~~ 'J%'), false as is_estimate;",
  'count-estimated': `with approximation as (
    select reltuples as estimate, case when relkind = 'p'
      then (select coalesce(sum(pg_relation_size(relid)), 0) from pg_partition_tree(oid))
      else pg_relation_size(oid) end as bytes
    from pg_class where oid = 'public.users'::regclass
) select case when estimate > 50000 or (estimate = -1 and bytes > 10000000) then -1
    else (select count(*) from public.users) end as count,
  (estimate > 50000 or (estimate = -1 and bytes > 10000000)) as is_estimate
from approximation;`,
  large: `select length('${'☃ is snow '.repeat(85_000)}') as letters`,
}

/** Values whose shape in JSON is easily another one. */
const values = {
  bytes: "select '\\xdeadbeef'::bytea as bytes, convert_to('☃', 'utf8') as snow",
  unicode: 'select \'naïve ☃ 😀 \u2028 \\ "\' as "naïve ☃ \\ """',
  numbers: "select 9007199254740993::int8 as large, 1.10::numeric as exact, 'NaN'::float8 as none, 1e21::float8 as huge",
  times: "select timestamptz '2024-02-29 12:00+02' as at, interval '1 month -1 day' as long, date 'infinity' as never",
  nothing: 'select null as nothing, null::json as also, \'null\'::jsonb as third, \'\' as empty',
  arrays: "select '{a,NULL,\"b c\"}'::text[] as texts, array[1, null] as numbers, '{}'::jsonb[] as none",
  records: "select row(1, 'a b', null) as row, jsonb_build_object('a', array[1.50]) as object",
  'no-columns': 'select from public.users',
  'no-rows': 'select * from public.users where false',
  parameters: ['select $1::text as a, $2::int as b, $3::jsonb as c', { parameters: ["it's", 5, { a: [1, null] }] }],
  'no-parameters': ['select 1 as one', { parameters: [] }],
}

/** Plans, and what is asked of the server itself. */
const plans = {
  explain: 'explain (costs off) select * from public.users where id = 1',
  'explain-json': 'explain (costs off, format json) select * from public.users where id = 1;',
  'explain-analyze':
    'explain (analyze, costs off, timing off, summary off, buffers off, format json) select name from public.users where id = 1',
  'explain-verbose': 'explain (verbose, costs off) select count(*) from shop.orders group by status',
  shown: 'show max_connections',
  'comments-first': '-- source: dashboard\n-- description: words\n/* and /* nested */ */\nselect word from pg_get_keywords() limit 3;',
  locks: `select exists (select 1 from pg_locks where locktype = 'advisory'
    and (classid::bigint << 32 | objid::bigint) = hashtext('a key')::bigint) as is_in_progress;`,
  sizes: "select pg_size_pretty(sum(pg_database_size(datname))) is not null as known from pg_database;",
  activity: 'select usename, state, pg_blocking_pids(pid) as blocked_by from pg_stat_activity where pid = pg_backend_pid()',
  definition: "select pg_get_viewdef(to_regclass('public.todos_view'), true) as definition",
  privileges: `select coalesce(jsonb_agg(jsonb_build_object('name', c.relname, 'reads', acl.privilege_type) order by c.relname), '[]')
    as tables from pg_class c left join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) as acl on true
    where c.relname in ('users', 'todos') and acl.grantee = 'rich_reader'::regrole;`,
  extensions: `select e.name, x.extversion from pg_available_extensions e left join pg_extension x on e.name = x.extname
    order by e.name;`,
}

/** Several statements: the last one that has rows is shown. */
const several = {
  'two-results': 'select 1 as a; select 2 as b;',
  'empty-last': 'select 1 as a;\n\nselect 2 as b where false;\n;',
  'path-first': 'set search_path to shop, public;\n\nselect count(*) as n from customers;',
  'local-first': "set local search_path = '';\n\n(select 1 as n, current_setting('search_path') as path) union all (select 2, '');",
  'timeout-first': "set statement_timeout = '5s'; select current_setting('statement_timeout') as time;",
  'timeout-gone': "select current_setting('statement_timeout') as time;",
  'plan-of-another-path': 'set local search_path = shop; explain (costs off) select * from orders;',
}

/** As each kind of someone else. */
function impersonated() {
  const all = {}
  for (const [name, as] of [['role', asRole], ['caller', asCaller]]) {
    all[`${name}-rows`] = as('rich_reader', page('public.users', users, 'order by id'))
    all[`${name}-none`] = as('rich_reader', 'select * from public.users where false;')
    all[`${name}-who`] = as('rich_reader', "select current_user, current_setting('role') as role;")
    all[`${name}-count`] = as('rich_writer', 'select count(*) from public.users;')
  }
  return all
}

export default async function reading() {
  for (const [key, sql] of Object.entries({ ...rows, ...values, ...plans, ...several, ...impersonated() })) {
    await (Array.isArray(sql) ? query(key, ...sql) : query(key, sql))
    if (key.endsWith('-who')) await query('who-after', "select current_user, current_setting('role') as role")
  }
}
