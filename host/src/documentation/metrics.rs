//! `docs/watching.md`: metrics.

use super::{rows, spans};
use crate::telemetry::empty_registries;
use regex::Regex;
use std::collections::BTreeSet;

#[test]
fn page_of_metrics_has_every_metric_and_no_other() {
    // Only this debug text tells the names of metrics that were not counted yet.
    let descriptor = Regex::new(
        r#"Descriptor \{ name: "(\w+)", help: "(?:[^"\\]|\\.)*", unit: (?:None|Some\((\w+)\)) \}"#,
    )
    .unwrap();
    let mut registered = BTreeSet::new();
    for registry in empty_registries() {
        let text = format!("{registry:?}");
        assert_eq!(text.matches("Descriptor {").count(), descriptor.find_iter(&text).count(), "{text}");
        for found in descriptor.captures_iter(&text) {
            let unit = found.get(2).map(|unit| format!("_{}", unit.as_str().to_lowercase()));
            registered.insert(format!("studio_gateway_{}{}", &found[1], unit.unwrap_or_default()));
        }
    }
    let table = rows("docs/watching.md", "metric");
    let documented: BTreeSet<String> = table.iter().map(|row| spans(&row[0]).collect()).collect();
    assert_eq!(documented, registered);
}
