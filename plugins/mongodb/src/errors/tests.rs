use super::*;
use bson::doc;

fn server(code: i32, message: &'static str) -> ServerError<'static> {
    ServerError { code, name: None, message, info: None }
}

#[test]
fn duplicate_key_error_names_the_index_for_all_server_versions() {
    for (message, index) in [
        ("E11000 duplicate key error collection: a.b index: email_1 dup key: { email: \"x\" }", "email_1"),
        ("E11000 duplicate key error index: a.b.$email_1 dup key: { : \"x\" }", "email_1"),
        ("E11000 duplicate key error collection: a.b index: two words dup key: { w: 1 }", "two words"),
        (
            "E11000 duplicate key error collection: a.b index: n_1 collation: { locale: \"en\" } dup key: { n: 1 }",
            "n_1",
        ),
    ] {
        let error = server(11000, message).into_error();
        assert_eq!(error.code, ErrorCode::Conflict);
        assert_eq!(error.details["index"], index, "{message}");
        assert_eq!(error.details["code"], "DuplicateKey");
    }
    assert!(!server(11000, "of another form").into_error().details.contains_key("index"));
}

#[test]
fn codes_of_the_server_become_those_of_the_contract() {
    for (code, expected, reason) in [
        (13, ErrorCode::Forbidden, None),
        (18, ErrorCode::ConnectionError, Some("authentication_failed")),
        (26, ErrorCode::NotFound, None),
        (48, ErrorCode::Conflict, None),
        (50, ErrorCode::Timeout, None),
        (91, ErrorCode::ConnectionError, Some("unavailable")),
        (189, ErrorCode::ConnectionError, Some("unavailable")),
        (10107, ErrorCode::ConnectionError, Some("not_primary")),
        (10334, ErrorCode::PayloadTooLarge, None),
        (17419, ErrorCode::PayloadTooLarge, None),
        (2, ErrorCode::QueryError, None),
    ] {
        let error = server(code, "in the server's words").into_error();
        assert_eq!(error.code, expected, "{code}");
        assert_eq!(error.details.get("reason").and_then(Value::as_str), reason, "{code}");
        assert_eq!(error.details["code_number"], code);
        assert_eq!(error.message, "in the server's words");
    }
}

#[test]
fn bare_error_numbers_are_told_by_the_servers_names() {
    let named = |code| server(code, "").into_error().details["code"].clone();
    assert_eq!((named(66), named(121)), ("ImmutableField".into(), "DocumentValidationFailure".into()));
    assert_eq!((named(51_091), named(999)), ("Location51091".into(), "999".into()));
}

#[test]
fn a_validator_says_why() {
    let info = doc! { "failingDocumentId": 7_i64, "details": { "operatorName": "$jsonSchema" } };
    let error =
        ServerError { info: info_of(&info), ..server(121, "Document failed validation") }.into_error();
    assert_eq!(error.code, ErrorCode::QueryError);
    assert_eq!(error.details["info"]["details"]["operatorName"], "$jsonSchema");
}

#[test]
fn a_write_is_open_after_a_broken_but_not_a_refused_connection() {
    let outcome = |kind: io::ErrorKind| {
        let error = Error::from(io::Error::from(kind));
        of_write(&error, from_client(&error)).details.get("outcome").cloned()
    };
    assert_eq!(outcome(io::ErrorKind::ConnectionReset), Some("unknown".into()));
    assert_eq!(outcome(io::ErrorKind::UnexpectedEof), Some("unknown".into()));
    assert_eq!(outcome(io::ErrorKind::TimedOut), Some("unknown".into()));
    assert_eq!(outcome(io::ErrorKind::ConnectionRefused), None);
}

#[test]
fn an_interrupted_write_is_open_and_a_refused_write_is_not() {
    let outcome = |code: i32| {
        let command: mongodb::error::CommandError =
            bson::deserialize_from_document(doc! { "code": code, "codeName": "", "errmsg": "" }).unwrap();
        let error = Error::from(ErrorKind::Command(command));
        of_write(&error, from_client(&error)).details.get("outcome").cloned()
    };
    for code in [50, 91, 189, 262, 279, 10107, 11600, 11601, 11602] {
        assert_eq!(outcome(code), Some("unknown".into()), "{code}");
    }
    for code in [2, 13, 26, 48, 121, 11000] {
        assert_eq!(outcome(code), None, "{code}");
    }
}
