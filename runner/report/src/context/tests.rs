//! Surveys as text and JSON.

use hoist_model::survey::Hint;

use super::*;

fn file(path: &str, bytes: u64) -> Entry {
    let kind = EntryKind::File { bytes };
    let path = path.to_owned();
    Entry { path, kind }
}

fn left(path: &str, folder: bool, bytes: Option<u64>, why: Why) -> LeftOut {
    let path = path.to_owned();
    LeftOut {
        path,
        folder,
        bytes,
        why,
    }
}

fn survey() -> Survey {
    let rule = |line, pattern: &str| Why::Rule {
        line,
        pattern: pattern.to_owned(),
    };
    let link = EntryKind::Link {
        target: "a\tb".to_owned(),
    };
    let context = SurveyedFolder {
        role: Role::Context,
        path: ".".into(),
        ignorefile: Some(".dockerignore".into()),
        entries: vec![
            file("Dockerfile", 14),
            Entry {
                path: "src".into(),
                kind: EntryKind::Folder,
            },
            file("src/main.rs", 1229),
            file("src/two\nlines", 0),
            Entry {
                path: "current".into(),
                kind: link,
            },
        ],
        left_out: vec![
            left("node_modules", true, None, rule(4, "node_modules/")),
            left(
                ".hoist",
                true,
                Some(9),
                Why::Never("hoist's own folder".into()),
            ),
            left("pipe", false, None, Why::Special),
        ],
        hints: vec![Hint {
            message: "`.git` is part of the context `.`".into(),
            hint: "leave it out".into(),
        }],
    };
    let named = SurveyedFolder {
        role: Role::Named("assets".into()),
        path: "web/assets".into(),
        ignorefile: None,
        entries: Vec::new(),
        left_out: Vec::new(),
        hints: Vec::new(),
    };
    Survey {
        step: "image".into(),
        folders: vec![context, named],
    }
}

#[test]
fn a_list_has_a_line_for_each_name() {
    assert_eq!(
        list(&survey(), false),
        "context . of image, rules of .dockerignore
    14 B  Dockerfile
       -  src/
 1.2 KiB  src/main.rs
     0 B  \"src/two\\nlines\"
       -  current -> \"a\\tb\"
       -  pipe  cannot be sent: a socket, a pipe or a device
3 files, 1 folder, 1 link: 1.2 KiB

context assets (web/assets) of image, no .dockerignore
0 files: 0 B
"
    );
}

#[test]
fn what_is_left_out_has_its_rule() {
    assert_eq!(
        left_out(&survey(), false),
        "left out of context . of image, rules of .dockerignore
       -  node_modules/  .dockerignore:4  node_modules/
     9 B  .hoist/        never sent: hoist's own folder
       -  pipe           cannot be sent: a socket, a pipe or a device
3 left out, 9 B and more

left out of context assets (web/assets) of image, no .dockerignore
nothing
"
    );
}

#[test]
fn the_heaviest_come_first() {
    let text = top(&survey(), 1, false);
    let expected = "context . of image, rules of .dockerignore
heaviest folders
 1.2 KiB  2 files  src/
heaviest files
 1.2 KiB  src/main.rs
3 files, 1 folder, 1 link: 1.2 KiB
";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn programs_get_numbers_and_rules() {
    let json = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let all = json(list_json(&survey(), true));
    let context = &all["folders"][0];
    assert_eq!(all["step"], "image");
    assert_eq!(
        context["entries"][2],
        json!({"path": "src/main.rs", "kind": "file", "bytes": 1229})
    );
    assert_eq!(context["entries"][4]["target"], "a\tb");
    let rule = json!({"file": ".dockerignore", "line": 4, "pattern": "node_modules/"});
    assert_eq!(context["left_out"][0]["rule"], rule);
    assert_eq!(context["left_out"][1]["never"], "hoist's own folder");
    assert_eq!(
        (&context["files"], &context["bytes"]),
        (&json!(3), &json!(1243))
    );
    assert_eq!(all["folders"][1]["name"], "assets");
    assert!(
        json(list_json(&survey(), false))["folders"][0]
            .get("left_out")
            .is_none()
    );
    let top = json(top_json(&survey(), 10));
    let src = json!([{"path": "src", "bytes": 1229, "files": 2}]);
    assert_eq!(top["folders"][0]["heaviest_folders"], src);
}

#[test]
fn hints_say_what_to_try() {
    let text = hints(&survey(), false);
    let expected = "warning: `.git` is part of the context `.`\n  try:   leave it out\n";
    assert_eq!(text, expected);
    assert!(hints(&survey(), true).contains('\u{1b}'));
}

#[test]
fn names_cannot_act_on_a_terminal_nor_pass_for_others() {
    for (path, shown) in [
        ("a b", "a b"),
        ("it's", "it's"),
        ("naïve/日本", "naïve/日本"),
        ("e\u{301}", "e\u{301}"),
        ("\u{1b}[2J", "\"\\u{1b}[2J\""),
        ("a\u{202e}b", "\"a\\u{202e}b\""),
        (" a", "\" a\""),
        ("a\\b", "\"a\\\\b\""),
        ("a\"b", "\"a\\\"b\""),
        ("a\\'b", "\"a\\\\'b\""),
    ] {
        assert_eq!(escaped(path), shown, "{path:?}");
    }
}
