//! That a real HAProxy does what its configuration is for, on the loopback interface. The waits end
//! with what they wait for.

mod rig;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use hoist_model::unit::{AppProtocol, Route};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::config::{Config, Listen, Part, Server, ServerName, Services};
use super::front::Front;
use super::log::{proved, requests};
use rig::{Client, Proxy, Upstream, active, alone, free_port, haproxy, listen, name};

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        any::<u32>().prop_map(|weight| Part::Active { weight }),
        Just(Part::Backup),
        Just(Part::Probing),
    ]
}

fn server() -> impl Strategy<Value = Server> {
    (any::<u32>(), 1..=u16::MAX, part(), any::<bool>()).prop_map(
        |(address, port, part, proxy_protocol)| Server {
            address: Ipv4Addr::from(address),
            port,
            part,
            proxy_protocol,
        },
    )
}

fn any_listen() -> impl Strategy<Value = Listen> {
    let name = "[a-z0-9][a-zA-Z0-9_-]{0,80}".prop_map(|text| name(&text));
    let protocol = prop_oneof![Just(AppProtocol::Http), Just(AppProtocol::Tcp)];
    let servers = prop::collection::btree_map(name, server(), 0..6);
    let flags = any::<(bool, bool, bool)>();
    (protocol, any::<Duration>(), flags, servers).prop_map(
        |(app_protocol, drain, (sticky, maintenance, log_requests), servers)| Listen {
            front: Front {
                app_protocol,
                drain,
                sticky,
                maintenance,
                tls: None,
                routes: Vec::new(),
            },
            log_requests,
            servers,
        },
    )
}

/// One service, or two that share a port by their routes.
fn services() -> impl Strategy<Value = Services> {
    let route = (
        "[a-z][a-z0-9.-]{0,20}[a-z]",
        "/[a-z0-9._~%!$&()+,;=:@-]{0,20}",
    );
    let route = (prop::option::of(route.0), prop::option::of(route.1));
    let route = route.prop_map(|(host, path)| Route { host, path });
    let routes = prop::collection::vec(route, 1..4);
    (any_listen(), prop::option::of((any_listen(), routes))).prop_map(|(first, more)| {
        let mut all = Services::from([("web".to_owned(), first)]);
        if let Some((mut listen, routes)) = more {
            listen.front.routes = routes;
            all.values_mut().chain([&mut listen]).for_each(|one| {
                one.front.app_protocol = AppProtocol::Http;
            });
            all.insert("api".to_owned(), listen);
        }
        all
    })
}

#[test]
fn whatever_is_rendered_is_taken_without_a_warning() {
    let Some(haproxy) = haproxy("whatever_is_rendered_is_taken_without_a_warning") else {
        return;
    };
    let mut runner = TestRunner::default();
    let many = prop::collection::btree_map(1..=u16::MAX, services(), 300);
    let few = prop::collection::btree_map(1..=u16::MAX, services(), 1);
    for listens in [many, few] {
        let listens = listens.new_tree(&mut runner).unwrap().current();
        let text = Config { listens }.to_string();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, &text).unwrap();
        let mut check = Command::new(haproxy);
        let check = check.arg("-c").arg("-f").arg(file.path()).output().unwrap();
        let said = String::from_utf8_lossy(&check.stderr);
        let is_clean = !said.contains("[WARNING]") && !said.contains("[ALERT]");
        assert!(check.status.success() && is_clean, "{said}\n{text}");
    }
}

#[test]
fn no_name_breaks_out_of_its_line() {
    for bad in [
        "",
        "web 1",
        "web\n",
        "a\nglobal",
        "\"web\"",
        "web#",
        "wéb",
        "a/b",
        "a\\",
    ] {
        assert_eq!(ServerName::new(bad), None, "{bad:?}");
    }
    assert_eq!(name("web-7-1").as_str(), "web-7-1");
}

#[test]
fn the_drain_is_the_longest_and_never_without_end() {
    let text = |drains: &[u64]| {
        let listens = drains.iter().zip(1..).map(|(&drain, port)| {
            let mut listen = listen([]);
            listen.front.drain = Duration::from_secs(drain);
            (port, alone(listen))
        });
        let listens = listens.collect();
        Config { listens }.to_string()
    };
    assert!(text(&[3, 60, 7]).contains("hard-stop-after 60000ms\n"));
    assert!(text(&[0]).contains("hard-stop-after 1ms\n"));
    assert!(text(&[u64::MAX]).contains("hard-stop-after 2147483647ms\n"));
}

#[test]
fn a_server_is_told_its_client_where_it_expects_to_be() {
    let mut wanted = listen([("old-1", 81, active()), ("new-1", 82, Part::Probing)]);
    let new = wanted.servers.get_mut(&name("new-1")).unwrap();
    new.proxy_protocol = true;
    let listens = [(80, alone(wanted))].into();
    let text = Config { listens }.to_string();
    assert!(text.contains("    server old-1 127.0.0.1:81 weight 1\n"));
    assert!(
        text.contains("    server new-1 127.0.0.1:82 weight 0 send-proxy-v2 check-send-proxy\n")
    );
}

#[test]
fn a_page_takes_the_place_of_servers_that_are_checked_on() {
    let Some(haproxy) = haproxy("a_page_takes_the_place_of_servers_that_are_checked_on") else {
        return;
    };
    let blue = Upstream::start("blue");
    let servers = || listen([("blue-1", blue.port, active())]);
    let mut page = servers();
    page.front.maintenance = true;
    let mut proxy = Proxy::start(haproxy, page);
    let port = proxy.port;
    proxy.until_log("the server's check", |log| {
        proved(log, port, &name("blue-1"))
    });
    let mut client = Client::new(port);
    let answer = client.get("/").unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(blue.requests(), 0);
    proxy.reload(servers());
    assert_eq!(
        client.get("/").unwrap().status,
        503,
        "the old worker's last"
    );
    assert_eq!(client.get("/").unwrap().status, 200);
}

#[test]
fn the_most_specific_route_has_a_request() {
    let Some(haproxy) = haproxy("the_most_specific_route_has_a_request") else {
        return;
    };
    let names = ["web", "api", "shop", "rest"];
    let upstreams = names.map(Upstream::start);
    let route = |host: &str, path: &str| Route {
        host: (!host.is_empty()).then(|| host.to_owned()),
        path: (!path.is_empty()).then(|| path.to_owned()),
    };
    let routes = [
        vec![route("", "/web")],
        vec![route("", "/web/api"), route("shop.test", "/api")],
        vec![route("shop.test", "")],
        vec![],
    ];
    let all = || {
        let all = names.iter().zip(&upstreams).zip(&routes);
        let all = all.map(|((service, upstream), routes)| {
            let server = format!("{service}-1-1");
            let mut listen = listen([(server.as_str(), upstream.port, active())]);
            listen.front.routes.clone_from(routes);
            ((*service).to_owned(), listen)
        });
        all.collect::<Services>()
    };
    let mut proxy = Proxy::start_all(haproxy, all());
    let mut client = Client::new(proxy.port);
    let mut had = |host: &str, path: &str| {
        let request = client.send_to(host, path).unwrap();
        (request.status, request.server().to_owned())
    };
    for (host, path, service) in [
        ("other.test", "/web", "web"),
        ("other.test", "/web/", "web"),
        ("other.test", "/web/apix", "web"),
        ("other.test", "/web/api", "api"),
        ("other.test", "/web/api/1?x=/web", "api"),
        ("other.test", "/webx", "rest"),
        ("other.test", "/api", "rest"),
        ("shop.test", "/api/", "api"),
        ("SHOP.test:8080", "/apis", "shop"),
        ("shop.test", "/web", "shop"),
        ("shop.test.evil", "/", "rest"),
    ] {
        assert_eq!(had(host, path), (200, service.to_owned()), "{host}{path}");
    }
    let mut without = all();
    without.remove("rest");
    proxy.reload_all(without);
    let _ = had("other.test", "/");
    assert_eq!(had("other.test", "/").0, 404);
    assert_eq!(had("shop.test", "/").0, 200);
}

/// Clients that keep their connections and never retry, over reloads from one server to the other.
#[test]
fn reloads_lose_no_request() {
    let Some(haproxy) = haproxy("reloads_lose_no_request") else {
        return;
    };
    let lost = swap(haproxy, 8, 2_000, 5);
    assert_eq!(lost, 0);
}

/// Sends that many requests at least, reloads that often meanwhile and gives how many were lost.
fn swap(haproxy: &str, clients: usize, total: usize, reloads: usize) -> usize {
    let both = [Upstream::start("blue"), Upstream::start("green")];
    let to = |index: usize| {
        let name = ["blue-1", "green-1"][index % 2];
        listen([(name, both[index % 2].port, active())])
    };
    let mut proxy = Proxy::start(haproxy, to(0));
    let port = proxy.port;
    let (sent, lost) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let reloaded = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut client = Client::new(port);
                while sent.load(Ordering::SeqCst) < total || !reloaded.load(Ordering::SeqCst) {
                    let answer = client.get("/");
                    if answer.is_ok_and(|answer| answer.status == 200) {
                        sent.fetch_add(1, Ordering::SeqCst);
                    } else {
                        lost.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        for reload in 1..=reloads {
            while sent.load(Ordering::SeqCst) < reload * total / (reloads + 1) {
                thread::yield_now();
            }
            proxy.reload(to(reload));
            proxy.await_drained();
        }
        reloaded.store(true, Ordering::SeqCst);
    });
    assert!(both.iter().all(|server| server.requests() > 0));
    lost.into_inner()
}

#[test]
fn a_request_in_flight_is_answered_by_the_server_that_has_it() {
    let Some(haproxy) = haproxy("a_request_in_flight_is_answered_by_the_server_that_has_it") else {
        return;
    };
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
    let held = blue.held();
    let mut proxy = Proxy::start(haproxy, listen([("blue-1", blue.port, active())]));
    let mut client = Client::new(proxy.port);
    let answer = thread::spawn(move || client.get("/hold"));
    held.recv_timeout(rig::PATIENCE).unwrap();
    proxy.reload(listen([("green-1", green.port, active())]));
    reaches(proxy.port, "green");
    blue.release();
    let answer = answer.join().unwrap().unwrap();
    assert_eq!((answer.status, answer.server()), (200, "blue"));
    // It says so, since its worker goes.
    assert_eq!(answer.header("connection"), Some("close"));
    proxy.await_drained();
}

/// New connections come there, at the latest when the old worker has stopped to take them.
#[track_caller]
fn reaches(port: u16, server: &str) {
    let came = (0..200).any(|_| Client::new(port).get("/").unwrap().server() == server);
    assert!(came, "nothing comes to {server}");
}

#[test]
fn a_websocket_goes_on_until_the_end_of_the_drain() {
    let Some(haproxy) = haproxy("a_websocket_goes_on_until_the_end_of_the_drain") else {
        return;
    };
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
    let mut with_blue = listen([("blue-1", blue.port, active())]);
    with_blue.front.drain = Duration::from_secs(1);
    let mut proxy = Proxy::start(haproxy, with_blue);
    let mut client = Client::new(proxy.port);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    assert_eq!(client.send("GET", "/echo", upgrade).unwrap().status, 101);
    let mut socket = client.into_stream();
    proxy.reload(listen([("green-1", green.port, active())]));
    reaches(proxy.port, "green");
    echoes(&mut socket);
    proxy.await_drained();
    let end = socket.read(&mut [0]);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

fn echoes(socket: &mut TcpStream) {
    socket.write_all(b"still here").unwrap();
    let mut back = [0; 10];
    socket.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"still here");
}

#[test]
fn who_is_probed_is_proved_and_gets_nothing() {
    let Some(haproxy) = haproxy("who_is_probed_is_proved_and_gets_nothing") else {
        return;
    };
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
    let servers = [
        ("blue-1", blue.port, active()),
        ("green-2", green.port, Part::Probing),
        ("green-3", free_port(), Part::Probing),
    ];
    let mut proxy = Proxy::start(haproxy, listen(servers));
    let port = proxy.port;
    for (server, verdict) in [("green-2", true), ("green-3", false), ("blue-1", true)] {
        let server = name(server);
        let found = proxy.until_log("a verdict", |log| proved(log, port, &server));
        assert_eq!(found, verdict, "{server}");
    }
    for _ in 0..20 {
        assert_eq!(Client::new(port).get("/").unwrap().server(), "blue");
    }
    proxy.reload(listen([("green-2", green.port, Part::Probing)]));
    proxy.await_drained();
    assert_eq!(Client::new(port).get("/").unwrap().status, 503);
    assert_eq!(green.requests(), 0);
}

#[test]
fn backups_take_over_when_all_active_servers_are_dead() {
    let Some(haproxy) = haproxy("backups_take_over_when_all_active_servers_are_dead") else {
        return;
    };
    let green = Upstream::start("green");
    let blues = [Upstream::start("blue-1"), Upstream::start("blue-2")];
    let mut wanted = listen([
        ("green-1", green.port, active()),
        ("blue-1", blues[0].port, Part::Backup),
        ("blue-2", blues[1].port, Part::Backup),
    ]);
    wanted.front.sticky = true;
    let mut proxy = Proxy::start(haproxy, wanted);
    let port = proxy.port;
    let mut client = Client::new(port);
    let answer = client.get("/").unwrap();
    assert_eq!(answer.server(), "green");
    let cookie = answer.header("set-cookie").unwrap().split(';').next();
    let cookie = format!("Cookie: {}\r\n", cookie.unwrap());
    proxy.until_log("a proof", |log| proved(log, port, &name("blue-2")));
    green.kill();
    for _ in 0..20 {
        let answer = client.send("GET", "/", &cookie).unwrap();
        assert_eq!(answer.status, 200);
    }
    // A connection that was not made is no request that may have been carried out.
    let answer = Client::new(port).send("POST", "/", &cookie).unwrap();
    assert_eq!(answer.status, 200);
    assert!(blues.iter().all(|blue| blue.requests() > 0));
    let verdict = proxy.until_log("a verdict", |log| {
        proved(log, port, &name("green-1")).filter(|well| !well)
    });
    assert!(!verdict);
}

#[test]
fn only_what_changes_nothing_is_sent_again() {
    let Some(haproxy) = haproxy("only_what_changes_nothing_is_sent_again") else {
        return;
    };
    let blue = Upstream::start("blue");
    let proxy = Proxy::start(haproxy, listen([("blue-1", blue.port, active())]));
    for (method, times) in [
        ("GET", 4),
        ("OPTIONS", 4),
        ("POST", 1),
        ("PUT", 1),
        ("DELETE", 1),
    ] {
        let before = blue.requests();
        let answer = Client::new(proxy.port).send(method, "/drop", "").unwrap();
        assert_eq!(answer.status, 502, "{method}");
        assert_eq!(blue.requests() - before, times, "{method}");
    }
}

#[test]
fn weights_share_the_traffic_and_each_request_is_logged() {
    let Some(haproxy) = haproxy("weights_share_the_traffic_and_each_request_is_logged") else {
        return;
    };
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
    let mut wanted = listen([
        ("blue-1", blue.port, Part::Active { weight: 9 }),
        ("green-1", green.port, Part::Active { weight: 1 }),
    ]);
    let quiet = wanted.clone();
    wanted.log_requests = true;
    let mut proxy = Proxy::start(haproxy, wanted);
    let mut client = Client::new(proxy.port);
    for _ in 0..100 {
        assert_eq!(client.get("/").unwrap().status, 200);
    }
    assert_eq!((blue.requests(), green.requests()), (90, 10));
    assert_eq!(client.get("/500").unwrap().status, 500);
    let dropped = Client::new(proxy.port).send("POST", "/drop", "").unwrap();
    assert_eq!(dropped.status, 502);
    let logged = proxy.until_log("102 lines", |log| {
        let all: Vec<_> = requests(log).collect();
        (all.len() == 102).then_some(all)
    });
    let of = |server: &str| logged.iter().filter(|one| one.server == server).count();
    assert_eq!(of("blue-1") + of("green-1"), 102);
    assert_eq!(logged.iter().filter(|one| one.failed()).count(), 2);
    assert!(logged.iter().all(|one| one.millis >= 0 && !one.passed_on()));

    green.kill();
    for _ in 0..10 {
        assert_eq!(client.get("/").unwrap().server(), "blue");
    }
    proxy.until_log("a request that was passed on", |log| {
        requests(log).find(|one| one.passed_on() && one.server == "blue-1" && !one.failed())
    });

    proxy.reload(quiet);
    drop(client);
    proxy.await_drained();
    let before = requests(&proxy.log()).count();
    Client::new(proxy.port).get("/").unwrap();
    assert_eq!(requests(&proxy.log()).count(), before);
}

#[test]
fn a_sticky_client_stays_with_its_server() {
    let Some(haproxy) = haproxy("a_sticky_client_stays_with_its_server") else {
        return;
    };
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    let mut wanted = listen([
        ("web-1-1", one.port, active()),
        ("web-1-2", two.port, active()),
    ]);
    wanted.front.sticky = true;
    let proxy = Proxy::start(haproxy, wanted);
    let first = Client::new(proxy.port).get("/").unwrap();
    let set = first.header("set-cookie").unwrap();
    assert!(set.ends_with("HttpOnly"), "{set}");
    let cookie = set.split(';').next().unwrap();
    let cookie = format!("Cookie: {cookie}\r\n");
    for _ in 0..10 {
        let mut client = Client::new(proxy.port);
        let answer = client.send("GET", "/", &cookie).unwrap();
        assert_eq!(answer.server(), first.server());
        assert_eq!(answer.header("set-cookie"), None);
        assert!(!answer.body.contains("hoist-"), "the server sees it");
    }
    let its = if first.server() == "one" { &one } else { &two };
    its.kill();
    let moved = Client::new(proxy.port).send("GET", "/", &cookie).unwrap();
    assert_eq!(moved.status, 200);
    assert_ne!(moved.server(), first.server());
}

#[test]
fn servers_learn_of_the_client() {
    let Some(haproxy) = haproxy("servers_learn_of_the_client") else {
        return;
    };
    let blue = Upstream::start("blue");
    let proxy = Proxy::start(haproxy, listen([("blue-1", blue.port, active())]));
    let seen = Client::new(proxy.port)
        .get("/")
        .unwrap()
        .body
        .to_lowercase();
    for line in [
        "x-forwarded-for: 127.0.0.1\r\n",
        "x-forwarded-proto: http\r\n",
        "x-forwarded-host: shop.test\r\n",
        "host: shop.test\r\n",
    ] {
        assert!(seen.contains(line), "{line}{seen}");
    }
    let outer = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
    let seen = Client::new(proxy.port).send("GET", "/", outer).unwrap();
    let seen = seen.body.to_lowercase();
    assert!(seen.contains("x-forwarded-proto: https\r\n"), "{seen}");
    assert!(!seen.contains("x-forwarded-proto: http\r\n"), "{seen}");
    let (first, last) = (seen.find("192.0.2.7"), seen.find("127.0.0.1"));
    assert!(first.is_some() && first < last, "{seen}");
}

#[test]
fn tcp_goes_on_over_a_reload_and_ends_with_its_server() {
    let Some(haproxy) = haproxy("tcp_goes_on_over_a_reload_and_ends_with_its_server") else {
        return;
    };
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
    let tcp = |servers: &[(&str, u16, Part)]| {
        let mut listen = listen(servers.iter().copied());
        listen.front.app_protocol = AppProtocol::Tcp;
        listen
    };
    let mut proxy = Proxy::start(haproxy, tcp(&[("blue-1", blue.port, active())]));
    let open = |port: u16| {
        let mut client = Client::new(port);
        assert_eq!(client.get("/echo").unwrap().status, 101);
        client.into_stream()
    };
    let mut old = open(proxy.port);
    proxy.reload(tcp(&[
        ("green-1", green.port, active()),
        ("blue-1", blue.port, Part::Backup),
    ]));
    reaches(proxy.port, "green");
    echoes(&mut old);
    drop(old);
    proxy.await_drained();

    // Who takes no more connections is down, though those that are there would go on for ever.
    let mut hangs = open(proxy.port);
    echoes(&mut hangs);
    green.close_door();
    let end = hangs.read(&mut [0]);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    assert_eq!(Client::new(proxy.port).get("/").unwrap().server(), "blue");
}
