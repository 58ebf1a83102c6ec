//! `[rate_limit]`: how often callers may ask.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer, de};

use crate::role::Role;

/// Requests a minute of one class that a user may make where settings say nothing.
pub const CLASS_RATE: Rate = Rate::per_minute(100);
/// Requests a minute from one address where settings say nothing.
pub const ADDRESS_RATE: Rate = Rate::per_minute(6000);
/// The largest burst, in minutes of its rate: a day. Larger ones would not fit the limiter's clock.
const LONGEST_BURST: u64 = 24 * 60;

/// `[rate_limit]`: how often callers may ask. `limits` says how the tables combine.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitSettings {
    /// The limit of one client address, counted before its tokens are looked at. Absent: the larger of
    /// [`ADDRESS_RATE`] and ten times `everyone.total`.
    pub address: Option<RequestLimit>,
    /// The limit of every user. A `total` of `0` switches all limiting off, that by address too.
    pub everyone: RequestLimits,
    /// The limits of the users of a role, on projects where they have it.
    pub roles: BTreeMap<Role, RequestLimits>,
    /// The limits of a user for one database type.
    pub drivers: BTreeMap<String, RequestLimits>,
    /// The limits of a user on one project, by its reference.
    pub projects: BTreeMap<String, RequestLimits>,
}

/// The limits of one user: on requests of each class, and of all together. Absent: a more general table decides.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestLimits {
    /// All classes together.
    pub total: Option<RequestLimit>,
    /// Operations that read.
    pub read: Option<RequestLimit>,
    /// Operations that write.
    pub write: Option<RequestLimit>,
    /// Operations that need an admin, and changes to connections, members, projects and plugins.
    pub admin: Option<RequestLimit>,
    /// Operations that read or write by what they are sent, such as raw commands and SQL.
    pub query: Option<RequestLimit>,
}

/// A limit on requests: `0` for none, a rate (`100`), or a rate and its burst (`"100 burst 20"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestLimit {
    /// As many as they like.
    Unlimited,
    /// So many.
    Rate(Rate),
}

/// Requests a minute, and how many of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_minute: NonZeroU32,
    burst: NonZeroU32,
}

impl Rate {
    /// Makes a rate whose requests of a whole minute may come at once. A rate can't be zero: `0` counts as 1.
    pub const fn per_minute(requests: u32) -> Self {
        let requests = match NonZeroU32::new(requests) {
            Some(requests) => requests,
            None => NonZeroU32::MIN,
        };
        Self { per_minute: requests, burst: requests }
    }

    /// Returns the requests a minute, in the long run.
    pub fn requests(self) -> NonZeroU32 {
        self.per_minute
    }

    /// Returns the most requests at once, after a time without any.
    pub fn burst(self) -> NonZeroU32 {
        self.burst
    }

    /// Returns the rate with another burst, unless that burst takes longer than a day to come back.
    fn with_burst(self, burst: NonZeroU32) -> Option<Self> {
        let longest = u64::from(self.per_minute.get()) * LONGEST_BURST;
        (u64::from(burst.get()) <= longest).then_some(Self { burst, ..self })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.burst == self.per_minute {
            true => write!(formatter, "{}", self.per_minute),
            false => write!(formatter, "{} burst {}", self.per_minute, self.burst),
        }
    }
}

/// The form of a limit, for error messages.
const LIMIT_EXPECTED: &str = "expected requests a minute (100), with a burst of at most a day's requests (\"100 burst 20\"), or 0 for no limit";

impl FromStr for RequestLimit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text == "0" {
            return Ok(Self::Unlimited);
        }
        let rate = match text.split_once(" burst ") {
            None => text.parse().ok().map(|requests: NonZeroU32| Rate::per_minute(requests.get())),
            Some((requests, burst)) => match (requests.parse::<NonZeroU32>(), burst.parse()) {
                (Ok(requests), Ok(burst)) => Rate::per_minute(requests.get()).with_burst(burst),
                _ => None,
            },
        };
        rate.map(Self::Rate).ok_or(LIMIT_EXPECTED)
    }
}

impl<'de> Deserialize<'de> for RequestLimit {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LimitVisitor;

        impl de::Visitor<'_> for LimitVisitor {
            type Value = RequestLimit;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("requests a minute (100), or \"100 burst 20\"")
            }

            fn visit_u64<E: de::Error>(self, requests: u64) -> Result<RequestLimit, E> {
                requests.to_string().parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, requests: i64) -> Result<RequestLimit, E> {
                requests.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RequestLimit, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(LimitVisitor)
    }
}

impl Serialize for RequestLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unlimited => serializer.serialize_str("0"),
            Self::Rate(rate) => serializer.collect_str(rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> (u32, u32) {
        match text.parse() {
            Ok(RequestLimit::Rate(rate)) => (rate.requests().get(), rate.burst().get()),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn limit_reads_a_rate_and_its_burst() {
        assert_eq!(rate("100"), (100, 100));
        assert_eq!(rate("100 burst 20"), (100, 20));
        assert_eq!(rate("1 burst 1440"), (1, 1440));
        assert_eq!("0".parse(), Ok(RequestLimit::Unlimited));
    }

    #[test]
    fn limit_refuses_what_is_no_rate() {
        for text in ["", "-1", "many", "100 burst", "100 burst 0", "0 burst 5", "1 burst 1441", "4294967296"]
        {
            assert_eq!(text.parse::<RequestLimit>(), Err(LIMIT_EXPECTED), "{text}");
        }
    }

    #[test]
    fn tables_take_numbers_and_text_and_refuse_unknown_keys() {
        let read = |text: &str| toml::from_str::<RateLimitSettings>(text);
        let settings =
            read("address = 0\n[everyone]\ntotal = 300\nread = '100 burst 20'\n[roles.viewer]\nquery = 5\n");
        let settings = settings.unwrap();
        assert_eq!(settings.address, Some(RequestLimit::Unlimited));
        assert_eq!(settings.everyone.read, "100 burst 20".parse().ok());
        assert_eq!(settings.roles[&Role::Viewer].query, "5".parse().ok());
        assert_eq!(settings.everyone.write, None);
        for wrong in
            ["[everyone]\nreads = 1", "[roles.guest]\nread = 1", "[projects.shop]\nread = -1", "user = 1"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn limit_reads_what_it_writes(requests in 1u32.., burst in 1u32..) {
            if let Some(rate) = Rate::per_minute(requests).with_burst(NonZeroU32::new(burst).unwrap()) {
                prop_assert_eq!(rate.to_string().parse(), Ok(RequestLimit::Rate(rate)));
            }
        }
    }
}
