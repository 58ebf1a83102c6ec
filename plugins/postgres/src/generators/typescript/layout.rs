//! Types of TypeScript, laid out as prettier does: 80 letters a line, without semicolons.

const WIDTH: usize = 80;

/// A type.
#[derive(Debug, Clone)]
pub(super) enum Layout {
    /// A word that is never broken.
    Word(String),
    /// An object with a property a line.
    Object(Vec<(String, Layout)>),
    /// An object in one line where it fits.
    Inline(Vec<(String, Layout)>),
    /// An array of something.
    Array(Box<Layout>),
    /// One of several.
    Union(Vec<Layout>),
    /// A mistake in the database, told by a type that nothing has.
    Mistake(String),
}

impl Layout {
    pub(super) fn word(word: impl Into<String>) -> Self {
        Self::Word(word.into())
    }

    /// In one line, unless it has lines of its own.
    fn flat(&self) -> Option<String> {
        match self {
            Self::Word(word) => Some(word.clone()),
            Self::Object(properties) if properties.is_empty() => Some("{}".to_owned()),
            Self::Object(_) | Self::Mistake(_) => None,
            Self::Inline(properties) => {
                let flat = |(key, value): &(String, Self)| Some(format!("{key}: {}", value.flat()?));
                let properties: Option<Vec<_>> = properties.iter().map(flat).collect();
                Some(format!("{{ {} }}", properties?.join("; ")))
            }
            Self::Array(element) => match &**element {
                Self::Union(members) if members.len() > 1 => Some(format!("({})[]", element.flat()?)),
                _ => Some(format!("{}[]", element.flat()?)),
            },
            Self::Union(members) => {
                Some(members.iter().map(Self::flat).collect::<Option<Vec<_>>>()?.join(" | "))
            }
        }
    }

    /// Over several lines. The first goes on where the text before it ended; the others are indented.
    fn broken(&self, indent: usize) -> String {
        let margin = " ".repeat(indent);
        match self {
            Self::Word(word) => word.clone(),
            Self::Object(properties) | Self::Inline(properties) => {
                let mut lines = vec!["{".to_owned()];
                lines.extend(properties.iter().map(|(key, value)| property(key, value, indent + 2)));
                lines.push(format!("{margin}}}"));
                lines.join("\n")
            }
            Self::Array(element) => match &**element {
                Self::Union(members) if members.len() > 1 => {
                    format!("({}\n{margin})[]", alternatives(members, indent + 2))
                }
                element => format!("{}[]", element.broken(indent)),
            },
            Self::Union(members) => match members.as_slice() {
                // An object that may be missing keeps its brace where it is.
                [object @ Self::Object(_), rest @ ..] => {
                    let rest = rest.iter().filter_map(Self::flat).map(|word| format!(" | {word}"));
                    object.broken(indent) + &rest.collect::<String>()
                }
                members => alternatives(members, indent + 2),
            },
            Self::Mistake(message) => format!("{{\n{margin}  error: true\n{margin}}} & {message}"),
        }
    }
}

/// Each in a line that starts with `|`.
fn alternatives(members: &[Layout], indent: usize) -> String {
    let line = |member: &Layout| {
        let start = format!("\n{}| ", " ".repeat(indent));
        match member.flat().filter(|flat| start.len() - 1 + width(flat) <= WIDTH) {
            Some(flat) => start + &flat,
            None => start + &member.broken(indent + 2),
        }
    };
    members.iter().map(line).collect()
}

/// A line, or several, of an object.
fn property(key: &str, value: &Layout, indent: usize) -> String {
    let start = format!("{}{key}:", " ".repeat(indent));
    if let Some(flat) = value.flat()
        && (width(&start) + 1 + width(&flat) <= WIDTH || matches!(value, Layout::Word(_)))
    {
        return format!("{start} {flat}");
    }
    let broken = value.broken(indent);
    if broken.starts_with('\n') { start + &broken } else { format!("{start} {broken}") }
}

/// How wide a text is shown: letters of East Asia take two columns.
fn width(text: &str) -> usize {
    let wide = |letter: char| {
        matches!(letter, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}'
            | '\u{1f300}'..='\u{1f64f}' | '\u{1f900}'..='\u{1f9ff}' | '\u{20000}'..='\u{3fffd}')
    };
    text.chars().map(|letter| 1 + usize::from(wide(letter))).sum()
}

/// An object at the outermost level.
pub(super) fn write_object(properties: Vec<(String, Layout)>) -> String {
    let object = Layout::Object(properties);
    object.flat().unwrap_or_else(|| object.broken(0))
}

/// A value that is a list of texts, as a property in an object of values.
pub(super) fn write_list(key: &str, items: &[String], indent: usize) -> String {
    let margin = " ".repeat(indent);
    let flat = format!("{margin}{key}: [{}],", items.join(", "));
    if width(&flat) <= WIDTH {
        return flat;
    }
    let items: String = items.iter().map(|item| format!("{margin}  {item},\n")).collect();
    format!("{margin}{key}: [\n{items}{margin}],")
}

/// A text, between the quotation marks of which it has fewer.
pub(super) fn text(text: &str) -> String {
    let quoted = super::super::names::quote(text);
    let count = |mark| text.matches(mark).count();
    if count('"') <= count('\'') {
        return quoted;
    }
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    format!("'{}'", inner.replace('\'', "\\'").replace("\\\"", "\""))
}

/// A property's name, quoted where it has to be.
pub(super) fn key(name: &str) -> String {
    let starts = |letter: char| letter.is_alphabetic() || matches!(letter, '_' | '$');
    let goes_on = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '$');
    if name.starts_with(starts) && name.chars().all(goes_on) { name.to_owned() } else { text(name) }
}
