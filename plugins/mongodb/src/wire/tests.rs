use super::*;
use bson::{Binary, Bson, Document, JavaScriptCodeWithScope, doc, spec::BinarySubtype};
use proptest::prelude::*;

/// A message around the bytes of a document.
fn message(document: &[u8]) -> Vec<u8> {
    frame(OP_MSG, 0, document, &[])
}

fn frame(operation: u32, flags: u32, document: &[u8], after: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEAD + document.len() + after.len()).unwrap();
    let numbers = [length, 1, 2, operation, flags].map(u32::to_le_bytes).concat();
    [&numbers[..], &[0], document, after].concat()
}

fn bytes(document: &Document) -> Vec<u8> {
    document.to_vec().unwrap()
}

fn check(bytes: &[u8]) -> Result<Passed, Breach> {
    let mut filter = Filter::default();
    let passed = filter.check(bytes)?;
    assert!(filter.is_between_messages(), "the message is not over");
    Ok(passed)
}

/// So many documents inside each other, by hand.
fn nested(levels: usize, kind: u8) -> Vec<u8> {
    let mut document = Vec::new();
    for level in (1..levels).rev() {
        document.extend(u32::try_from(5 + 8 * level).unwrap().to_le_bytes());
        document.extend([kind, b'a', 0]);
    }
    document.extend([5, 0, 0, 0]);
    document.extend(vec![0; levels]);
    document
}

#[test]
fn what_servers_send_passes_whole_and_in_pieces() {
    let hello = doc! {
        "helloOk": true, "isWritablePrimary": true, "hosts": ["a:1", "b:2"], "maxBsonObjectSize": 16 << 20,
        "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000_i64, "logicalSessionTimeoutMinutes": 30,
        "$clusterTime": { "clusterTime": bson::Timestamp { time: 1, increment: 2 }, "signature": { "keyId": 1_i64 } },
    };
    let code = JavaScriptCodeWithScope { code: "f()".to_owned(), scope: doc! { "x": { "y": [1] } } };
    let last = doc! { "a": code.clone() };
    let all = [
        hello,
        doc! { "cursor": { "firstBatch": [{ "a": code }], "id": 0_i64, "ns": "a.b" }, "ok": 1 },
        last,
    ];
    let stream: Vec<u8> = all.iter().flat_map(|document| message(&bytes(document))).collect();
    assert_eq!(check(&stream), Ok(Passed::Data));
    for size in 1..40 {
        let mut filter = Filter::default();
        for piece in stream.chunks(size) {
            assert_eq!(filter.check(piece), Ok(Passed::Data), "in pieces of {size}");
        }
        assert!(filter.is_between_messages());
    }
    assert_eq!(
        check(&frame(OP_MSG, CHECKSUM_PRESENT | 1 << 16, &bytes(&doc! { "ok": 1 }), &[1; 4])),
        Ok(Passed::Data)
    );
}

#[test]
fn a_document_may_have_200_levels_of_any_kind() {
    for kind in [3, 4] {
        assert_eq!(check(&message(&nested(200, kind))), Ok(Passed::Data));
        for levels in [201, 60_000] {
            assert!(Filter::default().check(&message(&nested(levels, kind))).is_err(), "{levels}");
        }
    }
    // Code with its scope inside of itself.
    let code = |inner: Document| JavaScriptCodeWithScope { code: String::new(), scope: inner };
    let scopes = |levels| (0..levels).fold(doc! {}, |inner, _| doc! { "a": code(inner) });
    assert_eq!(check(&message(&bytes(&scopes(99)))), Ok(Passed::Data));
    assert!(Filter::default().check(&message(&bytes(&scopes(100)))).is_err());
}

#[test]
fn frames_that_nobody_asked_for_are_refused() {
    let ok = bytes(&doc! { "ok": 1 });
    for operation in [1, 2012, 2004, 0, u32::MAX] {
        assert!(check(&frame(operation, 0, &ok, &[])).is_err(), "{operation}");
    }
    for flags in [2, 4, 0x8000] {
        assert!(check(&frame(OP_MSG, flags, &ok, &[])).is_err(), "{flags}");
    }
    // Another document after the first, and a message that ends before or after its document.
    assert!(Filter::default().check(&frame(OP_MSG, 0, &ok, &[0, 5, 0, 0, 0, 0])).is_err());
    for length in [0_u32, 20, 21, 25, MAX_MESSAGE + 1, 0x7fff_ffff, u32::MAX] {
        let mut message = message(&ok);
        message[..4].copy_from_slice(&length.to_le_bytes());
        assert!(Filter::default().check(&message).is_err(), "{length}");
    }
    let mut sequence = message(&ok);
    sequence[20] = 1;
    assert!(check(&sequence).is_err());
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let document = doc! { "s": "text", "b": Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 2, 0x20] }, "d": { "a": [1] } };
    let whole = bytes(&document);
    // The lengths of the whole, of the string, the binary, the document and the array.
    for at in [0, 7, 19, 32, 39] {
        let length = i32::from_le_bytes(whole[at..at + 4].try_into().unwrap());
        for wrong in [length - 1, length + 1, 0, -1, i32::MAX, i32::MIN] {
            // The next byte is a zero that a string may as well end by.
            if (at, wrong) == (7, length - 1) {
                continue;
            }
            let mut odd = whole.clone();
            odd[at..at + 4].copy_from_slice(&wrong.to_le_bytes());
            assert!(check(&message(&odd)).is_err(), "{wrong} at {at}");
        }
    }
    let mut unknown = whole;
    unknown[4] = 0x20;
    assert!(check(&message(&unknown)).is_err());
}

#[test]
fn values_are_counted_in_batches_and_out_of_them() {
    let array = |count: usize| {
        let items: Vec<u8> = [0x0a, 0].repeat(count);
        let length = u32::try_from(items.len() + 5).unwrap().to_le_bytes();
        [&length[..], &items, &[0]].concat()
    };
    let around = |name: &[u8], kind: u8, inner: &[u8]| {
        let length = u32::try_from(inner.len() + name.len() + 7).unwrap().to_le_bytes();
        [&length[..], &[kind], name, &[0], inner, &[0]].concat()
    };
    let told = |count| check(&message(&around(b"x", 4, &array(count))));
    assert_eq!(told(499_999), Ok(Passed::Data));
    assert!(Filter::default().check(&message(&around(b"x", 4, &array(500_000)))).is_err());
    let batch = |count| around(b"cursor", 3, &around(b"nextBatch", 4, &array(count)));
    assert_eq!(check(&message(&batch(6_000_000))), Ok(Passed::Data));
    assert!(Filter::default().check(&message(&batch(6_000_001))).is_err());
    let members = |count| check(&message(&around(b"hosts", 4, &array(count))));
    assert_eq!(members(64), Ok(Passed::Data));
    assert!(Filter::default().check(&message(&around(b"arbiters", 4, &array(65)))).is_err());
}

#[test]
fn what_the_client_library_keeps_or_computes_with_is_bounded() {
    let big = "x".repeat(70 << 10);
    for odd in [
        doc! { "maxWriteBatchSize": 0 },
        doc! { "maxWriteBatchSize": -1_i64 },
        doc! { "maxMessageSizeBytes": i64::MAX },
        doc! { "maxBsonObjectSize": -1 },
        doc! { "logicalSessionTimeoutMinutes": i64::MAX },
        doc! { "logicalSessionTimeoutMinutes": -1 },
        doc! { "maxBsonObjectSize": 1, "x": &big },
        doc! { "$clusterTime": { "signature": &big } },
    ] {
        assert!(
            Filter::default().check(&message(&bytes(&odd))).is_err(),
            "{:?}",
            odd.keys().collect::<Vec<_>>()
        );
    }
    for fine in [
        doc! { "cursor": { "firstBatch": [{ "maxWriteBatchSize": -1, "$clusterTime": &big, "hosts": vec![1; 100] }] } },
        doc! { "logicalSessionTimeoutMinutes": 0, "told": { "maxBsonObjectSize": -1 }, "x": &big },
    ] {
        assert_eq!(check(&message(&bytes(&fine))), Ok(Passed::Data));
    }
}

#[test]
fn challenges_of_logins_are_seen_where_they_stand() {
    let payload = |rounds: &str| {
        let text = format!("r={},s=c2FsdA==,i={rounds}", "n".repeat(48));
        Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: text.into_bytes() })
    };
    let login = |rounds| doc! { "conversationId": 1, "done": false, "payload": payload(rounds), "ok": 1 };
    for at_once in [false, true] {
        let place = |rounds| {
            if at_once {
                doc! { "speculativeAuthenticate": login(rounds), "ok": 1 }
            } else {
                login(rounds)
            }
        };
        let stream = message(&bytes(&place("15000")));
        assert_eq!(check(&stream), Ok(Passed::Challenge));
        let (first, last) = stream.split_at(stream.len() - 1);
        let mut filter = Filter::default();
        assert_eq!((filter.check(first), filter.check(last)), (Ok(Passed::Data), Ok(Passed::Challenge)));
        assert!(Filter::default().check(&message(&bytes(&place("4294967295")))).is_err());
    }
    let data = doc! { "cursor": { "firstBatch": [login("4294967295")] } };
    assert_eq!(check(&message(&bytes(&data))), Ok(Passed::Data));
    let long = Binary { subtype: BinarySubtype::Generic, bytes: vec![0; 5000] };
    assert!(Filter::default().check(&message(&bytes(&doc! { "payload": long }))).is_err());
}

proptest! {
    #[test]
    fn any_document_passes_however_it_is_cut(value in crate::ejson::any_value(), size in 1..64_usize) {
        let stream = message(&bytes(&doc! { "a": value.clone(), "cursor": { "firstBatch": [value] } }));
        let mut filter = Filter::default();
        for piece in stream.chunks(size) {
            prop_assert_eq!(filter.check(piece), Ok(Passed::Data));
        }
        prop_assert!(filter.is_between_messages());
    }

    /// What passes is what `bson` reads without an error that is about lengths or levels, and never a panic.
    #[test]
    fn damaged_documents_end_in_a_breach_or_in_bson(value in crate::ejson::any_value(), at: prop::sample::Index, byte: u8) {
        let mut document = bytes(&doc! { "a": value });
        let at = at.index(document.len());
        document[at] = byte;
        if check_whole(&message(&document)) {
            let raw = bson::RawDocument::from_bytes(&document);
            prop_assert!(raw.is_ok(), "{:?}", raw);
        }
    }

    #[test]
    fn noise_is_never_more_than_refused(noise: Vec<u8>) {
        let _ = Filter::default().check(&noise);
        let _ = Filter::default().check(&message(&noise));
    }
}

fn check_whole(bytes: &[u8]) -> bool {
    let mut filter = Filter::default();
    filter.check(bytes).is_ok() && filter.is_between_messages()
}
