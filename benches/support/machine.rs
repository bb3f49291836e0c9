//! The machine: its cores, what else it does meanwhile, and the day.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, setsid};

/// Which core serves, and which loads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) load: usize,
}

impl Cores {
    /// Of the cores this process may run on: the first serves and the last loads it, so that on a machine with
    /// many the two are rarely siblings of one physical core. With a single one both share it.
    pub(crate) fn choose() -> Self {
        let allowed = allowed();
        let (first, last) = (allowed.first(), allowed.last());
        Self { server: *first.unwrap_or(&0), load: *last.unwrap_or(&0) }
    }

    /// Whether load and server take turns on one core: rates then say little, ratios still something.
    pub(crate) fn is_one(self) -> bool {
        self.server == self.load
    }

    /// Says which.
    pub(crate) fn describe(self) -> String {
        if self.is_one() {
            return "server and load share the only core: rates say little".to_owned();
        }
        format!("server on core {}, load on core {}", self.server, self.load)
    }
}

/// The cores that this process may run on.
pub(crate) fn allowed() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return vec![0] };
    (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect()
}

/// Keeps this thread, and what it starts from now on, on these cores.
pub(crate) fn pin(cores: &[usize]) {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core).expect("a core that is there");
    }
    sched_setaffinity(Pid::from_raw(0), &set).expect("a core that this process may use");
}

/// Puts this process, and what it starts, before everything else on the machine, and says whether that worked.
///
/// On a busy machine a server is otherwise interrupted every few milliseconds and comes back to cold caches:
/// what it then costs is not its own doing, and falls on those most that have the most to keep in them.
pub(crate) fn come_first() -> &'static str {
    let without = "at the same priority as everything else: more takes root";
    // Linux weighs sessions against each other first (sched(7), autogroups). In one of our own the terminal's is
    // left as it is, and its Ctrl-C no longer reaches us: hence our end with that of cargo, which it does reach.
    if set_pdeathsig(Signal::SIGTERM).is_err() || setsid().is_err() {
        return without;
    }
    let session = std::fs::write("/proc/self/autogroup", "-20");
    // Where there are no such groups the niceness of processes counts.
    let mut renice = Command::new("renice");
    renice.args(["-n", "-20", "-p", &std::process::id().to_string()]);
    let renice = renice.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let reniced = renice.is_ok_and(|status| status.success());
    if reniced && (session.is_ok() || !Path::new("/proc/self/autogroup").exists()) {
        "before everything else on the machine (nice -20)"
    } else {
        without
    }
}

/// Time that only grows, for what is measured in a loop.
pub(crate) fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock that every system has").into()
}

/// What the machine's cores did, from its start; the difference of two says what they did between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Activity {
    busy: u64,
    stolen: u64,
    all: u64,
}

impl Activity {
    pub(crate) fn now() -> Self {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        // user nice system idle iowait irq softirq steal; what follows is counted in these already.
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).take(8).map(|n| n.parse().unwrap_or(0)).collect();
        let at = |place: usize| ticks.get(place).copied().unwrap_or(0);
        let all = ticks.iter().sum();
        Self { busy: all - at(3) - at(4), stolen: at(7), all }
    }

    /// Says how busy the machine was since then, and how much of it the host took for others.
    pub(crate) fn since(&self, before: Self) -> String {
        let share = |now: u64, then: u64| {
            let all = (self.all - before.all).max(1);
            now.saturating_sub(then) as f64 * 100.0 / all as f64
        };
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
        format!(
            "machine meanwhile: cores {:.0} % busy, {:.1} % stolen by the host, load average now {load}",
            share(self.busy, before.busy),
            share(self.stolen, before.stolen),
        )
    }
}

/// Processor, cores, memory and kernel.
pub(crate) fn describe() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map_or("?", |(_, value)| value.trim()).to_owned()
    };
    let model = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let octets = memory.trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) * 1024.0;
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{} cores of {model}, {:.0} GB, Linux {}", allowed().len(), octets / 1e9, kernel.trim())
}

/// The day, as 2026-05-17.
#[allow(clippy::disallowed_methods, reason = "the day of a report is no part of what it measures")]
pub(crate) fn today() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}
