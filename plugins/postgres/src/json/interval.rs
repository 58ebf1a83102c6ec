//! Intervals within arrays: objects of their parts that are not zero, as postgres-meta writes them. One that is not
//! within an array is the text that PostgreSQL shows.

use super::write_text;
use std::io::Write as _;

/// Writes `1 year 2 mons -3 days 04:05:06.7` (`IntervalStyle = postgres`).
pub(super) fn write(value: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(value).ok().and_then(read) {
        Some(parts) => {
            out.push(b'{');
            let mut separator = "";
            for (name, number) in parts {
                let _ = write!(out, "{separator}\"{name}\":{number}");
                separator = ",";
            }
            out.push(b'}');
        }
        None => write_text(value, out),
    }
}

fn read(text: &str) -> Option<Vec<(&'static str, String)>> {
    let mut parts = Vec::new();
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        if word.contains(':') {
            read_time(word, &mut parts)?;
            continue;
        }
        let number: i64 = word.trim_start_matches('+').parse().ok()?;
        let name = match words.next()? {
            "year" | "years" => "years",
            "mon" | "mons" => "months",
            "day" | "days" => "days",
            _ => return None,
        };
        parts.push((name, number.to_string()));
    }
    Some(parts)
}

/// `-04:05:06.789012`: the sign is that of each part.
fn read_time(word: &str, parts: &mut Vec<(&'static str, String)>) -> Option<()> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", word.trim_start_matches('+')),
    };
    let mut numbers = digits.split(':');
    let (hours, minutes, seconds) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    for (name, digits) in [("hours", hours), ("minutes", minutes), ("seconds", seconds)] {
        // Without a sign of its own, or two would stand in the JSON.
        let number: u64 = digits.parse().ok()?;
        if number != 0 {
            parts.push((name, format!("{sign}{number}")));
        }
    }
    if !fraction.is_empty() {
        // Microseconds, shown in milliseconds.
        let microseconds: u32 = format!("{fraction:0<6}").parse().ok()?;
        let milliseconds = f64::from(microseconds) / 1000.0;
        parts.push(("milliseconds", format!("{sign}{milliseconds}")));
    }
    Some(())
}
