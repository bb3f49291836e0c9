//! Programs beside a benchmark, which end with it, and what processes cost: CPU time and memory.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// How long a program may take to end in order.
const END_MAX: Duration = Duration::from_secs(5);

/// A program with all it starts; ended with its value, and by the system should the benchmark be killed.
pub(crate) struct Program {
    child: Child,
}

impl Program {
    /// Starts a program, on that core if one is given, with its output in a file.
    ///
    /// `setpriv` has the system end it with us, however we end; `taskset` is why threads started before we
    /// could look are on that core too. Both replace themselves by the program.
    pub(crate) fn start(command: &Command, core: Option<usize>, log: &Path) -> io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let file = File::create(log)?;
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "TERM", "--"]);
        if let Some(core) = core {
            wrapped.args(["taskset", "-c", &core.to_string()]);
        }
        wrapped.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            wrapped.current_dir(directory);
        }
        // A group of its own: some programs fork.
        wrapped.process_group(0);
        wrapped.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(Self { child: wrapped.spawn()? })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        let id = Pid::from_raw(self.child.id().cast_signed());
        let _ = kill(id, Signal::SIGTERM);
        let ended = wait(END_MAX, || self.has_ended());
        // Whatever of its group is still there.
        let _ = killpg(id, Signal::SIGKILL);
        if !ended {
            let _ = self.child.wait();
        }
    }
}

/// Asks again every few milliseconds until the answer is yes; no if it never is.
pub(crate) fn wait(limit: Duration, mut ask: impl FnMut() -> bool) -> bool {
    let begin = super::machine::monotonic();
    // A process says of nothing that it is so far: hence asking again.
    while !ask() {
        if super::machine::monotonic() - begin > limit {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    true
}

/// CPU time of a process and of all it started that still runs, user and system, to the nanosecond.
pub(crate) fn cpu(root: u32) -> Duration {
    tree(root).into_iter().map(cpu_of_process).sum()
}

/// CPU time of a process alone.
pub(crate) fn cpu_of_process(id: u32) -> Duration {
    // Gone since it was listed: then it costs nothing from here on.
    ClockId::pid_cpu_clock_id(Pid::from_raw(id.cast_signed()))
        .and_then(clock_gettime)
        .map_or(Duration::ZERO, Into::into)
}

/// CPU time of each thread of a process by the thread's name, those of one name together; in steps of a
/// hundredth of a second.
pub(crate) fn cpu_by_thread(id: u32) -> HashMap<String, Duration> {
    let mut found = HashMap::new();
    for thread in numbers_in(&format!("/proc/{id}/task")) {
        let Some((name, fields)) = stat(&format!("/proc/{id}/task/{thread}/stat")) else {
            continue;
        };
        // utime and stime, fields 14 and 15 of proc(5); a tick is 10 ms on every Linux.
        let ticks = fields.iter().skip(11).take(2).map(|n| n.parse().unwrap_or(0)).sum::<u64>();
        *found.entry(name).or_insert(Duration::ZERO) += Duration::from_millis(ticks * 10);
    }
    found
}

/// Resident memory of a process and of all it started, in octets; pages they share are counted in proportion.
pub(crate) fn memory(root: u32) -> u64 {
    let of = |id: u32| {
        let text = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
        let line = text.lines().find(|line| line.starts_with("Pss:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    };
    tree(root).into_iter().filter_map(of).sum()
}

/// A size in a process's `status` file of proc(5), such as `VmRSS:`, in octets.
pub(crate) fn status(id: u32, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// A process and all below it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = numbers_in("/proc")
        .into_iter()
        .filter_map(|id| {
            let (_, fields) = stat(&format!("/proc/{id}/stat"))?;
            Some((id, fields.get(1)?.parse().ok()?))
        })
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    found
}

/// The name in a `stat` file of proc(5), and what stands behind it, from the state on.
fn stat(path: &str) -> Option<(String, Vec<String>)> {
    let text = std::fs::read_to_string(path).ok()?;
    // The name may hold anything, parentheses and spaces too.
    let (begin, end) = (text.find('(')?, text.rfind(')')?);
    let fields = text[end + 1..].split_whitespace().map(str::to_owned).collect();
    Some((text[begin + 1..end].to_owned(), fields))
}

fn numbers_in(folder: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
