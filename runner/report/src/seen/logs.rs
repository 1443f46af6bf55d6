//! Lines of several containers on one screen: each after the name of the one that printed it. What
//! goes to a terminal is made safe for it; to anything else it goes as it is.

use std::collections::BTreeMap;

use anstyle::{AnsiColor, Style};
use hoist_model::seen::{Instance, Names};
use unicode_width::UnicodeWidthStr as _;

use crate::lines::clean;
use crate::style::Paint;

/// Colours of names, in the order in which they are given; those of failures are not among them.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
];

/// Where lines go.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Names before them.
    pub named: bool,
    /// Paint.
    pub colour: bool,
    /// To a terminal.
    pub terminal: bool,
}

/// Puts names before lines.
#[derive(Debug)]
pub struct Lines {
    shown: Shown,
    names: Names,
    styles: BTreeMap<String, Style>,
    width: usize,
}

impl Lines {
    /// For these containers, and others that are met.
    pub fn new<'a>(instances: impl Iterator<Item = &'a Instance> + Clone, shown: Shown) -> Self {
        let names = Names::new(instances.clone());
        let mut lines = Self {
            shown,
            names,
            styles: BTreeMap::new(),
            width: 0,
        };
        for instance in instances {
            lines.style(&lines.names.of(instance));
        }
        lines
    }

    /// A line that was masked already, without its end, as it is shown, with its end.
    pub fn line(&mut self, instance: &Instance, line: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(line.len() + 32);
        if self.shown.named {
            self.names.learn(instance);
            let name = self.names.of(instance);
            let style = self.style(&name);
            let pad = " ".repeat(self.width.saturating_sub(name.width()));
            let paint = Paint {
                colour: self.shown.colour,
            };
            out.extend_from_slice(paint.paint(style, &format!("{name}{pad} |")).as_bytes());
            out.push(b' ');
        }
        match self.shown.terminal {
            true => out.extend_from_slice(clean(line, self.shown.colour).as_bytes()),
            false => out.extend_from_slice(line),
        }
        out.push(b'\n');
        out
    }

    fn style(&mut self, name: &str) -> Style {
        if let Some(style) = self.styles.get(name) {
            return *style;
        }
        let mut colours = COLOURS.iter().cycle();
        let colour = colours.nth(self.styles.len() % COLOURS.len());
        let style = colour.map_or_else(Style::new, |colour| colour.on_default());
        self.width = name.width().max(self.width);
        self.styles.insert(name.to_owned(), style);
        style
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(service: &str, replica: u32) -> Instance {
        Instance {
            service: service.into(),
            replica,
            ..Instance::default()
        }
    }

    fn shown(named: bool, colour: bool, terminal: bool) -> Shown {
        Shown {
            named,
            colour,
            terminal,
        }
    }

    #[test]
    fn names_stand_in_a_column_before_the_lines() {
        let all = [instance("web", 1), instance("web", 2), instance("db", 1)];
        let mut lines = Lines::new(all.iter(), shown(true, false, true));
        assert_eq!(lines.line(&all[2], b"ready"), b"db    | ready\n");
        assert_eq!(
            lines.line(&all[1], b"\x1b[2Jgot\x07 it"),
            b"web-2 | got it\n"
        );
        // One that is met later makes room for itself.
        let late = instance("migration", 1);
        assert_eq!(lines.line(&late, b""), b"migration | \n");
        assert_eq!(lines.line(&all[2], b"x"), b"db        | x\n");
    }

    #[test]
    fn alone_a_line_is_as_it_is_unless_a_terminal_shows_it() {
        let web = instance("web", 1);
        let mut raw = Lines::new([&web].into_iter(), shown(false, false, false));
        assert_eq!(raw.line(&web, b"\xff\x1b[2J\r"), b"\xff\x1b[2J\r\n");
        let mut terminal = Lines::new([&web].into_iter(), shown(false, true, true));
        let line = terminal.line(&web, b"\xff\x1b[31mred\x1b[2J");
        assert_eq!(line, "\u{fffd}\u{1b}[31mred\u{1b}[0m\n".as_bytes());
    }

    #[test]
    fn each_name_keeps_its_colour() {
        let all: Vec<_> = (0..8).map(|at| instance(&format!("s{at}"), 1)).collect();
        let mut lines = Lines::new(all.iter(), shown(true, true, true));
        let first = lines.line(&all[0], b"");
        assert_eq!(lines.line(&all[0], b""), first);
        let colour = |line: &[u8]| line.get(..5).map(<[u8]>::to_vec);
        assert_ne!(colour(&lines.line(&all[1], b"")), colour(&first));
        assert_eq!(
            colour(&lines.line(&all[6], b"")),
            colour(&first),
            "after the last the first"
        );
    }
}
