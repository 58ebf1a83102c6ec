//! One request, sent many times, each time with another value in one of its fields.

use super::{Body, Normal, Reply, Twins};
use serde_json::Value;

/// A request whose body is valid as it is.
#[derive(Debug)]
pub struct Form {
    /// SQL that makes anew the objects that the request is about, and removes those that an earlier request left.
    pub fixture: String,
    /// `POST`.
    pub method: &'static str,
    /// The path.
    pub path: &'static str,
    /// An object, or a list with one.
    pub body: Value,
}

impl Twins {
    /// Sends the form with each of these values in a field, on the objects that its fixture makes. A difference is
    /// named `POST /triggers condition ""`.
    pub async fn vary(&mut self, form: &Form, field: &str, values: &[Value]) {
        for value in values {
            let mut body = form.body.clone();
            let object = if body.is_array() { &mut body[0] } else { &mut body };
            object[field] = value.clone();
            self.fill_in(form, &format!("{field} {value}"), body).await;
        }
    }

    /// Sends the form with another body, on the objects that its fixture makes. The variation is in a difference's name
    /// too.
    pub async fn fill_in(&mut self, form: &Form, variation: &str, body: Value) -> Reply {
        self.prepare(&form.fixture).await;
        let name = format!("{} {} {variation}", form.method, form.path);
        let normal = Normal::default().refusals_alike();
        self.ask_as(&name, form.method, form.path, &[], Body::Json(&body), normal).await
    }
}
