//! Every BSON type on its way through JSON: inserted, read, replaced by the very text that was read, and read again.

use super::bson_documents::any_document;
use bson::{Bson, DateTime, Document, JavaScriptCodeWithScope, RawDocumentBuf, Regex, doc};
use proptest::{
    collection::vec,
    test_runner::{Config, TestRunner},
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use studio_gateway_tests::{MongoWorld, mongo_world::send_text};

/// A value as it may be sent, its canonical form, and its relaxed one. `""`: the same as the one before. Not among them is
/// what SecantusDB does not keep as it is: undefined, symbols, DBPointers, dates beyond the years 1 to 9999. The driver's
/// own tests have them.
const VALUES: [(&str, &str, &str); 96] = [
    // double
    ("1.0", r#"{"$numberDouble":"1.0"}"#, "1.0"),
    ("5e0", r#"{"$numberDouble":"5.0"}"#, "5.0"),
    ("-0.0", r#"{"$numberDouble":"-0.0"}"#, "-0.0"),
    (r#"{"$numberDouble":"-0"}"#, r#"{"$numberDouble":"-0.0"}"#, "-0.0"),
    ("0.1", r#"{"$numberDouble":"0.1"}"#, "0.1"),
    ("5e-324", r#"{"$numberDouble":"5e-324"}"#, "5e-324"),
    ("1.7976931348623157e308", r#"{"$numberDouble":"1.7976931348623157e+308"}"#, "1.7976931348623157e+308"),
    ("9223372036854775808", r#"{"$numberDouble":"9.223372036854776e+18"}"#, "9.223372036854776e+18"),
    (r#"{"$numberDouble":"42"}"#, r#"{"$numberDouble":"42.0"}"#, "42.0"),
    (r#"{"$numberDouble":"NaN"}"#, "", ""),
    (r#"{"$numberDouble":"Infinity"}"#, "", ""),
    (r#"{"$numberDouble":"-Infinity"}"#, "", ""),
    // string
    (r#""""#, "", ""),
    (r#""text""#, "", ""),
    (r#""$where""#, "", ""),
    (r#""\u00df\u2192\ud83d\ude00""#, "\"ß→😀\"", ""),
    (r#""a\u0000b\n\"\\\/""#, r#""a\u0000b\n\"\\/""#, ""),
    ("\"\u{2028}\u{7f}\"", "", ""),
    (r#""5f0001a910ff070809abcdef""#, "", ""),
    (r#""2026-11-05T12:30:00Z""#, "", ""),
    // document
    ("{}", "", ""),
    (r#"{ "z" : true , "a" : null }"#, r#"{"z":true,"a":null}"#, ""),
    (r#"{"":1}"#, r#"{"":{"$numberInt":"1"}}"#, r#"{"":1}"#),
    (r#"{"a.b":true,"c d":"","10":[],"2":{}}"#, "", ""),
    (r#"{"ß🎉":{"\u0001":true}}"#, "", ""),
    (r#"{"$set":{"a":true},"a$":true,"$$":[]}"#, "", ""),
    (r#"{"base64":"","subType":"00"}"#, "", ""),
    (r#"{"$numberint":"1"}"#, "", ""),
    // DBRef
    (r#"{"$ref":"c","$id":{"$oid":"5f0001a910ff070809abcdef"},"$db":"d"}"#, "", ""),
    // array
    ("[]", "", ""),
    ("[[],[[]],[{}]]", "", ""),
    ("[1,1.0,true,null]", r#"[{"$numberInt":"1"},{"$numberDouble":"1.0"},true,null]"#, "[1,1.0,true,null]"),
    // binary
    (r#"{"$binary":{"base64":"","subType":"00"}}"#, "", ""),
    (r#"{"$binary":{"subType":"0","base64":"//79"}}"#, r#"{"$binary":{"base64":"//79","subType":"00"}}"#, ""),
    (r#"{"$binary":{"base64":"YWJj","subType":"01"}}"#, "", ""),
    (r#"{"$binary":{"base64":"YWJj","subType":"02"}}"#, "", ""),
    (r#"{"$binary":{"base64":"AwMDAwMDAwMDAwMDAwMDAw==","subType":"03"}}"#, "", ""),
    (
        r#"{"$uuid":"c8edabc3-f738-4ca3-b68d-ab92a91478a3"}"#,
        r#"{"$binary":{"base64":"yO2rw/c4TKO2jauSqRR4ow==","subType":"04"}}"#,
        "",
    ),
    (
        r#"{"$binary":{"base64":"yO2rw/c4TKO2jauSqRR4ow==","subType":"5"}}"#,
        r#"{"$binary":{"base64":"yO2rw/c4TKO2jauSqRR4ow==","subType":"05"}}"#,
        "",
    ),
    (r#"{"$binary":{"base64":"AQ==","subType":"06"}}"#, "", ""),
    (r#"{"$binary":{"base64":"AQ==","subType":"07"}}"#, "", ""),
    (r#"{"$binary":{"base64":"AQ==","subType":"08"}}"#, "", ""),
    (r#"{"$binary":{"base64":"JwAAAIA/","subType":"09"}}"#, "", ""),
    (r#"{"$binary":{"base64":"AQ==","subType":"80"}}"#, "", ""),
    (
        r#"{"$binary":{"base64":"AQ==","subType":"FF"}}"#,
        r#"{"$binary":{"base64":"AQ==","subType":"ff"}}"#,
        "",
    ),
    // ObjectId
    (r#"{"$oid":"5F0001A910FF070809ABCDEF"}"#, r#"{"$oid":"5f0001a910ff070809abcdef"}"#, ""),
    (r#"{"$oid":"000000000000000000000000"}"#, "", ""),
    (r#"{"$oid":"ffffffffffffffffffffffff"}"#, "", ""),
    // boolean, null
    ("true", "", ""),
    ("false", "", ""),
    ("null", "", ""),
    // date
    (
        r#"{"$date":"1970-01-01T00:00:00Z"}"#,
        r#"{"$date":{"$numberLong":"0"}}"#,
        r#"{"$date":"1970-01-01T00:00:00Z"}"#,
    ),
    (
        r#"{"$date":"2026-11-05T13:30:00.250+01:00"}"#,
        r#"{"$date":{"$numberLong":"1793881800250"}}"#,
        r#"{"$date":"2026-11-05T12:30:00.250Z"}"#,
    ),
    (
        r#"{"$date":1793881800000}"#,
        r#"{"$date":{"$numberLong":"1793881800000"}}"#,
        r#"{"$date":"2026-11-05T12:30:00Z"}"#,
    ),
    (r#"{"$date":{"$numberLong":"253402300799999"}}"#, "", r#"{"$date":"9999-12-31T23:59:59.999Z"}"#),
    (r#"{"$date":"1969-12-31T23:59:59.999Z"}"#, r#"{"$date":{"$numberLong":"-1"}}"#, ""),
    // regular expression
    (r#"{"$regularExpression":{"pattern":"","options":""}}"#, "", ""),
    (r#"{"$regularExpression":{"pattern":"^a\\/b\"","options":"imx"}}"#, "", ""),
    (
        r#"{"$regularExpression":{"options":"xim","pattern":"é"}}"#,
        r#"{"$regularExpression":{"pattern":"é","options":"imx"}}"#,
        "",
    ),
    // code
    (r#"{"$code":""}"#, "", ""),
    (r#"{"$code":"function() { return \"ß\"; }"}"#, "", ""),
    (r#"{"$code":"f()","$scope":{}}"#, "", ""),
    (
        r#"{"$scope":{"x":1},"$code":"f(x)"}"#,
        r#"{"$code":"f(x)","$scope":{"x":{"$numberInt":"1"}}}"#,
        r#"{"$code":"f(x)","$scope":{"x":1}}"#,
    ),
    // int32
    ("0", r#"{"$numberInt":"0"}"#, "0"),
    ("-0", r#"{"$numberDouble":"-0.0"}"#, "-0.0"),
    ("-1", r#"{"$numberInt":"-1"}"#, "-1"),
    ("2147483647", r#"{"$numberInt":"2147483647"}"#, "2147483647"),
    (r#"{"$numberInt":"-2147483648"}"#, "", "-2147483648"),
    (r#"{"$numberInt":"007"}"#, r#"{"$numberInt":"7"}"#, "7"),
    // timestamp
    (r#"{"$timestamp":{"i":42,"t":123456789}}"#, r#"{"$timestamp":{"t":123456789,"i":42}}"#, ""),
    (r#"{"$timestamp":{"t":4294967295,"i":4294967295}}"#, "", ""),
    (r#"{"$timestamp":{"t":1,"i":0}}"#, "", ""),
    // int64
    (r#"{"$numberLong":"0"}"#, "", ""),
    (r#"{"$numberLong":"-1"}"#, "", ""),
    (r#"{"$numberLong":"2147483647"}"#, "", ""),
    ("2147483648", r#"{"$numberLong":"2147483648"}"#, "2147483648"),
    ("-2147483649", r#"{"$numberLong":"-2147483649"}"#, "-2147483649"),
    ("9007199254740991", r#"{"$numberLong":"9007199254740991"}"#, "9007199254740991"),
    ("9007199254740993", r#"{"$numberLong":"9007199254740993"}"#, ""),
    (r#"{"$numberLong":"9223372036854775807"}"#, "", ""),
    (r#"{"$numberLong":"-9223372036854775808"}"#, "", ""),
    // decimal128
    (r#"{"$numberDecimal":"0"}"#, "", ""),
    (r#"{"$numberDecimal":"-0"}"#, "", ""),
    (r#"{"$numberDecimal":"1.10"}"#, "", ""),
    (r#"{"$numberDecimal":"110e-2"}"#, r#"{"$numberDecimal":"1.10"}"#, ""),
    (r#"{"$numberDecimal":".5"}"#, r#"{"$numberDecimal":"0.5"}"#, ""),
    (r#"{"$numberDecimal":"-0E+3"}"#, "", ""),
    (r#"{"$numberDecimal":"0.0000001"}"#, r#"{"$numberDecimal":"1E-7"}"#, ""),
    (r#"{"$numberDecimal":"9999999999999999999999999999999999"}"#, "", ""),
    (r#"{"$numberDecimal":"9.999999999999999999999999999999999E+6144"}"#, "", ""),
    (r#"{"$numberDecimal":"1E-6176"}"#, "", ""),
    (r#"{"$numberDecimal":"nan"}"#, r#"{"$numberDecimal":"NaN"}"#, ""),
    (r#"{"$numberDecimal":"inf"}"#, r#"{"$numberDecimal":"Infinity"}"#, ""),
    (r#"{"$numberDecimal":"-Infinity"}"#, "", ""),
    // the keys at both ends
    (r#"{"$minKey":1}"#, "", ""),
    (r#"{"$maxKey":1}"#, "", ""),
];

/// The value, which is that of a document's field `v`, in its three forms.
fn forms((sent, canonical, relaxed): (&'static str, &'static str, &'static str)) -> [&'static str; 3] {
    let canonical = if canonical.is_empty() { sent } else { canonical };
    [sent, canonical, if relaxed.is_empty() { canonical } else { relaxed }]
}

#[tokio::test]
async fn value_of_every_type_survives_insert_read_and_replace() {
    let world = MongoWorld::start().await;
    let (viewer, developer) = (&world.alpha.viewer, &world.alpha.developer);
    let documents = VALUES.iter().enumerate();
    let documents =
        documents.map(|(id, (sent, ..))| format!(r#"{{"_id":{id},"v":{sent}}}"#)).collect::<Vec<_>>();
    let body = format!(r#"{{"documents":[{}]}}"#, documents.join(","));
    send_text(developer, "POST", &world.path("c", "/documents"), body).await.expect(201);
    let stored = world.stored("c").await;
    for (id, value) in VALUES.into_iter().enumerate() {
        let [sent, canonical, relaxed] = forms(value);
        // Another reader of Extended JSON understands what is stored in the same way.
        let independent = serde_json::from_str::<serde_json::Value>(canonical).unwrap();
        let independent = Bson::try_from(independent).unwrap();
        let expected =
            RawDocumentBuf::try_from(&doc! {"_id": i32::try_from(id).unwrap(), "v": independent}).unwrap();
        assert_eq!(stored[id].as_bytes(), expected.as_bytes(), "{sent} is stored as {:?}", stored[id]);
        let path = world.document("c", &format!(r#"{{"$numberInt":"{id}"}}"#));
        for (query, id, value) in [
            ("?ejson=relaxed", id.to_string(), relaxed),
            ("?ejson=canonical", format!(r#"{{"$numberInt":"{id}"}}"#), canonical),
            ("", id.to_string(), relaxed),
        ] {
            let answer = viewer.get(&format!("{path}{query}")).await.expect(200);
            assert_eq!(answer.payload(), format!(r#"{{"_id":{id},"v":{value}}}"#));
            let body = format!(r#"{{"replacement":{}}}"#, answer.payload());
            let replaced = send_text(developer, "PUT", &path, body).await.expect(200).data();
            assert_eq!(replaced["matched_count"], 1);
        }
    }
    let after = world.stored("c").await;
    assert!(after == stored, "replacing by what was read changes nothing");
}

#[tokio::test]
async fn value_of_every_type_is_found_by_itself() {
    let world = MongoWorld::start().await;
    let (viewer, developer) = (&world.alpha.viewer, &world.alpha.developer);
    for value in VALUES {
        let [sent, _, relaxed] = forms(value);
        // These mean something else in a filter: a pattern, an operator.
        if ["$regular", "$set", "$ref"].iter().any(|word| sent.contains(word)) || sent.contains("NaN") {
            continue;
        }
        let body = format!(r#"{{"document":{{"_id":1,"v":{sent}}}}}"#);
        send_text(developer, "POST", &world.path("c", "/documents"), body).await.expect(201);
        let body = format!(r#"{{"filter":{{"v":{{"$eq":{relaxed}}}}}}}"#);
        let found = send_text(viewer, "POST", &world.path("c", "/documents/query"), body).await.expect(200);
        assert_eq!(found.data()["total"], 1, "{sent}");
        developer.delete(&world.path("c", "/documents/1?id_type=int")).await.expect(204);
    }
}

#[tokio::test]
async fn invalid_typed_value_is_refused_by_place_and_not_stored() {
    let world = MongoWorld::start().await;
    for value in [
        r#"{"$numberInt":1}"#,
        r#"{"$numberInt":"2147483648"}"#,
        r#"{"$numberInt":"1.0"}"#,
        r#"{"$numberInt":"1","x":1}"#,
        r#"{"$numberLong":"9223372036854775808"}"#,
        r#"{"$numberLong":""}"#,
        r#"{"$numberDouble":"1e400"}"#,
        r#"{"$numberDouble":"one"}"#,
        r#"{"$numberDecimal":"1.00000000000000000000000000000000001"}"#,
        r#"{"$numberDecimal":""}"#,
        r#"{"$oid":"5f0001a910ff070809abcde"}"#,
        r#"{"$oid":"5f0001a910ff070809abcdeg"}"#,
        r#"{"$date":"2026-11-05"}"#,
        r#"{"$date":"2026-13-05T00:00:00Z"}"#,
        r#"{"$date":1.5}"#,
        r#"{"$binary":{"base64":"YQ","subType":"00"}}"#,
        r#"{"$binary":{"base64":"YQ==","subType":"100"}}"#,
        r#"{"$binary":{"base64":"YQ=="}}"#,
        r#"{"$binary":"YQ=="}"#,
        r#"{"$uuid":"c8edabc3"}"#,
        r#"{"$regularExpression":{"pattern":"a"}}"#,
        r#"{"$regularExpression":{"pattern":"a\u0000b","options":""}}"#,
        r#"{"$timestamp":{"t":-1,"i":0}}"#,
        r#"{"$timestamp":{"t":4294967296,"i":0}}"#,
        r#"{"$code":1}"#,
        r#"{"$code":"f()","$scope":1}"#,
        r#"{"$scope":{}}"#,
        r#"{"$symbol":1}"#,
        r#"{"$dbPointer":{"$ref":"c","$id":1}}"#,
        r#"{"$minKey":2}"#,
        r#"{"$maxKey":true}"#,
        r#"{"$undefined":false}"#,
    ] {
        for (body, field) in [
            (format!(r#"{{"document":{{"v":{value}}}}}"#), "document.v"),
            (format!(r#"{{"documents":[{{}},{{"a":[{{"v":{value}}}]}}]}}"#), "documents[1].a[0].v"),
        ] {
            let answer =
                send_text(&world.alpha.developer, "POST", &world.path("c", "/documents"), body).await;
            answer.refused_field(field);
        }
    }
    assert!(world.stored("c").await.is_empty());
}

/// A page, of which only the documents matter here, as they stand.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    documents: &'a RawValue,
}

const COPIES: [&str; 3] = ["first", "second", "third"];

/// The value without what SecantusDB does not keep: deprecated types, dates beyond the years 1 to 9999, and options of
/// regular expressions that Python has not, or that come twice.
fn tame(value: Bson) -> Bson {
    let tame_all =
        |document: Document| document.into_iter().map(|(name, value)| (name, tame(value))).collect();
    match value {
        Bson::Document(document) => Bson::Document(tame_all(document)),
        Bson::Array(items) => Bson::Array(items.into_iter().map(tame).collect()),
        Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope }) => {
            Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope: tame_all(scope) })
        }
        Bson::DateTime(date) => {
            Bson::DateTime(DateTime::from_millis(date.timestamp_millis() % 62_000_000_000_000))
        }
        Bson::RegularExpression(Regex { pattern, options }) => {
            let options: String =
                "imsx".chars().filter(|option| options.as_str().contains(*option)).collect();
            Bson::RegularExpression(Regex { pattern, options: options.try_into().unwrap() })
        }
        Bson::Symbol(text) => Bson::String(text),
        Bson::Undefined | Bson::DbPointer(_) => Bson::Null,
        other => other,
    }
}

/// Stores documents, reads them in one form and inserts what was read beside them, then so in the other form; replaces
/// the first. All copies must be the same, byte by byte.
async fn check_round_trip(world: &MongoWorld, documents: &[Document]) {
    for collection in COPIES {
        world.collection(collection).drop().await.unwrap();
    }
    let (viewer, developer) = (&world.alpha.viewer, &world.alpha.developer);
    let originals: Vec<RawDocumentBuf> =
        documents.iter().map(|document| RawDocumentBuf::try_from(document).unwrap()).collect();
    world.collection("first").insert_many(&originals).await.unwrap();
    for (from, into, form) in [("first", "second", "relaxed"), ("second", "third", "canonical")] {
        let body = json!({"sort": {"_id": 1}, "limit": 1000, "ejson": form});
        let found = viewer.post(&world.path(from, "/documents/query"), body).await.expect(200);
        let page: Page<'_> = serde_json::from_str(found.payload()).unwrap();
        let body = format!(r#"{{"documents":{}}}"#, page.documents);
        send_text(developer, "POST", &world.path(into, "/documents"), body).await.expect(201);
        let path = world.path(from, "/documents/0?id_type=int");
        let read = viewer.get(&format!("{path}&ejson={form}")).await.expect(200);
        let body = format!(r#"{{"replacement":{}}}"#, read.payload());
        send_text(developer, "PUT", &path, body).await.expect(200);
    }
    for collection in COPIES {
        for (stored, original) in world.stored(collection).await.iter().zip(&originals) {
            assert_eq!(
                stored.as_bytes(),
                original.as_bytes(),
                "{collection}: {stored:?}, but sent was {original:?}"
            );
        }
        assert_eq!(world.stored(collection).await.len(), documents.len());
    }
}

#[test]
fn any_document_survives_the_round_trip() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(MongoWorld::start());
    let config = Config { cases: 16, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&vec(any_document(), 1..40), |documents| {
        let documents: Vec<Document> = documents
            .into_iter()
            .enumerate()
            .map(|(id, document)| {
                // At the top a replacement may have no name that begins with `$`.
                doc! {"_id": i32::try_from(id).unwrap(), "v": tame(document.into())}
            })
            .collect();
        runtime.block_on(check_round_trip(&world, &documents));
        Ok(())
    });
    run.unwrap();
}
