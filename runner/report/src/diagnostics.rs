//! Faults of a file as people see them: sentence, place, caret, what to try. It finds no faults.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use hoist_model::diag::{Diagnostic, Severity, SourceFile};
use hoist_model::reason::Trouble;

use crate::style::{BAD, Paint};
use crate::words;

/// The diagnostics one after another, in the order of their places, with a count at the end.
#[must_use]
pub fn render(file: &SourceFile, diagnostics: &[Diagnostic], width: usize, colour: bool) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.term_width(width).decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&renderer.render(&groups(file, diagnostic)));
        out.push_str("\n\n");
    }
    let errors = diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .count();
    if errors > 0 {
        let text = format!("{} in {}", words::count(errors, "error"), file.name);
        out.push_str(&Paint { colour }.paint(BAD, &text));
        out.push('\n');
    }
    out
}

fn groups<'a>(file: &'a SourceFile, diagnostic: &'a Diagnostic) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str());
    let mut group = if diagnostic.labels.is_empty() {
        Group::with_title(title)
    } else {
        let annotations = diagnostic.labels.iter().map(|label| {
            let kind = if label.primary {
                AnnotationKind::Primary
            } else {
                AnnotationKind::Context
            };
            let annotation = kind.span(within(file, &label.span));
            let text = (!label.text.is_empty()).then_some(label.text.as_str());
            annotation.label(text)
        });
        let snippet = Snippet::source(file.text.as_str()).path(file.name.as_str());
        title.element(snippet.annotations(annotations))
    };
    if diagnostic.labels.is_empty() {
        group = group.element(Level::NOTE.message(format!("in {}", file.name)));
    }
    let mut groups = Vec::new();
    match (&diagnostic.help, &diagnostic.suggestion) {
        (help, Some(suggestion)) => {
            groups.push(group);
            let patch = Patch::new(
                within(file, &suggestion.span),
                suggestion.replacement.as_str(),
            );
            let snippet = Snippet::source(file.text.as_str()).path(file.name.as_str());
            let title = Level::HELP.secondary_title(help.as_deref().unwrap_or("perhaps"));
            groups.push(title.element(snippet.patch(patch)));
        }
        (Some(help), None) => groups.push(group.element(Level::HELP.message(help.as_str()))),
        (None, None) => groups.push(group),
    }
    groups
}

/// The span, kept inside the file and on character boundaries, for a renderer must not panic.
fn within(file: &SourceFile, span: &std::ops::Range<usize>) -> std::ops::Range<usize> {
    let floor = |at: usize| {
        let at = at.min(file.text.len());
        (0..=at)
            .rev()
            .find(|at| file.text.is_char_boundary(*at))
            .unwrap_or(0)
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}

/// A trouble as people see it: `error: what`, the cause, what to try.
#[must_use]
pub fn trouble(trouble: &Trouble, colour: bool) -> String {
    let word = Paint { colour }.paint(BAD, "error:");
    let mut out = format!("{word} {}\n", trouble.what);
    for line in words::trouble_details(trouble) {
        out.push_str("  ");
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_model::diag::{Label, Suggestion};

    #[test]
    fn a_fault_shows_its_place_and_what_could_stand_there() {
        let file = SourceFile::new("pipeline.toml", "name = \"a\"\n[steps.x.biuld]\n");
        let fault = Diagnostic {
            severity: Severity::Error,
            message: "unknown key `biuld`".into(),
            labels: vec![Label {
                span: 20..25,
                text: String::new(),
                primary: true,
            }],
            help: Some("a key with a similar name exists".into()),
            suggestion: Some(Suggestion {
                span: 20..25,
                replacement: "build".into(),
            }),
        };
        let text = render(&file, &[fault], 80, false);
        assert!(text.contains("pipeline.toml:2:10"), "{text}");
        assert!(text.contains("^^^^^"), "{text}");
        assert!(text.contains("+ [steps.x.build]"), "{text}");
        assert!(text.ends_with("1 error in pipeline.toml\n"), "{text}");
    }

    #[test]
    fn a_place_outside_the_file_is_no_reason_to_panic() {
        let file = SourceFile::new("pipeline.toml", "nämé");
        for span in [0..400, 2..3, 1..2] {
            let label = Label {
                span,
                text: "x".into(),
                primary: true,
            };
            let fault = Diagnostic {
                severity: Severity::Error,
                message: "m".into(),
                labels: vec![label],
                help: None,
                suggestion: None,
            };
            assert!(render(&file, &[fault], 40, true).contains("m"));
        }
    }
}
