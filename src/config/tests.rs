//! The commented default configuration against the code that reads it.

use super::*;
use crate::model::Label;
use crate::zone::{ConsulNames, Names};

fn parse(text: &str) -> Result<Loaded, Problems> {
    Config::parse(Path::new("test.toml"), text, &Overrides::default())
}

/// A configuration without zone files: `./zones` may have one where the tests are run.
fn without_zone_files(mut config: Config) -> Config {
    for zone in &mut config.zones {
        (zone.file, zone.path) = (None, None);
    }
    config.zone_files.clear();
    config
}

/// The default file with settings uncommented: those with a default, or the examples too.
fn uncommented(examples: bool) -> String {
    let setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && *line != "#";
    let lines = DEFAULT_TOML.lines().map(|line| match Some(line).filter(setting) {
        Some(line) if examples || !line.ends_with("# for example") => &line[1..],
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_printed_config_is_the_default() {
    assert_eq!(without_zone_files(parse(DEFAULT_TOML).unwrap().config), Config::default());
}

#[test]
fn every_documented_default_is_the_default() {
    let text = uncommented(false);
    assert!(text.contains("\nudp_octets_max = 1232") && text.contains("\nsrv_weight_scale = 1"));
    assert_eq!(without_zone_files(parse(&text).unwrap().config), Config::default());
}

#[test]
fn every_setting_is_documented() {
    let text = uncommented(true);
    let table = DeTable::parse(&text).unwrap();
    let document = Document::new(Path::new("test.toml"), &text);
    let root = document.root(table.get_ref());
    sections::read(&root, &mut Config::default(), &Overrides::default(), &mut Vec::new());
    root.finish();
    let (_, known) = document.finish();

    let mut documented = std::collections::BTreeSet::new();
    let mut section = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_start_matches('[').split(']').next().unwrap().to_owned();
            documented.insert(section.clone());
        } else {
            let key = line.split(' ').next().unwrap();
            let dot = if section.is_empty() { "" } else { "." };
            documented.insert(format!("{section}{dot}{key}"));
        }
    }
    assert_eq!(documented, known);
}

#[test]
fn every_example_has_the_right_form() {
    // All that is wrong with the uncommented file is that the files it names are not there.
    let Problems(problems) = parse(&uncommented(true)).unwrap_err();
    let wrong: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    let missing = |line: &&str| line.contains("no such file or directory");
    assert_eq!(wrong.len(), 14, "{wrong:#?}");
    assert!(wrong.iter().all(missing), "{wrong:#?}");
}

#[test]
fn overrides_beat_the_file() {
    let text = "version = 1\ndata = \"a\"\n[dns]\nlisten = [\"127.0.0.1:1\"]\n[http]\nlisten = \"127.0.0.1:2\"\n\
                [etcd]\nendpoints = [\"http://a:2379\"]\npage_entries = 7\n[log]\nfilter = \"warn\"";
    let file = parse(text).unwrap().config;
    assert_eq!(file.data_dir, Path::new("a"));
    assert_eq!(file.log.filter, "warn");

    let overrides = Overrides {
        etcd: Some(vec!["http://b:2379".into()]),
        forward: Some(ForwardChoice::System),
        dns: Some(vec!["127.0.0.1:3".parse().unwrap()]),
        http: Some("127.0.0.1:4".parse().unwrap()),
        data_dir: Some("b".into()),
        log: Some("debug".into()),
    };
    let config = Config::parse(Path::new("test.toml"), text, &overrides).unwrap().config;
    assert_eq!(config.dns.listen, overrides.dns.clone().unwrap());
    assert_eq!(Some(config.http.listen), overrides.http);
    assert_eq!(config.data_dir, Path::new("b"));
    assert_eq!(config.log.filter, "debug");
    let RegistryChoice::Etcd(etcd) = config.registry else { panic!("not etcd") };
    assert_eq!(etcd.endpoints, ["http://b:2379"]);
    // What the flag does not say stays the file's.
    assert_eq!(etcd.page_entries, 7);
}

#[test]
fn a_full_config_becomes_settings() {
    let text = "version = 1\nlameduck = \"1500ms\"\nprefix = \"/x/\"\n[log]\nformat = \"json\"\n\
                [[zone]]\nname = \"b.example\"\nnamespace = \"staging\"\nttl = \"1m\"\nsrv_weight_scale = 256\n\
                names = \"consul\"\ndatacenter = \"eu-1\"\n\
                [[zone]]\nname = \"static.example.\"\nnamespace = \"\"\nnames = \"rollcall\"\n\
                [[pin]]\napp = \"Greeter\"\nnamespace = \"staging\"\nendpoints = [\"127.0.0.1:9000\", \"[::1]:9000\"]\n\
                protocol = \"http\"\ntransport = \"udp\"";
    let config = parse(text).unwrap().config;
    assert_eq!(config.lameduck, Duration::from_millis(1_500));
    assert_eq!(config.prefix, "/x/");
    assert_eq!(config.log.format, LogFormat::Json);
    let expected = ZoneSettings {
        name: "b.example.".parse().unwrap(),
        namespace: Some("staging".parse().unwrap()),
        ttl_secs: 60,
        srv_weight_scale: 256,
        names: Names::Consul(ConsulNames { datacenter: Label::new("eu-1").unwrap() }),
        ..ZoneSettings::default()
    };
    let without = ZoneSettings {
        name: "static.example".parse().unwrap(),
        namespace: None,
        ..ZoneSettings::default()
    };
    let path = |name: &str| Some(Path::new(name).into());
    let expected = ZoneSettings { path: path("./zones/b.example.zone"), ..expected };
    let without = ZoneSettings { path: path("./zones/static.example.zone"), ..without };
    assert_eq!(config.zones, [expected, without]);
    let pin = Pin {
        namespace: "staging".parse().unwrap(),
        app: "greeter".parse().unwrap(),
        protocol: "http".parse().unwrap(),
        transport: crate::model::Transport::Udp,
        endpoints: vec!["127.0.0.1:9000".parse().unwrap(), "[::1]:9000".parse().unwrap()],
    };
    assert_eq!(config.pins, [pin]);
}

#[test]
fn a_reverse_zone_is_named_after_its_network() {
    let zones = |text: &str| {
        parse(&format!("version = 1\n[[reverse]]\n{text}")).map(|loaded| loaded.config.zones)
    };
    let [_, reverse] = &zones("network = \"10.9.0.0/16\"\nttl = \"1m\"").unwrap()[..] else {
        panic!("the default zone and a reverse one")
    };
    assert_eq!((reverse.name.as_str(), reverse.ttl_secs), ("9.10.in-addr.arpa.", 60));
    assert_eq!(reverse.path.as_deref(), Some(Path::new("./zones/9.10.in-addr.arpa.zone")));
    assert_eq!(reverse.namespace, None);
    let refused = |text: &str| zones(text).unwrap_err().to_string();
    let boundary = refused("network = \"10.9.0.0/20\"");
    assert!(
        boundary.starts_with("test.toml:3: reverse[0].network: must end where a label"),
        "{boundary}"
    );
    assert!(boundary.contains("/8, /16 or /24"), "{boundary}");
    let unserved = refused("network = \"10.9.0.0/16\"\nnamespaces = [\"default\", \"other\"]");
    assert_eq!(
        unserved,
        "test.toml:4: reverse[0].namespaces: no zone here serves namespace other: add a [[zone]] for it"
    );
    let twice = refused("network = \"10.0.0.0/8\"\n[[reverse]]\nnetwork = \"10.0.0.0/8\"");
    assert_eq!(twice, "test.toml:5: reverse[1].network: zone 10.in-addr.arpa. is there twice");
}

#[test]
fn a_zone_files_negative_ttl_is_judged_where_it_stands() {
    use crate::zone::zonefile::{Place, StaticRecord, ZoneFile};

    // RFC 2308 section 5: the smaller of the SOA's own TTL and its last field.
    let warning = |ttl_secs: u32, minimum: u32| {
        let mut data = vec![0; 2 + 16];
        data.extend(minimum.to_be_bytes());
        let place = Place { file: 0, line: 3, column: 1 };
        let soa = StaticRecord { owner: [].into(), rtype: 6, ttl_secs, data: data.into(), place };
        let file = ZoneFile { files: vec![Path::new("zones/svc.zone").into()], records: vec![soa] };
        let zone = ZoneSettings { file: Some(file.into()), ..ZoneSettings::default() };
        slow_negatives(&zone).map(|warning| warning.to_string())
    };
    let expected = "zones/svc.zone:3: zone svc. has a negative TTL of 6 s: \
                    a service's first instance may stay unseen that long, 5 s or less is wise";
    assert_eq!(warning(6, 7).as_deref(), Some(expected));
    assert_eq!(warning(7, 6).as_deref(), Some(expected));
    assert_eq!(warning(5, 600), None);
    assert_eq!(warning(600, 5), None);
}
