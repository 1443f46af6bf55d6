//! Matrices, and which cells names mean.

use super::*;

/// The names of the steps of a file with these lines after its name.
#[track_caller]
fn cells(lines: &str) -> Vec<String> {
    let plan = plan(&format!("name = \"m\"\n{lines}"));
    plan.steps.iter().map(|step| step.id.to_string()).collect()
}

/// The faults of such a file.
#[track_caller]
fn wrong(lines: &str) -> Vec<String> {
    let faults = planned(&format!("name = \"m\"\n{lines}")).expect_err("this is wrong");
    faults.into_iter().map(|fault| fault.message).collect()
}

const RUN: &str = "image = \"debian\"\nrun = \"true\"\n";

/// The cells of a step with this matrix, without the step's name.
#[track_caller]
fn of(matrix: &str) -> Vec<String> {
    let all = cells(&format!("[steps.a]\n{RUN}matrix = {{ {matrix} }}"));
    let bare = all
        .iter()
        .map(|name| name.trim_start_matches("a[").trim_end_matches(']'));
    bare.map(str::to_owned).collect()
}

#[test]
fn each_combination_is_a_step() {
    assert_eq!(
        of("py = [\"3.11\", \"3.12\"], db = [15, 16]"),
        [
            "py=3.11,db=15",
            "py=3.11,db=16",
            "py=3.12,db=15",
            "py=3.12,db=16"
        ]
    );
    // In the file's order, whatever the alphabet's.
    assert_eq!(of("z = [true], a = [\"x y\"]"), ["z=true,a=x y"]);
    let plan = plan(&format!(
        "name = \"m\"\n[vars]\nold = \"3.9\"\n[steps.a]\n{RUN}matrix.py = [\"${{old}}\"]\nmax_parallel = 2"
    ));
    let cell = plan.steps[0].cell.clone().unwrap();
    assert_eq!(cell.of, "a".into());
    assert_eq!(cell.values, [("py".to_owned(), "3.9".to_owned())]);
    assert_eq!(cell.max_parallel, Some(2));
}

#[test]
fn exclude_takes_out_and_include_adds() {
    assert_eq!(
        of("py = [1, 2], db = [1, 2], exclude = [{ py = 1, db = 2 }]"),
        ["py=1,db=1", "py=2,db=1", "py=2,db=2"]
    );
    assert_eq!(
        of("py = [1, 2], db = [1, 2], exclude = [{ py = 1 }]"),
        ["py=2,db=1", "py=2,db=2"]
    );
    // Values that agree are added, and name nothing; others are a cell of their own.
    assert_eq!(
        of("py = [1, 2], include = [{ py = 2, fast = true }, { py = 3, fast = true }]"),
        ["py=1", "py=2", "py=3,fast=true"]
    );
    assert_eq!(
        of("include = [{ os = \"a\", py = 1 }, { os = \"b\" }]"),
        ["os=a,py=1", "os=b"]
    );
    // What was excluded is not there to be added to.
    assert_eq!(
        of("py = [1, 2], exclude = [{ py = 2 }], include = [{ py = 2, x = 1 }]"),
        ["py=1", "py=2,x=1"]
    );
}

#[test]
fn a_cell_knows_its_values() {
    let plan = plan(
        r#"
        name = "m"
        [steps.image.build]
        args = { PY = "${matrix.py}", EXTRA = "${matrix.extra:-none}" }
        tags = ["shop:${matrix.py}"]
        [steps.image.matrix]
        py = ["3.11", "3.12"]
        include = [{ py = "3.12", extra = "x" }]
        [steps.unit]
        image = "debian"
        run = "true"
        environment = { MATRIX_DB = "own", NAME = "${matrix.py_version}" }
        matrix = { py_version = [3], db = [15] }
        when.expression = "matrix.db == '15'"
        "#,
    );
    let args = |step: &str| build(&plan, step).args.clone();
    assert_eq!(args("image[py=3.11]")["EXTRA"], Text::literal("none"));
    assert_eq!(args("image[py=3.12]")["EXTRA"], Text::literal("x"));
    assert_eq!(
        build(&plan, "image[py=3.12]").tags,
        [Text::literal("shop:3.12")]
    );
    let environment = &container(&plan, "unit[py_version=3,db=15]").environment;
    let pairs: Vec<_> = environment
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    assert_eq!(pairs, ["MATRIX_DB=own", "MATRIX_PY_VERSION=3", "NAME=3"]);
}

const CELLS: &str = r#"
[steps.image]
build = { args = { PY = "${matrix.py}" } }
matrix = { py = ["3.11", "3.12"] }
[steps.unit]
image = "${steps.image.image}"
run = "true"
matrix = { py = ["3.11", "3.12"], db = [15, 16] }
"#;

fn with(lines: &str) -> Plan {
    plan(&format!("name = \"m\"\n{CELLS}{lines}"))
}

#[test]
fn a_reference_means_the_cell_that_agrees_or_is_named() {
    let plan = with(
        r#"
        [steps.one]
        image = "${steps.image[py=3.12].image}"
        run = "true"
        [steps.other]
        image = "${steps.image[py=3.11].image}"
        run = "true"
        matrix = { py = ["3.12"] }
        [steps.cve.scan]
        image = "${steps.image.image}"
        [steps.cve.matrix]
        py = ["3.12", "3.11"]
        [steps.publish]
        push = { image = "${steps.image[py=3.12].image}", tags = ["localhost:5000/m:1"] }
        "#,
    );
    assert_eq!(
        needs(&plan, "unit[py=3.11,db=16]"),
        ["image[py=3.11] Reference"]
    );
    assert_eq!(
        needs(&plan, "unit[py=3.12,db=16]"),
        ["image[py=3.12] Reference"]
    );
    assert_eq!(
        container(&plan, "unit[py=3.12,db=15]").image,
        ImageSource::Step("image[py=3.12]".into())
    );
    assert_eq!(needs(&plan, "one"), ["image[py=3.12] Reference"]);
    // What is named stands over what would agree.
    assert_eq!(needs(&plan, "other[py=3.12]"), ["image[py=3.11] Reference"]);
    // A gate is that of the same cell's image.
    assert_eq!(
        needs(&plan, "publish"),
        ["image[py=3.12] Reference", "cve[py=3.12] Gate"]
    );
}

#[test]
fn needs_on_a_matrix_are_all_the_cells_that_agree() {
    let plan = with(
        r#"
        [steps.all]
        needs = ["unit"]
        image = "debian"
        run = "true"
        [steps.some]
        needs = ["unit"]
        image = "debian"
        run = "true"
        matrix = { db = [16] }
        [steps.one]
        needs = ["unit[py=3.12, db=16]", "unit[db=15,py=3.11]"]
        image = "debian"
        run = "true"
        "#,
    );
    assert_eq!(needs(&plan, "all").len(), 4);
    assert_eq!(
        needs(&plan, "some[db=16]"),
        ["unit[py=3.11,db=16] Needs", "unit[py=3.12,db=16] Needs"]
    );
    assert_eq!(
        needs(&plan, "one"),
        ["unit[py=3.11,db=15] Needs", "unit[py=3.12,db=16] Needs"]
    );
}

#[test]
fn a_name_has_to_mean_a_cell() {
    let one = |lines: &str| wrong(&format!("{CELLS}{lines}"));
    assert_eq!(
        one("[steps.x]\nimage = \"${steps.image.image}\"\nrun = \"true\""),
        ["`image` is one of 2 cells"]
    );
    assert_eq!(
        one("[steps.x]\nneeds = [\"unit[py=3.12]\"]\nimage = \"debian\"\nrun = \"true\""),
        ["`unit[py=3.12]` is one of 2 cells"]
    );
    for (needs, message) in [
        ("unit[py=3.13]", "no cell of `unit` is like this"),
        ("unit[os=3.13]", "the matrix of `unit` has no `os`"),
        ("unit[py]", "`unit[py]` is not the name of a cell"),
        ("unit[py=3.12", "`unit[py=3.12` is not the name of a cell"),
        ("unti[py=3.12]", "there is no step `unti`"),
        ("plain[py=3.12]", "the step `plain` has no matrix"),
    ] {
        let lines = format!("[steps.plain]\n{RUN}[steps.x]\nneeds = [\"{needs}\"]\n{RUN}");
        assert_eq!(one(&lines), [message], "{needs}");
    }
    let lines = format!("[steps.x]\nneeds = [\"image\"]\n{RUN}matrix.py = [\"3.13\"]");
    assert_eq!(one(&lines), ["no cell of `image` agrees with `x[py=3.13]`"]);
    assert_eq!(
        wrong(&format!(
            "[steps.x]\n{RUN}matrix.py = [1, 2]\nneeds = [\"x\"]"
        )),
        ["a step cannot need itself"]
    );
}

#[test]
fn cells_tell_what_they_share_once() {
    let lines = "[steps.x]\nimage = \"Debian\"\nrun = \"true\"\ntimeout = \"5\"\nmatrix = { a = [1, 2, 3], b = [1, 2, 3] }";
    assert_eq!(wrong(lines).len(), 2);
}

#[test]
fn what_cells_make_must_not_be_the_same() {
    let lines = "[steps.image]\nbuild = { tags = [\"shop:1\"] }\nmatrix.a = [1, 2]";
    assert_eq!(
        wrong(lines),
        ["`image[a=2]` and `image[a=1]` give the tag `shop:1` to two images"]
    );
}

#[test]
fn a_matrix_has_bounds() {
    let long = |count: u32| {
        let values: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        values.join(", ")
    };
    assert_eq!(
        of(&format!("a = [{}], b = [{}]", long(16), long(16))).len(),
        256
    );
    let lines = format!(
        "[steps.a]\n{RUN}matrix = {{ a = [{0}], b = [{0}] }}",
        long(17)
    );
    assert_eq!(wrong(&lines), ["the matrix has more than 256 cells"]);
    let many: Vec<String> = (0..40).map(|n| format!("a{n} = [1, 2, 3]")).collect();
    let lines = format!("[steps.a]\n{RUN}matrix = {{ {} }}", many.join(", "));
    assert_eq!(wrong(&lines), ["the matrix has more than 256 cells"]);
}

#[test]
fn cells_are_chosen_by_their_name_or_their_steps() {
    let plan = with("");
    let part = |name: &str| names(&select(&plan, &[name.into()]).unwrap()).join(" ");
    assert_eq!(part("image"), "image[py=3.11] image[py=3.12]");
    assert_eq!(
        part("unit[py=3.12,db=15]"),
        "image[py=3.12] unit[py=3.12,db=15]"
    );
    assert!(select(&plan, &["unit[py=3.12]".into()]).is_err());
    let only = |pattern: &str| {
        let selection = Selection {
            only: vec![pattern.into()],
            ..Selection::default()
        };
        names(&choose(&plan, &selection).unwrap()).join(" ")
    };
    assert_eq!(only("im*"), "image[py=3.11] image[py=3.12]");
    assert_eq!(only("*py=3.12,*=16*"), "image[py=3.12] unit[py=3.12,db=16]");
}
