//! How long a request may take.

use super::FlowError;
use crate::config::Period;
use http::{HeaderMap, HeaderValue};
use std::time::Duration;

/// The header by which callers ask for less time than the settings allow.
const TIMEOUT: &str = "x-request-timeout";

/// Returns the time that a request with these headers may take, which is never more than `most`.
pub(crate) fn time_for(headers: &HeaderMap, most: Duration) -> Result<Duration, FlowError> {
    let mut values = headers.get_all(TIMEOUT).iter();
    let wanted = match (values.next(), values.next()) {
        (None, _) => return Ok(most),
        (Some(value), None) => read(value),
        (Some(_), Some(_)) => None,
    };
    wanted.map(|time| time.min(most)).ok_or_else(|| FlowError::Parameter {
        field: TIMEOUT.to_owned(),
        message: format!(
            "`{TIMEOUT}` must be one length of time above zero: whole seconds (5) or a number with a unit (250ms)"
        ),
    })
}

fn read(value: &HeaderValue) -> Option<Duration> {
    let period: Period = value.to_str().ok()?.parse().ok()?;
    Some(*period).filter(|time| !time.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(30);

    fn time(values: &[&str]) -> Result<Duration, FlowError> {
        let pairs =
            values.iter().map(|value| (TIMEOUT.parse().unwrap(), HeaderValue::from_str(value).unwrap()));
        time_for(&pairs.collect(), MOST)
    }

    #[test]
    fn callers_may_ask_for_less_time_and_get_no_more() {
        assert_eq!(time(&[]).unwrap(), MOST);
        assert_eq!(time(&["5"]).unwrap(), Duration::from_secs(5));
        assert_eq!(time(&["250ms"]).unwrap(), Duration::from_millis(250));
        assert_eq!(time(&["1h"]).unwrap(), MOST);
    }

    #[test]
    fn what_is_no_length_of_time_is_refused_by_name() {
        for values in
            [&["soon"][..], &[""], &["0"], &["-1"], &["0ms"], &["1", "1"], &["18446744073709551616"]]
        {
            let result = time(values);
            assert!(
                matches!(&result, Err(FlowError::Parameter { field, .. }) if field == TIMEOUT),
                "{values:?}: {result:?}"
            );
        }
    }
}
