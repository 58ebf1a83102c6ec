//! The cases of `table` that are numbers.

use super::{table::check, *};
use bson::Decimal128;

fn decimal(text: &str) -> Bson {
    Bson::Decimal128(text.parse().unwrap())
}

#[test]
fn int32_is_bare_when_relaxed() {
    check(&[
        (
            Bson::Int32(0),
            r#"{"$numberInt":"0"}"#,
            "0",
            &[r#"{ "$numberInt" : "-0" }"#, r#"{"$numberInt":"+00"}"#],
        ),
        (Bson::Int32(-7), r#"{"$numberInt":"-7"}"#, "-7", &[]),
        (Bson::Int32(i32::MAX), r#"{"$numberInt":"2147483647"}"#, "2147483647", &[]),
        (Bson::Int32(i32::MIN), r#"{"$numberInt":"-2147483648"}"#, "-2147483648", &[]),
    ]);
}

#[test]
fn int64_is_bare_only_where_it_cannot_be_mistaken() {
    check(&[
        (Bson::Int64(0), r#"{"$numberLong":"0"}"#, "", &[r#"{"$numberLong":"-0"}"#]),
        (Bson::Int64(2_147_483_647), r#"{"$numberLong":"2147483647"}"#, "", &[]),
        (Bson::Int64(2_147_483_648), r#"{"$numberLong":"2147483648"}"#, "2147483648", &[]),
        (Bson::Int64(-2_147_483_648), r#"{"$numberLong":"-2147483648"}"#, "", &[]),
        (Bson::Int64(-2_147_483_649), r#"{"$numberLong":"-2147483649"}"#, "-2147483649", &[]),
        (
            Bson::Int64(9_007_199_254_740_991),
            r#"{"$numberLong":"9007199254740991"}"#,
            "9007199254740991",
            &[],
        ),
        (
            Bson::Int64(-9_007_199_254_740_991),
            r#"{"$numberLong":"-9007199254740991"}"#,
            "-9007199254740991",
            &[],
        ),
        (
            Bson::Int64(9_007_199_254_740_992),
            r#"{"$numberLong":"9007199254740992"}"#,
            "",
            &["9007199254740992"],
        ),
        (Bson::Int64(-9_007_199_254_740_992), r#"{"$numberLong":"-9007199254740992"}"#, "", &[]),
        (Bson::Int64(i64::MAX), r#"{"$numberLong":"9223372036854775807"}"#, "", &["9223372036854775807"]),
        (Bson::Int64(i64::MIN), r#"{"$numberLong":"-9223372036854775808"}"#, "", &["-9223372036854775808"]),
    ]);
}

#[test]
fn doubles_have_a_fraction_or_an_exponent() {
    check(&[
        (
            Bson::Double(5.0),
            r#"{"$numberDouble":"5.0"}"#,
            "5.0",
            &["5e0", "0.5E+1", r#"{"$numberDouble":"5"}"#],
        ),
        (Bson::Double(-0.0), r#"{"$numberDouble":"-0.0"}"#, "-0.0", &[r#"{"$numberDouble":"-0"}"#, "-0e5"]),
        (Bson::Double(0.0), r#"{"$numberDouble":"0.0"}"#, "0.0", &[]),
        (Bson::Double(0.1), r#"{"$numberDouble":"0.1"}"#, "0.1", &["0.10000000000000000555"]),
        (Bson::Double(1e300), r#"{"$numberDouble":"1e+300"}"#, "1e+300", &[r#"{"$numberDouble":"1E300"}"#]),
        (Bson::Double(5e-324), r#"{"$numberDouble":"5e-324"}"#, "5e-324", &[]),
        (
            Bson::Double(f64::MAX),
            r#"{"$numberDouble":"1.7976931348623157e+308"}"#,
            "1.7976931348623157e+308",
            &[],
        ),
        (
            Bson::Double(1.234567890123e18),
            r#"{"$numberDouble":"1.234567890123e+18"}"#,
            "1.234567890123e+18",
            &[],
        ),
        (Bson::Double(f64::NAN), r#"{"$numberDouble":"NaN"}"#, "", &[]),
        (Bson::Double(f64::INFINITY), r#"{"$numberDouble":"Infinity"}"#, "", &[]),
        (Bson::Double(f64::NEG_INFINITY), r#"{"$numberDouble":"-Infinity"}"#, "", &[]),
    ]);
    assert_eq!(write(&Bson::Double(-f64::NAN), Form::Relaxed), r#"{"$numberDouble":"NaN"}"#);
    // Whole numbers beyond 64 bits are doubles.
    for exact in
        ["9223372036854775808", "9223372036854776000", "18446744073709549568", "10000000000000000000"]
    {
        assert_eq!(read(exact), Bson::Double(exact.parse().unwrap()), "{exact}");
    }
    assert_eq!(read("-123456789012345678901234567890"), Bson::Double(-1.234_567_890_123_456_8e29));
}

#[test]
fn decimal128_keeps_its_digits_and_exponent() {
    check(&[
        (
            decimal("0"),
            r#"{"$numberDecimal":"0"}"#,
            "",
            &[r#"{"$numberDecimal":"000"}"#, r#"{"$numberDecimal":"+0"}"#],
        ),
        (decimal("-0"), r#"{"$numberDecimal":"-0"}"#, "", &[]),
        (decimal("1.10"), r#"{"$numberDecimal":"1.10"}"#, "", &[r#"{"$numberDecimal":"110e-2"}"#]),
        (decimal(".5"), r#"{"$numberDecimal":"0.5"}"#, "", &[r#"{"$numberDecimal":".5"}"#]),
        (decimal("5."), r#"{"$numberDecimal":"5"}"#, "", &[r#"{"$numberDecimal":"5."}"#]),
        (decimal("-0E+3"), r#"{"$numberDecimal":"-0E+3"}"#, "", &[r#"{"$numberDecimal":"-0e3"}"#]),
        (decimal("0.000001"), r#"{"$numberDecimal":"0.000001"}"#, "", &[r#"{"$numberDecimal":"1E-6"}"#]),
        (decimal("1E-7"), r#"{"$numberDecimal":"1E-7"}"#, "", &[r#"{"$numberDecimal":"0.0000001"}"#]),
        (decimal("1.2E+3"), r#"{"$numberDecimal":"1.2E+3"}"#, "", &[r#"{"$numberDecimal":"12E2"}"#]),
        (
            decimal("9999999999999999999999999999999999"),
            r#"{"$numberDecimal":"9999999999999999999999999999999999"}"#,
            "",
            &[],
        ),
        (
            decimal("9.999999999999999999999999999999999E+6144"),
            r#"{"$numberDecimal":"9.999999999999999999999999999999999E+6144"}"#,
            "",
            &[],
        ),
        // The specification's clamping: one more zero, one power less.
        (decimal("1E+6112"), r#"{"$numberDecimal":"1.0E+6112"}"#, "", &[r#"{"$numberDecimal":"1E6112"}"#]),
        (decimal("0E+9000"), r#"{"$numberDecimal":"0E+6111"}"#, "", &[]),
        (decimal("1E-6176"), r#"{"$numberDecimal":"1E-6176"}"#, "", &[]),
        (decimal("NaN"), r#"{"$numberDecimal":"NaN"}"#, "", &[r#"{"$numberDecimal":"nan"}"#]),
        (decimal("Infinity"), r#"{"$numberDecimal":"Infinity"}"#, "", &[r#"{"$numberDecimal":"+inf"}"#]),
        (decimal("-Infinity"), r#"{"$numberDecimal":"-Infinity"}"#, "", &[r#"{"$numberDecimal":"-Inf"}"#]),
    ]);
}

#[test]
fn noncanonical_decimal128_is_written_as_the_number_it_means() {
    let written =
        |bits: u128| write(&Bson::Decimal128(Decimal128::from_bytes(bits.to_le_bytes())), Form::Canonical);
    let coefficient_too_large = (6176 << 113) | (10_u128.pow(34));
    assert_eq!(written(coefficient_too_large), r#"{"$numberDecimal":"0"}"#);
    assert_eq!(written(coefficient_too_large | (1 << 127)), r#"{"$numberDecimal":"-0"}"#);
    let large_form_of_coefficient = (0b11 << 125) | (6179 << 111) | 5;
    assert_eq!(written(large_form_of_coefficient), r#"{"$numberDecimal":"0E+3"}"#);
    let signalling_nan_with_payload = (0b111_1110 << 120) | (1 << 127) | 7;
    assert_eq!(written(signalling_nan_with_payload), r#"{"$numberDecimal":"NaN"}"#);
    let infinity_with_payload = (0b1111 << 123) | 7;
    assert_eq!(written(infinity_with_payload), r#"{"$numberDecimal":"Infinity"}"#);
}
