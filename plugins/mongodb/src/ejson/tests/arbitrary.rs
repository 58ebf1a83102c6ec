//! Random BSON of every type. The end-to-end tests have this file as a module too: it names nothing of the driver's.

use bson::{
    Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, RawBson, Regex, Timestamp,
    oid::ObjectId,
};
use proptest::{collection::vec, prelude::*};

pub(crate) fn any_value() -> BoxedStrategy<Bson> {
    scalar()
        .prop_recursive(6, 60, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Bson::Array),
                fields(inner.clone()).prop_map(Bson::Document),
                (text(), fields(inner)).prop_map(|(code, scope)| {
                    Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope })
                }),
            ]
        })
        .boxed()
}

pub(crate) fn any_document() -> BoxedStrategy<Document> {
    fields(any_value()).boxed()
}

fn fields(values: impl Strategy<Value = Bson>) -> impl Strategy<Value = Document> {
    vec((name(), values), 0..6).prop_map(Document::from_iter)
}

/// Any name, with those that mean a type in Extended JSON; but none of a DBRef's, whose fields SecantusDB reorders.
fn name() -> impl Strategy<Value = String> {
    const FIXED: &[&str] =
        &["$set", "$", "$$", "$a.$b", "$oid.x", "$Oid", "$numberint", "base64", "subType", "_id"];
    const KEYS: &[&str] = &[
        "$oid",
        "$numberInt",
        "$numberLong",
        "$date",
        "$binary",
        "$uuid",
        "$code",
        "$scope",
        "$symbol",
        "$timestamp",
        "$regularExpression",
        "$dbPointer",
        "$minKey",
        "$maxKey",
        "$undefined",
        "$numberDouble",
        "$numberDecimal",
        "$document",
        "$inexact",
    ];
    let open = prop_oneof![text(), "[a-z$.]{0,6}"].prop_map(|name| name.replace('\0', ""));
    prop_oneof![
        6 => open,
        2 => proptest::sample::select(FIXED).prop_map(str::to_owned),
        1 => proptest::sample::select(KEYS).prop_map(str::to_owned),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\\x00-\\x7f]{0,9}", Just("\u{2028}\"\\\u{0}😀".to_owned())]
}

fn scalar() -> impl Strategy<Value = Bson> {
    prop_oneof![
        text().prop_map(Bson::String),
        prop_oneof![
            any::<f64>(),
            any::<i32>().prop_map(f64::from),
            Just(f64::NAN),
            Just(-0.0),
            Just(f64::INFINITY)
        ]
        .prop_map(|number| Bson::Double(if number.is_nan() { f64::NAN } else { number })),
        any::<i32>().prop_map(Bson::Int32),
        prop_oneof![any::<i64>(), any::<i32>().prop_map(i64::from), -(1_i64 << 54)..1 << 54]
            .prop_map(Bson::Int64),
        any::<[u8; 16]>().prop_map(|bytes| {
            // By way of text, since bits that are not canonical do not come back.
            Bson::Decimal128(Decimal128::from_bytes(bytes).to_string().parse().unwrap())
        }),
        (any::<i128>(), -6176_i32..6111).prop_map(|(digits, exponent)| {
            Bson::Decimal128(format!("{}E{exponent}", digits % 10_i128.pow(34)).parse().unwrap())
        }),
        prop_oneof![any::<i64>(), 0..253_402_300_800_000_i64]
            .prop_map(|ms| Bson::DateTime(DateTime::from_millis(ms))),
        (any::<u8>(), vec(any::<u8>(), 0..20))
            .prop_map(|(subtype, bytes)| Bson::Binary(Binary { subtype: subtype.into(), bytes })),
        any::<[u8; 12]>().prop_map(|bytes| Bson::ObjectId(ObjectId::from_bytes(bytes))),
        any::<bool>().prop_map(Bson::Boolean),
        (text(), "[a-z]{0,4}").prop_map(|(pattern, options)| {
            let pattern = pattern.replace('\0', "").try_into().unwrap();
            // Through raw BSON and back, so that the options are in order.
            let regex = Bson::RegularExpression(Regex { pattern, options: options.try_into().unwrap() });
            let raw = RawBson::try_from(regex).unwrap();
            Bson::try_from(RawBson::from(raw.as_raw_bson_ref())).unwrap()
        }),
        text().prop_map(Bson::JavaScriptCode),
        text().prop_map(Bson::Symbol),
        any::<(u32, u32)>().prop_map(|(time, increment)| Bson::Timestamp(Timestamp { time, increment })),
        (text(), any::<[u8; 12]>()).prop_map(|(namespace, id)| {
            let id = ObjectId::from_bytes(id).to_hex();
            let json = serde_json::json!({ "$dbPointer": { "$ref": namespace, "$id": { "$oid": id } } });
            Bson::try_from(json).unwrap()
        }),
        Just(Bson::Null),
        Just(Bson::Undefined),
        Just(Bson::MinKey),
        Just(Bson::MaxKey),
    ]
}
