//! Names for what steps put on an engine: readable, and never one name for two steps. It refuses to
//! know what engines allow; that is the part of whoever shortens a name.

/// The name that is left of `id`; where it is not all of it, told apart from what else could be
/// left so.
pub(crate) fn distinct(left: &str, id: &str) -> String {
    if left == id {
        return id.to_owned();
    }
    let hash = blake3::hash(id.as_bytes()).to_hex();
    let hash: String = hash.chars().take(8).collect();
    format!("{left}-{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shortened_is_told_apart_and_what_was_not_stays() {
        assert_eq!(distinct("unit", "unit"), "unit");
        let one = distinct("unit-py-3", "unit[py=3]");
        assert!(
            one.starts_with("unit-py-3-") && one.len() == "unit-py-3-".len() + 8,
            "{one}"
        );
        assert_ne!(one, distinct("unit-py-3", "unit[py-3]"));
        assert_eq!(one, distinct("unit-py-3", "unit[py=3]"));
    }
}
