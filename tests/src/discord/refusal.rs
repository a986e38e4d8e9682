//! Errors as Discord answers them, and the rules whose breaking is written down.

use serde_json::{Map, Value, json};
use std::fmt;

/// An answer with an error.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub status: u16,
    pub code: u32,
    pub message: String,
    pub headers: Vec<(&'static str, String)>,
    /// Fields beside `code` and `message`; `errors` names the places.
    pub more: Vec<(&'static str, Value)>,
    /// The rule that the request broke, if it could have known better.
    pub rule: Option<Rule>,
}

impl Refusal {
    pub fn new(status: u16, code: u32, message: &str) -> Refusal {
        Refusal { status, code, message: message.to_owned(), headers: Vec::new(), more: Vec::new(), rule: None }
    }

    pub fn breaks(mut self, rule: Rule) -> Refusal {
        self.rule = Some(rule);
        self
    }

    pub fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("message".to_owned(), json!(self.message));
        // A 429 of the rate limits has no code; everything else has one.
        if self.code != 0 || self.status != 429 {
            body.insert("code".to_owned(), json!(self.code));
        }
        body.extend(self.more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        Value::Object(body)
    }

    pub fn unauthorized() -> Refusal {
        Refusal::new(401, 0, "401: Unauthorized").breaks(Rule::Token)
    }

    pub fn no_route() -> Refusal {
        Refusal::new(404, 0, "404: Not Found").breaks(Rule::Route)
    }

    pub fn unknown(code: u32, what: &str) -> Refusal {
        Refusal::new(404, code, &format!("Unknown {what}"))
    }

    pub fn missing_access() -> Refusal {
        Refusal::new(403, 50001, "Missing Access")
    }

    pub fn missing_permissions() -> Refusal {
        Refusal::new(403, 50013, "Missing Permissions")
    }
}

/// A rule of Discord that a well-made bot never breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// An interaction is acknowledged within three seconds.
    AckInTime,
    /// An interaction is acknowledged once.
    AckOnce,
    /// Each kind of interaction has its kinds of answers.
    CallbackKind,
    /// An interaction's token lives fifteen minutes.
    TokenAge,
    /// What is sent keeps its form and its limits.
    Form,
    /// Only addresses that exist are asked.
    Route,
    /// Only a valid token is used, and after a 401 no request follows.
    Token,
    /// A used-up bucket is left alone until it is full again.
    RateLimit,
    /// `Retry-After` is obeyed.
    RetryAfter,
    /// Ten thousand refused requests in ten minutes ban the address.
    InvalidRequests,
    /// Two IDENTIFYs are five seconds apart.
    IdentifyPace,
    /// A thousand IDENTIFYs a day, or the token is gone.
    IdentifyBudget,
    /// What the client sends to the gateway is well-formed, in order, small and not too often.
    Gateway,
    /// The client's heart beats.
    Heartbeat,
    /// After some close codes nobody may come back.
    FatalClose,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub rule: Rule,
    /// How.
    pub how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.how)
    }
}

/// Everything wrong with a body, by its place: `embeds.0.fields.2.value`.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<(String, &'static str, String)>);

impl Findings {
    pub fn add(&mut self, place: &str, code: &'static str, message: impl Into<String>) {
        self.0.push((place.to_owned(), code, message.into()));
    }

    /// Text within its limits; `None` is text that is not there.
    pub fn text(&mut self, place: &str, text: Option<&Value>, (min, max): (usize, usize)) {
        let Some(value) = text.filter(|value| !value.is_null()) else {
            if min > 0 {
                self.add(place, "BASE_TYPE_REQUIRED", "This field is required");
            }
            return;
        };
        let Some(text) = value.as_str() else {
            return self.add(place, "STRING_TYPE_CONVERT", "Could not interpret value as string.");
        };
        let length = text.trim().chars().count();
        if length < min {
            self.add(place, "BASE_TYPE_REQUIRED", "This field is required");
        } else if text.chars().count() > max {
            self.add(place, "BASE_TYPE_MAX_LENGTH", format!("Must be {max} or fewer in length."));
        }
    }

    /// A list within its limits.
    pub fn list<'a>(&mut self, place: &str, list: Option<&'a Value>, (min, max): (usize, usize)) -> &'a [Value] {
        let items = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if list.is_some_and(|list| !list.is_array() && !list.is_null()) {
            self.add(place, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType");
        } else if items.len() < min || items.len() > max {
            self.add(place, "BASE_TYPE_BAD_LENGTH", format!("Must be between {min} and {max} in length."));
        }
        items
    }

    pub fn done(self) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut errors = json!({});
        for (place, code, message) in &self.0 {
            let mut at = &mut errors;
            for part in place.split('.') {
                at = &mut at[part];
            }
            if at["_errors"].is_null() {
                at["_errors"] = json!([]);
            }
            if let Some(list) = at["_errors"].as_array_mut() {
                list.push(json!({ "code": code, "message": message }));
            }
        }
        let mut refusal = Refusal::new(400, 50035, "Invalid Form Body").breaks(Rule::Form);
        refusal.more.push(("errors", errors));
        Err(refusal)
    }
}
