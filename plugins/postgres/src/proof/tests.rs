use super::*;

fn needs(sql: &str) -> Option<Needs> {
    begins_as_provable(sql).then(|| Needs::of(sql)).flatten()
}

/// The names that a statement needs, by their kinds.
fn shown(sql: &str) -> String {
    let needs = needs(sql).unwrap_or_else(|| panic!("{sql}"));
    let join =
        |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
    let operators =
        needs.operators.iter().filter(|name| !["=", "<>", "<", "<=", ">", ">="].contains(&name.as_str()));
    let relations = needs.relations.iter().map(|relation| format!("{}.{}", relation.schema, relation.name));
    [
        join(&needs.functions),
        join(&needs.columns),
        operators.cloned().collect::<Vec<_>>().join(" "),
        join(&needs.types),
        relations.collect::<Vec<_>>().join(" "),
        if needs.writes { "writes" } else { "reads" }.to_owned(),
    ]
    .join("|")
}

#[test]
fn names_of_a_statement_are_found_wherever_they_stand() {
    for (sql, names) in [
        ("select a from t", "||||.t|reads"),
        ("SELECT s.f(x), pg_catalog.g(y) FROM s.t", "f g||||s.t|reads"),
        ("select t.a, (t).b, (f()).c from t", "f|a b c|||.t|reads"),
        ("select s.t.a.b from s.t", "|a b t|||s.t|reads"),
        ("select 1 operator(s.+) 2, a * b, -c", "||* + -|||reads"),
        ("select a::x, cast(b as s.y), z 'c', d::w[]", "|||w x y z||reads"),
        ("select 1 from t where a in (select b from u) order by c using <#", "||<#||.t .u|reads"),
        ("with c as (select * from t) select * from c", "||||.c .t|reads"),
        ("insert into t (a) select f() on conflict (g(a)) do update set b = h()", "f g h||||.t|writes"),
        ("update t set a[f()] = 1, b.c = g() from u returning h()", "f g h|c|||.t .u|writes"),
        ("delete from t using u where t.a = u.b", "|a b|||.t .u|writes"),
        ("with d as (delete from t returning *) select * from d", "||||.d .t|writes"),
        ("select * from t for share", "||||.t|writes"),
        ("select sum(f(a)) filter (where g(b)) over (partition by h(c)) from t", "f g h sum||||.t|reads"),
        (
            "select x collate \"C\", array[f(), g()], row(h()), case when i() then j() end",
            "f g h i j|||||reads",
        ),
        (
            "select a similar to 'b', a between f() and g(), c is distinct from d",
            "f g similar_to_escape||~|||reads",
        ),
    ] {
        assert_eq!(shown(sql), names, "{sql}");
    }
}

#[test]
fn what_needs_nothing_is_proved_by_its_text() {
    for (sql, is_constant) in [
        ("select 1", true),
        ("select 1 as one, 'a', null, true, 1.5, b'1';", true),
        ("select 1 + 1", false),
        ("select distinct 1", false),
        ("values (1), ('a')", false),
        ("select 1 union select 2", false),
        ("select 1 order by 1", false),
        ("select '1'::int", false),
        ("select $1", false),
    ] {
        assert_eq!(needs(sql).unwrap().are_none(), is_constant, "{sql}");
    }
}

#[test]
fn what_no_catalog_could_prove_is_not_asked_about() {
    for sql in [
        "",
        "select 1; select 2",
        "selec 1",
        "select 1 into t",
        "select * from t tablesample system (1)",
        "select * from f()",
        "select * from rows from (f(), g())",
        "select * from xmltable('/a' passing b columns c text)",
        "select json_object('a': 1)",
        "select xmlelement(name a)",
        "select current_schema",
        "select \"CURRENT_SCHEMA\"()",
        "select 'a\\'",
        "select \"\u{e9}\"()",
        "select a from \"\u{e9}\"",
        "with recursive a as (select 1) search depth first by b set c select * from a",
        "delete from t where current of c",
        "merge into t using u on true when matched then delete",
        "explain select 1",
        "show all",
        "set a = 1",
        "copy t to stdout",
        "call f()",
        "do $$ begin end $$",
        "truncate t",
        "create table t (a int)",
        "begin",
        "execute p",
    ] {
        assert!(needs(sql).is_none(), "{sql}");
    }
}

#[test]
fn verdicts_are_bounded_in_number_and_bytes() {
    let mut verdicts = Verdicts::default();
    for number in 0..10 * MOST {
        verdicts.learn(number, 1, None);
        assert!(verdicts.known.len() <= MOST);
    }
    let mut verdicts = Verdicts::default();
    for number in 0..MOST {
        verdicts.learn(number, MOST_BYTES / 10, None);
        assert!(verdicts.known.len() <= 10);
        // The same again takes no more.
        verdicts.learn(number, MOST_BYTES / 10, None);
    }
}

#[test]
fn only_an_answer_without_a_doubt_proves() {
    let answer = |json: &str| Ok(Some(json.as_bytes().to_vec()));
    let is_proved = |answer: &Result<Option<Vec<u8>>, DriverError>| read(answer.as_ref(), true);
    let proof = is_proved(&answer(r#"{"doubt":null,"shape":"00000000000000ff00000000000000aa"}"#)).unwrap();
    assert_eq!((proof.only_reads, proof.shape), (true, 0xff));
    assert!(is_proved(&answer(r#"{"doubt":null,"shape":null}"#)).is_some());
    for doubted in [r#"{"doubt":"function","shape":null}"#, r#"{"doubt":""}"#, "[]", "", r#"{"doubt":1}"#] {
        assert!(is_proved(&answer(doubted)).is_none(), "{doubted}");
    }
    assert!(is_proved(&Ok(None)).is_none());
    assert!(is_proved(&Err(DriverError::connection("closed", "gone"))).is_none());
}
