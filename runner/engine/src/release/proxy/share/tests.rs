use hoist_model::unit::{AppProtocol, Traffic};

use super::*;
use crate::release::proxy::{Certificate, Front, Listen, Part, Server, ServerName};

fn gate() -> Gate {
    Gate::Shared {
        address: None,
        port: 443,
    }
}

fn route(host: &str, path: Option<&str>) -> Route {
    Route {
        host: Some(host.to_owned()),
        path: path.map(str::to_owned),
    }
}

/// One service of a project, for these requests.
fn share(project: &str, routes: Vec<Route>, tls: bool) -> Share {
    let place = Place::new(project, "live");
    let traffic = Traffic {
        app_protocol: AppProtocol::Http,
        routes,
        ..Traffic::default()
    };
    let certificate = Certificate {
        id: project.to_owned(),
        expires: jiff::Timestamp::UNIX_EPOCH,
    };
    let server = Server {
        address: [172, 30, 0, 9].into(),
        port: 8000,
        part: Part::Active { weight: 100 },
        proxy_protocol: false,
    };
    let name = ServerName::new(qualified(&place, "web-1-1")).expect("a name");
    let listen = Listen {
        front: Front::of(&traffic, true, tls.then_some(&certificate)),
        log_requests: false,
        servers: [(name, server)].into(),
    };
    Share {
        place,
        addresses: [("default".to_owned(), [172, 30, 0, 5].into())].into(),
        services: [("web".to_owned(), listen)].into(),
    }
}

fn shares(all: Vec<Share>) -> Shares {
    let mut shares = Shares::default();
    all.into_iter().for_each(|one| shares.put(one));
    shares
}

#[test]
fn parts_are_read_as_they_were_written_and_told_apart() {
    let all = shares(vec![
        share("shop", vec![route("shop.test", None)], true),
        share("blog", vec![route("blog.test", Some("/posts"))], true),
    ]);
    let text = all.text(443);
    assert_eq!(Shares::read(&text), Ok(all.clone()));
    for line in [
        "    bind *:443 ssl crt /etc/hoist/blog.pem crt /etc/hoist/shop.pem ssl-min-ver TLSv1.2 alpn http/1.1",
        "backend servers-443-blog.live.web",
        "    server shop.live.web-1-1 172.30.0.9:8000 weight 100",
        "    default_backend nobody-443",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let mut without = all.clone();
    let gone = without.take(&Place::new("blog", "live"));
    assert!(gone.is_some() && !without.text(443).contains("blog"));
    assert_eq!(all.others(&Place::new("shop", "live")).count(), 1);
}

#[test]
fn what_is_not_whole_or_not_known_is_not_read() {
    let all = shares(vec![share("shop", vec![route("shop.test", None)], false)]);
    let text = all.text(80);
    let (cut, _) = text.split_at(text.len() - 3);
    let newer = text.replacen("\"sticky\":false", "\"sticky\":false,\"limit\":3", 2);
    let stranger = text.replace("shop.live.web-1-1\":", "web 1\":");
    let other = text.replace("# share {", "# share 2 {");
    for text in ["", cut, &newer, &stranger, &other] {
        assert_eq!(Shares::read(text), Err(Unreadable), "{text}");
    }
}

#[test]
fn what_another_has_is_named() {
    let there = shares(vec![
        share("shop", vec![route("shop.test", None)], false),
        share("blog", vec![route("blog.test", Some("/posts"))], false),
    ]);
    let clash = |there: &Shares, own: &Share| {
        let claims: Vec<Claim<'_>> = own.claims().collect();
        let trouble = there.clash(&own.place, &gate(), &claims)?;
        Some(format!("{}: {}", trouble.what, trouble.cause?))
    };
    let own = |routes, tls| share("news", routes, tls);
    assert_eq!(
        clash(&there, &own(vec![route("news.test", None)], false)),
        None
    );
    for (own, said) in [
        (
            own(vec![route("shop.test", Some("/"))], false),
            "the route `shop.test/` of web on port 443 is taken: web of shop (live) has it",
        ),
        (
            own(vec![route("blog.test", Some("/posts"))], false),
            "the route `blog.test/posts` of web on port 443 is taken: web of blog (live) has it",
        ),
        (
            own(vec![route("news.test", None)], true),
            "web cannot share port 443 with web of blog (live): only one of them has `tls`",
        ),
        (
            own(Vec::new(), false),
            "the port 443 of web is taken: web of blog (live) has a part of it, and web has no `routes`",
        ),
    ] {
        assert_eq!(clash(&there, &own).as_deref(), Some(said));
    }
    let alone = shares(vec![share("shop", Vec::new(), false)]);
    assert_eq!(
        clash(&alone, &own(vec![route("news.test", None)], false)).as_deref(),
        Some(
            "the port 443 of web is taken: web of shop (live) has it for itself: it has no `routes`"
        )
    );
    // Its own part is no one else's.
    let again = share("shop", vec![route("shop.test", None)], true);
    assert!(clash(&alone, &again).is_none());
}
