//! Escaping, and the frame round every card.

use std::fmt;

/// Text that is safe inside elements and quoted attributes.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Control characters have no business in a page.
                c if c.is_control() => f.write_str(" ")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// A card of the page: heading, a line of explanation, contents.
pub(super) fn card(title: &str, explanation: &str, contents: &str) -> String {
    let explanation = if explanation.is_empty() {
        String::new()
    } else {
        format!("<p class=\"note\">{}</p>\n", Text(explanation))
    };
    format!(
        "<section class=\"card\">\n<h2>{}</h2>\n{explanation}{contents}</section>\n",
        Text(title)
    )
}
