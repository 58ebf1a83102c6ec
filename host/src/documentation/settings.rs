//! `docs/settings.md` and `docs/plugins.md`: keys, variables and defaults, and every example of either file.

use super::{blocks, fields::keys, pages, read, rows, spans};
use crate::{
    config::{CONFIG_VARIABLE, ENVIRONMENT, Settings},
    plugins::file::{self, PluginEntry},
};
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn page_of_settings_has_every_key_with_its_variables() {
    let mut in_code: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for key in keys::<Settings>() {
        let variables = ENVIRONMENT.iter().filter(|variable| variable.key == key);
        in_code.insert(key.clone(), variables.map(|variable| variable.name.to_owned()).collect());
    }
    let mut on_page = BTreeMap::new();
    for row in rows("docs/settings.md", "key") {
        let [key]: [&str; 1] = spans(&row[0]).collect::<Vec<_>>().try_into().unwrap();
        let variables = spans(&row[1]).map(str::to_owned).collect();
        assert!(on_page.insert(key.to_owned(), variables).is_none(), "`{key}` is there twice");
    }
    assert_eq!(on_page, in_code);
}

#[test]
fn page_of_settings_has_every_default() {
    let defaults = serde_json::to_value(Settings::default()).unwrap();
    for row in rows("docs/settings.md", "key") {
        let key = spans(&row[0]).next().unwrap();
        let value = defaults.pointer(&format!("/{}", key.replace('.', "/"))).unwrap();
        let forms = forms(value);
        let is_told = forms.iter().any(|form| {
            let rest = row[2].strip_prefix(form.as_str());
            rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
        });
        // The page describes these in words: another setting may give the value, or take its place.
        let is_in_words = ["http.listen", "rate_limit.address"].contains(&key)
            || key.starts_with("rate_limit.everyone.")
            || key.starts_with("registry.url");
        assert!(is_told || is_in_words, "{key} is {value}: its row does not begin with one of {forms:?}");
    }
}

/// Gives the ways in which the page may write a value.
fn forms(value: &Value) -> Vec<String> {
    match value {
        Value::Null => vec!["none".to_owned()],
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            let mut forms = vec![number.to_string()];
            for (unit, bytes) in [("KiB", 1 << 10), ("MiB", 1 << 20)] {
                if number % bytes == 0 {
                    forms.push(format!("{} {unit}", number / bytes));
                }
            }
            forms
        }
        Value::Bool(value) => vec![value.to_string()],
        Value::String(text) => match text.strip_suffix('s').and_then(|seconds| seconds.parse::<u32>().ok()) {
            Some(seconds) => vec![format!("{seconds} s")],
            None => vec![format!("`{text}`")],
        },
        Value::Array(items) if items.is_empty() => vec!["none".to_owned()],
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| format!("`{}`", item.as_str().unwrap())).collect();
            vec![items.join(", ")]
        }
        Value::Object(_) => vec!["none".to_owned()],
    }
}

#[test]
fn page_of_plugins_has_every_key_of_an_entry() {
    let table = rows("docs/plugins.md", "key");
    let on_page: BTreeSet<String> = table.iter().map(|row| spans(&row[0]).collect()).collect();
    assert_eq!(on_page, keys::<PluginEntry>());
}

#[test]
fn pages_name_no_setting_that_there_is_not() {
    let mut known = keys::<Settings>();
    let sections: BTreeSet<String> =
        known.iter().map(|key| key.split('.').next().unwrap().to_owned()).collect();
    known.extend(keys::<PluginEntry>());
    let variable = Regex::new(r"\b(?:GATEWAY|DATABASE|PG_META|SUPABASE)_[A-Z0-9_]+").unwrap();
    let variables: BTreeSet<&str> =
        ENVIRONMENT.iter().map(|variable| variable.name).chain([CONFIG_VARIABLE]).collect();
    for page in pages() {
        let text = read(&page);
        for span in spans(&text) {
            let key = span.split([' ', '=']).next().unwrap_or_default();
            let Some((section, _)) = key.split_once('.') else { continue };
            if !sections.contains(section) || key.ends_with(".toml") || key.ends_with(".rs") {
                continue;
            }
            let is_known = known.iter().any(|known| {
                known == key
                    || known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
                    // An operator chooses the names in a table.
                    || key.starts_with(&format!("{known}."))
            });
            assert!(is_known, "{page}: there is no setting `{key}`");
        }
        for name in variable.find_iter(&text).map(|found| found.as_str()) {
            // The name of an error code may end like that too.
            assert!(variables.contains(name) || name == "DATABASE_TYPE", "{page}: nothing reads `{name}`");
        }
    }
}

#[test]
fn examples_of_settings_and_plugins_are_read_without_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.toml");
    let mut count = 0;
    for page in pages() {
        for block in blocks(&read(&page), "toml") {
            if block.contains("[[plugin]]") {
                std::fs::write(&path, &block).unwrap();
                file::read(&path).unwrap_or_else(|error| panic!("{page}: {error}\n{block}"));
            } else if !block.contains("[lib]") && !block.contains("[package") {
                toml::from_str::<Settings>(&block).unwrap_or_else(|error| panic!("{page}: {error}\n{block}"));
            } else {
                continue;
            }
            count += 1;
        }
    }
    assert!(count >= 3, "{count} examples");
}
