//! How services stand, by a clock that the tests move.

use serde_json::{Value, json};

use super::standing::Standing;
use super::*;
use crate::compat::consul::definition;

/// An agent and its clock.
struct World {
    agent: Agent,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { agent: Agent::default(), now: Instant::now() }
    }

    fn pass(&mut self, secs: u64) -> Touched {
        self.now += Duration::from_secs(secs);
        self.agent.tick(self.now)
    }

    fn put(&mut self, body: &Value, replace: bool) -> Result<Touched, String> {
        let (service, checks) = definition::service(body.to_string().as_bytes()).unwrap();
        let place = ([10, 0, 0, 9].into(), BTreeMap::new());
        self.agent.register(service, checks, place, replace, self.now)
    }

    fn register(&mut self, body: &Value) {
        let id = body["ID"].as_str().or_else(|| body["Name"].as_str()).unwrap().to_owned();
        assert_eq!(self.put(body, false), Ok([id].into()));
    }

    fn check(&mut self, body: &Value) -> Result<Touched, String> {
        let check = definition::check(body.to_string().as_bytes()).unwrap();
        self.agent.register_check(check, self.now)
    }

    fn told(&mut self, id: &str, status: Status) -> Option<Touched> {
        self.agent.told(id, status, "", self.now)
    }

    /// The clocks, so many seconds later by that which goes on without a server.
    fn clocks(&self, secs: u64) -> saved::Clocks {
        let wall = std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + secs);
        saved::Clocks { now: self.now, wall }
    }

    /// The agent of a server that was away for so many seconds.
    fn restarted(&self, secs: u64) -> Agent {
        Agent::resume(&self.agent.save(self.clocks(0)), self.clocks(secs), |within| within)
    }

    fn standing(&self, id: &str) -> Option<Standing> {
        Some(self.agent.standing(self.agent.service(id)?))
    }

    fn weight(&self, id: &str) -> Option<u16> {
        self.agent.weight(self.agent.service(id).unwrap())
    }

    fn checks(&self, id: &str) -> Vec<&str> {
        self.agent.service(id).unwrap().checks.keys().map(String::as_str).collect()
    }

    /// Runs all checks that are due, each with that result.
    fn run(&mut self, status: Status) -> (usize, Touched) {
        let runs = self.agent.due(100, self.now);
        let mut touched = Touched::new();
        for run in &runs {
            touched.append(&mut self.agent.ran(run, status, "so", self.now));
        }
        (runs.len(), touched)
    }
}

fn ids(ids: &[&str]) -> Touched {
    ids.iter().map(ToString::to_string).collect()
}

/// formats 4.3, as go-micro registers.
fn greeter() -> Value {
    json!({"ID": "greeter-6f", "Name": "greeter", "Port": 41233, "Address": "10.0.0.12",
        "Check": {"TTL": "1m0s", "DeregisterCriticalServiceAfter": "1m5s"}})
}

#[test]
fn a_ttl_check_lives_by_what_its_owner_tells() {
    let mut world = World::new();
    world.register(&greeter());
    assert_eq!(world.standing("greeter-6f"), Some(Standing::Critical), "nothing was told yet");
    assert_eq!(world.weight("greeter-6f"), None);
    let id = "service:greeter-6f";
    assert_eq!(world.told(id, Status::Passing), Some(ids(&["greeter-6f"])));
    assert_eq!(world.standing("greeter-6f"), Some(Standing::Passing));
    assert_eq!(world.weight("greeter-6f"), Some(1));
    assert_eq!(world.told(id, Status::Passing), Some(ids(&[])), "nothing is new");
    assert_eq!(world.pass(59), ids(&[]));
    assert_eq!(world.told(id, Status::Passing), Some(ids(&[])));
    assert_eq!(world.pass(59), ids(&[]), "its time began anew");
    assert_eq!(world.agent.next_at(), Some(world.now + Duration::from_secs(1)));
    assert_eq!(world.pass(1), ids(&["greeter-6f"]));
    assert_eq!(world.standing("greeter-6f"), Some(Standing::Critical));
    let check = &world.agent.service("greeter-6f").unwrap().checks[id];
    assert_eq!(check.output, "TTL expired");
    // Told again before it is given up, it is back.
    assert_eq!(world.pass(64), ids(&[]));
    world.told(id, Status::Passing).unwrap();
    assert_eq!(world.pass(60), ids(&["greeter-6f"]));
    assert_eq!(world.pass(65), ids(&["greeter-6f"]), "given up");
    assert_eq!(world.standing("greeter-6f"), None);
    assert_eq!(world.told(id, Status::Passing), None, "its client registers again");
    world.pass(30);
    assert_eq!(world.agent.next_at(), None);
}

#[test]
fn one_that_never_passes_is_given_up_too_and_one_without_a_time_is_not() {
    let mut world = World::new();
    world.register(&greeter());
    world.register(&json!({"Name": "stays", "Check": {"TTL": "1s"}}));
    assert_eq!(world.pass(64), ids(&["greeter-6f", "stays"]), "what is shown is another");
    assert_eq!(world.pass(1), ids(&["greeter-6f"]));
    assert_eq!(world.pass(1_000_000), ids(&[]));
    assert_eq!(world.standing("stays"), Some(Standing::Critical));
}

#[test]
fn the_worst_check_counts_and_weights_go_with_it() {
    let mut world = World::new();
    world.register(&json!({"Name": "web", "Port": 80, "Weights": {"Passing": 10, "Warning": 3},
        "Checks": [{"TTL": "60s", "Status": "passing"}, {"TTL": "60s", "Status": "passing"}]}));
    assert_eq!(world.checks("web"), ["service:web:1", "service:web:2"]);
    assert_eq!((world.standing("web"), world.weight("web")), (Some(Standing::Passing), Some(10)));
    world.told("service:web:2", Status::Warning).unwrap();
    assert_eq!((world.standing("web"), world.weight("web")), (Some(Standing::Warning), Some(3)));
    world.told("service:web:1", Status::Critical).unwrap();
    assert_eq!((world.standing("web"), world.weight("web")), (Some(Standing::Critical), None));
    assert_eq!(world.agent.maintain(Some("web"), Some(""), world.now), Some(ids(&["web"])));
    assert_eq!(world.standing("web"), Some(Standing::Maintenance));
    for id in ["service:web:1", "service:web:2"] {
        world.told(id, Status::Passing).unwrap();
    }
    assert_eq!(world.standing("web"), Some(Standing::Maintenance));
    assert_eq!(world.agent.maintain(Some("web"), None, world.now), Some(ids(&["web"])));
    assert_eq!(world.standing("web"), Some(Standing::Passing));
    assert_eq!(world.agent.maintain(Some("none"), Some(""), world.now), None);
}

#[test]
fn the_nodes_checks_are_those_of_all_its_services() {
    let mut world = World::new();
    for name in ["a", "b"] {
        world.register(&json!({"Name": name, "Check": {"TTL": "60s", "Status": "passing"}}));
    }
    let disk = json!({"Name": "disk", "TTL": "60s"});
    assert_eq!(world.check(&disk), Ok(ids(&["a", "b"])));
    assert_eq!(world.standing("a"), Some(Standing::Critical));
    assert_eq!(world.told("disk", Status::Passing), Some(ids(&["a", "b"])));
    assert_eq!(world.standing("b"), Some(Standing::Passing));
    assert_eq!(world.agent.deregister_check("disk", world.now), ids(&["a", "b"]));
    assert_eq!(world.agent.maintain(None, Some("move"), world.now), Some(ids(&["a", "b"])));
    assert_eq!(world.standing("a"), Some(Standing::Maintenance));
    let (id, check) = world.agent.node_checks().next().unwrap();
    assert_eq!((id, check.definition.notes.as_str()), ("_node_maintenance", "move"));
    // What comes meanwhile is in maintenance, too.
    world.register(&json!({"Name": "c"}));
    assert_eq!(world.standing("c"), Some(Standing::Maintenance));
    assert_eq!(world.agent.maintain(None, None, world.now), Some(ids(&["a", "b", "c"])));
    assert_eq!(world.standing("c"), Some(Standing::Passing));
    for n in 0..NODE_CHECKS_MAX {
        world.check(&json!({"Name": n.to_string(), "TTL": "1s"})).unwrap();
    }
    let more = world.check(&disk).unwrap_err();
    assert_eq!(more, "Invalid check: the node has 64 already");
}

#[test]
fn a_service_that_comes_again_keeps_how_its_checks_stood() {
    let mut world = World::new();
    world.register(&greeter());
    world.told("service:greeter-6f", Status::Passing).unwrap();
    world.check(&json!({"Name": "more", "TTL": "60s", "ServiceID": "greeter-6f"})).unwrap();
    world.agent.maintain(Some("greeter-6f"), Some(""), world.now).unwrap();
    world.pass(50);
    world.register(&greeter());
    let names = ["_service_maintenance:greeter-6f", "more", "service:greeter-6f"];
    assert_eq!(world.checks("greeter-6f"), names);
    let status = |world: &World, id: &str| world.agent.check(id).unwrap().status;
    assert_eq!(status(&world, "service:greeter-6f"), Status::Passing);
    assert_eq!(world.pass(59), ids(&["greeter-6f"]), "that is the other check");
    assert_eq!(status(&world, "service:greeter-6f"), Status::Passing, "its clock began anew");
    world.put(&greeter(), true).unwrap();
    let names = ["_service_maintenance:greeter-6f", "service:greeter-6f"];
    assert_eq!(world.checks("greeter-6f"), names, "those given are all");
    assert_eq!(world.told("more", Status::Passing), None);
}

#[test]
fn a_check_has_one_owner() {
    let mut world = World::new();
    world.register(&json!({"Name": "a", "Check": {"CheckID": "x", "TTL": "60s"}}));
    world.register(&json!({"Name": "b", "Check": {"CheckID": "x", "TTL": "60s"}}));
    assert_eq!((world.checks("b"), world.checks("a")), (vec!["x"], vec![]));
    assert_eq!(world.told("x", Status::Passing), Some(ids(&["b"])));
    let unknown = world.check(&json!({"Name": "y", "TTL": "1s", "ServiceID": "none"}));
    assert_eq!(unknown.unwrap_err(), "ServiceID \"none\" does not exist");
    assert_eq!(
        world.check(&json!({"Name": "x", "TTL": "1s", "ServiceID": "a"})),
        Ok(ids(&["a", "b"]))
    );
    assert_eq!(world.agent.deregister("a", world.now), ids(&["a"]));
    assert_eq!(world.told("x", Status::Passing), None);
    assert_eq!(world.agent.deregister("a", world.now), ids(&[]));
    for n in 0..CHECKS_MAX {
        world.check(&json!({"Name": n.to_string(), "TTL": "1s", "ServiceID": "b"})).unwrap();
    }
    let more = world.check(&json!({"Name": "more", "TTL": "1s", "ServiceID": "b"}));
    assert_eq!(more.unwrap_err(), "Invalid check: a service has at most 16");
}

#[test]
fn a_service_without_a_check_is_connected_to() {
    let mut world = World::new();
    world.register(&json!({"Name": "web", "Port": 80}));
    let probe = "_rollcall_connect:web";
    assert_eq!(world.checks("web"), [probe]);
    assert_eq!(world.standing("web"), Some(Standing::Passing), "until it is seen to be gone");
    assert_eq!(world.run(Status::Critical).0, 0, "not before its interval is over");
    for failures in 1..=3 {
        world.pass(10);
        let (runs, touched) = world.run(Status::Critical);
        assert_eq!((runs, touched.len()), (1, usize::from(failures == 3)));
    }
    assert_eq!(world.standing("web"), Some(Standing::Critical));
    world.pass(10);
    assert_eq!(world.run(Status::Passing), (1, ids(&["web"])), "back at once");
    let again = world.agent.service("web").unwrap().checks[probe].clone();
    world.register(&json!({"Name": "web", "Port": 80}));
    let kept = &world.agent.service("web").unwrap().checks[probe];
    assert_eq!((kept.due_at(), kept.status), (again.due_at(), again.status), "it goes on");
    // Until somebody says how to check it.
    world.check(&json!({"Name": "own", "TTL": "60s", "ServiceID": "web"})).unwrap();
    assert_eq!(world.checks("web"), ["own"]);
    world.agent.deregister_check("own", world.now);
    assert_eq!(world.checks("web"), [probe]);
    for body in [json!({"Name": "none"}), json!({"Name": "dns", "Port": 53, "Tags": ["udp"]})] {
        world.register(&body);
        assert_eq!(world.checks(body["Name"].as_str().unwrap()), Vec::<&str>::new(), "{body}");
    }
}

#[test]
fn checks_are_run_one_at_a_time_each() {
    let mut world = World::new();
    let check = json!({"HTTP": "http://10.0.0.9/", "Interval": "10s", "FailuresBeforeCritical": 2,
        "SuccessBeforePassing": 2});
    world.register(&json!({"Name": "web", "Port": 80, "Check": check}));
    let run = world.agent.due(10, world.now).remove(0);
    assert_eq!(run.check, "service:web");
    world.pass(60);
    assert_eq!(world.agent.due(10, world.now), [], "it is under way");
    assert_eq!(world.agent.next_at(), None);
    assert_eq!(world.agent.ran(&run, Status::Passing, "200", world.now), ids(&[]), "one of two");
    assert_eq!(world.agent.ran(&run, Status::Passing, "200", world.now), ids(&[]), "it is over");
    assert_eq!(world.run(Status::Passing), (1, ids(&["web"])));
    assert_eq!(world.standing("web"), Some(Standing::Passing));
    world.pass(10);
    assert_eq!(world.run(Status::Critical), (1, ids(&[])), "one of two");
    world.pass(10);
    assert_eq!(world.run(Status::Critical), (1, ids(&["web"])));
    // The result of a run that was begun for another definition is no longer meant.
    world.pass(10);
    let run = world.agent.due(10, world.now).remove(0);
    world.register(&json!({"Name": "web", "Port": 80,
        "Check": {"TCP": "10.0.0.9:80", "Interval": "10s"}}));
    assert_eq!(world.agent.ran(&run, Status::Passing, "", world.now), ids(&[]));
    // TTL checks are not run, and what is run is not for owners to tell.
    assert_eq!(world.told("service:web", Status::Passing), None);
    world.register(&json!({"Name": "more", "Port": 80, "Check": check}));
    // So many and no more; those that have waited longest come first.
    let runs = world.agent.due(1, world.now);
    assert_eq!(runs.iter().map(|run| &*run.check).collect::<Vec<_>>(), ["service:more"]);
    world.pass(10);
    world.agent.ran(&runs[0], Status::Passing, "", world.now);
    let order: Vec<_> = world.agent.due(2, world.now).into_iter().map(|run| run.check).collect();
    assert_eq!(order, ["service:web", "service:more"]);
}

#[test]
fn ids_that_are_mapped_alike_are_told_apart() {
    let mut world = World::new();
    for id in ["a_b", "a-b", "a.b"] {
        world.register(&json!({"ID": id, "Name": "web", "Port": 80}));
    }
    world.register(&json!({"ID": "A.B", "Name": "other", "Port": 80}));
    let label = |world: &World, id: &str| world.agent.service(id).unwrap().label.to_string();
    assert_eq!([label(&world, "a_b"), label(&world, "A.B")], ["a-b", "a-b"]);
    let (one, two) = (label(&world, "a-b"), label(&world, "a.b"));
    assert!(one.starts_with("a-b-") && two.starts_with("a-b-") && one != two, "{one} {two}");
    // Registered again, each keeps its own.
    for id in ["a-b", "a_b", "a.b"] {
        let before = label(&world, id);
        world.register(&json!({"ID": id, "Name": "web", "Port": 80}));
        assert_eq!(label(&world, id), before);
    }
    assert!(world.agent.relabel("a_b"), "another agent has it");
    assert!(label(&world, "a_b").starts_with("a-b-"));
    assert!(!world.agent.relabel("a_b"), "there is one such label");
    let unnamed = world.put(&json!({"Name": "::"}), false).unwrap_err();
    assert_eq!(unnamed, "Validation failed: Name \"::\" must not be empty");
}

#[test]
fn what_is_saved_is_resumed_with_clocks_begun_anew() {
    let mut world = World::new();
    world.register(&greeter());
    world.told("service:greeter-6f", Status::Passing).unwrap();
    world.register(&json!({"Name": "web", "Port": 80, "Check": {"TCP": "a:1", "Interval": "10s"}}));
    world.check(&json!({"Name": "disk", "TTL": "60s", "Status": "passing"})).unwrap();
    world.run(Status::Passing);
    world.pass(59);
    let text = serde_json::to_string(&world.agent.save(world.clocks(0))).unwrap();
    let saved: saved::SavedAgent = serde_json::from_str(&text).unwrap();
    let agent = Agent::resume(&saved, world.clocks(0), |within| within / 2);
    let again = agent.save(world.clocks(0));
    assert_ne!(again, saved, "of all that was saved, times alone have changed");
    let mut world = World { agent, now: world.now };
    world.agent.vouch("web", world.now);
    assert_eq!(world.standing("web"), Some(Standing::Passing));
    assert_eq!(world.standing("greeter-6f"), Some(Standing::Passing));
    assert_eq!(world.run(Status::Passing).0, 1, "what is run is run at once");
    assert_eq!(world.agent.next_at(), Some(world.now + Duration::from_secs(5)), "and spread then");
    assert_eq!(world.pass(59), ids(&[]));
    assert_eq!(world.told("service:greeter-6f", Status::Passing), Some(ids(&[])));
    assert_eq!(world.pass(1), ids(&["greeter-6f", "web"]), "the node's check");
}

#[test]
fn an_owner_that_was_silent_for_too_long_is_critical_after_a_restart() {
    for (told, away, is) in [
        // Its time of 60 s, and as long as its word may not have been saved.
        (0, 64, Standing::Passing),
        (0, 65, Standing::Critical),
        (30, 34, Standing::Passing),
        (30, 35, Standing::Critical),
        (60, 0, Standing::Critical),
    ] {
        let mut world = World::new();
        world.register(&greeter());
        world.told("service:greeter-6f", Status::Passing).unwrap();
        world.pass(told);
        let agent = world.restarted(away);
        let world = World { agent, now: world.now };
        assert_eq!(world.standing("greeter-6f"), Some(is), "{told} s, away for {away} s");
    }
    // It is heard again as any that fell silent.
    let mut world = World::new();
    world.register(&greeter());
    world.told("service:greeter-6f", Status::Passing).unwrap();
    let agent = world.restarted(3_600);
    let mut world = World { agent, now: world.now };
    let id = "service:greeter-6f";
    assert_eq!(world.agent.check(id).unwrap().output, "TTL expired before rollcall started");
    assert_eq!(world.told(id, Status::Passing), Some(ids(&["greeter-6f"])));
    assert_eq!(world.standing("greeter-6f"), Some(Standing::Passing));
    // Clocks that went back give it no more than its time.
    let past = saved::Clocks { now: world.now, wall: std::time::UNIX_EPOCH };
    let saved = world.agent.save(world.clocks(0));
    let mut world = World { agent: Agent::resume(&saved, past, |within| within), now: world.now };
    assert_eq!(world.pass(60), ids(&["greeter-6f"]));
}

#[test]
fn what_is_run_is_critical_after_a_restart_until_it_ran_or_somebody_vouches() {
    for check in ["HTTP", "TCP"] {
        let target = if check == "HTTP" { "http://10.0.0.9/" } else { "10.0.0.9:80" };
        let body = json!({"Name": "web", "Port": 80, "Check": {check: target, "Interval": "10m",
            "FailuresBeforeCritical": 3, "SuccessBeforePassing": 3}});
        let restarted = |vouched: bool| {
            let mut world = World::new();
            world.register(&body);
            (0..3).for_each(|_| {
                world.run(Status::Passing);
                world.pass(600);
            });
            assert_eq!(world.standing("web"), Some(Standing::Passing));
            let agent = world.restarted(1);
            let mut world = World { agent, now: world.now };
            if vouched {
                world.agent.vouch("web", world.now);
            }
            world
        };
        let mut world = restarted(false);
        assert_eq!(world.standing("web"), Some(Standing::Critical), "{check}");
        assert_eq!(world.run(Status::Passing), (1, ids(&["web"])), "one is enough, at once");
        assert_eq!(world.standing("web"), Some(Standing::Passing));
        let mut world = restarted(true);
        assert_eq!(world.standing("web"), Some(Standing::Passing));
        assert_eq!(world.run(Status::Critical), (1, ids(&["web"])), "one is enough, at once");
        assert_eq!(world.standing("web"), Some(Standing::Critical));
        // A restart before it was run makes no difference.
        let mut world = restarted(false);
        let agent = world.restarted(1);
        world = World { agent, now: world.now };
        world.agent.vouch("web", world.now);
        assert_eq!(world.standing("web"), Some(Standing::Passing));
        // What it came to counts, and no word of what was before.
        let mut world = restarted(false);
        world.run(Status::Critical);
        world.agent.vouch("web", world.now);
        assert_eq!(world.standing("web"), Some(Standing::Critical));
    }
}

#[test]
fn one_that_nobody_checks_is_asked_at_once_after_a_restart() {
    let mut world = World::new();
    world.register(&json!({"Name": "web", "Port": 80}));
    let agent = world.restarted(1);
    let mut world = World { agent, now: world.now };
    assert_eq!(world.standing("web"), Some(Standing::Critical));
    world.agent.vouch("web", world.now);
    assert_eq!(world.standing("web"), Some(Standing::Passing));
    assert_eq!(world.run(Status::Critical), (1, ids(&["web"])), "it went while nobody looked");
    assert_eq!(world.standing("web"), Some(Standing::Critical));
}

#[test]
fn what_is_shown_has_a_version() {
    let mut world = World::new();
    let mut last = 0;
    let mut rises = |world: &World, rises: bool| {
        let version = world.agent.version();
        assert_eq!(version > last, rises, "{version} after {last}");
        last = version;
    };
    world.register(&greeter());
    rises(&world, true);
    world.told("service:greeter-6f", Status::Passing).unwrap();
    rises(&world, true);
    world.told("service:greeter-6f", Status::Passing).unwrap();
    rises(&world, false);
    world.agent.told("service:greeter-6f", Status::Passing, "another word", world.now).unwrap();
    rises(&world, true);
    world.pass(60);
    rises(&world, true);
    world.agent.maintain(None, Some(""), world.now).unwrap();
    rises(&world, true);
    world.agent.deregister("none", world.now);
    rises(&world, false);
    world.agent.deregister("greeter-6f", world.now);
    rises(&world, true);
}

#[test]
fn a_name_that_was_given_up_is_ours_until_the_registry_knows() {
    let mut world = World::new();
    let app = map_app(b"greeter").unwrap();
    let leaving = |world: &World| world.agent.leaving().has(&app, "greeter-6f");
    world.register(&greeter());
    assert!(!leaving(&world));
    world.agent.deregister("greeter-6f", world.now);
    assert!(leaving(&world) && !world.agent.leaving().has(&app, "other"));
    world.agent.settled("other");
    assert!(leaving(&world));
    world.agent.settled("greeter-6f");
    assert!(!leaving(&world));
    // Where the registry is away, the lease ends.
    world.register(&greeter());
    world.agent.deregister("greeter-6f", world.now);
    world.pass(29);
    assert!(leaving(&world));
    world.pass(1);
    assert!(!leaving(&world));
}

#[test]
fn checks_that_hang_leave_places_to_those_that_are_quick() {
    let mut world = World::new();
    let web = |n: usize| json!({"ID": format!("web-{n:03}"), "Name": "web", "Port": 80, "Check": {"TCP": "a:1", "Interval": "10s"}});
    world.register(&web(999));
    assert_eq!(world.run(Status::Passing).0, 1);
    (0..200).for_each(|n| world.register(&web(n)));
    // Of those nobody knows how long they take: there is room beside them.
    let hanging = world.agent.due(128, world.now);
    assert_eq!(hanging.len(), 96);
    world.pass(10);
    let quick = world.agent.due(32, world.now);
    assert_eq!(quick.iter().map(|run| &*run.check).collect::<Vec<_>>(), ["service:web-999"]);
    world.agent.ran(&quick[0], Status::Passing, "", world.now);
    for run in &hanging {
        world.agent.ran(run, Status::Critical, "no answer", world.now);
    }
    // The rest was never run; of those that hung there are fewer at once.
    let next = world.agent.due(128, world.now);
    assert_eq!(next.len(), 96);
    assert!(!next.iter().any(|run| hanging.iter().any(|hung| hung.check == run.check)));
    world.pass(10);
    for run in &next {
        world.agent.ran(run, Status::Critical, "", world.now);
    }
    let next = world.agent.due(128, world.now);
    assert_eq!(next.len(), 64 + 9, "those that hung, those never run, and the quick one");
    assert!(next.iter().any(|run| run.check == "service:web-999"));
    assert!(world.agent.next_at().unwrap() <= world.now, "the others wait");
    // One that is quick again is as any other.
    let hung = |run: &&Run| hanging.iter().any(|hung| hung.check == run.check);
    let hung = next.iter().find(hung).unwrap();
    world.agent.ran(hung, Status::Passing, "", world.now);
    assert_eq!(world.agent.due(128, world.now).len(), 1);
}

#[test]
fn nobody_waits_for_a_run_of_a_check_that_has_gone() {
    let mut world = World::new();
    let body = json!({"Name": "web", "Port": 80, "Check": {"TCP": "a:1", "Interval": "10s"}});
    world.register(&body);
    let run = world.agent.due(9, world.now).remove(0);
    assert!(world.agent.awaits(&run));
    world.register(&body);
    assert!(!world.agent.awaits(&run), "it began anew");
    let run = world.agent.due(9, world.now).remove(0);
    assert!(world.agent.awaits(&run));
    world.agent.deregister("web", world.now);
    assert!(!world.agent.awaits(&run));
}

#[test]
fn what_is_kept_of_a_service_and_of_all_is_bounded() {
    let mut world = World::new();
    let large = |n: usize, octets: usize| json!({"ID": format!("web-{n}"), "Name": "web", "Port": 80, "Tags": ["x".repeat(octets)]});
    let why = world.put(&large(0, 64 * 1024), false).unwrap_err();
    assert!(why.contains("a service with its checks may be 65536 octets"), "{why}");
    world.register(&large(0, 60 * 1024));
    let notes = |octets: usize| json!({"Name": "more", "ServiceID": "web-0", "TTL": "9s", "Notes": "x".repeat(octets)});
    assert!(world.check(&notes(5 * 1024)).is_err(), "the service is too large with it");
    world.check(&notes(3 * 1024)).unwrap();
    world.check(&notes(3 * 1024)).unwrap();
    let node = json!({"Name": "node", "TTL": "9s", "Notes": "x".repeat(65 * 1024)});
    assert!(world.check(&node).is_err(), "nor may the node's be");
    let weighed = |agent: &Agent| {
        let mut again = agent.service("web-0").unwrap().clone();
        again.weigh();
        assert_eq!(agent.service("web-0").unwrap().octets, again.octets);
    };
    weighed(&world.agent);
    world.agent.deregister_check("more", world.now);
    weighed(&world.agent);
    world.agent = world.restarted(1);
    weighed(&world.agent);
    let refused = (1..2_000).find_map(|n| world.put(&large(n, 60 * 1024), false).err()).unwrap();
    assert!(refused.contains("all services would be 655"), "{refused}");
    // What is there may be told again, and what goes makes room.
    world.register(&large(0, 60 * 1024));
    world.agent.deregister("web-0", world.now);
    world.register(&large(9_999, 60 * 1024));
}
