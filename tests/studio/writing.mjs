// SQL that changes something, written as a Studio writes it.

import { query } from './page.mjs'
import { asCaller, asRole } from './reading.mjs'

const text = (value) => `'${(typeof value === 'string' ? value : JSON.stringify(value)).replaceAll("'", "''")}'`

const insert = (table, columns, values, rest = '') =>
  `insert into ${table} (${columns}) select ${columns} from jsonb_populate_recordset(null::${table}, ${text(values)})${rest};`

const update = (table, columns, value, rest) =>
  `update ${table} set (${columns}) = (select ${columns} from json_populate_record(null::${table}, ${text(value)})) ${rest};`

const created_at = '2024-01-04T05:06:07Z'

const rows = {
  insert: insert('public.users', 'id,name,created_at', [{ id: 50, name: "it's \\ ☃", created_at }], ' returning *'),
  'insert-silently': insert('public.users', 'id,name,status', [{ id: 51, name: 'x', status: 'happy' }]),
  'insert-defaults': 'insert into public.serials select from jsonb_populate_recordset(null::public.serials, \'[{}]\');',
  'insert-many': insert('public.without_primary_key', 'label,amount',
    Array.from({ length: 500 }, (_, number) => ({ label: `row ${number} ☃`, amount: number / 3 }))),
  'insert-arrays': insert('shop.customers', 'country,number,name,profile,favourites,moods,grid,level', [{
    country: 'DE', number: 1, name: 'ß', profile: { a: [1, null] }, favourites: ['a,b', 'c"d'], moods: ['ok', 'sad'],
    grid: [[1, 2], [3, 4]], level: 4,
  }], ' returning country, number, profile, favourites, moods::text[], grid, moods'),
  update: update('public.users', 'name,email', { name: 'changed', email: 'a@b' }, 'where id = 50 returning *'),
  'update-silently': update('public.users', 'name', { name: 'again' }, 'where id = 50'),
  'update-none': update('public.users', 'name', { name: 'nobody' }, 'where id = 4711 returning *'),
  'update-to-null': update('public.users', 'email', { email: null }, 'where id in (50,51) returning id, email'),
  'update-arrays': update('shop.customers', 'moods', { moods: ['ok'], level: 2 },
    "where country = 'DE' returning moods, moods::text[]"),
  delete: 'delete from public.users where id in (50);',
  'delete-returning': 'delete from public.users where id = 51 returning id, name;',
  'delete-in-with': `with deleted as (
  delete from public.without_primary_key where ctid >= '(0,0)'::tid and ctid < '(1,0)'::tid returning 1
) select count(*) > 0 as deleted from deleted;`,
  truncate: 'truncate public.without_primary_key;',
  'truncate-cascade': 'truncate public.event_notes cascade;',
  'import-large': `insert into public.without_primary_key (label) values ('${'☃'.repeat(326_000)}');`,
  'as-role': asRole('rich_writer', insert('public.users', 'id,name,created_at', [{ id: 60, name: 'y', created_at }],
    ' returning id, name')),
  'as-caller': asCaller('rich_writer', 'update public.users set name = current_user where id = 60;'),
  'as-reader': asRole('rich_reader', 'delete from public.users where id = 60;'),
}

const statements = {
  migrations: `create schema if not exists made_migrations;
    create table if not exists made_migrations.list (version text not null primary key, statements text[], name text);`,
  'migrations-add': `insert into made_migrations.list (version, statements, name)
    select '1', array_agg(one)::text[], 'first'
    from jsonb_array_elements_text($statements$["create table a ();", "select 'it''s'"]$statements$::jsonb) as one;`,
  'migrations-list': 'select * from made_migrations.list sm order by sm.version desc',
  'migrations-again': 'create schema if not exists made_migrations;',
  'enum-made': `\n    begin;\n\n    create type "public"."made" as enum ('a', 'b'); comment on type "public"."made" is 'it''s';\n    \n    commit;\n  `,
  'enum-changed': `begin; alter type "public"."made" add value 'z' before 'a'; alter type "public"."made" rename value 'a' to 'aa';
    commit; select enumlabel from pg_enum where enumtypid = 'public.made'::regtype order by enumsortorder;`,
  'enum-gone': 'drop type if exists public."made"; drop type if exists public."made";',
  'trigger-replaced': `BEGIN;
DROP TRIGGER IF EXISTS "made" ON "public"."users";
CREATE FUNCTION public.made() returns trigger language plpgsql as $f$ begin return new; end $f$;
CREATE TRIGGER "made" BEFORE INSERT OR UPDATE ON "public"."users" FOR EACH ROW EXECUTE FUNCTION "public"."made"('it''s','b');
COMMIT;`,
  'trigger-gone': 'drop function public.made() cascade;',
  'trigger-not-there': 'begin;\ndrop trigger "made" on "public"."users";\ncommit;',
  'table-copied': `create table public.made_copy (like public.users including all);\ncomment on table public.made_copy is 'A copy';`,
  'rows-copied': 'insert into public.made_copy select * from public.users;',
  'sequence-set': "select setval('public.made_copy_id_seq', (select coalesce(max(id), 1) from public.made_copy))",
  'keys-added': `alter table public.made_copy add foreign key (id) references public.users (id) on delete cascade;alter table
    public.made_copy add constraint made_check check (id > 0);`,
  'key-removed': 'alter table if exists public.made_copy drop constraint if exists made_copy_id_fkey;',
  secured: 'alter table public.made_copy enable row level security',
  indexed: 'create index on "public"."made_copy" using btree ("name", "email");',
  'indexed-beside': 'create index concurrently made_index on public.made_copy (name)',
  vacuumed: 'vacuum (analyze) public.made_copy',
  granted: `do $$
    declare
      one record;
    begin
      for one in select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relname = 'made_copy'
      loop
        execute format('grant select on table %I.%I to rich_group', one.nspname, one.relname);
      end loop;
    end $$;`,
  'granted-for-later': `alter default privileges for role postgres in schema public grant select on tables to rich_reader;
alter default privileges for role postgres in schema public revoke select on tables from rich_reader;`,
  'table-gone': 'drop table public.made_copy;',
  wrapper: `create foreign data wrapper "made_wrapper" handler "postgres_fdw_handler" validator "postgres_fdw_validator";
    do $$ begin
      execute format(E'create server "made_server" foreign data wrapper "made_wrapper" options ("dbname" ''it''''s'');');
    end $$;
    create foreign table public."made foreign" ("id" bigint) server made_server options (table_name 'x');`,
  'wrapper-gone': 'drop foreign data wrapper if exists "made_wrapper" cascade;\n\n    do $$ begin perform 1; end $$;',
  publication: 'create publication made for table only public.users, shop.orders with (publish_via_partition_root = true)',
  'publication-gone': 'drop publication made',
  'function-of-a-session': `create or replace function pg_temp.plan_rows(query text) returns integer language plpgsql as $$
declare
  plan jsonb;
begin
  execute 'explain (format json)' || query into plan;
  return plan->0->'Plan'->'Plan Rows';
end;
$$;

select pg_temp.plan_rows('select * from public.users where false') >= 0 as planned;`,
  'advice': `do $$
begin
  set pg_stat_statements.track = none;
exception when others then
  -- It is not there: nothing to set.
end
$$;
-- source: dashboard
-- user: self host

set local search_path = '';

(select 'no_policies' as name, array['SECURITY'] as categories, pg_catalog.format('Table \`%s\`', relname) as detail
  from pg_catalog.pg_class where relrowsecurity order by relname limit 2)
union all
(select 'other' as name, array['PERFORMANCE'] as categories, 'x' as detail);`,
  'all-or-nothing': 'delete from public.regions; select 1 / 0;',
  'nothing-then': 'select count(*) from public.regions',
  'kept-by-commit': "begin; insert into public.regions values ('ne', 'x'); commit; select 1 / 0;",
  'kept-then': 'select code from public.regions order by code',
  'rolled-back': "begin; delete from public.regions; rollback;",
  'rolled-back-then': 'select count(*) from public.regions',
  'read-in-a-transaction': 'begin read only; select count(*) as n from public.regions; commit;',
  'read-and-rolled-back': '\n    begin;\n\n    select count(*) as n from public.regions;\n    rollback;\n  ',
  noticed: "do $$ begin raise notice 'hello'; end $$; select 1 as one",
  prepared: 'prepare made as select $1::int as x; execute made(4); deallocate made;',
  ended: 'select count(pg_terminate_backend(pid)) from pg_stat_activity where pid = -1',
}

export default async function writing() {
  for (const [key, sql] of Object.entries({ ...rows, ...statements })) {
    await query(key, sql)
  }
}
