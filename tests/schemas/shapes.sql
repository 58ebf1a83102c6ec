-- Views and functions as PostgREST's users have them, each a question of its own to a generator of types.

create schema shapes; create schema elsewhere;
create type elsewhere.feeling as enum ('sad', 'fine');
create type elsewhere.pair as (a int, b text);
create type elsewhere.shade as enum ('dark');
create type shapes.place as (street text, "Zip-Code" int, mood elsewhere.feeling);
create domain shapes.email as text not null;
create domain shapes.moods as elsewhere.feeling;
create table elsewhere.item (id int primary key, label text);
create table shapes.team (id int primary key, name text not null);
create table shapes.person (id int primary key, other_id int unique, team_id int not null,
  second_team_id int, mood elsewhere.feeling, place shapes.place, places shapes.place[], pair elsewhere.pair,
  item elsewhere.item, email shapes.email, moods shapes.moods,
  constraint person_team foreign key (team_id) references shapes.team,
  constraint person_second foreign key (second_team_id) references shapes.team,
  constraint person_item foreign key (other_id) references elsewhere.item);
create table shapes.line (a int, b int, c text, primary key (a, b));
create table shapes.part (id int primary key, la int, lb int, constraint part_line foreign key (la, lb) references shapes.line);
create table shapes.mirror (a int, b int, unique (a, b), constraint mirror_line foreign key (b, a) references shapes.line);
create type shapes.nothing as ();
create table shapes.holder (nothing shapes.nothing, items elsewhere.item[], teams shapes.team[], kept shapes.mirror);

-- Columns of a key that a view shows twice.
create view shapes.team_twice as select id, id as same_id, name from shapes.team;
create view shapes.line_twice as select a, b, b as b2, c from shapes.line;
create view shapes.line_half as select a, c from shapes.line;
create view shapes.over_twice as select id as x, same_id as y from shapes.team_twice;
create materialized view shapes.team_kept as select id as kept, id as "Kept twice" from shapes.team;

-- Views that can be written by what stands in for them.
create function shapes.stand_in() returns trigger language plpgsql as 'begin return new; end';
create view shapes.grouped as select team_id, count(*) as people from shapes.person group by team_id;
create view shapes.grouped_insert as select * from shapes.grouped;
create trigger i instead of insert on shapes.grouped_insert for each row execute function shapes.stand_in();
create view shapes.grouped_update as select * from shapes.grouped;
create trigger u instead of update on shapes.grouped_update for each row execute function shapes.stand_in();
create view shapes.grouped_delete as select * from shapes.grouped;
create trigger d instead of delete on shapes.grouped_delete for each row execute function shapes.stand_in();
create view shapes.grouped_all as select * from shapes.grouped;
create trigger a instead of insert or update or delete on shapes.grouped_all for each row
  execute function shapes.stand_in();
create view shapes.grouped_rule as select * from shapes.grouped;
create rule r as on insert to shapes.grouped_rule do instead nothing;
create view shapes.grouped_also as select * from shapes.grouped;
create rule r as on update to shapes.grouped_also do also nothing;
create view shapes.grouped_where as select * from shapes.grouped;
create rule r as on update to shapes.grouped_where where old.people > 1 do instead nothing;
create view shapes.partly as select id, name, upper(name) as loud from shapes.team;
create view shapes.simple_trigger as select id, name, upper(name) as loud from shapes.team;
create trigger i instead of insert on shapes.simple_trigger for each row execute function shapes.stand_in();
create view shapes.no_columns as select from shapes.team;

-- Functions of rows.
create function shapes.loud(shapes.team) returns text language sql as 'select upper($1.name)';
create function shapes.louder(team shapes.team) returns text language sql as 'select upper(team.name)';
create function shapes.people(shapes.team) returns setof shapes.person language sql as 'select * from shapes.person';
create function shapes.leader(shapes.team) returns setof shapes.person rows 1 language sql
  as 'select * from shapes.person limit 1';
create function shapes.leader_named(t shapes.team) returns shapes.person language sql
  as 'select * from shapes.person limit 1';
create function shapes.both(a shapes.team, b shapes.person) returns setof shapes.team language sql
  as 'select * from shapes.team';
create function shapes.both_unnamed(shapes.team, shapes.person) returns setof shapes.team language sql
  as 'select * from shapes.team';
create function shapes.row_and_more(t shapes.team, n int) returns setof shapes.person language sql
  as 'select * from shapes.person';
create function shapes.row_and_out(t shapes.team, out n int) language sql as 'select 1';
create function shapes.row_of_view(shapes.grouped) returns int language sql as 'select 1';
create function shapes.place_of(shapes.place) returns text language sql as 'select 1::text';
create function shapes.place_to_person(shapes.place) returns setof shapes.person language sql
  as 'select * from shapes.person';
create function shapes.place_named(p shapes.place) returns shapes.place language sql as 'select p';
create function shapes.item_of(elsewhere.item) returns text language sql as 'select 1::text';
create function shapes.item_to_item(elsewhere.item) returns setof elsewhere.item language sql
  as 'select * from elsewhere.item';
create function shapes.rows_of(shapes.team[]) returns int language sql as 'select 1';
create function elsewhere.team_text(shapes.team) returns text language sql as 'select 1::text';
create function shapes."Odd name"("Odd ☃ arg" shapes.team) returns text language sql as 'select 1::text';

-- What functions give.
create function shapes.one_place() returns shapes.place language sql as 'select null::shapes.place';
create function shapes.many_places() returns setof shapes.place language sql as 'select null::shapes.place';
create function shapes.one_of_places() returns setof shapes.place rows 1 language sql
  as 'select null::shapes.place';
create function shapes.list_of_places() returns shapes.place[] language sql as 'select null::shapes.place[]';
create function shapes.pair() returns elsewhere.pair language sql as 'select null::elsewhere.pair';
create function shapes.pairs() returns setof elsewhere.pair language sql as 'select null::elsewhere.pair';
create function shapes.item() returns elsewhere.item language sql as 'select null::elsewhere.item';
create function shapes.items() returns setof elsewhere.item language sql as 'select * from elsewhere.item';
create function shapes.items_list() returns elsewhere.item[] language sql as 'select null::elsewhere.item[]';
create function shapes.mood() returns elsewhere.feeling language sql as 'select null::elsewhere.feeling';
create function shapes.shade_of() returns elsewhere.shade language sql as 'select null::elsewhere.shade';
create function shapes.domain() returns shapes.email language sql as 'select ''x''::text';
create function shapes.view_rows() returns setof shapes.grouped language sql as 'select * from shapes.grouped';
create function shapes.kept_rows() returns setof shapes.team_kept language sql as 'select * from shapes.team_kept';
create function shapes.one_row() returns setof shapes.team rows 1 language sql as 'select * from shapes.team';
create function shapes.one_number() returns setof int rows 1 language sql as 'select 1';
create function shapes.one_of_table() returns table (a int, b shapes.place) rows 1 language sql
  as 'select 1, null::shapes.place';
create function shapes.one_of_records() returns setof record rows 1 language sql as 'select 1, 2';
create function shapes.outs(out a int, out b text) language sql as 'select 1, ''x''::text';
create function shapes.set_of_outs(out a int, out b text) returns setof record language sql
  as 'select 1, ''x''::text';
create function shapes.any_of(anyelement) returns anyelement language sql as 'select $1';
create function shapes.any_named(a anyelement) returns anyarray language sql as 'select array[a]';
create function shapes.ranges() returns int4range language sql as 'select null::int4range';

-- What they are called with.
create function shapes.unnamed_default(int default 1) returns int language sql as 'select 1';
create function shapes.unnamed_text(text default 'x') returns int language sql as 'select 1';
create function shapes.unnamed_json(json) returns int language sql as 'select 1';
create function shapes.unnamed_two(text default 'x', jsonb default '{}') returns int language sql as 'select 1';
create function shapes.unnamed_mixed(a int, text default 'x') returns int language sql as 'select 1';
create function shapes.unnamed_required(a int, text) returns int language sql as 'select 1';
create function shapes.unnamed_other(a int default 1, int default 1) returns int language sql as 'select 1';
create function shapes.many(variadic a int[]) returns int language sql as 'select 1';
create function shapes.many_unnamed(variadic text[]) returns int language sql as 'select 1';
create function shapes.defaults(z int, a int default 1, m text default 'x') returns int language sql as 'select 1';
create function shapes.in_out(a int, inout b int, out c int) language sql as 'select 1, 2';
create function shapes.uses_elsewhere(m elsewhere.feeling, p elsewhere.pair, i elsewhere.item, l elsewhere.feeling[])
  returns int language sql as 'select 1';

-- Functions of one name.
create function shapes.same(a int) returns int language sql as 'select 1';
create function shapes.same(a text) returns text language sql as 'select 1::text';
create function shapes.same(b numeric) returns int language sql as 'select 1';
create function shapes.same(a bool, b int) returns int language sql as 'select 1';
create function shapes.same_two(a int, b int) returns int language sql as 'select 1';
create function shapes.same_two(a int, b text) returns int language sql as 'select 1';
create function shapes.same_default() returns int language sql as 'select 1';
create function shapes.same_default(text default 'x') returns text language sql as 'select 1::text';
create function shapes.same_other() returns int language sql as 'select 1';
create function shapes.same_other(a int default 1) returns int language sql as 'select 1';
create function shapes.same_row(shapes.team) returns int language sql as 'select 1';
create function shapes.same_row(shapes.person) returns int language sql as 'select 1';
create function shapes.same_unnamed(json) returns int language sql as 'select 1';
create function shapes.same_unnamed(text) returns int language sql as 'select 1';
create function shapes.same_defaulted(a int, b int default 1) returns int language sql as 'select 1';
create function shapes.same_defaulted(a text) returns int language sql as 'select 1';
create function shapes.same_place(p shapes.place) returns int language sql as 'select 1';
create function shapes.same_place(p elsewhere.pair) returns int language sql as 'select 1';

-- What postgres-meta mixes up: the type of another schema that has the same name, and which argument has a default.
create schema mixed;
create table mixed.shade (id int);
create table mixed.user_of (shade mixed.shade);
create schema mixed_calls;
create function mixed_calls.later(out o int, a int default 1) language sql as 'select 1';

-- Columns of a reference that a view shows twice.
create schema ties;
create table ties.line (a int, b int, primary key (a, b));
create table ties.part (id int primary key, la int, lb int,
  constraint part_line foreign key (la, lb) references ties.line);
create view ties.part_twice as select id, la, lb, la as la2, lb as lb2 from ties.part;
