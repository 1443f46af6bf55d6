//! `hoist mcp install`: what clients are told, and that it takes nothing from them.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::Project;

const CLIENTS: [(&str, &str, &str); 3] = [
    ("claude", ".mcp.json", "mcpServers"),
    ("cursor", ".cursor/mcp.json", "mcpServers"),
    ("vscode", ".vscode/mcp.json", "servers"),
];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn mcp_install_tells_each_client_in_its_own_way() {
    for (client, file, key) in CLIENTS {
        let project = Project::new("name = \"p\"\n");
        let printed = project.hoist(&["mcp", "install", client]).expect(0);
        let root = project.path().canonicalize().unwrap();
        let mut entry = json!({"command": env!("CARGO_BIN_EXE_hoist"),
            "args": ["mcp", "--root", root]});
        if client == "vscode" {
            entry["type"] = json!("stdio");
        }
        let expected = json!({key: {"hoist": entry}});
        assert_eq!(json(&printed.stdout), expected, "{client}");
        assert!(printed.stderr.contains(file), "{}", printed.stderr);
        assert!(!project.path().join(file).exists());
        let write = ["mcp", "install", client, "--write"];
        project.hoist(&write).expect(0).says("wrote");
        assert_eq!(json(&project.read(file)), expected, "{client}");
        project.hoist(&write).expect(0).says("already");
    }
}

#[test]
fn mcp_install_leaves_what_else_is_there() {
    let old = r#"{"inputs": [1], "mcpServers": {"other": {"command": "x"},
        "hoist": {"type": "http", "url": "http://old", "timeout": 9, "command": "old"}}}"#;
    let project = Project::new("name = \"p\"\n")
        .file(".mcp.json", old)
        .file("one/x", "")
        .file("two/x", "");
    let path = project.path().join(".mcp.json");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let roots = ["--root", "one", "--root", "two"];
    let arguments = [&["mcp", "install", "claude", "--write"], &roots[..]].concat();
    project.hoist(&arguments).expect(0);
    let found = json(&project.read(".mcp.json"));
    assert_eq!(found["inputs"], json!([1]));
    let servers = &found["mcpServers"];
    assert_eq!(servers["other"], json!({"command": "x"}));
    let root = project.path().canonicalize().unwrap();
    let expected = json!({"command": env!("CARGO_BIN_EXE_hoist"), "timeout": 9,
        "args": ["mcp", "--root", root.join("one"), "--root", root.join("two")]});
    assert_eq!(servers["hoist"], expected);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn mcp_install_breaks_nothing_that_it_cannot_read() {
    let broken = [
        "{\"mcpServers\": {",
        "// a comment\n{}",
        "[]",
        "{\"mcpServers\": []}",
        "{\"mcpServers\": {\"hoist\": 7}}",
    ];
    for text in broken {
        let project = Project::new("name = \"p\"\n").file(".mcp.json", text);
        let ended = project.hoist(&["mcp", "install", "claude", "--write"]);
        ended.expect(2).says("nothing was changed");
        assert_eq!(project.read(".mcp.json"), text);
    }
    let project = Project::new("name = \"p\"\n");
    let none = ["mcp", "install", "claude", "--root", "none"];
    project
        .hoist(&none)
        .expect(2)
        .says("there is no folder none");
    project
        .hoist(&["mcp", "install", "emacs"])
        .expect(2)
        .says("vscode");
    let both = ["mcp", "--read-only", "install", "claude"];
    project.hoist(&both).expect(2);
}
