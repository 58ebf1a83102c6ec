//! The names of the server's codes. It tells them of commands, but of single writes it tells the number only.

/// Of codes that a write may fail with (`error_codes.yml` of MongoDB's source).
const NAMES: [(i32, &str); 30] = [
    (2, "BadValue"),
    (9, "FailedToParse"),
    (13, "Unauthorized"),
    (14, "TypeMismatch"),
    (15, "Overflow"),
    (16, "InvalidLength"),
    (20, "IllegalOperation"),
    (26, "NamespaceNotFound"),
    (28, "PathNotViable"),
    (40, "ConflictingUpdateOperators"),
    (50, "MaxTimeMSExpired"),
    (52, "DollarPrefixedFieldName"),
    (53, "InvalidIdField"),
    (54, "NotSingleValueField"),
    (55, "InvalidDBRef"),
    (56, "EmptyFieldName"),
    (57, "DottedFieldName"),
    (61, "ShardKeyNotFound"),
    (66, "ImmutableField"),
    (72, "InvalidOptions"),
    (73, "InvalidNamespace"),
    (112, "WriteConflict"),
    (121, "DocumentValidationFailure"),
    (166, "CommandNotSupportedOnView"),
    (171, "CannotIndexParallelArrays"),
    (10334, "BSONObjectTooLarge"),
    (11000, "DuplicateKey"),
    (11001, "DuplicateKey"),
    (11600, "InterruptedAtShutdown"),
    (12582, "DuplicateKey"),
];
/// From here on nearly all codes have no name, and the server calls them by where they stand in its source.
const FIRST_LOCATION: i32 = 10_000;

/// A code's name, as the server itself would tell it.
pub(super) fn find(code: i32) -> String {
    match NAMES.iter().find(|(number, _)| *number == code) {
        Some((_, name)) => (*name).to_owned(),
        None if code >= FIRST_LOCATION => format!("Location{code}"),
        None => code.to_string(),
    }
}
