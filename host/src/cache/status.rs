//! The value of `Cache-Status` (RFC 9211), which tells how the cache served one request.

use std::{fmt, time::Duration};

/// Why a request went on to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// No reply was kept that still counts.
    Miss,
    /// The caller asked for a fresh reply.
    Request,
    /// The settings switch the cache off for this operation, or the request is of a kind that it leaves alone.
    Bypass,
}

/// How the cache served a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheStatus {
    /// Gave a kept reply.
    Hit {
        /// How long the reply still counts.
        time_left: Duration,
    },
    /// Let the request go on.
    Forwarded {
        /// Why.
        reason: Forward,
        /// For how long the reply counts, if it was kept.
        kept: Option<Duration>,
        /// Whether another request's call gave the reply.
        collapsed: bool,
    },
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("studio-gateway")?;
        match self {
            Self::Hit { time_left } => write!(formatter, "; hit; ttl={}", time_left.as_secs()),
            Self::Forwarded { reason, kept, collapsed } => {
                let reason = match reason {
                    Forward::Miss => "miss",
                    Forward::Request => "request",
                    Forward::Bypass => "bypass",
                };
                write!(formatter, "; fwd={reason}")?;
                if let Some(time) = kept {
                    write!(formatter, "; stored; ttl={}", time.as_secs())?;
                }
                if *collapsed { formatter.write_str("; collapsed") } else { Ok(()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_structured_field_of_rfc_9211() {
        let forwarded = |reason, kept, collapsed| CacheStatus::Forwarded {
            reason,
            kept: Option::map(kept, Duration::from_secs),
            collapsed,
        };
        for (status, text) in [
            (CacheStatus::Hit { time_left: Duration::from_millis(23_900) }, "studio-gateway; hit; ttl=23"),
            (forwarded(Forward::Miss, Some(30), false), "studio-gateway; fwd=miss; stored; ttl=30"),
            (forwarded(Forward::Miss, Some(30), true), "studio-gateway; fwd=miss; stored; ttl=30; collapsed"),
            (forwarded(Forward::Request, None, false), "studio-gateway; fwd=request"),
            (forwarded(Forward::Bypass, None, false), "studio-gateway; fwd=bypass"),
        ] {
            assert_eq!(status.to_string(), text);
        }
    }
}
