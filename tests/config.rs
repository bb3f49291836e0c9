//! Configurations that are wrong, and the one line that each gets; the whole way through `rollcall check`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use rollcall::config::{Config, Overrides};

/// The lines that a configuration gets; empty where it is good.
fn problems(text: &str) -> Vec<String> {
    match Config::parse(Path::new("rollcall.toml"), text, &Overrides::default()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}

#[track_caller]
fn one_problem(text: &str, expected: &str) {
    assert_eq!(problems(&format!("version = 1\n{text}")), [expected], "{text}");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    one_problem(
        "[dns]\nlisen = [\"127.0.0.1:53\"]",
        "rollcall.toml:3: dns.lisen: there is no such setting, did you mean 'listen'?",
    );
    one_problem(
        "[http]\nrequest_timout = \"5s\"",
        "rollcall.toml:3: http.request_timout: there is no such setting, did you mean 'request_timeout'?",
    );
    one_problem("[htpp]", "rollcall.toml:2: htpp: there is no such setting, did you mean 'http'?");
    one_problem("wholly_other = 1", "rollcall.toml:2: wholly_other: there is no such setting");
    // Among short words everything is near; what others call it is a better guess.
    one_problem("[log]\nto = \"x\"", "rollcall.toml:3: log.to: there is no such setting");
    for (section, word, ours) in
        [("etcd", "url", "endpoints"), ("http", "port", "listen"), ("dns", "address", "listen")]
    {
        one_problem(
            &format!("[{section}]\n{word} = 1"),
            &format!(
                "rollcall.toml:3: {section}.{word}: there is no such setting, did you mean '{ours}'?"
            ),
        );
    }
    one_problem(
        "log.formt = \"text\"",
        "rollcall.toml:2: log.formt: there is no such setting, did you mean 'format'?",
    );
    one_problem(
        "[[zone]]\nname = \"svc.\"\n\n[[zone]]\nname = \"b.\"\nnamspace = \"x\"",
        "rollcall.toml:7: zone[1].namspace: there is no such setting, did you mean 'namespace'?",
    );
}

#[test]
fn wrong_types_and_bounds_name_key_and_line() {
    for (text, expected) in [
        ("lameduck = 5", "lameduck: must be a length of time such as \"5s\", got a number"),
        (
            "lameduck = \"5\"",
            "lameduck: must be a length of time such as \"500ms\" or \"5s\", got \"5\"",
        ),
        ("lameduck = \"1h\"", "lameduck: must be 0s to 10m, got 1h"),
        ("data = true", "data: must be a text in quotes, got true or false"),
        ("data = \"\"", "data: must not be empty"),
        ("dns = 1", "dns: must be a section, as in [dns]"),
        ("dns.tls = 1", "dns.tls: must be a section, as in [dns.tls]"),
        ("tls = \"a.pem\"", "tls: must be a section, as in [tls]"),
        ("dns.rate_limit = 1", "dns.rate_limit: must be a section, as in [dns.rate_limit]"),
        (
            "forward = { upstreams = \"system\", domain = 1 }",
            "forward.domain: must be sections, as in [[forward.domain]]",
        ),
        ("dns.udp_workers = \"4\"", "dns.udp_workers: must be a whole number, got a text"),
        (
            "dns.udp_workers = 1.5",
            "dns.udp_workers: must be a whole number, got a number with a point",
        ),
        ("dns.udp_octets_max = 100", "dns.udp_octets_max: must be 512 to 8192, got 100"),
        ("dns.udp_octets_max = 0x10000", "dns.udp_octets_max: must be 512 to 8192, got 0x10000"),
        (
            "dns.listen = \"127.0.0.1:53\"",
            "dns.listen: must be a list such as [\"127.0.0.1:53\"], got a text",
        ),
        ("dns.listen = 53", "dns.listen: must be a list, got a number"),
        ("dns.listen = []", "dns.listen: must hold at least one"),
        (
            "dns.listen = [\"127.0.0.1:53\", \"localhost:53\"]",
            "dns.listen[1]: must be an IP address with port such as \"127.0.0.1:1053\" or \"[::1]:1053\", got \"localhost:53\"",
        ),
        ("http.visible_timeout = \"6s\"", "http.visible_timeout: must be 0s to 5s, got 6s"),
        ("http.insecure = 1", "http.insecure: must be true or false, got a number"),
        (
            "http.hosts = [\"a:80\"]",
            "http.hosts[0]: must be a host name without port such as \"rollcall.example.org\", got \"a:80\"",
        ),
        ("log.format = \"xml\"", "log.format: must be \"text\" or \"json\", got \"xml\""),
        (
            "prefix = \"/rollcall\"",
            "prefix: must begin and end with '/', as \"/rollcall/v1/\" does, without spaces and '//', got \"/rollcall\"",
        ),
        (
            "etcd.endpoints = [\"127.0.0.1:2379\"]",
            "etcd.endpoints[0]: must be a URL such as \"http://127.0.0.1:2379\", got \"127.0.0.1:2379\"",
        ),
        (
            "etcd.keep_alive_interval = \"1s\"",
            "etcd.keep_alive_interval: must be 5s to 10m, got 1s",
        ),
        ("etcd.user = \"x\"", "etcd.user: stands without 'password_file'"),
        ("zone = 1", "zone: must be sections, as in [[zone]]"),
        ("[[zone]]", "zone[0].name: is missing, for example: name = \"svc.\""),
    ] {
        one_problem(text, &format!("rollcall.toml:2: {expected}"));
    }
}

#[test]
fn the_version_comes_first() {
    assert_eq!(problems(""), ["rollcall.toml:1: version: is missing, for example: version = 1"]);
    assert_eq!(
        problems("# hello\nversion = 2"),
        ["rollcall.toml:2: version: must be 1, the form that this rollcall reads, got 2: \
          use a newer rollcall, or write the file anew"]
    );
}

#[test]
fn all_problems_are_reported_in_the_order_of_lines() {
    let text = "version = 1\n[http]\nlissen = 1\n[dns]\ntcp_idle = \"0s\"\nudp_workers = -1\n[log]\nfilter = \"=?=\"";
    let lines = problems(text);
    let places: Vec<_> =
        lines.iter().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "rollcall.toml:3 http.lissen",
        "rollcall.toml:5 dns.tcp_idle",
        "rollcall.toml:6 dns.udp_workers",
        "rollcall.toml:8 log.filter",
    ];
    assert_eq!(places, expected, "{lines:#?}");
}

#[test]
fn what_is_no_toml_has_a_line_too() {
    let lines = problems("version = 1\n[dns\n");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("rollcall.toml:2: is not TOML: "), "{lines:?}");
}

#[test]
fn zones_have_our_names_or_consuls() {
    one_problem(
        "[[zone]]\nname = \"consul.\"\nnames = \"kubernetes\"",
        "rollcall.toml:4: zone[0].names: must be \"rollcall\" or \"consul\", got \"kubernetes\"",
    );
    one_problem(
        "[[zone]]\nname = \"consul.\"\nnames = \"consul\"\ndatacenter = \"a_b\"",
        "rollcall.toml:5: zone[0].datacenter: has '_', only a-z, 0-9 and inner '-' are allowed, got \"a_b\"",
    );
    let long = "a".repeat(38);
    assert_eq!(problems(&format!("version = 1\n[[zone]]\nname = \"{long}.\"")), [""; 0]);
    one_problem(
        &format!("[[zone]]\nname = \"{long}.\"\nnames = \"consul\""),
        "rollcall.toml:3: zone[0].name: is 38 octets long, at most 37 are allowed for Consul's names: all names of apps are \
         to fit in front of it",
    );
}

#[test]
fn what_would_read_nothing_is_warned_of() {
    let warnings = |text: &str| -> Vec<String> {
        let text = format!("version = 1\n{text}");
        let loaded = Config::parse(Path::new("rollcall.toml"), &text, &Overrides::default());
        loaded.unwrap().warnings.iter().map(ToString::to_string).collect()
    };
    let etcd = "[etcd]\nendpoints = [\"http://127.0.0.1:2379\"]\n";
    let kratos = "[[layout]]\nkind = \"kratos\"\n";
    assert_eq!(
        warnings(kratos),
        [
            "rollcall.toml:2: layout: nobody but this server writes to its embedded registry: name the etcd that the others \
             write to ([etcd] endpoints, or --etcd), or add [compat.etcd_v2]"
        ]
    );
    for written in [etcd, "[compat.etcd_v2]\n"] {
        assert_eq!(warnings(&format!("{kratos}{written}")), [] as [&str; 0]);
    }
    assert_eq!(
        warnings(&format!("{kratos}prefix = \"microservices/\"\n{etcd}")),
        [
            "rollcall.toml:2: layout[0]: prefix \"microservices/\" has no slash in front, and the keys of kratos begin with \
             /microservices/: add it"
        ]
    );
    assert_eq!(
        warnings("[compat.tars]\n"),
        [
            "rollcall.toml:2: compat.tars: there is no [[compat.tars.adapter]], and keep-alives say no address: add the \
             servers that call here, each with its object and endpoints"
        ]
    );
}

#[test]
fn only_consuls_names_have_a_datacenter() {
    one_problem(
        "[[zone]]\nname = \"svc.\"\ndatacenter = \"eu-1\"",
        "rollcall.toml:4: zone[0].datacenter: only Consul's names have one: add names = \"consul\"",
    );
}

#[test]
fn layouts_are_of_a_kind_and_have_prefixes_of_their_own() {
    one_problem(
        "[[layout]]\nkind = \"zookeeper\"\nprefix = \"/x/\"",
        "rollcall.toml:3: layout[0].kind: must be one of dubbo, go-micro, go-zero, grpc, kratos, nova, registrator, \
         skydns, url, got \"zookeeper\"",
    );
    one_problem(
        "[[layout]]\nkind = \"registrator\"",
        "rollcall.toml:2: layout[0].prefix: is missing, for example: prefix = \"/services/\"",
    );
    one_problem(
        "[[layout]]\nkind = \"kratos\"\nnamespace = \"staging\"",
        "rollcall.toml:4: layout[0].namespace: no zone here serves namespace staging: add a [[zone]] for it",
    );
    // A folder and what is in it, with and without its slash; and our own keys.
    for prefix in ["/services", "/services/", "/services/b/"] {
        one_problem(
            &format!(
                "[[layout]]\nkind = \"registrator\"\nprefix = \"/services\"\n[[layout]]\nkind = \"dubbo\"\nprefix = \"{prefix}\""
            ),
            &format!(
                "rollcall.toml:7: layout[1].prefix: \"{}/\" overlaps with that of layout registrator, \"/services/\": give each \
                 its own",
                prefix.trim_end_matches('/')
            ),
        );
    }
    one_problem(
        "[[layout]]\nkind = \"url\"\nprefix = \"/rollcall/\"",
        "rollcall.toml:4: layout[0].prefix: \"/rollcall/\" overlaps with our own layout's, \"/rollcall/v1/\"",
    );
    // Two of one system would have two accounts of its keys.
    one_problem(
        "[[layout]]\nkind = \"nova\"\nprefix = \"/\"\n[[layout]]\nkind = \"nova\"\nprefix = \"/nova:com.youzan.test/\"",
        "rollcall.toml:7: layout[1].prefix: \"/nova:com.youzan.test/\" overlaps with that of layout nova, \"/\": give each its own",
    );
    // Readers of everything know their own keys, and names that only begin alike are apart.
    let fine = "version = 1\n[[layout]]\nkind = \"nova\"\nprefix = \"/\"\n[[layout]]\nkind = \"go-micro\"\n\
                [[layout]]\nkind = \"go-zero\"\nprefix = \"\"\n\
                [[layout]]\nkind = \"url\"\nprefix = \"/micro/registry-2\"";
    assert_eq!(problems(fine), [] as [&str; 0]);
}

#[test]
fn zones_and_pins_must_fit_together() {
    one_problem(
        "[[zone]]\nname = \"svc\"\n[[zone]]\nname = \"SVC.\"",
        "rollcall.toml:5: zone[1].name: zone svc. is there twice",
    );
    one_problem(
        "[[zone]]\nname = \"a_b.\"",
        "rollcall.toml:3: zone[0].name: has '_', only a-z, 0-9 and inner '-' are allowed, got \"a_b.\"",
    );
    one_problem(
        "[[zone]]\nname = \"svc\"\nttl = \"1500ms\"",
        "rollcall.toml:4: zone[0].ttl: must be whole seconds",
    );
    one_problem(
        "[[pin]]\napp = \"greeter\"\nnamespace = \"staging\"\nendpoints = [\"127.0.0.1:9000\"]",
        "rollcall.toml:4: pin[0].namespace: no zone here serves namespace staging: add a [[zone]] for it",
    );
    one_problem(
        "[[pin]]\napp = \"greeter\"\nendpoints = [\"0.0.0.0:9000\"]",
        "rollcall.toml:4: pin[0].endpoints[0]: must be an address and port that clients can connect to, got 0.0.0.0:9000",
    );
    one_problem(
        "[[pin]]\napp = \"a\"\nendpoints = [\"127.0.0.1:1\"]\n[[pin]]\napp = \"A\"\nendpoints = [\"127.0.0.1:2\"]",
        "rollcall.toml:6: pin[1].app: a of namespace default is pinned twice",
    );
}

#[test]
fn listening_to_a_network_needs_a_token_or_a_decision() {
    let open = "version = 1\nhttp.listen = \"0.0.0.0:8053\"";
    assert_eq!(
        problems(open),
        [
            "rollcall.toml:2: http.listen: 0.0.0.0:8053 is beyond loopback and there is no token: add a [[token]], ask for client certificates in [http.tls], or set \
             http.insecure = true, in a configuration file ('rollcall config' prints one)"
        ]
    );
    assert_eq!(problems(&format!("{open}\nhttp.insecure = true")), [""; 0]);
    // A flag is judged like the file.
    let overrides = Overrides { http: Some("0.0.0.0:1".parse().unwrap()), ..Overrides::default() };
    let problems = Config::load(None, &overrides).unwrap_err();
    assert!(
        problems.to_string().starts_with("http.listen: 0.0.0.0:1 is beyond loopback"),
        "{problems}"
    );
}

#[test]
fn an_open_address_is_reported_in_the_order_of_lines() {
    let places: Vec<_> = problems("version = 1\nhttp.listen = \"0.0.0.0:1\"\ndata = 1")
        .iter()
        .map(|line| line.split(": ").next().unwrap().to_owned())
        .collect();
    assert_eq!(places, ["rollcall.toml:2", "rollcall.toml:3"]);
}

#[test]
fn a_bare_word_in_a_log_filter_is_a_level() {
    let filter = |filter: &str| problems(&format!("version = 1\nlog.filter = {filter:?}"));
    for good in ["info", "WARN", "off", "warn,rollcall=debug", "rollcall::dns=trace, error"] {
        assert_eq!(filter(good), [""; 0], "{good}");
    }
    let levels = "(error, warn, info, debug, trace, off)";
    for (word, whole, end) in [
        ("inof", "inof", ", did you mean 'info'?"),
        ("Inof", "Inof", ", did you mean 'info'?"),
        ("loud", "loud", ""),
        ("wran", "rollcall=debug,wran", ", did you mean 'warn'?"),
    ] {
        let line = format!(
            "rollcall.toml:2: log.filter: is not a log filter such as \"info\" or \"warn,rollcall=debug\": \
             {word:?} is no level {levels}{end}, got {whole:?}"
        );
        assert_eq!(filter(whole), [line], "{whole}");
    }
    let overrides = Overrides { log: Some("inof".into()), ..Overrides::default() };
    let problems = Config::load(None, &overrides).unwrap_err().to_string();
    assert!(
        problems.starts_with("--log / ROLLCALL_LOG: ") && problems.contains("did you mean 'info'?"),
        "{problems}"
    );
}

#[test]
fn no_app_does_not_mean_all_apps() {
    let problems = problems("version = 1\n[[token]]\nfile = \"a\"\nmay = [\"read\"]\napps = []");
    let refused = "rollcall.toml:5: token[0].apps: must hold at least one";
    assert!(problems.iter().any(|problem| problem == refused), "{problems:?}");
}

#[test]
fn loopback_is_loopback_however_it_is_written() {
    assert_eq!(problems("version = 1\nhttp.listen = \"[::ffff:127.0.0.1]:8053\""), [""; 0]);
    assert_eq!(problems("version = 1\nhttp.listen = \"[::ffff:10.0.0.1]:8053\"").len(), 1);
}

/// A directory with a configuration and what it names.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new(config: &str) -> Self {
        let scene = Self { dir: tempfile::tempdir().unwrap() };
        scene.file("rollcall.toml", config);
        scene
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        self.mode(name, 0o600);
    }

    fn mode(&self, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(self.dir.path().join(name), permissions).unwrap();
    }

    fn rollcall(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_rollcall"))
            .args(args)
            .current_dir(self.dir.path())
            .env_remove("ROLLCALL_CONFIG")
            .output()
            .unwrap()
    }

    /// Standard output and exit code of `rollcall check rollcall.toml`.
    fn check(&self) -> (String, i32) {
        let output = self.rollcall(&["check", "rollcall.toml"]);
        (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
    }
}

#[test]
fn check_says_what_is_good() {
    let scene = Scene::new("version = 1");
    let good = "rollcall.toml is good: zones svc. built in; registry embedded in ./rollcall-data\n";
    assert_eq!(scene.check(), (good.into(), 0));
    let good =
        "the default config is good: zones svc. built in; registry embedded in ./rollcall-data\n";
    let output = scene.rollcall(&["check"]);
    assert_eq!(
        (String::from_utf8(output.stdout).unwrap(), output.status.code()),
        (good.into(), Some(0))
    );
}

#[test]
fn check_takes_the_printed_default() {
    let scene = Scene::new("");
    let printed = scene.rollcall(&["config"]);
    assert!(printed.status.success());
    scene.file("rollcall.toml", &String::from_utf8(printed.stdout).unwrap());
    assert_eq!(scene.check().1, 0);
}

#[test]
fn check_fails_with_line_numbers() {
    let scene = Scene::new("version = 1\n[dns]\nudp_workers = -1\n[htp]");
    let lines = "rollcall.toml:3: dns.udp_workers: must be 0 to 1024, got -1\n\
                 rollcall.toml:4: htp: there is no such setting, did you mean 'http'?\n";
    assert_eq!(scene.check(), (lines.into(), 1));

    let output = scene.rollcall(&["check", "rollcall.toml", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let first = serde_json::json!({
        "file": "rollcall.toml", "line": 3, "column": 0,
        "message": "dns.udp_workers: must be 0 to 1024, got -1"
    });
    assert_eq!(json["problems"][0], first);
    assert_eq!(json["warnings"], serde_json::json!([]));
}

#[test]
fn check_names_all_that_is_wrong_with_zone_files() {
    let scene = Scene::new(
        "version = 1\n[dns]\nudp_workers = -1\n[[zone]]\nname = \"svc.\"\n\
         [[reverse]]\nnetwork = \"10.9.0.0/16\"\nfile = \"reverse.zone\"",
    );
    let apex = "$TTL 60\n@ SOA ns.example. host 1 2 3 4 5\n@ NS ns.example.\n";
    scene.file("zones/svc.zone", &format!("{apex}$INCLUDE more/hosts\na A 192.0.2.300\nb NS c\n"));
    scene.file("zones/more/hosts", "a A 192.0.2.1\nd TXT (\n  \\999 )\n");
    scene.file("zones/reverse.zone", &format!("{apex}1.1 PTR\n"));
    let (text, code) = scene.check();
    let places: Vec<&str> = text.lines().map(|line| line.split(": ").next().unwrap()).collect();
    let expected = [
        "rollcall.toml:3",
        "./zones/svc.zone:5:5",
        "./zones/svc.zone:6:1",
        "./zones/more/hosts:3:3",
        "./zones/reverse.zone:4:1",
    ];
    assert_eq!((places, code), (expected.to_vec(), 1), "{text}");
    let output = scene.rollcall(&["check", "rollcall.toml", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let second = &json["problems"][1];
    assert_eq!((&second["line"], &second["column"]), (&5.into(), &5.into()), "{second}");

    scene.file("zones/svc.zone", apex);
    scene.file("zones/reverse.zone", apex);
    scene.file(
        "rollcall.toml",
        "version = 1\n[[reverse]]\nnetwork = \"10.9.0.0/16\"\nfile = \"reverse.zone\"",
    );
    let good = "rollcall.toml is good: zones svc. from ./zones/svc.zone, 9.10.in-addr.arpa. from ./zones/reverse.zone; \
                registry embedded in ./rollcall-data\n";
    assert_eq!(scene.check(), (good.into(), 0));
}

#[test]
fn check_says_that_there_is_no_file() {
    let output = Scene::new("").rollcall(&["check", "absent.toml"]);
    let line = "absent.toml: cannot read this config: no such file or directory: \
                give an existing file, or begin one with 'rollcall config'\n";
    assert_eq!(
        (String::from_utf8(output.stdout).unwrap(), output.status.code()),
        (line.into(), Some(1))
    );
}

#[test]
fn check_warns_of_slow_negative_answers() {
    let scene = Scene::new("version = 1\n[[zone]]\nname = \"svc.\"\nnegative_ttl = \"6s\"");
    let (text, code) = scene.check();
    let warning = "warning: zone svc. has a negative TTL of 6 s: a service's first instance may stay unseen that long, \
                   5 s or less is wise\n";
    assert!(text.starts_with(warning), "{text}");
    assert_eq!(code, 0);
}

#[test]
fn zone_files_must_be_there_if_named() {
    let scene = Scene::new("version = 1\n[[zone]]\nname = \"svc.\"\nfile = \"svc.zone\"");
    let line = "rollcall.toml:4: zone[0].file: cannot read ./zones/svc.zone: no such file or directory: \
                give an existing file, or leave 'file' out for the built-in zone\n";
    assert_eq!(scene.check(), (line.into(), 1));
}

#[test]
fn a_folder_of_zone_files_that_is_named_is_there() {
    let scene = Scene::new("version = 1\n\nzones = \"zoones\"");
    let line = "rollcall.toml:3: zones: cannot read zoones: no such file or directory: \
                give the folder that zone files are in\n";
    assert_eq!(scene.check(), (line.into(), 1));
    fs::create_dir(scene.dir.path().join("zoones")).unwrap();
    assert_eq!(scene.check().1, 0);
    // The usual one may be written down, and be absent.
    scene.file("rollcall.toml", "version = 1\nzones = \"./zones\"");
    assert_eq!(scene.check().1, 0);
}

#[test]
fn check_warns_of_slips_in_zone_files() {
    let scene = Scene::new("version = 1");
    let apex = "$TTL 60\n@ SOA ns1 host 1 2 3 4 5\n  NS ns1\n";
    scene.file("zones/svc.zone", &format!("{apex}a CNAME a\n"));
    let warnings = "./zones/svc.zone:3:3: warning: NS ns1.svc. has no address, unless an app is registered as that: \
                    add an A or AAAA record\n\
                    ./zones/svc.zone:4:1: warning: CNAME leads back to itself (a.svc. -> a.svc.): \
                    let one of them lead elsewhere\n";
    let (text, code) = scene.check();
    assert!(text.starts_with(warnings), "{text}");
    assert_eq!(code, 0);
}

#[test]
fn what_no_server_could_start_with_is_no_good_config() {
    let data = "rollcall.toml:2: data: rollcall.toml is no directory, nor can it be made one: give another path\n";
    let scene = Scene::new("version = 1\ndata = \"rollcall.toml\"");
    assert_eq!(scene.check(), (data.into(), 1));

    let taken = |what: &str| format!("{what}: choose another address or port");
    let https = "[dns.https]\ntls = false\nlisten = [\"127.0.0.1:80\", \"127.0.0.1:8053\"]";
    let both = "both want 127.0.0.1:8053 over TCP";
    let line = format!("rollcall.toml:4: dns.https.listen[1]: is http.listen too: {both}");
    one_problem(https, &taken(&line));
    one_problem(
        "[dns]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:1\"]",
        &taken(
            "rollcall.toml:3: dns.listen[1]: is dns.listen[0] too: both want 127.0.0.1:1 over UDP and TCP",
        ),
    );
    one_problem(
        "[dns]\nlisten = [\"0.0.0.0:80\"]\n[http]\nhealth_listen = \"127.0.0.1:80\"",
        &taken(
            "rollcall.toml:5: http.health_listen: is dns.listen[0] too: both want 127.0.0.1:80 over TCP",
        ),
    );
    let good = "version = 1\n[dns]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\", \"127.0.0.1:53\", \"[::]:53\"]\n\
                [http]\nhealth_listen = \"127.0.0.2:53\"";
    assert_eq!(problems(good), [""; 0]);
    let dns = Some(vec!["127.0.0.1:8053".parse().unwrap()]);
    let overrides = Overrides { dns, ..Overrides::default() };
    let problems = Config::load(None, &overrides).unwrap_err().to_string();
    assert_eq!(problems, taken(&format!("http.listen: is --dns / ROLLCALL_DNS too: {both}")));

    let asks_itself = "is an address of this server, which would ask itself: name another server, or listen elsewhere";
    one_problem(
        "[dns]\nlisten = [\"0.0.0.0:5353\"]\n[forward]\nupstreams = [\"192.0.2.1\", \"127.0.0.1:5353\"]",
        &format!("rollcall.toml:5: forward.upstreams[1]: 127.0.0.1:5353 {asks_itself}"),
    );
    one_problem(
        "[forward]\nupstreams = [\"192.0.2.1\"]\n[[forward.domain]]\nname = \"a.\"\nupstreams = [\"127.0.0.1:1053\"]",
        &format!("rollcall.toml:4: forward.domain[0].upstreams[0]: 127.0.0.1:1053 {asks_itself}"),
    );
}

#[test]
fn a_resolv_conf_that_is_not_there_is_warned_of() {
    let scene =
        Scene::new("version = 1\n[forward]\nupstreams = \"system\"\nresolv_conf = \"none.conf\"");
    let (text, code) = scene.check();
    let warning = "rollcall.toml:4: warning: forward.resolv_conf: none.conf is not there: names of others fail until it \
                   is: name the file that has the host's servers\n";
    assert!(text.starts_with(warning), "{text}");
    assert_eq!(code, 0);
}

#[test]
fn v2_keys_without_a_layout_are_warned_of() {
    let scene = Scene::new("version = 1\n[compat.etcd_v2]");
    let (text, code) = scene.check();
    let warning = "rollcall.toml:2: warning: compat.etcd_v2: there is no [[layout]], and keys are only taken below the \
                   prefix of one: add that of the clients that call here, with its kind\n";
    assert!(text.starts_with(warning), "{text}");
    assert_eq!(code, 0);
    let layout = "[[layout]]\nkind = \"nova\"\nprefix = \"/\"";
    let (text, _) = Scene::new(&format!("version = 1\n[compat.etcd_v2]\n{layout}")).check();
    assert!(!text.contains("warning"), "{text}");
}

#[test]
fn the_secrets_of_cookies_have_one_rule() {
    let scene = Scene::new("version = 1\n[dns]\ncookie_secret_files = [\"cookie\"]");
    let rule = "rollcall.toml:3: dns.cookie_secret_files: cookie: is no secret for cookies: give 32 hexadecimal digits and \
                nothing else, such as 'openssl rand -hex 16' makes\n";
    for text in ["", "0123 4567", "0123456789abcdef", "g123456789abcdef0123456789abcdef"] {
        scene.file("cookie", text);
        assert_eq!(scene.check(), (rule.into(), 1), "{text}");
    }
    scene.file("cookie", "0123456789abcdef0123456789ABCDEF\n");
    assert_eq!(scene.check().1, 0);
}

#[test]
fn a_zone_file_that_can_not_be_looked_at_is_not_taken_for_none() {
    let scene = Scene::new("version = 1\nzones = \"rollcall.toml\"");
    let (text, code) = scene.check();
    assert!(text.contains("cannot read rollcall.toml/svc.zone: not a directory"), "{text}");
    assert_eq!(code, 1);
}

#[test]
fn a_broken_zone_file_is_named_whether_configured_or_found() {
    let scene = Scene::new("version = 1\n[[zone]]\nname = \"svc.\"\nfile = \"svc.zone\"");
    scene.file("zones/svc.zone", "this is no zone file");
    let (text, code) = scene.check();
    assert!(text.starts_with("./zones/svc.zone:"), "{text}");
    assert_eq!(code, 1);

    scene.file("rollcall.toml", "version = 1");
    let (text, code) = scene.check();
    assert!(text.starts_with("./zones/svc.zone:"), "{text}");
    assert_eq!(code, 1);
}

#[test]
fn tokens_are_secrets_in_files() {
    let config =
        "version = 1\n[[token]]\nfile = \"deploy.token\"\nmay = [\"register\"]\napps = [\"x-*\"]";
    let scene = Scene::new(config);
    let line = |why: &str| (format!("rollcall.toml:3: token[0].file: deploy.token: {why}\n"), 1);
    assert_eq!(
        scene.check(),
        line("no such file or directory: give a file that holds the secret and nothing else")
    );
    scene.file("deploy.token", "\n");
    assert_eq!(
        scene.check(),
        line("is empty: put a secret into it, such as 'openssl rand -hex 32' makes")
    );
    scene.file("deploy.token", "two words\n");
    assert_eq!(
        scene.check(),
        line(
            "has a space or an unprintable character inside the secret: \
              a secret is one line of printable ASCII without spaces"
        )
    );
    scene.file("deploy.token", &"x".repeat(5_000));
    assert!(scene.check().0.contains("is 5000 octets long, at most 4096 are allowed"));

    scene.file("deploy.token", "s3cret\n");
    assert_eq!(scene.check().1, 0);
    assert!(!scene.check().0.contains("s3cret"));
    scene.mode("deploy.token", 0o644);
    let (text, code) = scene.check();
    let warning =
        "deploy.token: warning: can be read by everyone on this machine: run 'chmod 600' on it\n";
    assert!(text.starts_with(warning), "{text}");
    assert_eq!(code, 0);
}

#[test]
fn tokens_say_what_they_allow() {
    let scene = Scene::new(
        "version = 1\n[[token]]\nfile = \"a\"\nmay = [\"regster\"]\n[[token]]\nfile = \"b\"",
    );
    scene.file("a", "same");
    scene.file("b", "same");
    let lines = "rollcall.toml:4: token[0].may[0]: must be \"register\" or \"operate\" or \"read\", got \"regster\"\n\
                 rollcall.toml:5: token[1].may: is missing, for example: may = [\"register\"]\n";
    assert_eq!(scene.check(), (lines.into(), 1));
    let may = "may = [\"read\"]";
    let config =
        format!("version = 1\n[[token]]\nfile = \"a\"\n{may}\n[[token]]\nfile = \"b\"\n{may}");
    scene.file("rollcall.toml", &config);
    let line = "rollcall.toml:6: token[1].file: b: holds the same secret as a\n";
    assert_eq!(scene.check(), (line.into(), 1));
}

#[test]
fn serve_refuses_a_bad_config_in_one_line() {
    let scene = Scene::new("version = 1\n[dns]\nudp_workers = -1");
    let output = scene.rollcall(&["serve", "--config", "rollcall.toml"]);
    let line = "rollcall: rollcall.toml:3: dns.udp_workers: must be 0 to 1024, got -1\n";
    assert_eq!(
        (String::from_utf8(output.stderr).unwrap(), output.status.code()),
        (line.into(), Some(1))
    );
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    // Each address is refused, by name, for being open to a network: so the message tells which one counts.
    let scene = Scene::new("version = 1\n[http]\nlisten = \"0.0.0.0:3\"");
    let refused = |env: &[(&str, &str)], args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
        command.arg("serve").args(args).current_dir(scene.dir.path());
        for name in
            ["ROLLCALL_CONFIG", "ROLLCALL_HTTP", "ROLLCALL_DNS", "ROLLCALL_ETCD", "ROLLCALL_LOG"]
        {
            command.env_remove(name);
        }
        let output = command.envs(env.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let line = String::from_utf8(output.stderr).unwrap();
        line.split("http.listen: ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    };
    let file = ("ROLLCALL_CONFIG", "rollcall.toml");
    assert_eq!(refused(&[file], &[]), "0.0.0.0:3");
    assert_eq!(refused(&[file, ("ROLLCALL_HTTP", "0.0.0.0:2")], &[]), "0.0.0.0:2");
    assert_eq!(
        refused(&[file, ("ROLLCALL_HTTP", "0.0.0.0:2")], &["--http", "0.0.0.0:1"]),
        "0.0.0.0:1"
    );
}

#[test]
fn what_has_tls_needs_a_certificate_and_an_address() {
    one_problem(
        "[dns.tls]\nlisten = [\"127.0.0.1:853\"]",
        "rollcall.toml:2: dns.tls.cert_file: is missing: give cert_file and key_file here, or in [tls] for all listeners",
    );
    one_problem(
        "[http.tls]\ncert_file = \"a.pem\"",
        "rollcall.toml:3: http.tls.cert_file: stands without 'key_file'",
    );
    one_problem(
        "[tls]",
        "rollcall.toml:2: tls.cert_file: is missing, for example: cert_file = \"rollcall.pem\"",
    );
    one_problem(
        "[dns.https]\ntls = false",
        "rollcall.toml:2: dns.https.listen: is missing, for example: listen = [\"127.0.0.1:443\"]",
    );
    one_problem(
        "[dns.https]\nlisten = [\"127.0.0.1:0\"]\ntls = false\npath = \"dns query\"",
        "rollcall.toml:5: dns.https.path: must be a path such as \"/dns-query\", of letters, digits and /-._~, \
         got \"dns query\"",
    );
}

#[test]
fn one_broken_pair_for_all_listeners_is_told_of_once() {
    let all = "[tls]\ncert_file = \"none.pem\"\nkey_file = \"none.key\"\n[dns.tls]\nlisten = [\"127.0.0.1:0\"]\n\
               [dns.https]\nlisten = [\"127.0.0.1:0\"]\n[http.tls]";
    one_problem(
        all,
        "rollcall.toml:3: tls.cert_file: none.pem: cannot be read: no such file or directory: give a PEM file",
    );
}

#[test]
fn a_key_that_others_can_read_is_warned_of_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let text = format!(
        "version = 1\n[tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n[http.tls]\nclient_ca_file = {cert:?}"
    );
    for (mode, expected) in [(0o640, 0), (0o644, 1)] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let loaded =
            Config::parse(Path::new("rollcall.toml"), &text, &Overrides::default()).unwrap();
        let said: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        let of_key = said.iter().filter(|line| line.contains("key.pem: can be read by everyone"));
        assert_eq!(of_key.count(), expected, "{said:?}");
    }
}

/// A certificate and its key in that folder, as `rollcall.pem` and `rollcall.key`.
fn certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["dns.example.org".to_owned()]).unwrap();
    fs::write(folder.join("rollcall.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("rollcall.key"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("clients.pem"), made.cert.pem()).unwrap();
}

#[test]
fn the_example_with_tls_works_as_it_is_written() {
    let document = include_str!("../docs/operations.md");
    let (_, from) = document.split_once("    version = 1\n    [tls]\n").expect("the example");
    let lines = from.lines().map_while(|line| line.strip_prefix("    "));
    let text = format!("version = 1\n[tls]\n{}", lines.collect::<Vec<_>>().join("\n"));
    let scene = Scene::new(&format!("{text}\n[dns.quic]\nlisten = [\"0.0.0.0:853\"]"));
    certificate(scene.dir.path());
    let (said, code) = scene.check();
    assert_eq!(code, 0, "{said}\n{text}");
    for part in ["[dns.tls]", "[dns.https]", "[http.tls]", "hosts = [\"dns.example.org\"]"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn check_warns_of_certificates_that_clients_do_not_take() {
    let key = rcgen::KeyPair::generate().unwrap();
    let listener = "[dns.tls]\nlisten = [\"127.0.0.1:0\"]\n";
    let pair = "cert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n";
    let scene = Scene::new(&format!("version = 1\n[http.tls]\n{pair}{listener}{pair}"));
    scene.file("key.pem", &key.serialize_pem());
    for (begin, end, expected) in [
        (2_020, 2_021, "cert.pem: warning: the certificate expired on 2021-01-01T00:00:00Z: "),
        (
            4_020,
            4_021,
            "cert.pem: warning: the certificate is not valid before 4020-01-01T00:00:00Z: ",
        ),
        (2_020, 4_021, "rollcall.toml is good"),
    ] {
        let mut own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        own.not_before = rcgen::date_time_ymd(begin, 1, 1);
        own.not_after = rcgen::date_time_ymd(end, 1, 1);
        scene.file("cert.pem", &own.self_signed(&key).unwrap().pem());
        let (said, code) = scene.check();
        assert!(said.starts_with(expected) && code == 0, "{said}");
        let times = said.matches("certificate").count();
        assert_eq!(
            times,
            usize::from(!expected.contains("good")),
            "once for all listeners: {said}"
        );
    }
}

#[test]
fn a_certificate_for_no_listener_is_warned_of() {
    let folder = tempfile::TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let pair = format!("cert_file = {cert:?}\nkey_file = {key:?}\n");
    let listen = "listen = [\"127.0.0.1:0\"]\n";
    for (listeners, expected) in [
        (String::new(), 1),
        (format!("[dns.tls]\n{listen}{pair}"), 1),
        (format!("[dns.https]\n{listen}tls = false\n"), 1),
        (format!("[dns.tls]\n{listen}"), 0),
        ("[http.tls]\n".into(), 0),
    ] {
        let text = format!("version = 1\n[tls]\n{pair}{listeners}");
        let loaded =
            Config::parse(Path::new("rollcall.toml"), &text, &Overrides::default()).unwrap();
        let said: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        let unused = "rollcall.toml:2: tls: is used by no listener: add one, for example [dns.tls]";
        let of_tls = said.iter().filter(|line| line.starts_with(unused));
        assert_eq!(of_tls.count(), expected, "{listeners}: {said:?}");
    }
}

#[test]
fn http_without_tls_stays_on_the_machine() {
    let plain = "version = 1\n[dns.https]\ntls = false\nlisten";
    let beyond = format!("{plain} = [\"127.0.0.1:80\", \"192.0.2.1:80\"]");
    assert_eq!(
        problems(&beyond),
        [
            "rollcall.toml:4: dns.https.listen: 192.0.2.1:80 is beyond loopback and tls is false, so anyone on the way \
             could read and change answers: listen on 127.0.0.1, where a proxy with TLS asks, or set insecure = true"
        ]
    );
    assert_eq!(problems(&format!("{plain} = [\"127.0.0.1:80\", \"[::1]:80\"]")), [""; 0]);
    assert_eq!(problems(&format!("{beyond}\ninsecure = true")), [""; 0]);
}
