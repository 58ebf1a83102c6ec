//! What our gateway does on purpose otherwise than the real postgres-meta.

use serde_json::json;
use studio_gateway_tests::differential::{Accepted, Twins};

/// What postgres-meta fails to do, or overlooks.
const BEYOND: &[Accepted] = &[
    Accepted {
        request: "POST /functions",
        place: "",
        reason: "a function whose arguments have defaults or are `out` is answered; postgres-meta makes it, and then does \
                 not find it by the arguments' texts",
    },
    Accepted {
        request: "PATCH /functions",
        place: "",
        reason: "a function with a setting that has a unit can be changed; postgres-meta writes it without quotes",
    },
    Accepted {
        request: "DELETE /functions",
        place: "",
        reason: "`cascade=true` is heeded for functions too",
    },
    Accepted {
        request: "POST /policies",
        place: "",
        reason: "no roles are everyone, as in PostgreSQL's own statement without `TO`; postgres-meta's is a syntax error",
    },
    Accepted {
        request: "POST /table-privileges",
        place: "",
        reason: "a relation that is not there is 404, and nothing granted is nothing to show: postgres-meta's statement has \
                 a hole where the name goes, and its answer lists everything",
    },
    Accepted { request: "POST /column-privileges", place: "", reason: "the same of columns" },
    Accepted {
        request: "GET /foreign-tables/",
        place: "",
        reason: "the foreign table with this id is shown, or there is none; postgres-meta shows the first one of all",
    },
    Accepted {
        request: "GET /config",
        place: ".length",
        reason: "sessions have other names, and settings of extensions show in those that used them",
    },
    Accepted {
        request: "POST /query?statementTimeoutSecs",
        place: "",
        reason: "what is no number is refused before it gets to the database",
    },
    Accepted {
        request: "POST /query",
        place: "",
        reason: "the gateway tells a connection that the server ended (503) from a refused statement, and takes only texts \
                 for queries and lists for parameters",
    },
    Accepted { request: "GET /query", place: "", reason: "a known path with another method is 405" },
];

#[tokio::test]
async fn requests_that_postgres_meta_mishandles_are_done_or_refused() {
    let Some(mut twins) = Twins::on_two_databases(BEYOND).await else { return };
    let function = json!({"name": "made", "definition": "select 1", "return_type": "int4", "args": ["a int4 default 1"]});
    twins.post("/functions", function).await;
    twins
        .patch("/functions/{function:shop.secure_total(int4)}", json!({"definition": "begin return 1; end"}))
        .await;
    twins.delete("/functions/{function:public.on_change()}?cascade=true").await;
    twins.post("/policies", json!({"name": "made", "table": "todos", "roles": []})).await;
    for privilege in
        [json!([]), json!([{"relation_id": 1, "grantee": "rich_group", "privilege_type": "SELECT"}])]
    {
        twins.post("/table-privileges", privilege).await;
    }
    let privilege = json!([{"column_id": "1.1", "grantee": "rich_group", "privilege_type": "SELECT"}]);
    twins.post("/column-privileges", privilege).await;
    for path in ["/foreign-tables/1", "/foreign-tables/{class:shop.log_lines}", "/config", "/query"] {
        twins.get(path).await;
    }
    for body in [
        json!({"query": "select pg_terminate_backend(pg_backend_pid())"}),
        json!({"query": ["select 1"]}),
        json!({"query": "select $1::int", "parameters": 1}),
    ] {
        twins.post("/query", body).await;
    }
    twins.post("/query?statementTimeoutSecs=x", json!({"query": "select 1"})).await;
    twins.finish();
}

#[tokio::test]
async fn what_javascript_does_to_rows_is_not_done_here() {
    let accepted = &[
        Accepted {
            request: "POST /query",
            place: "(order of fields)",
            reason: "an object of JavaScript has names that are numbers first",
        },
        Accepted {
            request: "POST /query",
            place: ".int8",
            reason: "a parameter that is a number beyond 2^53 arrives as it was sent, where JavaScript rounds it",
        },
        Accepted {
            request: "POST /query",
            place: ".json",
            reason: "a parameter that is an object arrives as it was sent, where JavaScript writes it anew",
        },
    ];
    let Some(mut twins) = Twins::on_one_database(accepted).await else { return };
    twins.post("/query", json!({"query": "select 1 as a, 2 as \"0\""})).await;
    twins.post("/query", json!({"query": "select $1::int8", "parameters": [9007199254740993_u64]})).await;
    twins.post("/query", json!({"query": "select $1::text as json", "parameters": [{"a": 1.0}]})).await;
    twins.finish();
}
