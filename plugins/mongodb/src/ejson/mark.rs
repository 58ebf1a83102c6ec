//! What stands, in `$inexact`, for something that JSON can't say.

/// Says why a value is shown otherwise than it is stored, so that it can't be written back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    TextNotUtf8,
    NameNotUtf8,
    RepeatedName,
    BinaryLength,
    BooleanByte,
}

impl Mark {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::TextNotUtf8 => "text_not_utf8",
            Self::NameNotUtf8 => "name_not_utf8",
            Self::RepeatedName => "repeated_name",
            Self::BinaryLength => "binary_length",
            Self::BooleanByte => "boolean_byte",
        }
    }
}
