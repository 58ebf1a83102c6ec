//! A little of every kind of Redis value, and just enough of the Redis protocol to write it.

use anyhow::{Context, Result, bail};
use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

/// The sample data: one command a line, words between spaces, and in words `_` for a space and `\xHH` for a byte.
const SAMPLE: &str = r#"
SET greeting Hello_from_studio-gateway
SET counter:visits 1042
SET session:6f2a {"user":"ada","theme":"dark"} EX 86400
SET binary:\xff\x00\xfe \x89PNG\x0d\x0a\x1a\x0a
HSET user:1 name Ada_Lovelace email ada@example.com born 1815
HSET user:2 name Grace_Hopper email grace@example.com born 1906
RPUSH queue:mail welcome_ada welcome_grace weekly_digest
SADD tags:popular redis rust http gateway
ZADD leaderboard 120 ada 95.5 grace 88 edsger
XADD events 1700000000000-0 type login user ada
XADD events 1700000060000-0 type logout user ada
"#;

/// Writes the sample data, unless the database has keys already.
pub fn load(port: u16) -> Result<()> {
    let mut connection = Connection::open(port)?;
    if connection.run(&[b"DBSIZE".to_vec()])? != ":0" {
        return Ok(());
    }
    for line in SAMPLE.lines().filter(|line| !line.is_empty()) {
        connection.run(&words(line)?)?;
    }
    Ok(())
}

/// Sets keys to these values.
pub fn set(port: u16, pairs: impl IntoIterator<Item = (String, String)>) -> Result<()> {
    let mut connection = Connection::open(port)?;
    pairs.into_iter().try_for_each(|(key, value)| {
        connection.run(&[b"SET".to_vec(), key.into_bytes(), value.into_bytes()]).map(drop)
    })
}

fn words(line: &str) -> Result<Vec<Vec<u8>>> {
    line.split(' ')
        .map(|word| {
            let mut pieces = word.split(r"\x");
            let mut bytes = pieces.next().unwrap_or_default().replace('_', " ").into_bytes();
            for piece in pieces {
                let (digits, rest) = piece.split_at_checked(2).context("two hex digits after \\x")?;
                bytes.push(u8::from_str_radix(digits, 16)?);
                bytes.extend(rest.replace('_', " ").bytes());
            }
            Ok(bytes)
        })
        .collect()
}

struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Runs a command and gives back its reply's first line, which is all of it for the commands used here but XADD,
    /// whose id follows in a second.
    fn run(&mut self, words: &[Vec<u8>]) -> Result<String> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).bytes());
            request.extend(word);
            request.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)?;
        let reply = self.read_line()?;
        if let Some(error) = reply.strip_prefix('-') {
            bail!("Redis: {error}");
        }
        if reply.starts_with('$') {
            self.read_line()?;
        }
        Ok(reply)
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_lines_become_words_of_bytes() {
        assert_eq!(words(r"SET a\xff_b \x00").unwrap(), [b"SET".to_vec(), b"a\xff b".to_vec(), vec![0]]);
        for line in SAMPLE.lines() {
            words(line).unwrap();
        }
    }
}
