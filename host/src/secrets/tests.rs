use proptest::prelude::*;

use super::*;

const SEALED_FOR: SealedFor<'_> =
    SealedFor { record: "8d5e3c1e-5b0e-4a53-9f63-0d4a8c6c6f10", field: "password" };

fn keyring(current: &str, retired: &str) -> Result<Keyring, KeyError> {
    Keyring::parse(&SecretString::from(current), &SecretString::from(retired))
}

fn hex_key(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

fn some_keyring() -> Keyring {
    keyring(&hex_key(7), "").unwrap()
}

/// Gives `sealed` with one bit of its bytes flipped.
fn with_bit_flipped(sealed: &Sealed, bit: usize) -> Sealed {
    let (key_id, mut bytes) = split(sealed.as_str()).unwrap();
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    format!("v1.{key_id}.{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)).parse().unwrap()
}

#[test]
fn a_key_is_read_from_hex_and_from_every_base64() {
    let bytes = [0xfb; 32];
    let ids: Vec<_> = [
        "fb".repeat(32),
        "FB".repeat(32),
        base64::prelude::BASE64_STANDARD.encode(bytes),
        base64::prelude::BASE64_STANDARD_NO_PAD.encode(bytes),
        base64::prelude::BASE64_URL_SAFE.encode(bytes),
        format!("  {}\n", BASE64_URL_SAFE_NO_PAD.encode(bytes)),
    ]
    .iter()
    .map(|text| keyring(text, "").unwrap().current_key_id().to_owned())
    .collect();
    assert!(ids.iter().all(|id| *id == ids[0] && id.len() == 8), "{ids:?}");
}

#[test]
fn a_bad_key_is_refused_by_its_settings_name_and_never_printed() {
    assert_eq!(keyring(" ", "").unwrap_err(), KeyError::Missing);
    for (bad, bytes) in
        [("correct horse battery staple", None), ("aGVsbG8", Some(5)), ("AAAAAAAAAAAAAAAAAAAAAA", Some(16))]
    {
        let error = keyring(bad, "").unwrap_err();
        assert_eq!(error, KeyError::Malformed { setting: "DATABASE_ENCRYPTION_KEY", bytes });
        assert!(!error.to_string().contains(bad) && !format!("{error:?}").contains(bad));
    }
    let error = keyring(&hex_key(1), &format!("{},nonsense!", hex_key(2))).unwrap_err();
    assert!(error.to_string().starts_with("DATABASE_ENCRYPTION_KEYS_RETIRED is not a key"), "{error}");
}

#[test]
fn two_seals_of_one_text_differ() {
    let keyring = some_keyring();
    assert_ne!(keyring.seal(&SEALED_FOR, "hunter2"), keyring.seal(&SEALED_FOR, "hunter2"));
}

#[test]
fn a_retired_key_opens_but_does_not_seal() {
    let old = keyring(&hex_key(1), "").unwrap();
    let new = keyring(&hex_key(2), &format!("{}, {}", hex_key(3), hex_key(1))).unwrap();
    let sealed = old.seal(&SEALED_FOR, "hunter2");
    assert_eq!(new.open(&SEALED_FOR, &sealed).unwrap().expose_secret(), "hunter2");
    assert!(new.knows(sealed.key_id()) && !new.is_current(&sealed));
    assert!(new.is_current(&new.seal(&SEALED_FOR, "hunter2")));
    let key_id = new.current_key_id().to_owned();
    assert_eq!(
        old.open(&SEALED_FOR, &new.seal(&SEALED_FOR, "x")).unwrap_err(),
        OpenError::UnknownKey { key_id }
    );
}

#[test]
fn a_key_id_that_is_swapped_for_another_known_one_does_not_open() {
    let both = keyring(&hex_key(1), &hex_key(2)).unwrap();
    let other = keyring(&hex_key(2), "").unwrap();
    let sealed = both.seal(&SEALED_FOR, "hunter2");
    let swapped = sealed.as_str().replace(both.current_key_id(), other.current_key_id()).parse().unwrap();
    assert_eq!(both.open(&SEALED_FOR, &swapped).unwrap_err(), OpenError::WrongPlaceOrTampered);
}

#[test]
fn text_that_is_not_sealed_is_told_from_text_that_is() {
    let sealed = some_keyring().seal(&SEALED_FOR, "");
    assert!(Sealed::is_sealed(sealed.as_str()));
    let short = &sealed.as_str()[..sealed.as_str().len() - 2];
    let other_version = sealed.as_str().replacen("v1", "v2", 1);
    let upper_case_id = format!("v1.ABCDEF01.{}", "A".repeat(40));
    for plain in
        ["", "postgres", "v1.", "v1.abcdef01.", "v1.abcdef01.AAAA", short, &other_version, &upper_case_id]
    {
        assert_eq!(plain.parse::<Sealed>().unwrap_err(), OpenError::Malformed, "{plain}");
    }
}

#[test]
fn debug_output_shows_neither_keys_nor_sealed_bytes() {
    let keyring = some_keyring();
    let sealed = keyring.seal(&SEALED_FOR, "hunter2");
    assert_eq!(format!("{sealed:?}"), format!("Sealed(v1.{}.[redacted])", keyring.current_key_id()));
    assert!(!format!("{keyring:?}").contains("0707"));
}

proptest! {
    #[test]
    fn what_is_sealed_opens_in_its_place(record in ".*", field in ".*", text in ".*") {
        let keyring = some_keyring();
        let sealed_for = SealedFor { record: &record, field: &field };
        let sealed = keyring.seal(&sealed_for, &text);
        prop_assert_eq!(sealed.as_str().parse::<Sealed>().unwrap(), sealed.clone());
        let opened = keyring.open(&sealed_for, &sealed).unwrap();
        prop_assert_eq!(opened.expose_secret(), text);
    }

    #[test]
    fn a_value_moved_to_another_place_does_not_open(
        record in "[a-z.]{0,4}", field in "[a-z.]{0,4}", other_record in "[a-z.]{0,4}", other_field in "[a-z.]{0,4}",
    ) {
        prop_assume!((&record, &field) != (&other_record, &other_field));
        let keyring = some_keyring();
        let sealed = keyring.seal(&SealedFor { record: &record, field: &field }, "hunter2");
        let elsewhere = SealedFor { record: &other_record, field: &other_field };
        prop_assert_eq!(keyring.open(&elsewhere, &sealed).unwrap_err(), OpenError::WrongPlaceOrTampered);
    }

    #[test]
    fn the_border_between_record_and_field_is_bound_too(text in "[a-z.]{1,12}", cut in 0usize..12, other in 0usize..12) {
        let (cut, other) = (cut % (text.len() + 1), other % (text.len() + 1));
        prop_assume!(cut != other);
        let keyring = some_keyring();
        let sealed = keyring.seal(&SealedFor { record: &text[..cut], field: &text[cut..] }, "hunter2");
        let elsewhere = SealedFor { record: &text[..other], field: &text[other..] };
        prop_assert_eq!(keyring.open(&elsewhere, &sealed).unwrap_err(), OpenError::WrongPlaceOrTampered);
    }

    #[test]
    fn a_value_with_one_bit_flipped_does_not_open(text in ".{0,20}", bit in any::<usize>()) {
        let keyring = some_keyring();
        let sealed = with_bit_flipped(&keyring.seal(&SEALED_FOR, &text), bit);
        prop_assert_eq!(keyring.open(&SEALED_FOR, &sealed).unwrap_err(), OpenError::WrongPlaceOrTampered);
    }
}

proptest! {
    #[test]
    fn tagged_bytes_come_back_and_any_change_to_them_is_noticed(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        index: prop::sample::Index,
        bit in 0..8u32,
    ) {
        let keyring = some_keyring();
        let mut tagged = keyring.tag(&body);
        prop_assert_eq!(keyring.check_tagged(&tagged), Some(&body[..]));
        prop_assert_eq!(keyring.check_tagged(&tagged[..tagged.len() - 1]), None);
        let index = index.index(tagged.len());
        tagged[index] ^= 1 << bit;
        prop_assert_eq!(keyring.check_tagged(&tagged), None);
    }
}

#[test]
fn bytes_tagged_under_another_key_are_not_known() {
    let tagged = some_keyring().tag(b"code");
    assert_eq!(keyring(&hex_key(8), "").unwrap().check_tagged(&tagged), None);
    assert_eq!(keyring(&hex_key(8), &hex_key(7)).unwrap().check_tagged(&tagged), None);
}
