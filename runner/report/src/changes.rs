//! What a deploy would change, as people and programs read it before anything is touched. There are
//! names of variables and secrets in it and no value.

use hoist_model::changes::{
    ChangesDigest, DeployChanges, HookRun, ImageChange, KnownImage, NamesChange, ServiceAction,
    ServiceChanges,
};

use crate::style::{BOLD, DIM, Paint, WARN};
use crate::words;

/// As text.
#[must_use]
pub fn text(changes: &DeployChanges, colour: bool) -> String {
    let paint = Paint { colour };
    let DeployChanges {
        environment,
        engine,
        release,
        services,
        hooks,
        networks,
        volumes,
        proxies,
        approval,
        digest,
        problems,
        notes,
    } = changes;
    let mut lines = vec![paint.paint(
        BOLD,
        &format!("{environment}: what release {release} would change"),
    )];
    lines.extend(
        engine
            .iter()
            .map(|engine| format!("  on the engine {engine}")),
    );
    for service in services {
        lines.push(String::new());
        lines.extend(of_service(service, paint));
    }
    lines.push(String::new());
    lines.extend(hooks.iter().map(hook));
    let all = [
        ("networks", networks),
        ("volumes", volumes),
        ("proxies", proxies),
    ];
    lines.extend(
        all.into_iter()
            .filter_map(|(what, names)| named(what, names)),
    );
    for problem in problems {
        lines.push(paint.paint(WARN, &format!("! in the way: {}", problem.what)));
        let details = words::trouble_details(problem).into_iter();
        lines.extend(details.map(|line| format!("    {line}")));
    }
    let notes = notes.iter();
    lines.extend(notes.map(|note| paint.paint(WARN, &format!("! {note}"))));
    lines.extend(approved(digest, *approval, paint));
    let mut out = lines.join("\n");
    out.push('\n');
    out
}

/// As JSON.
#[must_use]
pub fn json(changes: &DeployChanges) -> String {
    serde_json::to_string_pretty(changes).unwrap_or_default() + "\n"
}

fn of_service(service: &ServiceChanges, paint: Paint) -> Vec<String> {
    let mut lines = vec![service.summary.clone()];
    let ServiceChanges {
        service: _,
        action,
        summary: _,
        strategy,
        downtime,
        image,
        variables,
        secrets,
        secrets_changed,
        ports,
        networks,
        volumes,
        settings,
        others,
        gates,
    } = service;
    if *action == ServiceAction::Removed {
        return lines;
    }
    lines.extend(of_image(image).map(|image| format!("  image {image}")));
    let names = [
        ("variables", variables),
        ("secrets", secrets),
        ("ports", ports),
        ("networks", networks),
        ("volumes", volumes),
    ];
    for (what, names) in names {
        lines.extend(named(what, names).map(|line| format!("  {line}")));
    }
    if *secrets_changed {
        lines.push("  secrets have other values".to_owned());
    }
    for setting in settings {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "not set".to_owned());
        let (from, to) = (side(&setting.from), side(&setting.to));
        lines.push(format!("  {} {from} -> {to}", setting.key));
    }
    if !others.is_empty() {
        lines.push(format!("  other settings: {}", others.join(", ")));
    }
    if *action != ServiceAction::Unchanged && !gates.is_empty() {
        let gates = format!("  its image has to pass {}", gates.join(", "));
        lines.push(paint.paint(DIM, &gates));
    }
    if *action == ServiceAction::Replaced {
        let down = match downtime {
            true => "down while it is replaced",
            false => "without downtime",
        };
        lines.push(paint.paint(DIM, &format!("  {strategy}, {down}")));
    }
    lines
}

/// `app:1 (0123456789ab) -> app:2 (ba9876543210)`; nothing where both are one.
fn of_image(image: &ImageChange) -> Option<String> {
    let known = |image: &KnownImage| match image.name.as_str() {
        "" => image.short().to_owned(),
        name => format!("{name} ({})", image.short()),
    };
    let (from, to) = (image.from.as_ref().map(known), image.to.as_ref().map(known));
    let same = |from: &KnownImage, to: &KnownImage| from.identity == to.identity;
    if let (Some(from), Some(to)) = (&image.from, &image.to)
        && same(from, to)
    {
        return None;
    }
    let to = to.or_else(|| {
        Some(format!(
            "not known before the run: {}",
            image.unknown.as_ref()?
        ))
    })?;
    Some(match from {
        Some(from) => format!("{from} -> {to}"),
        None => to,
    })
}

/// `ports +8080 -8081 ~53/udp`; nothing where no name is in it.
fn named(what: &str, names: &NamesChange) -> Option<String> {
    if names.is_nothing() {
        return None;
    }
    let signed = |sign: &'static str, names: &[String]| -> Vec<String> {
        names.iter().map(|name| format!("{sign}{name}")).collect()
    };
    let all = [
        signed("+", &names.added),
        signed("-", &names.removed),
        signed("~", &names.changed),
    ];
    Some(format!("{what} {}", all.concat().join(", ")))
}

fn hook(hook: &HookRun) -> String {
    let image = of_image(&hook.image).map(|image| format!(": image {image}"));
    format!(
        "{} runs once ({}){}",
        hook.hook,
        hook.when,
        image.unwrap_or_default()
    )
}

fn approved(digest: &ChangesDigest, approval: bool, paint: Paint) -> Vec<String> {
    let needs = if approval {
        "needs approval"
    } else {
        "needs no approval"
    };
    match digest {
        ChangesDigest::Nothing => vec!["nothing would change".to_owned()],
        ChangesDigest::Known(digest) => {
            let mut lines = vec![format!("digest {}, {needs}", paint.paint(BOLD, digest))];
            if approval {
                lines.push(format!("  `hoist run --approve {digest}` does just this"));
            }
            lines
        }
        ChangesDigest::Unknown(why) => {
            let mut lines = vec![format!("the digest is not known before the run ({needs}):")];
            lines.extend(why.iter().map(|why| format!("  {why}")));
            if approval {
                lines.push(
                    "  `hoist run` asks with it once it is known, and changes nothing before"
                        .to_owned(),
                );
            }
            lines
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, digit: &str) -> KnownImage {
        KnownImage {
            name: name.into(),
            identity: format!("sha256:{}", digit.repeat(64)),
        }
    }

    #[test]
    fn an_image_is_shown_where_it_changes() {
        let change = |from, to| ImageChange {
            from,
            to,
            unknown: Some("its image is built by the step `image`".into()),
        };
        let (one, two) = (image("app:1", "1"), image("app:2", "2"));
        let shown = of_image(&change(Some(one.clone()), Some(two)));
        assert_eq!(
            shown.unwrap(),
            "app:1 (111111111111) -> app:2 (222222222222)"
        );
        assert_eq!(
            of_image(&change(Some(one.clone()), Some(one.clone()))),
            None
        );
        let shown = of_image(&change(Some(one), None)).unwrap();
        assert!(
            shown.ends_with("its image is built by the step `image`"),
            "{shown}"
        );
    }

    #[test]
    fn names_have_a_sign_each() {
        let names = NamesChange {
            added: vec!["A".into()],
            removed: vec!["B".into(), "C".into()],
            changed: vec!["D".into()],
        };
        assert_eq!(
            named("variables", &names).unwrap(),
            "variables +A, -B, -C, ~D"
        );
        assert_eq!(named("variables", &NamesChange::default()), None);
    }

    #[test]
    fn why_a_digest_is_not_known_is_said() {
        let paint = Paint { colour: false };
        let unknown = ChangesDigest::Unknown(vec!["web: its image is built".into()]);
        let said = approved(&unknown, true, paint).join("\n");
        assert!(said.contains("web: its image is built"), "{said}");
        let known = ChangesDigest::Known("abc".into());
        assert!(
            approved(&known, true, paint)
                .join("\n")
                .contains("--approve abc")
        );
        assert!(
            !approved(&known, false, paint)
                .join("\n")
                .contains("--approve")
        );
    }
}
