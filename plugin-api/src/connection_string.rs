//! Rules that every connection string must keep, whatever its database: where its user name and password end must be
//! clear to every reader. A reader that sees another end takes the rest of a password for a host's name, asks for it in
//! the DNS, and repeats it in errors.

/// The refusal of a connection string whose parts can be told apart in more than one way. It repeats nothing of the
/// string.
const UNCLEAR: &str = "leaves unclear where its user name and password end: a `@`, `/`, `?`, `#` or `%` in them must be \
                       percent-encoded, as %40, %2F, %3F, %23 or %25, and so must a `@` behind the host";
const CONTROL: &str = "has a line end or another control character in it; in a user name or password it must be \
                       percent-encoded, as %0A";

/// Reads a connection string, without the white space around it, which comes along from files and terminals. A text
/// that is no URL (`scheme://…`) is left to the driver.
///
/// # Errors
/// Where one reader of the URL could take for the host a part that another takes for the password. The words may follow
/// the field's name.
pub fn read(text: &str) -> Result<&str, &'static str> {
    let text = text.trim();
    let Some((_, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
        return Ok(text);
    };
    if rest.contains(char::is_control) {
        return Err(CONTROL);
    }
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let login = match authority.split_once('@') {
        Some((_, host)) if host.contains('@') => return Err(UNCLEAR),
        Some((login, _)) => login,
        None => "",
    };
    if after.contains('@') || !is_encoded(login) { Err(UNCLEAR) } else { Ok(text) }
}

/// Tells whether a text is the scheme of a URL (RFC 3986, section 3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Tells whether two hexadecimal digits follow each percent sign.
fn is_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2).unwrap_or_default();
        digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit)
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn white_space_around_a_connection_string_is_none_of_it() {
        for text in ["a://u:p@h/d", "a://u:p@h/d\n", "\r\n a://u:p@h/d\t\r\n"] {
            assert_eq!(read(text), Ok("a://u:p@h/d"));
        }
        assert_eq!(read(" host=h password=a@b@c \n"), Ok("host=h password=a@b@c"));
        assert_eq!(read("\n"), Ok(""));
    }

    #[test]
    fn strings_with_one_reading_pass() {
        for text in [
            "a://h",
            "a://h:1/d?x=y#z",
            "a://:p@h",
            "a+srv://u:p@h1:1,h2:2,[::1]:3/d?x=y:z&w=/",
            "a://u%40v:%70%2f%3F%23%25@h",
            "a://u:p:q@h",
            "h",
            "",
            "host=h password=x://a@b@c",
        ] {
            assert_eq!(read(text), Ok(text));
        }
    }

    #[test]
    fn ambiguous_strings_are_refused_without_repeating_them() {
        for text in [
            "a://u:s3cr@tPass99@h/d",
            "a://u:s3cr/tPass99@h/d",
            "a://u:s3cr?tPass99@h/d",
            "a://u:s3cr#tPass99@h/d",
            "a://u:s3@r/tPass99@h/d",
            "a://u:%s3crtPass99@h/d",
            "a://u:s3crtPass99%@h/d",
            "a://u:s3crtPass99%4@h/d",
            "a://h?user=u&password=s3cr@tPass99",
            "a://h/d?user=u&password=s3cr@tPass99",
            "a://h#s3cr@tPass99",
            "a://u:s3cr\ntPass99@h/d",
            "a://u:s3crtPass99@h/d\n?x",
            "a://u:s3cr\ttPass99@h/d",
            "a://u:s3cr\0tPass99@h/d",
        ] {
            let message = read(text).unwrap_err();
            assert!(!message.contains("s3") && !message.contains("Pass"), "{message}");
        }
    }
}
