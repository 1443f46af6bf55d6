//! What comes in to a service through a proxy, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::leaf::At;

/// Which requests are a service's. What is said has to hold, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RouteSpec {
    /// Those for this host, such as `shop.example.com`.
    pub host: Option<At<String>>,
    /// Those whose path is this one or begins with it, part by part, such as `/api`. Of several
    /// routes that fit, the one with the longest path is taken.
    pub path: Option<At<String>>,
}

/// TLS that ends at the proxy.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TlsSpec {
    /// The name of a secret: a PEM file with the certificate, its chain and its key.
    #[schemars(required)]
    pub certificate: Option<At<String>>,
}

/// What is spoken on a service's ports.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case", inline)]
#[expect(dead_code, reason = "only the schema is made from it")]
pub(super) enum AppProtocolWord {
    Http,
    Tcp,
}
