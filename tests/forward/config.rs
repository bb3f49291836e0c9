//! What the configuration says of forwarding, and what is wrong with it.

use std::net::SocketAddr;
use std::path::Path;

use rollcall::config::{Config, ForwardChoice, Overrides};
use rollcall::dns::forward::{DomainName, Settings, Upstreams};
use rollcall::model::Nets;

fn parse(text: &str, overrides: &Overrides) -> Result<Option<Settings>, Vec<String>> {
    let text = format!("version = 1\n{text}");
    match Config::parse(Path::new("c.toml"), &text, overrides) {
        Ok(loaded) => Ok(loaded.config.dns.forward),
        Err(problems) => Err(problems.0.iter().map(ToString::to_string).collect()),
    }
}

fn read(text: &str) -> Settings {
    parse(text, &Overrides::default()).unwrap().expect("it forwards")
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn nothing_is_forwarded_unless_somebody_says_so() {
    assert_eq!(parse("", &Overrides::default()), Ok(None));
    let overrides = Overrides { forward: Some(ForwardChoice::System), ..Overrides::default() };
    let system = parse("", &overrides).unwrap().unwrap();
    assert_eq!(system.upstreams, Upstreams::System("/etc/resolv.conf".into()));
    assert_eq!(system.allow, Nets::near());
}

#[test]
fn the_section_says_whom_to_ask() {
    let settings = read(
        "[forward]\nupstreams = [\"10.0.0.2\", \"[fd00::2]:5353\"]\nallow = [\"10.0.0.0/8\"]\ntimeout = \"1s\"\n\
         in_flight_max = 7\ncache_octets_max = 0\n\
         [[forward.domain]]\nname = \"_x.Corp.example\"\nupstreams = [\"10.0.0.3:53\"]\n",
    );
    let listed = vec![at("10.0.0.2:53"), at("[fd00::2]:5353")];
    assert_eq!(settings.upstreams, Upstreams::Listed(listed));
    assert_eq!(settings.upstreams.to_string(), "10.0.0.2:53, [fd00::2]:5353");
    assert!(settings.allow.contain(at("10.9.9.9:1").ip()));
    assert!(!settings.allow.contain(at("127.0.0.1:1").ip()));
    let numbers = (settings.in_flight_max, settings.cache_octets_max);
    assert_eq!((settings.timeout.as_secs(), numbers), (1, (7, 0)));
    assert_eq!(settings.domains[0].name, DomainName::new("_X.corp.EXAMPLE.").unwrap());
    let system = read("[forward]\nupstreams = \"system\"\nresolv_conf = \"r.conf\"\n");
    assert_eq!(system.upstreams, Upstreams::System("r.conf".into()));
    assert_eq!(system.upstreams.to_string(), "those of r.conf");
}

#[test]
fn the_flag_beats_the_file_in_what_it_says() {
    let forward = Some(ForwardChoice::parse("192.0.2.1, [::1]:54").unwrap());
    let overrides = Overrides { forward, ..Overrides::default() };
    let text = "[forward]\nupstreams = \"system\"\nin_flight_max = 7\n";
    let settings = parse(text, &overrides).unwrap().unwrap();
    let listed = vec![at("192.0.2.1:53"), at("[::1]:54")];
    assert_eq!((settings.upstreams, settings.in_flight_max), (Upstreams::Listed(listed), 7));
    assert!(ForwardChoice::parse("upstairs").unwrap_err().contains("IP address of a DNS server"));
    let mixed = ForwardChoice::parse("system,10.0.0.2").unwrap_err();
    assert!(mixed.ends_with("\"system\" alone takes the servers of /etc/resolv.conf"), "{mixed}");
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (text, said) in [
        ("[forward]\n", "c.toml:2: forward.upstreams: is missing, for example: upstreams = "),
        ("[forward]\nupstreams = []\n", "c.toml:3: forward.upstreams: must hold at least one"),
        (
            "[forward]\nupstreams = \"sytem\"\n",
            "c.toml:3: forward.upstreams: must be a list such as",
        ),
        (
            "[forward]\nupstreams = [\"ns.example\"]\n",
            "c.toml:3: forward.upstreams[0]: must be the IP address of a DNS server such as",
        ),
        ("[forward]\nupstreams = [\"0.0.0.0:53\"]\n", "c.toml:3: forward.upstreams[0]: must be"),
        (
            "[forward]\nupstreams = [\"10.0.0.2\", \"system\"]\n",
            "c.toml:3: forward.upstreams: \"system\" stands alone: write upstreams = \"system\"",
        ),
        (
            "[forward]\nupstreams = \"system\"\ntimeout = \"5s\"\n",
            "c.toml:4: forward.timeout: must be 100ms to 4s, got 5s",
        ),
        (
            "[forward]\nupstreams = \"system\"\nallow = [\"ten\"]\n",
            "c.toml:4: forward.allow[0]: is no network",
        ),
        (
            "[forward]\nupstreams = \"system\"\nupstream = 1\n",
            "c.toml:4: forward.upstream: there is no such setting, did you mean 'upstreams'?",
        ),
        (
            "[forward]\nupstreams = \"system\"\n[[forward.domain]]\nname = \"a.svc\"\nupstreams = [\"::1\"]\n",
            "c.toml:5: forward.domain[0].name: is in zone svc., which this server answers itself",
        ),
        (
            "[forward]\nupstreams = \"system\"\n[[forward.domain]]\nname = \"a..b\"\nupstreams = [\"::1\"]\n",
            "c.toml:5: forward.domain[0].name: must be a domain's name such as",
        ),
        (
            "[forward]\nupstreams = \"system\"\n[[forward.domain]]\nname = \"a\"\nupstreams = [\"::1\"]\n\
             [[forward.domain]]\nname = \"A.\"\nupstreams = [\"::1\"]\n",
            "c.toml:8: forward.domain[1].name: stands twice",
        ),
    ] {
        let problems = parse(text, &Overrides::default()).unwrap_err();
        assert!(problems.len() == 1 && problems[0].starts_with(said), "{said}\n{problems:#?}");
    }
}
