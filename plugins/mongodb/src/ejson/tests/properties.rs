use super::{arbitrary::any_document, *};
use proptest::{collection::vec, prelude::*, sample::Index};

proptest! {
    #[test]
    fn any_document_survives_both_forms(document in any_document()) {
        let mut raw = RawDocumentBuf::try_from(&document).unwrap();
        for form in [Form::Relaxed, Form::Canonical] {
            let json = write_bytes(raw.as_bytes(), form).unwrap();
            // `IgnoredAny` checks the grammar; a `serde_json::Value` would not take every number.
            serde_json::from_str::<serde::de::IgnoredAny>(&json).unwrap();
            let read = RawDocumentBuf::try_from(&parse_document(&json, "document").unwrap()).unwrap();
            prop_assert_eq!(read.as_bytes(), raw.as_bytes(), "{}", json);
            raw = read;
        }
    }

    #[test]
    fn relaxed_numbers_mean_the_same_in_javascript(number in any::<i64>()) {
        let json = write(&Bson::Int64(number), Form::Relaxed);
        if let Ok(double) = json.parse::<f64>() {
            prop_assert_eq!(double as i128, i128::from(number));
        }
    }

    #[test]
    fn dates_are_written_as_they_are_read(milliseconds in 0..253_402_300_800_000_i64) {
        let json = write(&Bson::DateTime(bson::DateTime::from_millis(milliseconds)), Form::Relaxed);
        prop_assert_eq!(json.len(), if milliseconds % 1000 == 0 { 32 } else { 36 });
        prop_assert_eq!(read(&json), Bson::DateTime(bson::DateTime::from_millis(milliseconds)));
    }

    #[test]
    fn bits_of_decimals_have_a_text_that_stays(bits in any::<[u8; 16]>()) {
        let first = write(&Bson::Decimal128(bson::Decimal128::from_bytes(bits)), Form::Canonical);
        prop_assert_eq!(write(&read(&first), Form::Canonical), first);
    }

    #[test]
    fn arbitrary_text_is_a_value_or_an_error(text in any::<String>()) {
        let _ = parse_value(&text, "value");
    }

    #[test]
    fn text_made_of_json_and_types_keys_is_a_value_or_an_error(
        tokens in vec(
            prop_oneof![
                Just("{"), Just("}"), Just("["), Just("]"), Just(","), Just(":"), Just("1"), Just("-0"), Just("1.5e3"),
                Just("\"\""), Just("\"$oid\""), Just("\"$date\":"), Just("\"$code\":"), Just("\"$scope\":"), Just("{\"$binary\":"),
                Just("{\"$timestamp\":"), Just("{\"$numberDecimal\":\""), Just("\"}"), Just("null"), Just("true"),
            ],
            0..12,
        ),
    ) {
        if let Ok(value) = parse_value(&tokens.concat(), "value") {
            prop_assert_eq!(bytes(&read(&write(&value, Form::Relaxed))), bytes(&value));
        }
    }

    #[test]
    fn damaged_bson_is_written_or_an_error(
        document in any_document(),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
        form in prop_oneof![Just(Form::Relaxed), Just(Form::Canonical)],
    ) {
        let mut damaged = RawDocumentBuf::try_from(&document).unwrap().into_bytes();
        for (index, byte) in damage {
            let index = index.index(damaged.len());
            damaged[index] = byte;
        }
        if RawDocument::from_bytes(&damaged).is_ok()
            && let Ok(json) = write_bytes(&damaged, form)
        {
            serde_json::from_str::<serde::de::IgnoredAny>(&json).unwrap();
        }
    }
}
