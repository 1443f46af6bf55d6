//! Builds that must come to what they come to with `docker build`: each case is a Dockerfile and a
//! folder, built by `docker build` (that is buildx) and by hoist, neither from a cache. The two images are
//! compared layer by layer, file by file, and so are their settings. It refuses to judge what an
//! image holds: Docker's is right.
//!
//! A case is a line of `cases!` in one of the modules below, and a test of that name.

mod add;
mod case;
mod config;
mod copy;
mod ignore;
mod image;
mod links;
mod metadata;
mod names;
mod options;
mod run;
mod stages;

pub(crate) use case::modern;
use case::{Case, case, inline};

/// A test of each case's name.
macro_rules! cases {
    ($($(#[$note:meta])* $name:ident: $case:expr;)+) => {$(
        $(#[$note])*
        #[test]
        fn $name() {
            let test = concat!(module_path!(), "::", stringify!($name));
            if let Some(buildx) = $crate::corpus::case::buildx(test) {
                $case.compare(test, &buildx);
            }
        }
    )+};
}
use cases;
