//! Colour, or none. Whether there is any was decided before: this module does not ask a terminal.

use anstyle::{AnsiColor, Style};

/// Dimmed text.
pub const DIM: Style = Style::new().dimmed();
/// Bold text.
pub const BOLD: Style = Style::new().bold();
/// Something bad.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something good.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Something to look at.
pub const WARN: Style = AnsiColor::Yellow.on_default();

/// Paints, or leaves text as it is.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    /// Whether to paint.
    pub colour: bool,
}

impl Paint {
    /// The text in that style.
    #[must_use]
    pub fn paint(self, style: Style, text: &str) -> String {
        if self.colour {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// Text cut to a number of columns, by display width, with a mark where something was cut. The text
/// must hold no escape sequences.
#[must_use]
pub fn fit(text: &str, columns: usize) -> String {
    use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if used + width + 1 > columns {
            break;
        }
        used += width;
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn cut_text_never_exceeds_its_columns() {
        for columns in 0..12 {
            assert!(fit("日本語 and more", columns).width() <= columns);
        }
        assert_eq!(fit("short", 5), "short");
        assert_eq!(fit("longer", 5), "long…");
    }
}
