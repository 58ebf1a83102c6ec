use super::*;
use proptest::prelude::*;

/// The words of a text as PostgreSQL's own scanner has them.
fn words(sql: &str) -> Vec<(i32, String)> {
    let scanned = pg_query::scan(sql).unwrap();
    let word = |token: &pg_query::protobuf::ScanToken| {
        (token.token, sql[token.start as usize..token.end as usize].to_owned())
    };
    scanned.tokens.iter().map(word).collect()
}

fn formatted(sql: &str) -> String {
    format(sql, &Wanted::default()).unwrap()
}

/// What has meant another thing, or nothing, after a formatter was at it.
const WORDS: &[&str] = &[
    "$tag$ a   b\n\n  $1 $tag$",
    "$$\nif x:\n    return '''a  b'''\n$$",
    "$$$$",
    "e'x\\ty\\''",
    "E'a\\\\'",
    "'it''s'",
    "'back\\'",
    "'a'\n'b'",
    "'a' -- c\n  'b'",
    "''",
    "b'101'",
    "B''",
    "x'1F'",
    "n'a  b'",
    "U&'\\0041'",
    "U&'d!0061' uescape '!'",
    "U&\"d\\0061t\"",
    "\"a  \"\"b\"",
    "\"a\\\"",
    "0x1F",
    "0b10",
    "0o17",
    "1_000",
    "1e-5",
    "1.5e+10",
    ".5",
    "5.",
    "-1",
    "- -1",
    "$1",
    "a$b",
    "größe",
    "名",
    "a.b",
    "t.*",
    "a[1:2]",
    "a[:n]",
    "a[i:]",
    "x::int[]",
    "@",
    "#",
    "#>",
    "#>>",
    "->",
    "->>",
    "@>",
    "?|",
    "?&",
    "?",
    "!~~*",
    "<->",
    "|/",
    "@-@",
    "operator(pg_catalog.+)",
    "=>",
    ":=",
    "<=",
    "!=",
    "/* a /* b */ c */",
    "/* a\n  b */",
    "-- c  d\n",
    "--\n",
    "/*+ Hint(a b) */",
    "select",
    "from",
    "where",
    "and",
    "case",
    "when",
    "then",
    "else",
    "end",
    "begin",
    "union all",
    "insert into",
    "values",
    "on conflict",
    "between",
    "create function f() returns int language plpgsql as",
    "limit",
    "offset",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    ".",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "=",
    "<",
    ">",
    "`",
    "|",
    "&",
    "~",
    "!",
];

#[test]
fn constants_of_every_kind_keep_their_value_and_are_laid_out() {
    for word in [
        "$tag$ a   b $tag$",
        "e'x\\ty'",
        "b'101'",
        "x'1F'",
        "n'a'",
        "U&'\\0041'",
        "0x1F",
        "1_000",
        "1.5e-10",
        "'it''s'",
        "U&\"d\\0061t\"",
        "a$b",
        "a #>> '{b,c}'",
        "a ?| b",
        "@ a",
        "/* a /* b */ c */\n  a",
    ] {
        assert_eq!(formatted(&format!("select {word} from t")), format!("select\n  {word}\nfrom\n  t\n"));
    }
    let body = "$$\nfor x in y:\n    if x:\n        return '#'\n$$";
    let function = format!("create function f() returns text language plpython3u as {body}");
    assert!(formatted(&function).contains(body), "{}", formatted(&function));
}

#[test]
fn what_can_not_be_laid_out_stays_as_it_is() {
    // Between the parts of a constant there must be a line end.
    let sql = "select 'a'\n  'b'";
    assert_eq!(words(&formatted(sql)), words(sql));
    assert!(formatted(sql).contains("'a'\n  'b'"));
    let sql = "select  :'name  x'";
    assert_eq!(words(&formatted(sql)), words(sql));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn formatting_never_changes_a_word(
        chosen in proptest::collection::vec((0..WORDS.len(), "[ \n\t]{0,2}"), 1..24),
    ) {
        let sql: String = chosen.iter().map(|(word, space)| WORDS[*word].to_owned() + space).collect();
        match pg_query::scan(&sql) {
            Ok(_) => prop_assert_eq!(words(&formatted(&sql)), words(&sql), "{:?} became {:?}", &sql, formatted(&sql)),
            Err(_) => prop_assert!(format(&sql, &Wanted::default()).is_err()),
        }
    }

    #[test]
    fn formatting_any_text_answers_the_same_words(sql in ".{0,60}") {
        if pg_query::scan(&sql).is_ok() && !sql.trim().is_empty() {
            prop_assert_eq!(words(&formatted(&sql)), words(&sql));
        }
    }
}
