//! An image from a Dockerfile, as written. The keys are those of Compose's `build`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

use super::leaf::{At, Scalar, Table, Word};
use super::step::NetworkWord;

/// Builds an image from a Dockerfile.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct BuildSpec {
    /// The folder that is sent to the engine; `.` if nothing is said.
    pub context: Option<At<String>>,
    /// Further folders of the project by the names that the Dockerfile gives them, as in
    /// `COPY --from=NAME` and `FROM NAME`.
    pub contexts: Option<BTreeMap<At<String>, At<String>>>,
    /// The Dockerfile, relative to the project's root; the context's `Dockerfile` if nothing is
    /// said.
    pub dockerfile: Option<At<String>>,
    /// The Dockerfile's text itself, instead of a file. It is never interpolated; give it values
    /// through `args`.
    pub dockerfile_inline: Option<At<String>>,
    /// The stage to build; the last one if nothing is said.
    pub target: Option<At<String>>,
    /// Build arguments.
    pub args: Option<Table>,
    /// Names that the image gets.
    pub tags: Option<Vec<At<String>>>,
    /// Labels of the image. The commit's time, revision, version and origin are added by their
    /// OCI names.
    pub labels: Option<Table>,
    /// Names of secrets that `RUN --mount=type=secret,id=NAME` may read.
    pub secrets: Option<Vec<At<String>>>,
    /// Agents that `RUN --mount=type=ssh` may ask: `default` is the one of SSH_AUTH_SOCK, and
    /// `ID=/path` the one that listens on that socket.
    pub ssh: Option<Vec<At<String>>>,
    /// Where earlier results may be taken from: an image's name, or such as
    /// `type=registry,ref=registry.example.com/shop:cache`.
    pub cache_from: Option<Vec<At<String>>>,
    /// Where results are kept for others, such as `type=inline` or
    /// `type=registry,ref=registry.example.com/shop:cache,mode=max`.
    pub cache_to: Option<Vec<At<String>>>,
    /// Ask the registry for newer base images.
    pub pull: Option<At<bool>>,
    /// Run every instruction again.
    pub no_cache: Option<At<bool>>,
    /// Run the instructions of these stages again.
    pub no_cache_filter: Option<Vec<At<String>>>,
    /// The way out of RUN instructions; the engine's own choice if nothing is said.
    #[schemars(with = "Option<Word<NetworkWord>>")]
    pub network: Option<At<String>>,
    /// What the image is for, such as `linux/arm64`; the engine's own platform if nothing is said.
    pub platforms: Option<Vec<At<String>>>,
    /// The size of /dev/shm in RUN instructions, such as `256m`.
    #[schemars(with = "Option<String>")]
    pub shm_size: Option<At<Scalar>>,
    /// Names beside those of the resolver: an array such as `["db:10.0.0.2"]`, or a table. The
    /// address `host-gateway` is the engine's machine.
    pub extra_hosts: Option<ExtraHostsSpec>,
    /// Bounds of the processes of RUN instructions, such as `nofile = 1024` or
    /// `nofile = { soft = 1024, hard = 4096 }`.
    pub ulimits: Option<BTreeMap<At<String>, At<UlimitSpec>>>,
    /// The same image from every clone: the commit's time stands for every later one.
    pub reproducible: Option<At<bool>>,
}

/// Names beside those of the resolver.
#[derive(Debug)]
pub enum ExtraHostsSpec {
    /// `NAME:ADDRESS` or `NAME=ADDRESS`.
    Lines(Vec<At<String>>),
    /// Addresses by name.
    Table(BTreeMap<At<String>, At<String>>),
}

/// A bound of a process.
#[derive(Clone, Debug)]
pub enum UlimitSpec {
    /// What it has and what it may ask for.
    Both(Scalar),
    /// The two of them.
    Each(UlimitBounds),
}

/// The two bounds of a process.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct UlimitBounds {
    /// What it has; -1 for no bound.
    #[schemars(with = "i64", required)]
    pub soft: Option<At<Scalar>>,
    /// What it may ask for; -1 for no bound.
    #[schemars(with = "i64", required)]
    pub hard: Option<At<Scalar>>,
}

impl<'de> Deserialize<'de> for ExtraHostsSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ExtraHostsSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of `NAME:ADDRESS` or a table")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<ExtraHostsSpec, A::Error> {
                let from = de::value::SeqAccessDeserializer::new(seq);
                Vec::deserialize(from).map(ExtraHostsSpec::Lines)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ExtraHostsSpec, A::Error> {
                let from = de::value::MapAccessDeserializer::new(map);
                BTreeMap::deserialize(from).map(ExtraHostsSpec::Table)
            }
        }
        from.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for UlimitSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = UlimitSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or a table of `soft` and `hard`")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<UlimitSpec, E> {
                Ok(UlimitSpec::Both(Scalar(text.to_owned())))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<UlimitSpec, E> {
                Ok(UlimitSpec::Both(Scalar(number.to_string())))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UlimitSpec, A::Error> {
                let from = de::value::MapAccessDeserializer::new(map);
                UlimitBounds::deserialize(from).map(UlimitSpec::Each)
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for ExtraHostsSpec {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "ExtraHosts".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "array", "items": { "type": "string" } },
                { "type": "object", "additionalProperties": { "type": "string" } },
            ]
        })
    }
}

impl JsonSchema for UlimitSpec {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Ulimit".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let bounds = generator.subschema_for::<UlimitBounds>();
        json_schema!({ "anyOf": [{ "type": ["integer", "string"] }, bounds] })
    }
}
