use proptest::prelude::*;

use super::*;

/// What `docker inspect` says of `docker run --name web_1 -p 8080:80 -p 127.0.0.1:5353:53/udp --expose 81 -l
/// SERVICE_TAGS=a,b registry:5000/team/shop:7`, cut to what is read.
const WEB: &str = r#"{
    "Id": "203f2f8a32559000367fd3ef42e76aeb586209f7e5b9df8803d3ecefd68231da",
    "Name": "/web_1",
    "State": {"Status": "running", "Running": true, "Paused": false, "ExitCode": 0},
    "Config": {
        "Hostname": "203f2f8a3255",
        "ExposedPorts": {"53/udp": {}, "80/tcp": {}, "81/tcp": {}},
        "Env": ["PATH=/bin"],
        "Image": "registry:5000/team/shop:7",
        "Labels": {"SERVICE_TAGS": "a,b"}
    },
    "HostConfig": {"NetworkMode": "default"},
    "NetworkSettings": {
        "Bridge": "",
        "Ports": {
            "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5353"}],
            "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
            "81/tcp": null
        },
        "IPAddress": "172.17.0.2",
        "Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}}
    }
}"#;

/// The same of `docker run --name hosty --net host --expose 9000`.
const HOSTY: &str = r#"{
    "Id": "3a7254a8690ac71e584f2f8db9b32688fa6fc5e537907395c1b1ff76265fbca2",
    "Name": "/hosty",
    "State": {"Running": true},
    "Config": {"Hostname": "vm", "ExposedPorts": {"9000/tcp": {}}, "Env": null, "Image": "tiny", "Labels": {}},
    "HostConfig": {"NetworkMode": "host"},
    "NetworkSettings": {"Ports": {}, "IPAddress": "", "Networks": {"host": {"IPAddress": "", "GlobalIPv6Address": ""}}}
}"#;

fn container(json: &str) -> Container {
    serde_json::from_str(json).unwrap()
}

/// `WEB` with one published port, which has these variables.
fn one_port(env: &[&str]) -> Container {
    let mut web = container(WEB);
    web.network_settings.ports.retain(|name, _| name == "80/tcp");
    web.config.exposed_ports.clear();
    web.config.env = env.iter().map(ToString::to_string).collect();
    web
}

fn rules() -> Rules {
    Rules { host: "node1".into(), address: Some("10.0.0.7".parse().unwrap()), ..Rules::default() }
}

/// One line a service, then one for each that is not.
fn told(rules: &Rules, container: &Container) -> Vec<String> {
    told_with(rules, container, None)
}

fn told_with(rules: &Rules, container: &Container, network: Option<&Container>) -> Vec<String> {
    let (services, skipped) = rules.services(container, network);
    let service = |service: &Service| {
        let spec = &service.spec;
        let endpoint = &spec.endpoints.as_ref().unwrap()[0];
        let mut told = format!(
            "{} {} {} _{}._{}:{}",
            service.app,
            service.id,
            spec.addresses.as_ref().map_or_else(|| "peer".into(), |all| all.join(",")),
            endpoint.protocol.as_ref().unwrap(),
            endpoint.transport.as_ref().unwrap(),
            endpoint.port.unwrap()
        );
        for tag in spec.tags.iter().flatten() {
            told += &format!(" #{tag}");
        }
        for (key, value) in spec.meta.iter().flatten() {
            told += &format!(" {key}={value}");
        }
        told
    };
    services.iter().map(service).chain(skipped.iter().map(ToString::to_string)).collect()
}

#[test]
fn published_ports_are_registered_under_the_images_name() {
    assert_eq!(
        told(&rules(), &container(WEB)),
        [
            "shop-53 node1:web_1:53:udp 127.0.0.1 _shop-53._udp:5353 #a #b #udp",
            "shop-80 node1:web_1:80 10.0.0.7 _shop-80._tcp:8080 #a #b",
            "port 81/tcp: it is not published on the host",
        ]
    );
    assert_eq!(
        told(&rules(), &one_port(&[])),
        ["shop node1:web_1:80 10.0.0.7 _shop._tcp:8080 #a #b"]
    );
}

#[test]
fn names_are_given_for_all_ports_or_for_one() {
    let with = |env: &[&str]| {
        let mut web = container(WEB);
        web.config.env = env.iter().map(ToString::to_string).collect();
        let (services, _) = rules().services(&web, None);
        services.iter().map(|service| service.app.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(with(&["SERVICE_NAME=Web_A"]), ["web-a-53", "web-a-80"]);
    assert_eq!(with(&["SERVICE_80_NAME=web"]), ["shop-53", "web"]);
    assert_eq!(with(&["SERVICE_NAME=a", "SERVICE_53_NAME=dns.internal"]), ["dns.internal", "a-80"]);
    // One port alone needs no number.
    assert_eq!(
        told(&rules(), &one_port(&["SERVICE_NAME=a"]))[0],
        "a node1:web_1:80 10.0.0.7 _a._tcp:8080 #a #b"
    );
}

#[test]
fn images_are_named_without_registry_tag_and_digest() {
    for (image, name) in [
        ("redis", "redis"),
        ("redis:7.2", "redis"),
        ("library/redis", "redis"),
        ("registry:5000/team/redis:7", "redis"),
        ("redis@sha256:abcd", "redis"),
        ("registry:5000/redis:7@sha256:abcd", "redis"),
        ("", ""),
    ] {
        assert_eq!(image_name(image), name, "{image}");
    }
}

#[test]
fn what_is_to_be_ignored_is() {
    for env in ["SERVICE_IGNORE=true", "SERVICE_80_IGNORE=false"] {
        assert_eq!(
            told(&rules(), &one_port(&[env])),
            ["port 80/tcp: SERVICE_IGNORE or SERVICE_80_IGNORE is set"]
        );
    }
    for env in ["SERVICE_IGNORE=", "SERVICE_81_IGNORE=1"] {
        assert_eq!(
            told(&rules(), &one_port(&[env])),
            ["shop node1:web_1:80 10.0.0.7 _shop._tcp:8080 #a #b"]
        );
    }
}

#[test]
fn only_named_ones_are_registered_where_that_is_asked_for() {
    let explicit = Rules { explicit: true, ..rules() };
    assert_eq!(
        told(&explicit, &one_port(&[])),
        ["port 80/tcp: it has no SERVICE_NAME, and --explicit asks for one"]
    );
    assert_eq!(told(&explicit, &one_port(&["SERVICE_NAME=a"])).len(), 1);
}

#[test]
fn everything_else_that_is_said_is_meta_data() {
    let env = [
        "SERVICE_ID=blue",
        "SERVICE_REGION=us2",
        "SERVICE_80_CHECK_HTTP=/health",
        "SERVICE_81_X=y",
    ];
    let web = one_port(&env);
    assert_eq!(
        told(&Rules { tags: vec!["eu_1".into()], ..rules() }, &web),
        ["shop blue 10.0.0.7 _shop._tcp:8080 #a #b #eu-1 check_http=/health region=us2"]
    );
}

#[test]
fn the_protocol_is_the_one_that_is_given_or_the_apps_name() {
    let protocol = |env: &[&str]| {
        let told = told(&rules(), &one_port(env));
        told[0].split(' ').find(|word| word.starts_with('_')).unwrap_or(&told[0]).to_owned()
    };
    assert_eq!(protocol(&["SERVICE_PROTOCOL=gRPC"]), "_grpc._tcp:8080");
    assert_eq!(protocol(&["SERVICE_PROTOCOL=grpc", "SERVICE_80_PROTOCOL=http"]), "_http._tcp:8080");
    assert_eq!(protocol(&["SERVICE_NAME=a.b_c"]), "_a-b-c._tcp:8080");
    // A service label has a letter.
    assert_eq!(protocol(&["SERVICE_NAME=2048"]), "_nova._tcp:8080");
    assert_eq!(
        protocol(&["SERVICE_PROTOCOL=::"]),
        "port 80/tcp: its SERVICE_PROTOCOL \"::\" must not be empty"
    );
}

#[test]
fn addresses_are_the_hosts_or_those_published_on() {
    let address = |rules: &Rules, host_ip: &str| {
        let mut web = one_port(&[]);
        web.network_settings.ports.insert(
            "80/tcp".into(),
            Some(vec![Binding { host_ip: host_ip.into(), host_port: "8080".into() }]),
        );
        let told = told(rules, &web);
        told[0].split(' ').nth(2).unwrap().to_owned()
    };
    for all in ["0.0.0.0", "::", ""] {
        assert_eq!(address(&rules(), all), "10.0.0.7");
        assert_eq!(address(&Rules { address: None, ..rules() }, all), "peer");
    }
    assert_eq!(address(&rules(), "192.0.2.1"), "192.0.2.1");
    assert_eq!(address(&Rules { is_given: true, ..rules() }, "192.0.2.1"), "10.0.0.7");
}

#[test]
fn a_container_in_the_hosts_network_is_at_the_host() {
    let hosty = container(HOSTY);
    let told_host = "tiny node1:hosty:9000 10.0.0.7 _tiny._tcp:9000";
    assert_eq!(told(&rules(), &hosty), [told_host]);
    // It has no address of its own to be registered with.
    assert_eq!(told(&Rules { internal: true, ..rules() }, &hosty), [told_host]);
}

#[test]
fn internal_is_the_containers_own_address_and_port() {
    let internal = Rules { internal: true, ..rules() };
    assert_eq!(
        told(&internal, &container(WEB)),
        [
            "shop-53 node1:web_1:53:udp 172.17.0.2 _shop-53._udp:53 #a #b #udp",
            "shop-80 node1:web_1:80 172.17.0.2 _shop-80._tcp:80 #a #b",
            "shop-81 node1:web_1:81 172.17.0.2 _shop-81._tcp:81 #a #b",
        ]
    );
    // Newer engines tell the address of each network only; some networks are IPv6 alone.
    let text = WEB.replace(r#""IPAddress": "172.17.0.2""#, r#""IPAddress": """#);
    let text = text.replace(r#""GlobalIPv6Address": """#, r#""GlobalIPv6Address": "fd00::2""#);
    let mut web = container(&text);
    web.network_settings.ports.retain(|name, _| name == "80/tcp");
    assert_eq!(told(&internal, &web)[1], "shop-80 node1:web_1:80 fd00::2 _shop-80._tcp:80 #a #b");
}

#[test]
fn an_address_may_come_from_a_label_or_from_a_shared_network() {
    let labelled = Rules { address_label: Some("ip".into()), ..rules() };
    let mut web = one_port(&[]);
    assert_eq!(told(&labelled, &web)[0].split(' ').nth(2), Some("10.0.0.7"));
    web.config.labels.insert("ip".into(), "192.0.2.5/24".into());
    assert_eq!(told(&labelled, &web)[0].split(' ').nth(2), Some("192.0.2.5"));
    web.config.labels.insert("ip".into(), "here".into());
    assert_eq!(
        told(&labelled, &web),
        ["port 80/tcp: its label ip is \"here\", which is no address"]
    );

    let mut beside = container(HOSTY);
    beside.host_config.network_mode = "container:203f2f8a3255".into();
    assert_eq!(beside.shares_network_of(), Some("203f2f8a3255"));
    assert_eq!(
        told_with(&rules(), &beside, Some(&container(WEB))),
        ["tiny node1:hosty:9000 172.17.0.2 _tiny._tcp:9000"]
    );
}

#[test]
fn what_cannot_be_registered_is_left_out_with_the_reason() {
    let mut bare = container(HOSTY);
    bare.config.exposed_ports.clear();
    assert_eq!(told(&rules(), &bare), ["it exposes and publishes no port"]);
    let mut web = one_port(&["SERVICE_NAME=_._"]);
    assert_eq!(told(&rules(), &web), ["port 80/tcp: its name \"_._\" must not be empty"]);
    web.config.env.clear();
    let binding =
        |port: &str| Some(vec![Binding { host_ip: String::new(), host_port: port.into() }]);
    web.network_settings.ports.insert("80/tcp".into(), binding(""));
    assert_eq!(told(&rules(), &web), ["port 80/tcp: its port on the host is \"\""]);
    web.network_settings.ports.insert("80/tcp".into(), Some(Vec::new()));
    assert_eq!(told(&rules(), &web), ["port 80/tcp: it is not published on the host"]);
    web.network_settings.ports =
        [("80/quic".to_owned(), binding("80")), ("x".to_owned(), None)].into();
    assert_eq!(
        told(&rules(), &web),
        [
            "port 80/quic: its transport is \"quic\", only tcp, udp and sctp are known",
            "port x: it is no port, 1 to 65535",
        ]
    );
    let multicast = Rules { address: Some("224.0.0.1".parse().unwrap()), ..rules() };
    assert!(told(&multicast, &one_port(&[]))[0].starts_with("port 80/tcp: address"), "multicast");
}

#[test]
fn any_answer_of_an_engine_is_read_or_refused() {
    for text in [
        "{}",
        r#"{"Config":{"Env":null,"Labels":null,"ExposedPorts":null},"NetworkSettings":{"Ports":null,"Networks":null}}"#,
    ] {
        assert_eq!(told(&rules(), &container(text)), ["it exposes and publishes no port"]);
    }
}

/// A variable or label of ours with a value, or anything.
fn said() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        "SERVICE_(80_|53_|81_)?(NAME|TAGS|ID|PROTOCOL|REGION|IGNORE)",
        "SERVICE_.{0,300}",
        ".{0,20}",
    ];
    let value = prop_oneof![3 => "[a-zA-Z0-9_.:/,\\\\-]{0,300}", 1 => ".{0,40}"];
    (name, value)
}

proptest! {
    #[test]
    fn whatever_a_container_says_of_itself_is_registered_within_limits_or_left_out(
        env in proptest::collection::vec(said(), 0..12),
        labels in proptest::collection::btree_map(".{0,30}", ".{0,30}", 0..4),
        image in ".{0,80}",
        internal in any::<bool>(),
    ) {
        let mut web = container(WEB);
        let rules = Rules { internal, tags: vec!["a_b".into()], ..rules() };
        let before = rules.services(&web, None);
        web.config.env = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        web.config.labels.extend(labels);
        web.config.image = image;
        let (services, skipped) = rules.services(&web, None);
        prop_assert_eq!(services.len() + skipped.len(), before.0.len() + before.1.len());
        for service in services {
            prop_assert!(service.spec.resolve(None).is_ok());
            prop_assert!(!service.id.is_empty());
        }
    }
}
