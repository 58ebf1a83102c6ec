use super::*;
use bytes::{BufMut, BytesMut};
use postgres_protocol::message::backend::Message;
use studio_plugin_api::ErrorCode;

const TEXT: u32 = 25;

/// As the server sends it (PostgreSQL's manual, 55.7).
fn message(kind: u8, body: &[u8]) -> Message {
    let mut bytes = BytesMut::new();
    bytes.put_u8(kind);
    bytes.put_u32(u32::try_from(body.len()).unwrap() + 4);
    bytes.put_slice(body);
    Message::parse(&mut bytes).unwrap().unwrap()
}

fn describe(answer: &mut Answer, names: &[&str]) {
    let mut body = BytesMut::new();
    body.put_u16(u16::try_from(names.len()).unwrap());
    for name in names {
        body.put_slice(name.as_bytes());
        body.put_u8(0);
        // No column of a table; a text of any length, as text.
        body.put_u32(0);
        body.put_u16(0);
        body.put_u32(TEXT);
        body.put_i16(-1);
        body.put_i32(-1);
        body.put_u16(0);
    }
    let Message::RowDescription(body) = message(b'T', &body) else { panic!("no description") };
    answer.describe(&body).unwrap();
}

fn take(answer: &mut Answer, values: &[&str]) -> Result<(), DriverError> {
    let mut body = BytesMut::new();
    body.put_u16(u16::try_from(values.len()).unwrap());
    for value in values {
        body.put_u32(u32::try_from(value.len()).unwrap());
        body.put_slice(value.as_bytes());
    }
    let Message::DataRow(body) = message(b'D', &body) else { panic!("no row") };
    answer.take(&body)
}

fn with_lists(limit: u64) -> Answer {
    let list = || Statement::new("");
    Answer::new(&Statement::new("").with_list("keys", list()).with_list("columns", list()), limit)
}

#[test]
fn each_row_has_the_items_that_are_its_own() {
    let mut answer = with_lists(1000);
    describe(&mut answer, &["id", "name"]);
    for values in [["2", "b"], ["1", "a"], ["2", "c"], ["9", "nobody's"]] {
        take(&mut answer, &values).unwrap();
    }
    answer.complete("SELECT 4").unwrap();
    describe(&mut answer, &["id", "id"]);
    take(&mut answer, &["1", "1.1"]).unwrap();
    answer.complete("SELECT 1").unwrap();
    describe(&mut answer, &["id"]);
    for id in ["1", "2", "3"] {
        take(&mut answer, &[id]).unwrap();
    }
    answer.complete("SELECT 3").unwrap();
    answer.complete("COMMIT").unwrap();
    assert_eq!(
        String::from_utf8(answer.into_rows().into_array()).unwrap(),
        r#"[{"id":"1","keys":[{"name":"a"}],"columns":[{"id":"1.1"}]},"#.to_owned()
            + r#"{"id":"2","keys":[{"name":"b"},{"name":"c"}],"columns":[]},"#
            + r#"{"id":"3","keys":[],"columns":[]}]"#
    );
}

#[test]
fn last_value_of_a_name_is_where_the_first_one_was() {
    let mut answer = Answer::new(&Statement::new(""), 1000);
    describe(&mut answer, &["a", "b", "a", "c", "a", "c"]);
    take(&mut answer, &["1", "2", "3", "4", "5", "6"]).unwrap();
    answer.complete("SELECT 1").unwrap();
    assert_eq!(String::from_utf8(answer.into_rows().into_array()).unwrap(), r#"[{"a":"5","b":"2","c":"6"}]"#);
}

#[test]
fn items_count_before_their_row_has_come_and_once() {
    let long = "x".repeat(60);
    let with_one_item = || {
        let mut answer = with_lists(230);
        describe(&mut answer, &["id", "name"]);
        take(&mut answer, &["1", &long]).unwrap();
        answer
    };
    let refused = take(&mut with_one_item(), &["2", &long]).unwrap_err();
    assert_eq!(refused.code, ErrorCode::ResultTooLarge);

    let mut answer = with_one_item();
    answer.complete("SELECT 1").unwrap();
    answer.complete("SELECT 0").unwrap();
    describe(&mut answer, &["id"]);
    take(&mut answer, &["1"]).unwrap();
}

#[test]
fn columns_of_one_name_cost_what_others_do() {
    let names: Vec<String> = (0..65_535).map(|number| format!("c{}", number % 32_768)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let begin = std::time::Instant::now();
    let mut answer = Answer::new(&Statement::new(""), 100 << 20);
    describe(&mut answer, &names);
    for _ in 0..3 {
        take(&mut answer, &names).unwrap();
    }
    // Looked for one by one they take minutes.
    assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
}
