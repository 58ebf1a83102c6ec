//! `docs/errors.md`: codes, their statuses, and reasons.

use super::{fields::variants, rows, sources, spans};
use crate::http::error::{Code, HttpCode};
use serde::{
    Deserialize,
    de::{IntoDeserializer, value::Error},
};
use std::collections::BTreeMap;
use studio_plugin_api::{ContractCode, ErrorCode, HostCode};

const PAGE: &str = "docs/errors.md";

/// Lists an enum's codes as clients see them.
fn codes<T: for<'de> Deserialize<'de> + Into<Code>>() -> Vec<Code> {
    let one =
        |name: &&str| T::deserialize(IntoDeserializer::<Error>::into_deserializer(*name)).unwrap().into();
    variants::<T>().iter().map(one).collect()
}

/// Lists the codes that are of the same kind as this one. If a kind is missing here, the code does not compile.
fn codes_beside(code: Code) -> Vec<Code> {
    match code {
        Code::Contract(ContractCode::Any(_)) => codes::<ErrorCode>(),
        Code::Contract(ContractCode::Host(_)) => codes::<HostCode>(),
        Code::Http(_) => codes::<HttpCode>(),
    }
}

#[test]
fn page_of_errors_has_every_code_with_its_status_and_no_other() {
    let kinds: [Code; 3] =
        [ErrorCode::Timeout.into(), HostCode::RateLimited.into(), HttpCode::Unavailable.into()];
    let in_code: BTreeMap<String, String> = kinds
        .into_iter()
        .flat_map(codes_beside)
        .map(|code| (code.as_str().to_owned(), code.status().as_str().to_owned()))
        .collect();
    let on_page: BTreeMap<String, String> = rows(PAGE, "code")
        .into_iter()
        .map(|row| (spans(&row[0]).next().unwrap().to_owned(), row[1].clone()))
        .collect();
    assert_eq!(on_page, in_code);
    for kind in [variants::<ErrorCode>(), variants::<HostCode>(), variants::<HttpCode>()] {
        for name in kind {
            assert!(in_code.contains_key(*name), "{name} has another name in JSON than among clients");
        }
    }
}

#[test]
fn page_of_errors_has_every_reason_that_is_given_and_no_other() {
    let given = sources::reasons();
    let table = rows(PAGE, "`details.reason`");
    let documented: Vec<&str> = table.iter().flat_map(|row| spans(&row[0])).collect();
    for (reason, files) in &given {
        assert!(documented.contains(&reason.as_str()), "{PAGE} lacks the reason `{reason}` of {files:?}");
    }
    for reason in documented {
        assert!(given.contains_key(reason), "no code gives the reason `{reason}` of {PAGE}");
    }
}
