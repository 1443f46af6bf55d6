use super::*;

#[test]
fn the_list_of_tools_stays_as_it_is() {
    let tools: Vec<_> = offered(false).map(Entry::definition).collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&tools).unwrap());
}

#[test]
fn without_what_changes_anything_only_reading_is_left() {
    let names: Vec<_> = offered(true).map(|tool| tool.name).collect();
    assert_eq!(names.len(), 9);
    for name in ["run_pipeline", "cancel_run"] {
        assert!(!names.contains(&name), "{name}");
    }
}

#[test]
fn schemas_hold_nothing_that_only_rust_knows() {
    for tool in offered(false).map(Entry::definition) {
        let text = serde_json::to_string(&tool).unwrap();
        for odd in ["uint", "\"null\"", "\"format\":\"double\""] {
            assert!(!text.contains(odd), "{} has {odd}: {text}", tool.name);
        }
        let unknown = tool.input_schema.get("additionalProperties");
        assert_eq!(unknown, Some(&Value::Bool(false)), "{}", tool.name);
    }
}
