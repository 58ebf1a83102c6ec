with recursive
function as not materialized (
  select oid, proname, pronargs,
    oid < 16384 and not proretset and (provolatile <> 'v' or proname = any ($1::name[]))
    and (prolang = 12 or prolang = 14 and prosqlbody is not null)
    and proname <> all ($2::name[]) and proname not like '%\_to\_xml%'
    and not proargtypes::oid[] && '{cstring,internal}'::regtype[]::oid[]
    and prorettype <> all ('{cstring,internal,trigger,event_trigger,language_handler}'::regtype[]::oid[])
    as is_proved
  from pg_proc
),
asked (schema, name, is_optional) as (select * from unnest($7::text[], $8::name[], $9::bool[])),
named (oid, asked) as (
  select found.oid, asked.name
  from asked
  join pg_class found on found.relname = asked.name
  join pg_namespace namespace on namespace.oid = found.relnamespace
  where asked.schema = '' or asked.schema = namespace.nspname
),
relation (oid) as (
  select oid from named
  union
  select kin.oid from relation
  cross join lateral (
    select inhrelid from pg_inherits where inhparent = relation.oid
    union all
    select inhparent from pg_inherits where inhrelid = relation.oid
  ) kin (oid)
),
attribute as (
  select pg_attribute.* from relation
  join pg_attribute on attrelid = relation.oid and attnum > 0 and not attisdropped
),
used (oid) as (
  select atttypid from attribute
  union
  select oid from pg_type where typname = any ($6::name[])
),
own (oid) as (
  select used.oid from used where used.oid >= 16384
  union
  select pg_type.typelem from used join pg_type on pg_type.oid = used.oid where pg_type.typelem >= 16384
  union
  select pg_type.typarray from used join pg_type on pg_type.oid = used.oid where pg_type.typarray >= 16384
  union
  select row.oid from relation join pg_type row on row.typrelid = relation.oid
  union
  select row.typarray from relation join pg_type row on row.typrelid = relation.oid
),
made (classid, objid) as (
  select 'pg_class'::regclass, indexrelid from relation join pg_index on indrelid = relation.oid
  union all
  select 'pg_constraint'::regclass, pg_constraint.oid from relation join pg_constraint on conrelid = relation.oid
  union all
  select 'pg_statistic_ext'::regclass, pg_statistic_ext.oid from relation
  join pg_statistic_ext on stxrelid = relation.oid
  union all
  select 'pg_attrdef'::regclass, pg_attrdef.oid from relation
  join pg_attrdef on adrelid = relation.oid and $10::bool
)
select case
  when exists (
    select from unnest($3::name[]) called (name)
    where not exists (select from function where proname = called.name)
  ) or exists (select from function where proname = any ($3::name[]) and not is_proved)
    or exists (select from pg_type where typname = any ($3::name[]) and oid >= 16384)
    then 'function'
  when exists (select from function where proname = any ($4::name[]) and pronargs > 0 and not is_proved)
    or exists (
      select from pg_type
      where typname = any ($4::name[]) and oid >= 16384 and typtype not in ('c', 'e')
    )
    then 'column'
  when exists (
    select from unnest($5::name[]) called (name)
    where not exists (select from pg_operator where oprname = called.name and oid < 16384)
  ) or exists (
    select from pg_operator operator
    where oprname = any ($5::name[]) and oid >= 16384 and (
      oprleft = 0 or exists (
        select from pg_type operand
        where operand.oid in (oprleft, oprright) and (
          operand.oid < 16384 or operand.typtype <> 'b' or operand.typispreferred
          or operand.typcategory <> 'U' and (
            operand.typcategory <> 'S' or not exists (
              select from pg_operator own
              where own.oprname = operator.oprname and own.oid < 16384
                and own.oprleft = 'text'::regtype and own.oprright = 'text'::regtype
            )
          )
        )
      )
    )
  )
    then 'operator'
  when exists (
    select from asked where not is_optional and not exists (select from named where named.asked = asked.name)
  ) or exists (
    select from relation join pg_class found on found.oid = relation.oid
    where relkind not in ('r', 'p', 'm') or relpersistence = 't' or relam not in (0, 2)
      or relkind <> 'm' and exists (select from pg_rewrite where ev_class = found.oid)
      or relrowsecurity and row_security_active(found.oid)
  ) or exists (
    select from relation join pg_partitioned_table on partrelid = relation.oid
    where partexprs is not null or exists (select from unnest(partclass::oid[]) class where class >= 16384)
  ) or exists (select from attribute where attgenerated <> '')
    then 'relation'
  when exists (
    select from made
    join pg_depend needed on needed.classid = made.classid and needed.objid = made.objid
    where needed.refobjid >= 16384 and needed.refclassid in (
      'pg_proc'::regclass, 'pg_operator'::regclass, 'pg_opclass'::regclass, 'pg_opfamily'::regclass
    )
    or needed.refobjid >= 16384 and needed.refclassid = 'pg_type'::regclass
      and not exists (select from pg_type where oid = needed.refobjid and typtype = 'e')
  )
    then 'expression'
  when exists (
    select from used join pg_type on pg_type.oid = used.oid
    where typtype in ('d', 'p') or used.oid >= 16384 and typtype <> 'e' and not exists (
      select from pg_type element where element.oid = pg_type.typelem and element.typtype = 'e'
        and pg_type.typcategory = 'A'
    )
  ) or (select count(distinct typname) from pg_type where typname = any ($6::name[])) < cardinality($6::name[])
    then 'type'
  when exists (
    select from pg_cast
    where oid >= 16384 and (
      castsource < 16384 and (casttarget < 16384 or castcontext = 'i')
      or castsource in (select oid from own) or casttarget in (select oid from own)
    )
  ) or exists (
    select from pg_opclass class
    where class.oid >= 16384 and opcdefault and opcmethod in (403, 405) and not exists (
      select from pg_type where pg_type.oid = opcintype and pg_type.oid >= 16384 and typtype = 'b'
    )
  ) or exists (select from pg_amop where oid >= 16384 and amopfamily < 16384)
    or exists (select from pg_amproc where oid >= 16384 and amprocfamily < 16384)
    or exists (
      select from pg_type join pg_proc on pg_proc.oid = typmodin
      where pg_type.oid >= 16384 and prolang not in (12, 13)
    )
    then 'cast'
  when $10::bool and (
    exists (
      select from relation join pg_class found on found.oid = relation.oid
      where found.oid < 16384 or exists (select from pg_trigger where tgrelid = found.oid)
    )
    or exists (select from relation join pg_constraint on conrelid = relation.oid where contype = 'c')
    or exists (select from attribute where attidentity <> '')
    or exists (
      select from relation join pg_attrdef on adrelid = relation.oid
      where adbin::text ~ 'SQLVALUEFUNCTION :op \d+ :type 19' or exists (
        select from regexp_matches(adbin::text, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') called (id)
        where id[1] <> '0' and not exists (
          select from function where function.oid = id[1]::oid and is_proved
        )
      )
    )
  )
    then 'write'
end as doubt,
(select md5(string_agg(concat_ws(' ', attrelid, attname, atttypid, atttypmod), ',' order by attrelid, attnum)) from attribute) as shape
