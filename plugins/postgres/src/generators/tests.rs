use super::{database::Database, rows::Found, *};
use serde_json::{Value, json};

/// A schema with a table, a view of it, an enumeration and functions, as the catalogs tell of them.
fn database(wanted: &Wanted) -> Database<'_> {
    let named = |schema: &str, name: &str| json!({"schema": schema, "name": name});
    let column = |number: i16, name: &str, type_name: Value, nullable: bool| {
        json!({"number": number, "name": name, "type": type_name, "nullable": nullable, "has_default": false,
            "identity": if name == "id" { "a" } else { "" }, "generated": false, "writable": true})
    };
    let function = |name: &str, signature: &str, argument: Value| {
        json!({"schema": "app", "name": name, "signature": signature, "arguments": [argument],
            "returns": named("pg_catalog", "int4"), "returns_relation": 0, "returns_set": false,
            "returns_many_rows": false})
    };
    let argument = |name: &str, type_name: &str, relation: u32| {
        json!({"name": name, "mode": "i", "type": named("pg_catalog", type_name), "format": type_name,
            "type_id": if type_name == "int4" { 23 } else { 25 }, "relation": relation, "optional": false})
    };
    let parts = json!([
        [{"name": "app"}],
        [
            {"id": 1, "schema": "app", "name": "people", "kind": "r", "insertable": true, "updatable": true, "columns": [
                column(1, "id", named("pg_catalog", "int8"), false),
                column(2, "mood", named("app", "mood"), true),
                column(3, "boss-id", named("pg_catalog", "int8"), true),
            ]},
            {"id": 2, "schema": "app", "name": "bosses", "kind": "v", "insertable": false, "updatable": false, "columns": [
                column(1, "id", named("pg_catalog", "int8"), true),
            ]},
        ],
        [{"schema": "app", "name": "mood", "kind": "e", "relation": 0, "relation_kind": "", "labels": ["sad", "it's \"fine\""],
            "attributes": []}],
        [function("twice", "a int", argument("a", "int4", 0)), function("twice", "a text", argument("a", "text", 0))],
        [
            {"name": "people_pkey", "kind": "p", "relation": 1, "columns": [1], "referenced_relation": 0,
                "referenced_columns": null},
            {"name": "people_boss", "kind": "f", "relation": 1, "columns": [3], "referenced_relation": 1,
                "referenced_columns": [1]},
        ],
        [{"id": 2, "tree": "({QUERY :targetList ({TARGETENTRY :resno 1 :resorigtbl 1 :resorigcol 1 :resjunk false})})"}],
    ]);
    let (schemas, relations, types, functions, constraints, views) = serde_json::from_value(parts).unwrap();
    let found = Found { schemas, relations, types, functions, constraints, views };
    Database::new(found, Budget::new(1 << 20, wanted)).unwrap()
}

#[test]
fn typescript_tells_of_rows_changes_relationships_and_calls() {
    let settings = typescript::Settings { one_to_one: true, postgrest_version: Some("13".to_owned()) };
    let written = typescript::write(&database(&Wanted::default()), &settings);
    for part in [
        "    PostgrestVersion: \"13\"\n  }\n  app: {\n    Tables: {\n      people: {\n        Row: {\n          \
         \"boss-id\": number | null\n          id: number\n          mood: Database[\"app\"][\"Enums\"][\"mood\"] | \
         null\n        }\n        Insert: {\n          \"boss-id\"?: number | null\n          id?: never\n",
        "            foreignKeyName: \"people_boss\"\n            columns: [\"boss-id\"]\n            isOneToOne: \
         false\n            referencedRelation: \"bosses\"\n            referencedColumns: [\"id\"]\n          },\n",
        "      bosses: {\n        Row: {\n          id: number | null\n        }\n        Relationships: []\n",
        "      mood: \"sad\" | 'it\\'s \"fine\"'\n",
        "            } & \"Could not choose the best candidate function between: app.twice(a => int4), app.twice(a => \
         text). Try",
        "export const Constants = {\n  app: {\n    Enums: {\n      mood: [\"sad\", 'it\\'s \"fine\"'],\n    },\n  },\n} \
         as const\n",
    ] {
        assert!(written.contains(part), "{part}\nis not in\n{written}");
    }
}

#[test]
fn go_aligns_its_fields() {
    let written = go::write(&database(&Wanted::default()));
    let insert = "type AppPeopleInsert struct {\n  BossId *int64  `json:\"boss-id\"`\n  Id     *int64  \
                  `json:\"id\"`\n  Mood   *string `json:\"mood\"`\n}";
    assert!(written.starts_with("package database\n\n") && written.contains(insert), "{written}");
}

#[test]
fn swift_and_python_name_their_fields() {
    let written = swift::write(&database(&Wanted::default()), "public");
    assert!(written.contains("    public let bossId: Int64?\n    public let id: Int64\n"), "{written}");
    assert!(written.contains("    case itSFine = \"it's \\\"fine\\\"\"\n"), "{written}");
    let written = python::write(&database(&Wanted::default()));
    let insert = "class AppPeopleInsert(TypedDict):\n    boss_id: NotRequired[Annotated[Optional[int], \
                  Field(alias=\"boss-id\")]]\n";
    assert!(written.contains(insert), "{written}");
    assert!(written.contains("AppMood: TypeAlias = Literal[\"sad\", \"it's \\\"fine\\\"\"]"), "{written}");
}
