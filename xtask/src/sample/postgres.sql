-- A library: keys between tables, an enum, a view, a function, a trigger, row level security, and odd values.
create schema sample;
comment on schema sample is 'What `cargo xtask dev` shows';

create type sample.shelf as enum ('fiction', 'science', 'history');

create table sample.authors (
  id bigint generated always as identity primary key,
  name text not null,
  born date,
  tags text[] not null default '{}'
);

create table sample.books (
  id bigint generated always as identity primary key,
  author_id bigint not null references sample.authors on delete cascade,
  title text not null,
  shelf sample.shelf not null default 'fiction',
  price numeric(8, 2) check (price >= 0),
  details jsonb not null default '{}',
  added_at timestamptz not null default now()
);
comment on table sample.books is 'Everything on the shelves';
create index on sample.books (shelf, lower(title));
create index on sample.books using gin (details);

create table sample.loans (
  book_id bigint references sample.books,
  reader uuid default gen_random_uuid(),
  during daterange not null,
  primary key (book_id, reader)
);
alter table sample.loans enable row level security;
create policy readers_see_loans on sample.loans for select using (true);

create view sample.catalogue as
  select title, name as author, shelf from sample.books join sample.authors on authors.id = author_id;

create function sample.find_books(words text) returns setof sample.books language sql stable as
  $$ select * from sample.books where title ilike '%' || words || '%' $$;

create function sample.touch() returns trigger language plpgsql as
  $$ begin new.added_at = now(); return new; end $$;
create trigger touch_books before update on sample.books for each row execute function sample.touch();

insert into sample.authors (name, born, tags) values
  ('Ada Lovelace', '1815-12-10', '{mathematics,"analytical engine"}'),
  ('Grace Hopper', '1906-12-09', '{compilers}'),
  ('Σωκράτης', '0470-01-01 BC', '{}');
insert into sample.books (author_id, title, shelf, price, details) values
  (1, 'Notes on the Analytical Engine', 'science', 42.50, '{"pages": 66, "notes": ["A", "G"]}'),
  (2, 'Understanding Computers', 'science', 39.90, '{"pages": null}'),
  (3, 'Nothing, which he knew', 'fiction', null, '{}');
insert into sample.loans (book_id, during) values (1, '[2026-01-01,2026-02-01)'), (2, '[2026-01-15,)');
