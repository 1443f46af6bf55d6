//! Networks, and containers on several of them.

use std::net::Ipv4Addr;

use hoist_engine::backend::{Attachment, BackendErrorKind as Kind, Endpoint, NetworkSpec};

use crate::support::{BASE, Bed, on_engine};

fn spec(bed: &Bed, third: u8) -> NetworkSpec {
    NetworkSpec {
        name: bed.unique(),
        labels: bed.labels(),
        internal: true,
        subnet: Some(format!("10.217.{third}.0/24")),
        gateway: Some(format!("10.217.{third}.1")),
        ip_range: Some(format!("10.217.{third}.128/25")),
        ..NetworkSpec::default()
    }
}

#[tokio::test]
async fn a_network_is_as_it_was_asked_for() {
    on_engine("network", &[], async |bed| {
        let engine = &bed.engine;
        let asked = spec(&bed, 11);
        let id = engine.create_network(&asked).await.unwrap();
        let listed = engine.list_networks(&bed.filter()).await.unwrap();
        assert_eq!(listed.len(), 1);
        let network = &listed[0];
        assert_eq!((&network.id, &network.name), (&id, &asked.name));
        assert_eq!(network.subnets, [asked.subnet.clone().unwrap()]);
        assert_eq!(network.ip_range, asked.ip_range);
        assert!(network.internal);
        assert_eq!(network.labels, bed.labels());
        assert!(
            engine.list_networks(&[]).await.unwrap().len() > 1,
            "there is always a bridge"
        );

        let overlapping = NetworkSpec {
            name: bed.unique(),
            ..asked
        };
        let error = engine.create_network(&overlapping).await.unwrap_err();
        assert_eq!(error.kind, Kind::SubnetOverlap, "{error}");
        engine.remove_network(&id).await.unwrap();
        engine.remove_network(&id).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_container_is_on_all_of_its_networks_from_the_start() {
    on_engine("several-networks", &[BASE], async |bed| {
        let engine = &bed.engine;
        let mut endpoints = Vec::new();
        for third in [12, 13] {
            endpoints.push(Endpoint {
                network: engine.create_network(&spec(&bed, third)).await.unwrap(),
                aliases: vec!["web".to_owned()],
                address: Some(Ipv4Addr::new(10, 217, third, 5)),
                gateway: false,
            });
        }
        let mut server = bed.shell("hostname -I; sleep 60");
        server.network = Attachment::Networks(endpoints.clone());
        let id = engine.create_container(&server).await.unwrap();
        engine.start_container(&id).await.unwrap();
        let info = engine.inspect_container(&id).await.unwrap().unwrap();
        let mut addresses: Vec<&str> = info.addresses.values().map(String::as_str).collect();
        addresses.sort_unstable();
        assert_eq!(addresses, ["10.217.12.5", "10.217.13.5"]);

        for (endpoint, address) in endpoints.into_iter().zip(["10.217.12.5", "10.217.13.5"]) {
            let mut client = bed.shell("getent hosts web");
            client.network = Attachment::Networks(vec![Endpoint {
                address: None,
                aliases: Vec::new(),
                ..endpoint
            }]);
            let ran = bed.run(&client).await;
            assert!(ran.text().starts_with(address), "{:?}", ran.text());
        }
        let error = engine.create_network(&spec(&bed, 12)).await.unwrap_err();
        assert_eq!(error.kind, Kind::SubnetOverlap);
    })
    .await;
}

#[tokio::test]
async fn what_speaks_to_nobody_has_loopback_and_is_apart_from_the_host() {
    on_engine("no-networking", &[BASE], async |bed| {
        let mut spec = bed.shell("readlink /proc/self/ns/net; tail -n +3 /proc/net/dev");
        spec.network = Attachment::Nothing;
        let ran = bed.run(&spec).await;
        let text = ran.text();
        let (namespace, interfaces) = text.split_once('\n').unwrap_or_default();
        assert!(namespace.starts_with("net:["), "{text}");
        let here = std::fs::read_link("/proc/self/ns/net").unwrap();
        assert_ne!(here.to_str(), Some(namespace), "it is the host's");
        let names = interfaces.lines().filter_map(|line| line.split(':').next());
        assert_eq!(names.map(str::trim).collect::<Vec<_>>(), ["lo"]);
    })
    .await;
}

#[tokio::test]
async fn networks_are_joined_and_left_while_a_container_runs() {
    on_engine("connect", &[BASE], async |bed| {
        let engine = &bed.engine;
        let mut ids = Vec::new();
        for third in [16, 17] {
            ids.push(engine.create_network(&spec(&bed, third)).await.unwrap());
        }
        let endpoint = |network: usize, last: u8| Endpoint {
            network: ids[network].clone(),
            aliases: vec!["api".to_owned()],
            address: Some(Ipv4Addr::new(
                10,
                217,
                16 + u8::try_from(network).unwrap(),
                last,
            )),
            gateway: false,
        };
        let mut server = bed.shell("sleep 60");
        server.network = Attachment::Networks(vec![endpoint(0, 5)]);
        let id = engine.create_container(&server).await.unwrap();
        // Before it runs and while it does.
        for running in [false, true] {
            if running {
                engine.start_container(&id).await.unwrap();
            }
            engine.connect_network(&id, &endpoint(1, 6)).await.unwrap();
            for _ in 0..2 {
                engine.disconnect_network(&id, &ids[1]).await.unwrap();
            }
        }
        engine.connect_network(&id, &endpoint(1, 6)).await.unwrap();
        let error = engine.connect_network(&id, &endpoint(1, 6)).await;
        assert_eq!(error.unwrap_err().kind, Kind::Conflict);
        let info = engine.inspect_container(&id).await.unwrap().unwrap();
        assert_eq!(info.addresses.len(), 2, "{:?}", info.addresses);
        let mut client = bed.shell("getent hosts api");
        client.network = Attachment::Networks(vec![Endpoint {
            aliases: Vec::new(),
            ..endpoint(1, 7)
        }]);
        let ran = bed.run(&client).await;
        assert!(ran.text().starts_with("10.217.17.6 "), "{:?}", ran.text());

        let mut other = bed.shell("sleep 60");
        other.network = Attachment::Networks(vec![endpoint(0, 8)]);
        let second = engine.create_container(&other).await.unwrap();
        engine.start_container(&second).await.unwrap();
        let error = engine.connect_network(&second, &endpoint(1, 6)).await;
        assert_eq!(error.unwrap_err().kind, Kind::AddressTaken);
        let mut third = bed.shell("true");
        third.network = Attachment::Networks(vec![endpoint(0, 5)]);
        let third = engine.create_container(&third).await.unwrap();
        let error = engine.start_container(&third).await.unwrap_err();
        assert_eq!(error.kind, Kind::AddressTaken, "{error}");
        let alone = engine.create_container(&bed.shell("true")).await.unwrap();
        let error = engine.connect_network(&alone, &endpoint(1, 9)).await;
        assert_eq!(error.unwrap_err().kind, Kind::Conflict);
        let nowhere = Endpoint {
            network: "hoist-test-nowhere".to_owned(),
            ..endpoint(0, 9)
        };
        let error = engine.connect_network(&id, &nowhere).await.unwrap_err();
        assert_eq!(error.kind, Kind::NotFound, "{error}");
        for (container, network) in [
            (id.as_str(), "hoist-test-nowhere"),
            ("hoist-test-nobody", ids[0].as_str()),
        ] {
            engine.disconnect_network(container, network).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn no_half_container_is_left_of_a_network_that_is_missing() {
    on_engine("missing-network", &[BASE], async |bed| {
        let engine = &bed.engine;
        let there = engine.create_network(&spec(&bed, 14)).await.unwrap();
        let endpoint = |network: &str| Endpoint {
            network: network.to_owned(),
            aliases: Vec::new(),
            address: None,
            gateway: false,
        };
        let mut container = bed.shell("true");
        container.network =
            Attachment::Networks(vec![endpoint(&there), endpoint("hoist-test-nowhere")]);
        // Engines that take all networks at once look for them at the start only.
        if let Ok(id) = engine.create_container(&container).await {
            let error = engine.start_container(&id).await.unwrap_err();
            assert_eq!(error.kind, Kind::NotFound, "{error}");
        } else {
            assert!(
                engine
                    .list_containers(&bed.filter())
                    .await
                    .unwrap()
                    .is_empty()
            );
        }
    })
    .await;
}

#[tokio::test]
async fn with_local_names_only_containers_of_the_network_are_found() {
    on_engine("local-names", &[BASE], async |bed| {
        let engine = &bed.engine;
        let network = engine.create_network(&spec(&bed, 15)).await.unwrap();
        let endpoint = |alias: &str| Endpoint {
            network: network.clone(),
            aliases: vec![alias.to_owned()],
            address: None,
            gateway: false,
        };
        let mut server = bed.shell("sleep 60");
        server.network = Attachment::Networks(vec![endpoint("web")]);
        server.local_names = true;
        let id = engine.create_container(&server).await.unwrap();
        engine.start_container(&id).await.unwrap();
        let mut client = bed.shell(
            "getent hosts web > /dev/null && echo found; date +%s; \
             getent hosts deb.debian.org || echo not found; date +%s",
        );
        client.network = Attachment::Networks(vec![endpoint("client")]);
        client.local_names = true;
        let ran = bed.run(&client).await;
        let text = ran.text();
        let lines: Vec<&str> = text.lines().collect();
        let ["found", before, "not found", after] = lines.as_slice() else {
            panic!("{text}")
        };
        let took = after.parse::<i64>().unwrap() - before.parse::<i64>().unwrap();
        assert!(
            took < 8,
            "it took {took} s to learn that there is no such name"
        );
    })
    .await;
}
