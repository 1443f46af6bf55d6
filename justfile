# Lists these recipes.
default:
    @just --list

# Exactly what continuous integration runs.
ci:
    tests/run

# Format, lints, documentation and the tests that need no engine.
quick:
    tests/run quick

# The tests on one engine: floor, current or any.
engine which="any":
    tests/run {{which}}

# Ratios against docker and others, in one run.
bench *what:
    tests/bench/run {{what}}

# The example, from source to running service.
try:
    examples/try

# Write again what is derived from the code: the schema, the snapshots of diagnostics and of test results.
bless:
    cargo run --quiet -- schema > pipelines/pipeline.schema.json
    HOIST_BLESS=1 cargo test --quiet --package hoist-ci diagnostics
    HOIST_BLESS=1 cargo test --quiet --package hoist-ci each_file_is_read_as_expected

# Dependencies: licences, advisories, and who may name which crate.
deny:
    cargo deny --config .cargo/deny.toml check
