//! Settings that are legal one by one, and with which a server would never start all the same.
//!
//! Looked at last, when flags have had their say and all else is good: what is listened on is known only then.
//!
//! Knows nothing of how anything is bound or asked.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;

use super::problem::Problem;
use super::reader::Section;
use super::{Config, Overrides, RegistryChoice};
use crate::dns::forward::Upstreams;
use crate::dns::forward::own::is_own;

/// Names them; those that stand in the file are reported there, the others returned. What will do later, though not
/// now, is a warning.
pub(super) fn find(
    root: &Section<'_>,
    config: &Config,
    overrides: &Overrides,
    warnings: &mut Vec<Problem>,
) -> Vec<Problem> {
    let mut conflicts = Conflicts { root, elsewhere: Vec::new() };
    conflicts.data(config, overrides);
    conflicts.listeners(listeners(root, config, overrides));
    conflicts.upstreams(config, overrides);
    warnings.extend(absent_resolv_conf(root, config, overrides));
    warnings.extend(unwritten_layouts(root, config));
    conflicts.elsewhere
}

/// Where a setting comes from.
#[derive(Debug)]
struct Place {
    /// Its path, or the flag.
    name: String,
    /// Its line in the file; none where it is a flag's or the default.
    line: Option<usize>,
}

/// One address that is listened on.
struct Listener {
    place: Place,
    address: SocketAddr,
    carriers: &'static [&'static str],
}

struct Conflicts<'r, 'd> {
    root: &'r Section<'d>,
    elsewhere: Vec<Problem>,
}

impl Place {
    /// That of a setting, or of one item of it, unless a flag is given in its stead.
    fn new(root: &Section<'_>, path: &[&str], item: Option<usize>, flag: Option<&str>) -> Self {
        if let Some(flag) = flag {
            return Self { name: flag.to_owned(), line: None };
        }
        let number = item.map_or_else(String::new, |item| format!("[{item}]"));
        let name = format!("{}{number}", path.join("."));
        Self { name, line: root.line_at(path, item.unwrap_or_default()) }
    }
}

impl Listener {
    /// What both want, if they can't both have it.
    fn clash(&self, other: &Self) -> Option<String> {
        let (own, others) = (self.address, other.address);
        let any = |address: SocketAddr| address.ip().is_unspecified();
        let one_port = own.port() != 0 && own.port() == others.port();
        let one_address =
            own == others || own.is_ipv4() == others.is_ipv4() && (any(own) || any(others));
        if !one_port || !one_address {
            return None;
        }
        let shared: Vec<_> =
            self.carriers.iter().copied().filter(|one| other.carriers.contains(one)).collect();
        let address = if any(own) { others } else { own };
        (!shared.is_empty()).then(|| format!("{address} over {}", shared.join(" and ")))
    }
}

impl Conflicts<'_, '_> {
    fn report(&mut self, place: &Place, why: impl fmt::Display) {
        let message = format!("{}: {why}", place.name);
        match place.line {
            Some(line) => self.root.document().report(line, message),
            None => self.elsewhere.push(Problem::nowhere(message)),
        }
    }

    /// The data directory is one, or can be made.
    fn data(&mut self, config: &Config, overrides: &Overrides) {
        let dir = &config.data_dir;
        let is_none = match std::fs::metadata(dir) {
            Ok(about) => !about.is_dir(),
            // Who checks may not see what the server's user can; only what nobody can use is a problem.
            Err(error) => error.kind() == ErrorKind::NotADirectory,
        };
        if is_none {
            let place = Place::new(
                self.root,
                &["data"],
                None,
                overrides.data_dir.as_ref().map(|_| "--data / ROLLCALL_DATA"),
            );
            let dir = dir.display();
            self.report(
                &place,
                format!("{dir} is no directory, nor can it be made one: give another path"),
            );
        }
    }

    /// No two want one port of one address.
    fn listeners(&mut self, mut listeners: Vec<Listener>) {
        // The later one in the file is told of, and defaults and flags are none.
        listeners.sort_by_key(|listener| listener.place.line);
        for (i, later) in listeners.iter().enumerate() {
            let clash = |one: &Listener| Some((one.place.name.clone(), later.clash(one)?));
            if let Some((earlier, both)) = listeners[..i].iter().find_map(clash) {
                let why =
                    format!("is {earlier} too: both want {both}: choose another address or port");
                self.report(&later.place, why);
            }
        }
    }

    /// Nobody asks himself.
    fn upstreams(&mut self, config: &Config, overrides: &Overrides) {
        let Some(forward) = &config.dns.forward else { return };
        let listed = match &forward.upstreams {
            Upstreams::Listed(addresses) => addresses.as_slice(),
            Upstreams::System(_) => &[],
        };
        let flag = overrides.forward.as_ref().map(|_| "--forward / ROLLCALL_FORWARD");
        let mut all = Vec::new();
        for (i, upstream) in listed.iter().enumerate() {
            all.push((Place::new(self.root, &["forward", "upstreams"], Some(i), flag), upstream));
        }
        for (i, domain) in forward.domains.iter().enumerate() {
            let Place { name, line } = Place::new(self.root, &["forward", "domain"], Some(i), None);
            for (j, upstream) in domain.upstreams.iter().enumerate() {
                all.push((Place { name: format!("{name}.upstreams[{j}]"), line }, upstream));
            }
        }
        for (place, upstream) in all {
            if is_own(&config.dns.listen, *upstream) {
                let why = format!(
                    "{upstream} is an address of this server, which would ask itself: name another server, or listen elsewhere"
                );
                self.report(&place, why);
            }
        }
    }
}

fn listeners(root: &Section<'_>, config: &Config, overrides: &Overrides) -> Vec<Listener> {
    const TCP: &[&str] = &["TCP"];
    const UDP: &[&str] = &["UDP"];
    let mut all = Vec::new();
    let mut add = |path: &[&str],
                   flag: Option<&str>,
                   addresses: &[SocketAddr],
                   carriers: &'static [&'static str]| {
        for (i, address) in addresses.iter().enumerate() {
            let place = Place::new(root, path, Some(i), flag);
            all.push(Listener { place, address: *address, carriers });
        }
    };
    let dns = &config.dns;
    let flag = overrides.dns.as_ref().map(|_| "--dns / ROLLCALL_DNS");
    add(&["dns", "listen"], flag, &dns.listen, &["UDP", "TCP"]);
    let secure = [("tls", &dns.tls, TCP), ("quic", &dns.quic, UDP), ("h3", &dns.h3, UDP)];
    for (key, secure, carriers) in secure {
        let listen = secure.as_ref().map_or(&[][..], |secure| &secure.listen);
        add(&["dns", key, "listen"], None, listen, carriers);
    }
    let https = dns.https.as_ref().map_or(&[][..], |https| &https.listen);
    add(&["dns", "https", "listen"], None, https, TCP);
    let single = [
        ("listen", overrides.http.map(|_| "--http / ROLLCALL_HTTP"), Some(config.http.listen)),
        ("health_listen", None, config.http.health_listen),
    ];
    for (key, flag, address) in single {
        let Some(address) = address else { continue };
        let place = Place::new(root, &["http", key], None, flag);
        all.push(Listener { place, address, carriers: TCP });
    }
    for (name, at) in config.compat.listeners() {
        let place = Place::new(root, &["compat", name, "listen"], None, None);
        all.push(Listener { place, address: at.listen, carriers: TCP });
    }
    all
}

/// What other systems write is in an etcd, unless they write it by our listener.
fn unwritten_layouts(root: &Section<'_>, config: &Config) -> Option<Problem> {
    let unwritten = !config.layouts.is_empty()
        && config.registry == RegistryChoice::Embedded
        && config.compat.etcd_v2.is_none();
    unwritten.then(|| {
        let message = "layout: nobody but this server writes to its embedded registry: name the etcd that the others write \
                       to ([etcd] endpoints, or --etcd), or add [compat.etcd_v2]";
        root.problem(root.line_at(&["layout"], 0), message.to_owned())
    })
}

/// A file that names servers and is not there. It may come, as on a machine that has no network yet.
fn absent_resolv_conf(
    root: &Section<'_>,
    config: &Config,
    overrides: &Overrides,
) -> Option<Problem> {
    let Upstreams::System(file) = &config.dns.forward.as_ref()?.upstreams else { return None };
    if file.exists() {
        return None;
    }
    let written = Place::new(root, &["forward", "resolv_conf"], None, None);
    let place = if written.line.is_some() {
        written
    } else {
        let flag = overrides.forward.as_ref().map(|_| "--forward / ROLLCALL_FORWARD");
        Place::new(root, &["forward", "upstreams"], None, flag)
    };
    let message = format!(
        "{}: {} is not there: names of others fail until it is: name the file that has the host's servers",
        place.name,
        file.display()
    );
    Some(root.problem(place.line, message))
}
