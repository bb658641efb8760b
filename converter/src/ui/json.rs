//! The JSON that `--json` prints, with members in the order in which they were
//! added, for which `serde_json` would need a crate more.

use std::fmt::{self, Write as _};
use std::io::Write as _;

/// A JSON value. Objects keep the order in which they were built.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`; what a number that is not finite becomes, too.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer, exactly.
    Integer(i128),
    /// Written with as many digits as bring the same `f64` back.
    Number(f64),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// Names and values.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// An empty object, to be filled with [`Json::with`].
    pub fn object() -> Json {
        Json::Object(Vec::new())
    }

    /// Adds a member.
    ///
    /// # Panics
    /// If this is no object or has a member of that name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> Json {
        let Json::Object(members) = &mut self else { panic!("{name} added to no object") };
        assert!(members.iter().all(|(other, _)| other != name), "{name} added twice");
        members.push((name.to_owned(), value.into()));
        self
    }

    /// An array of anything that converts.
    pub fn array<T: Into<Json>>(items: impl IntoIterator<Item = T>) -> Json {
        Json::Array(items.into_iter().map(Into::into).collect())
    }

    /// Writes this as one line of standard output: the last one of a command.
    pub fn print(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{self}")?;
        out.flush()
    }
}

impl fmt::Display for Json {
    /// On one line, without spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(value) => write!(f, "{value}"),
            Json::Integer(value) => write!(f, "{value}"),
            Json::Number(value) if value.is_finite() => write!(f, "{value}"),
            Json::Number(_) => f.write_str("null"),
            Json::Text(text) => quoted(text, f),
            Json::Array(items) => {
                f.write_char('[')?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { "," } else { "" })?;
                }
                f.write_char(']')
            }
            Json::Object(members) => {
                f.write_char('{')?;
                for (i, (name, value)) in members.iter().enumerate() {
                    f.write_str(if i > 0 { "," } else { "" })?;
                    quoted(name, f)?;
                    write!(f, ":{value}")?;
                }
                f.write_char('}')
            }
        }
    }
}

fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for letter in text.chars() {
        match letter {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c if c < ' ' => write!(f, "\\u{:04x}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

macro_rules! from_integers {
    ($($integer:ty)*) => {$(
        impl From<$integer> for Json {
            fn from(value: $integer) -> Json {
                Json::Integer(value as i128)
            }
        }
    )*};
}
from_integers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

impl From<f64> for Json {
    fn from(value: f64) -> Json {
        Json::Number(value)
    }
}

impl From<f32> for Json {
    /// Keeps the short decimal form: 0.1 stays 0.1.
    fn from(value: f32) -> Json {
        Json::Number(value.to_string().parse().unwrap_or(f64::NAN))
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Json {
        Json::Bool(value)
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Json {
        Json::Text(value.to_owned())
    }
}

impl From<String> for Json {
    fn from(value: String) -> Json {
        Json::Text(value)
    }
}

impl<T: Into<Json>> From<Vec<T>> for Json {
    fn from(items: Vec<T>) -> Json {
        Json::array(items)
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Json {
        value.map_or(Json::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value() {
        let json = Json::object()
            .with("text", "a \"quote\", a \\, a\nline, \u{1} and ü")
            .with("integers", vec![i64::MIN, 0, i64::MAX])
            .with("large", u64::MAX)
            .with("numbers", Json::array([0.5, 91.25, 1e21, -0.0, f64::NAN, f64::INFINITY]))
            .with("short", 0.1f32)
            .with("nothing", None::<u8>)
            .with("true", true)
            .with("empty", Json::object())
            .with("none", Json::array([0u8; 0]));
        assert_eq!(
            json.to_string(),
            concat!(
                r#"{"text":"a \"quote\", a \\, a\nline, \u0001 and ü","#,
                r#""integers":[-9223372036854775808,0,9223372036854775807],"#,
                r#""large":18446744073709551615,"#,
                r#""numbers":[0.5,91.25,1000000000000000000000,-0,null,null],"short":0.1,"#,
                r#""nothing":null,"true":true,"empty":{},"none":[]}"#
            )
        );
    }

    #[test]
    #[should_panic(expected = "top1 added twice")]
    fn a_name_stands_once() {
        let _ = Json::object().with("top1", 1).with("top1", 2);
    }
}
