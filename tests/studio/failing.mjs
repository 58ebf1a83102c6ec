// SQL that fails, and how a Studio is told: it reads `LINE`, `code`, `message`, `hint` and `position`.

import { query } from './page.mjs'
import { asCaller, asRole } from './reading.mjs'

export default async function failing() {
  for (const [key, sql] of Object.entries({
    column: 'select nope from public.users',
    'column-lines-down': 'select 1;\n\n-- a comment\nselect\n  nope\nfrom public.users;',
    'column-after-unicode': "select '☃☃ 😀',\n\tnope from public.users",
    relation: 'select * from public.user',
    hint: 'select user from public.users where naem = 1',
    syntax: 'select * frm public.users',
    schema: 'select * from supabase_migrations.schema_migrations sm order by sm.version desc',
    function: "select vault.create_secret(new_secret := 'x', new_name := 'n')",
    division: 'select 1 / 0',
    cast: "select 'x'::int",
    parameter: 'select $1',
    raised: `do $$ begin
      raise exception 'it''s % wrong', 5 using hint = 'mend it', detail = 'because', errcode = 'P0042';
    end $$`,
    'inside-a-function': 'do $$ begin perform 1 / 0; end $$;',
    'second-of-two': 'select 1 as one; select nope;',
    permission: asRole('rich_group', 'select * from shop.customers;'),
    'no-such-role': asRole('nobody at all', 'select 1;'),
    'impersonated-line': asRole('rich_reader', 'select *\nfrom public.users\nwhere nope = 1;'),
    'caller-line': asCaller('rich_reader', 'select *\nfrom public.users\nwhere and true;'),
    'caller-permission': asCaller('rich_group', 'select * from shop.customers;'),
    'bad-filter': "select * from public.users where id = 'not a number' order by id limit 100 offset 0;",
    'in-a-transaction': 'begin; select 1 / 0; commit;',
    'after-it': 'select 1 as one',
    'after-a-large-text': `select '${'x'.repeat(979_000)}' as x,\n nope`,
    'check-fails': "insert into public.users (name, email) values ('x', 'no address')",
    'not-null-fails': 'insert into public.generated_columns (last_name) values (1)',
    'enum-fails': "update public.users set status = 'no such mood' where id = 1",
    'key-fails': 'delete from public.users where id = 1',
    'unique-fails': "insert into public.regions values ('n', 'again')",
  })) {
    await query(key, sql)
  }
}
