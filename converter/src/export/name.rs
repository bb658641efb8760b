//! What a network is called in source code.

use std::path::Path;

/// The beginning of identifiers in C and Rust: an ASCII letter, then letters,
/// digits and `_`.
///
/// It is never an identifier by itself, so a keyword is as good as any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// Why a text cannot begin identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// No letter and no digit is in it.
    Nothing,
    /// It does not begin with a letter, or holds something else than letters,
    /// digits and `_`.
    Letters,
    /// `bitat.h` has names that begin so.
    Taken,
}

impl Name {
    /// Takes `text` as it is.
    ///
    /// # Errors
    /// If no identifier can begin so, or those of `bitat.h` do.
    pub fn new(text: &str) -> Result<Name, NameError> {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) || !text.chars().all(letters) {
            return Err(NameError::Letters);
        }
        if text.eq_ignore_ascii_case("bitat") {
            return Err(NameError::Taken);
        }
        Ok(Name(text.to_owned()))
    }

    /// Makes one of a file's name without its ending: lower case, `_` for each
    /// run of other characters, `model_` before a digit.
    ///
    /// # Errors
    /// If nothing remains, or [`Name::new`] refuses what does.
    pub fn of_file(path: &Path) -> Result<Name, NameError> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let words = stem.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
        let joined = words.collect::<Vec<_>>().join("_").to_ascii_lowercase();
        match joined.chars().next() {
            None => Err(NameError::Nothing),
            Some(first) if first.is_ascii_digit() => Name::new(&format!("model_{joined}")),
            Some(_) => Name::new(&joined),
        }
    }

    /// As it is: before variables in C.
    pub fn lower(&self) -> &str {
        &self.0
    }

    /// In upper case: before macros and constants.
    pub fn upper(&self) -> String {
        self.0.to_ascii_uppercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let name = |file: &str| Name::of_file(Path::new(file)).map(|name| name.0);
        let good = [
            ("models/mobilenet_v1_0.25.bitat", "mobilenet_v1_0_25"),
            ("net.bitat", "net"),
            ("My Net (2).bitat", "my_net_2"),
            ("--odd--name--", "odd_name"),
            ("2nd.bitat", "model_2nd"),
            ("für-morgen.bitat", "f_r_morgen"),
            ("int.bitat", "int"),
        ];
        for (file, expected) in good {
            assert_eq!(name(file).as_deref(), Ok(expected), "{file}");
        }
        for file in ["", "/", "..", "模型.bitat", "__.bitat"] {
            assert_eq!(name(file), Err(NameError::Nothing), "{file}");
        }
        assert_eq!(name("bitat.bitat"), Err(NameError::Taken));
    }

    #[test]
    fn names_that_are_given() {
        let net = Name::new("Net_2").unwrap();
        assert_eq!((net.lower(), net.upper().as_str()), ("Net_2", "NET_2"));
        for text in ["", "_net", "2net", "a-b", "a b", "é", "a\n"] {
            assert_eq!(Name::new(text), Err(NameError::Letters), "{text:?}");
        }
        assert_eq!(Name::new("BitAT"), Err(NameError::Taken));
    }
}
