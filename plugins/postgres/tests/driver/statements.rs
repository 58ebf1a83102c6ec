//! Statements of any kind, harmless and not, made of random numbers.
#![allow(missing_docs)]

const TABLES: &[&str] = &[
    "items",
    "items",
    "items",
    "items",
    "people",
    "public.parts",
    "before.parts",
    "summary",
    "parts",
    "numbered",
    "counted",
    "triggered",
    "children",
    "casted",
    "ruled",
    "guarded",
    "seen",
    "made",
    "held",
    "checks",
    "builtin_checks",
    "defaults",
    "indexed",
    "constants",
    "measured",
    "parted",
    "parted_one",
    "touched",
    "only people",
    "pg_class",
    "pg_settings",
    "missing",
];
const INTS: &[&str] = &[
    "1",
    "0",
    "id",
    "id",
    "t.id",
    "length(name)",
    "abs(-1)",
    "pg_backend_pid()",
    "count(*)",
    "max(id)",
    "(1)",
    "leave_traces()",
    "public.leave_traces()",
    "sly(1)",
    "sly(id)",
    "t.peek",
    "peek(t)",
    "(t).peek",
    "added(1, 2)",
    "nextval('touched')::int",
    "setval('touched', 5)::int",
    "currval('touched')::int",
    "lastval()::int",
    "txid_current()::int",
    "lo_create(0)::int",
    "pg_try_advisory_lock(3)::int",
    "(random() * 9)::int",
    "t.touched",
    "lo_from_bytea(0, '')::int",
    "\"nextval\"('touched')::int",
    "pg_catalog.nextval('touched')::int",
    "U&\"next\\0076al\"('touched')::int",
    "row_number() over (order by id)",
    "coalesce(null, id)",
    "$1",
];
const TEXTS: &[&str] = &[
    "'a'",
    "name",
    "t.name",
    "lower(name)",
    "upper(name)",
    "pg_catalog.upper('a')",
    "current_user",
    "current_schema",
    "current_schema()",
    "\"current_schema\"()",
    "now()::text",
    "clock_timestamp()::text",
    "gen_random_uuid()::text",
    "name || 'b'",
    "set_config('work_mem', '78MB', false)",
    "pg_catalog.set_config('work_mem', '79MB', false)",
    "set_config('app.me', 'ann', false)",
    "sly_text(1)",
    "t.sly_text",
    "t::text",
    "cast(t as text)",
    "to_json(t)::text",
    "'x'::checked",
    "'x'::checked::text",
    "checked 'x'",
    "checked('x')",
    "('{x}')._checked::text",
    "t::item::text",
    "t.item::text",
    "domain_in('x', 'checked'::regtype, -1)::text",
    "array_in('{x}', 'checked'::regtype, -1)::text",
    "query_to_xml('select leave_traces()', true, true, '')::text",
    "table_to_xml('seen', true, true, '')::text",
    "pg_notify('news', 'x')::text",
    "pg_advisory_lock(4)::text",
    "pg_advisory_lock_shared(5)::text",
    "setseed(0.5)::text",
    "pg_export_snapshot()",
    "'happy'::mood::text",
    "mood 'sad'::text",
    "'touched'::regclass::text",
    "json_populate_record(null::held, '{\"name\": \"x\"}')::text",
    "jsonb_populate_record(null::items, '{}')::text",
    "string_agg(name, ',')",
    "format('%s', t)",
    "greatest('a', name)",
    "case name when 'a' then 'b' else 'c' end",
    "(select max(name) from items)",
    "pg_current_xact_id()::text",
    "pg_get_viewdef('seen'::regclass)",
    "concat(t, 'x')",
    "quote_ident(name)",
    "md5(name)",
    "data ->> 'a'",
    "tags[1]",
    "(data).a",
];
const TRUTHS: &[&str] = &[
    "true",
    "id = 1",
    "id > 2",
    "id in (1, 2)",
    "name = 'a'",
    "name like 'n%'",
    "id between 1 and 3",
    "'a' && 'b'",
    "tags && array['a']",
    "1 <+> 2 = 1",
    "id <+> id = 1",
    "1 operator(public.<+>) 2 = 1",
    "mood = 'happy'",
    "name is not null",
    "id = any (array[1, 2])",
    "exists (select 1 from people)",
    "id in (select id from people)",
    "sly_truth(1, 2)",
    "leave_traces() = 1",
    "nextval('touched') > 0",
    "pg_try_advisory_lock(6)",
    "t = t",
    "(id, name) = (1, 'a')",
    "not (id = 1)",
    "data @> '{}'",
    "id is distinct from 2",
    "pg_sleep(0) is not null",
];
const NAMES: &[&str] = &["id, name", "id", "name"];

/// What a part of a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Table,
    Int,
    Text,
    Truth,
}

impl Part {
    /// All that the part may be, and how many of it are harmless: the first.
    fn list(self) -> (&'static [&'static str], usize) {
        match self {
            Self::Table => (TABLES, 8),
            Self::Int => (INTS, 11),
            Self::Text => (TEXTS, 4),
            Self::Truth => (TRUTHS, 7),
        }
    }
}

/// Random numbers, which end in zeros, and the one part of the statement that may do harm.
pub struct Choices<'a> {
    numbers: std::slice::Iter<'a, u8>,
    odd: Option<Odd>,
}

/// Every part that may do harm.
pub fn odd_parts() -> impl Iterator<Item = Odd> {
    [Part::Table, Part::Int, Part::Text, Part::Truth].into_iter().flat_map(|part| {
        let (list, harmless) = part.list();
        list[harmless..].iter().map(move |text| Odd(part, text))
    })
}

/// A part that may do harm.
#[derive(Debug, Clone, Copy)]
pub struct Odd(Part, &'static str);

impl<'a> Choices<'a> {
    pub fn new(numbers: &'a [u8], odd: Option<Odd>) -> Self {
        Self { numbers: numbers.iter(), odd }
    }

    fn next(&mut self, most: usize) -> usize {
        usize::from(self.numbers.next().copied().unwrap_or_default()) % most
    }

    fn of<'b>(&mut self, list: &[&'b str]) -> &'b str {
        list[self.next(list.len())]
    }

    /// A part, which is the odd one where that was not there yet.
    fn part(&mut self, part: Part) -> &'static str {
        match self.odd.take_if(|Odd(kind, _)| *kind == part) {
            Some(Odd(_, odd)) => odd,
            None => {
                let (list, harmless) = part.list();
                self.of(&list[..harmless])
            }
        }
    }

    fn int(&mut self) -> String {
        match self.next(6) {
            0 => format!("{} + {}", self.part(Part::Int), self.part(Part::Int)),
            1 => format!("coalesce({}, {})", self.part(Part::Int), self.part(Part::Int)),
            _ => self.part(Part::Int).to_owned(),
        }
    }

    fn text(&mut self) -> String {
        match self.next(6) {
            0 => format!("concat({}, {})", self.part(Part::Text), self.part(Part::Text)),
            1 => format!("case when {} then {} end", self.truth(), self.part(Part::Text)),
            _ => self.part(Part::Text).to_owned(),
        }
    }

    fn truth(&mut self) -> String {
        let one = self.part(Part::Truth);
        match self.next(4) {
            0 => format!("{one} and {}", self.part(Part::Truth)),
            _ => one.to_owned(),
        }
    }

    fn value(&mut self) -> String {
        match self.odd {
            Some(Odd(Part::Int, _)) => return self.int(),
            Some(Odd(Part::Text, _)) => return self.text(),
            Some(Odd(Part::Truth, _)) => return self.truth(),
            Some(Odd(Part::Table, _)) | None => {}
        }
        match self.next(3) {
            0 => self.int(),
            1 => self.text(),
            _ => self.truth(),
        }
    }

    fn table(&mut self) -> &'static str {
        self.part(Part::Table)
    }

    fn select(&mut self) -> String {
        let table = self.table();
        let list = match self.next(5) {
            0 => "*".to_owned(),
            1 => "t".to_owned(),
            2 => format!("{}, {}", self.value(), self.value()),
            _ => self.value(),
        };
        let mut sql = format!("select {list} from {table} t");
        match self.next(16) {
            0 => sql += &format!(" join {} u on u.id = t.id", self.table()),
            1 => sql += &format!(", lateral (select {} as other) u", self.value()),
            2 => sql = format!("select {}", self.value()),
            _ => {}
        }
        if self.next(2) == 0 {
            sql += &format!(" where {}", self.truth());
        }
        match self.next(12) {
            0 => sql += &format!(" order by {}", self.value()),
            1 => sql += " limit 2",
            2 => sql += &format!(" union select {}", self.value()),
            3 => sql += " for update",
            4 => sql += &format!(" group by {}", self.value()),
            _ => {}
        }
        sql
    }

    fn change(&mut self) -> String {
        let table = self.table();
        let mut sql = match self.next(4) {
            0 => {
                let names = self.of(NAMES);
                let id = 10 + self.next(90);
                let values = match names {
                    "id" => id.to_string(),
                    "name" => self.text(),
                    _ => format!("{id}, {}", self.text()),
                };
                format!("insert into {table} ({names}) values ({values})")
            }
            1 => format!("insert into {table} as t (id, name) select id + 100, {} from items t", self.text()),
            2 => format!("update {table} t set name = {} where {}", self.text(), self.truth()),
            _ => format!("delete from {table} t where id > 5 and {}", self.truth()),
        };
        match self.next(6) {
            0 => sql += &format!(" returning {}", self.value()),
            1 if sql.starts_with("insert") => {
                sql += &format!(" on conflict (id) do update set name = {}", self.text());
            }
            2 if sql.starts_with("insert") => sql += " on conflict do nothing",
            _ => {}
        }
        sql
    }

    pub fn statement(&mut self) -> String {
        match self.next(60) {
            0 => format!("{}; {}", self.select(), self.select()),
            1 => format!("with found as ({}) select * from found", self.select()),
            2 => format!("with found as ({} returning *) select count(*) from found", self.change()),
            3 => format!("explain analyze {}", self.select()),
            4 => "set work_mem = '80MB'".to_owned(),
            5 => format!("{} ; begin", self.select()),
            6 => "create temp table passing (x int)".to_owned(),
            7 => "select 1 as id into temp passing".to_owned(),
            8 => "listen news".to_owned(),
            9..24 => self.change(),
            _ => self.select(),
        }
    }
}
