//! Texts of SQL that say nothing, times, parameters and whole bodies that are written otherwise than they might be:
//! `/query` and its kin, asked of the real postgres-meta and of our gateway side by side.

use serde_json::json;
use studio_gateway_tests::differential::{Accepted, Normal, Twins};

const JSON: (&str, &str) = ("content-type", "application/json");
async fn send(twins: &mut Twins, method: &str, path: &str, media_type: &str, body: &str) {
    let header = [("content-type", media_type)];
    let headers = if media_type.is_empty() { &header[..0] } else { &header[..] };
    twins.send(method, path, headers, Some(body), Normal::default().refusals_alike()).await;
}

#[tokio::test]
async fn texts_that_say_nothing_are_answered_as_postgres_meta_does() {
    let accepted = &[];
    let Some(mut twins) = Twins::on_one_database(accepted).await else { return };
    for text in [
        "-- c",
        "-- c\n",
        "/* c */",
        "/* a /* b */ c */",
        ";",
        ";;",
        " ; -- c",
        "-- c\n;",
        " ",
        "\n\t",
        "",
        "-- c\nselect 1 as a",
        "/* c */ select 1 as a; -- d",
        "select 1 as a;;",
        "select 1 as a;\r\n",
        "select 1 as a; -- c",
        "\u{feff}select 1 as a",
    ] {
        twins.post("/query", json!({"query": text})).await;
        let parsed = twins.post("/query/parse", json!({"query": text})).await;
        twins.try_post("/query/format", json!({"query": text})).await;
        if parsed.status == 200 {
            twins.try_post("/query/deparse", json!({"ast": parsed.body})).await;
        }
    }
    twins.finish();
}

#[tokio::test]
async fn what_is_no_text_of_sql_is_answered_as_postgres_meta_does() {
    let accepted = &[Accepted {
        request: "POST /query",
        place: "",
        reason: "a list is no SQL; postgres-meta sends the text that JavaScript makes of it",
    }];
    let Some(mut twins) = Twins::on_one_database(accepted).await else { return };
    for value in
        [json!(null), json!(5), json!(0), json!(true), json!(false), json!({}), json!({"text": "select 1"})]
    {
        for path in ["/query", "/query/parse", "/query/format"] {
            let normal = Normal::default().refusals_alike();
            twins.ask("POST", path, Some(json!({"query": value})), normal).await;
        }
    }
    twins.post("/query", json!({"query": ["select 1"]})).await;
    for surplus in [json!(false), json!(true), json!("x"), json!(null), json!({"a": [1]})] {
        let body = json!({"query": "select 1", "disable_statement_timeout": surplus, "surplus": surplus});
        for path in ["/query", "/query/parse", "/query/format"] {
            twins.try_post(path, body.clone()).await;
        }
    }
    twins.finish();
}

#[tokio::test]
async fn parameters_are_read_as_javascript_does() {
    let accepted = &[];
    let Some(mut twins) = Twins::on_one_database(accepted).await else { return };
    for text in
        ["select $1::text as a", "select $1::int as a", "select 1 as a", "select 1 as a; select 2 as a"]
    {
        for parameters in [
            json!(null),
            json!(false),
            json!(0),
            json!(""),
            json!([]),
            json!({}),
            json!("x"),
            json!(5),
            json!(true),
            json!([1]),
            json!(["1"]),
            json!([1.0]),
            json!([1000.0]),
            json!([1e21]),
            json!([1e-7]),
            json!([-0.0]),
            json!([null]),
            json!([true]),
            json!([[1.0, 2]]),
            json!({"0": 1}),
        ] {
            let body = json!({"query": text, "parameters": parameters});
            twins.ask("POST", "/query", Some(body), Normal::default().refusals_alike()).await;
        }
    }
    twins.finish();
}

#[tokio::test]
async fn times_are_read_as_postgres_meta_does() {
    let accepted = &[];
    let Some(mut twins) = Twins::on_one_database(accepted).await else { return };
    if !twins.are_at_least(14).await {
        return;
    }
    let body = json!({"query": "select current_setting('statement_timeout') as time"});
    let normal = Normal::default().refusals_alike();
    for time in ["", "0", "1", "1.5", "0.5", "1e1", "05", "0x5", "%205", "5%20", "%2B5", "86401", "2147483"] {
        twins.ask("POST", &format!("/query?statementTimeoutSecs={time}"), Some(body.clone()), normal).await;
    }
    for time in ["-1", "x", "null", "NaN", "Infinity", "5s", "1,5", "2147484", "1e30"] {
        twins.refuse("POST", &format!("/query?statementTimeoutSecs={time}"), body.clone()).await;
    }
    for time in
        ["", "0", "5", "1.5", "1e1", "0x5", "%205", "x", "null", "undefined", "NaN", "true", "5s", "86401"]
    {
        twins.ask("POST", &format!("/query?queryTimeoutSecs={time}"), Some(body.clone()), normal).await;
    }
    for times in [
        "statementtimeoutsecs=x",
        "statement_timeout_secs=x",
        "statementTimeoutSecs=5&queryTimeoutSecs=5&key=x",
    ] {
        twins.ask("POST", &format!("/query?{times}"), Some(body.clone()), normal).await;
    }
    twins.finish();
}

#[tokio::test]
async fn bodies_are_read_as_they_are_sent() {
    let accepted = &[];
    let Some(mut twins) = Twins::on_one_database(accepted).await else { return };
    let body = r#"{"query":"select 1 as a"}"#;
    for path in ["/query", "/query/parse", "/query/format"] {
        for media_type in [
            "application/json",
            "application/json; charset=UTF-8",
            "application/json;charset=utf-8",
            "application/json; charset=iso-8859-1",
            "Application/JSON",
            "application/json; x=y; charset=\"utf-8\"",
        ] {
            send(&mut twins, "POST", path, media_type, body).await;
        }
        for body in [format!(" \n{body}\n "), body.replacen('{', "{\"a\":1,\"a\":2,", 1)] {
            send(&mut twins, "POST", path, JSON.1, &body).await;
        }
        for body in [
            "",
            " ",
            "null",
            "[]",
            "\"x\"",
            "5",
            "true",
            "{}",
            "[{}]",
            "{\"query\":",
            "{\"query\":\"select 1\"} x",
        ] {
            send(&mut twins, "POST", path, JSON.1, body).await;
        }
        twins.send("POST", path, &[JSON], None, Normal::default().refusals_alike()).await;
        twins.send("POST", path, &[], None, Normal::default().refusals_alike()).await;
    }
    twins.finish();
}

#[tokio::test]
async fn byte_order_mark_and_duplicate_fields_in_a_body_are_refused() {
    let accepted = &[Accepted {
        request: "POST /query",
        place: "",
        reason: "JSON has no mark of its byte order, and which of two fields of one name is meant is not said",
    }];
    let Some(mut twins) = Twins::on_one_database(accepted).await else { return };
    for body in ["\u{feff}{\"query\":\"select 1\"}", "{\"query\":\"nothing\",\"query\":\"select 1\"}"] {
        send(&mut twins, "POST", "/query", JSON.1, body).await;
    }
    twins.finish();
}

#[tokio::test]
async fn large_texts_are_taken() {
    let Some(mut twins) = Twins::on_one_database(&[]).await else { return };
    for size in [100_000, 1_048_576, 2_900_000] {
        let text = format!("select length('{}') as length", "x".repeat(size));
        twins.post("/query", json!({"query": text})).await;
        twins
            .post("/query", json!({"query": "select length($1) as length", "parameters": ["y".repeat(size)]}))
            .await;
    }
    let text = format!("select length('{}') as length", "x".repeat(100_000));
    twins.post("/query/parse", json!({"query": text})).await;
    twins.finish();
}
