#!/usr/bin/env python3
"""The service gateway, tried: starts etcd, rollcall, HAProxy, nginx and three instances of two services on free
ports, sends traffic through both gateways while instances come, leave, crash and etcd stops, and prints what the
traffic met. Ends with 1 if a request failed that should not have. README.md says what to expect.
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# The configurations are those that docs/resolver-setup.md shows, with ports that are free.
EXAMPLES = ROOT / "docs" / "examples"

# How long anything may take that is waited for; reached only when something is wrong.
DEADLINE = 30.0
# Between two requests of one stream of traffic.
PACE = 0.02
# Each instance has a loopback address of its own, since nginx knows one port for all of a service.
INSTANCES = {
    "inst-1": ("service-1", "127.0.0.11"),
    "inst-2": ("service-1", "127.0.0.12"),
    "inst-3": ("service-2", "127.0.0.13"),
}

Reply = collections.namedtuple("Reply", "at status instance pid")
Row = collections.namedtuple("Row", "step gateway requests errors allowed seen")


class Failure(Exception):
    """Something did not happen; says what."""


def wait_until(what, condition, seconds=DEADLINE):
    """Asks again until the answer is yes, and gives it."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failure(f"still not after {seconds:.0f} s: {what}")
        time.sleep(0.02)


# ---- programs ----------------------------------------------------------------------------------------


def find(program, *candidates):
    """Where a program is; the folders of daemons are not on everybody's PATH."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    for candidate in (program, *candidates):
        found = shutil.which(str(candidate), path=path)
        if found:
            return os.path.abspath(found)
    raise Failure(f"{program} is not here: README.md says what to install")


def given(path):
    """A program that the command line names. What is started has a folder of its own, so the path must not depend on it."""
    found = shutil.which(path) or shutil.which(os.path.join(os.curdir, path))
    if not found:
        raise Failure(f"--rollcall {path}: no such program: cargo build --release makes target/release/rollcall")
    return os.path.abspath(found)


class Programs:
    """What was started, with the output of each in a file, and the way to be rid of all of it."""

    def __init__(self, folder):
        self.folder = folder
        self.running = {}

    def start(self, name, *command):
        output = open(self.folder / f"{name}.log", "ab")
        with output:
            self.running[name] = subprocess.Popen(
                [str(word) for word in command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self.running[name]

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def check(self, name):
        status = self.running[name].poll()
        if status is not None:
            raise Failure(f"{name} ended with {status}:\n{self.log(name)}")

    def send(self, name, number):
        self.running[name].send_signal(number)

    def ended(self, name):
        """Waits for its end."""
        try:
            self.running[name].wait(DEADLINE)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"{name} does not end") from late
        del self.running[name]

    def end_all(self):
        # Twice, so that `rollcall run` takes its program along without waiting for the drain.
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            for program in self.running.values():
                if program.poll() is None:
                    program.send_signal(number)
            end = time.monotonic() + 2
            while time.monotonic() < end and any(p.poll() is None for p in self.running.values()):
                time.sleep(0.02)
        self.running.clear()


def free_ports(count):
    """Ports that nothing listens on, on any address, at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("0.0.0.0", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def replaced(text, changes):
    for old, new in changes.items():
        if old not in text:
            raise Failure(f"the example has no {old!r} to put {new!r} in the place of")
        text = text.replace(old, new)
    return text


# ---- the world ---------------------------------------------------------------------------------------


class World:
    """etcd, rollcall, the instances and the gateways."""

    def __init__(self, folder, rollcall):
        self.folder = folder
        self.programs = Programs(folder)
        built = [ROOT / "target" / kind / "rollcall" for kind in ("release", "debug")]
        self.rollcall = given(rollcall) if rollcall else find("rollcall", *built)
        self.etcd, self.haproxy, self.nginx = find("etcd"), find("haproxy"), find("nginx")
        self.etcd_port, self.peer_port, self.port, haproxy, nginx = free_ports(5)
        self.gateways = {"HAProxy": haproxy, "nginx": nginx}
        self.dns = self.http = None

    def start(self):
        self.start_etcd()
        self.start_rollcall()
        for name in INSTANCES:
            self.start_instance(name)
        self.start_gateways()

    def start_etcd(self):
        client, peer = (f"http://127.0.0.1:{port}" for port in (self.etcd_port, self.peer_port))
        self.programs.start(
            "etcd", self.etcd, "--data-dir", "etcd",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}",
        )  # fmt: skip

    def start_rollcall(self):
        server = self.programs.start(
            "rollcall", self.rollcall, "serve", "--config", HERE / "rollcall.toml", "--data", "data",
            "--etcd", f"http://127.0.0.1:{self.etcd_port}", "--dns", "127.0.0.1:0", "--http", "127.0.0.1:0",
        )  # fmt: skip

        def listening():
            self.programs.check("rollcall")
            path = self.folder / "data" / "listening.json"
            said = json.loads(path.read_text()) if path.exists() else {}
            return said if said.get("pid") == server.pid else None

        said = wait_until("rollcall listens", listening)
        self.dns, self.http = said["dns"][0], said["http"]
        wait_until("rollcall has read its registry", lambda: self.api("/readyz")[0] == 200)

    def start_instance(self, name, *options):
        """Starts it under `rollcall run`, which registers it once its port accepts."""
        app, address = INSTANCES[name]
        self.programs.start(
            name, self.rollcall, "run", app, "--http", self.http, "--id", name, "--protocol", "http",
            "--address", address, "--port", self.port, *options,
            "--", sys.executable, HERE / "instance.py", name, address, self.port,
        )  # fmt: skip

        def registered():
            self.programs.check(name)
            return self.api(f"/v1/apps/{app}/instances/{name}")[0] == 200

        wait_until(f"{name} is registered", registered)

    def start_gateways(self):
        temporary = "".join(
            f"    {kind}_temp_path {self.folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configs = {
            "haproxy.cfg": {
                "127.0.0.1:1053": self.dns,
                "127.0.0.1:8000": f"127.0.0.1:{self.gateways['HAProxy']}",
            },
            "nginx.conf": {
                "127.0.0.1:1053": self.dns,
                "127.0.0.1:8081": f"127.0.0.1:{self.gateways['nginx']}",
                ":8080;": f":{self.port};",
                # Its package has these where only root may write.
                "http {\n": "http {\n" + temporary,
            },
        }
        for name, changes in configs.items():
            text = replaced((EXAMPLES / name).read_text(), changes)
            (self.folder / name).write_text(text)
        haproxy, nginx = self.folder / "haproxy.cfg", self.folder / "nginx.conf"
        pid = f"daemon off; pid {self.folder}/nginx.pid;"
        self.programs.start("HAProxy", self.haproxy, "-db", "-f", haproxy)
        self.programs.start("nginx", self.nginx, "-c", nginx, "-e", "stderr", "-g", pid)

        def serves(gateway):
            self.programs.check(gateway)
            found = [get(self.gateways[gateway], service) for service in ("service_1", "service_2")]
            return all(reply.status == 200 for reply in found)

        for gateway in self.gateways:
            wait_until(f"{gateway} serves", lambda gateway=gateway: serves(gateway))

    def api(self, path):
        """Status and body of a GET to rollcall's API."""
        connection = http.client.HTTPConnection(self.http, timeout=DEADLINE)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()


# ---- traffic -----------------------------------------------------------------------------------------


def get(port, service, path="/"):
    """One request through a gateway. The status is 0 where there was no reply."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"service_name": service})
        reply = connection.getresponse()
        body = reply.read()
        who = json.loads(body) if reply.status == 200 else {}
        return Reply(time.monotonic(), reply.status, who.get("instance"), who.get("pid"))
    except (OSError, http.client.HTTPException):
        return Reply(time.monotonic(), 0, None, None)
    finally:
        connection.close()


class Traffic:
    """Requests to both services through both gateways, all the time."""

    def __init__(self, gateways):
        self.stopping = threading.Event()
        self.streams = {(g, s): [] for g in gateways for s in ("service_1", "service_2")}
        self.threads = [
            threading.Thread(target=self.run, args=(gateways[gateway], service, replies), daemon=True)
            for (gateway, service), replies in self.streams.items()
        ]
        for thread in self.threads:
            thread.start()

    def run(self, port, service, replies):
        while not self.stopping.wait(PACE):
            replies.append(get(port, service))

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(DEADLINE)

    def since(self, gateway, service, began):
        """A copy of what came after that moment."""
        replies = self.streams[gateway, service]
        return [reply for reply in list(replies) if reply.at >= began]

    def settles(self, what, service, kind, count=50, gateways=("HAProxy", "nginx")):
        """Waits until the last replies through each gateway are all of that kind."""
        for gateway in gateways:
            began = time.monotonic()

            def settled(gateway=gateway, began=began):
                replies = self.since(gateway, service, began)
                return len(replies) >= count and all(kind(reply) for reply in replies[-count:])

            wait_until(f"{what} ({gateway})", settled)


# ---- the steps ---------------------------------------------------------------------------------------


class Steps:
    """What happens, and what the traffic made of it."""

    def __init__(self, world, outage):
        self.world = world
        self.programs = world.programs
        self.outage = outage
        self.rows = []
        self.traffic = None

    def row(self, step, gateway, replies, seen, wanted=200, allowed=False):
        errors = sum(reply.status != wanted for reply in replies)
        self.rows.append(Row(step, gateway, len(replies), errors, allowed, seen))
        print_row(self.rows[-1])

    def row_of_each(self, step, service, began, seen, allowed=False):
        """A row for each gateway of the traffic since then; `seen` says something of its replies."""
        for gateway in self.world.gateways:
            replies = self.traffic.since(gateway, service, began)
            self.row(step, gateway, replies, seen(replies), allowed=allowed)

    def run(self):
        self.by_hand()
        self.traffic = Traffic(self.world.gateways)
        try:
            self.traffic.settles("traffic flows", "service_1", lambda reply: reply.status == 200)
            self.departs()
            self.returns()
            self.is_killed()
            self.crashes()
            self.last_departs()
            self.last_returns()
            self.registry_stops()
        finally:
            self.traffic.stop()

    def by_hand(self):
        for gateway, port in self.world.gateways.items():
            reply = get(port, "service_2")
            self.row("GET / to service_2", gateway, [reply], reply.instance)
        for gateway, port in self.world.gateways.items():
            reply = get(port, "service_1", "/user?id=1")
            self.row("GET /user?id=1 to service_1", gateway, [reply], reply.instance)
        for gateway, port in self.world.gateways.items():
            replies = [get(port, "service_1") for _ in range(12)]
            turns = collections.Counter(reply.instance for reply in replies)
            seen = ", ".join(f"{turns[name]} by {name}" for name in ("inst-1", "inst-2"))
            self.row("twelve GETs to service_1", gateway, replies, seen)
        for gateway, port in self.world.gateways.items():
            reply = get(port, "service_9")
            self.row("GET / to service_9", gateway, [reply], f"status {reply.status}", wanted=404)

    def departs(self):
        """`rollcall run` takes it out first, and lets it go on for those who have not heard yet."""
        began = time.monotonic()
        self.programs.send("inst-2", signal.SIGTERM)
        self.programs.ended("inst-2")
        self.traffic.settles("inst-1 is used", "service_1", lambda reply: reply.instance == "inst-1")
        self.row_of_each("inst-2 is stopped (TERM)", "service_1", began, last_to("inst-2", began))

    def returns(self):
        began = time.monotonic()
        # The lease is short for the crash that is to come.
        self.world.start_instance("inst-2", "--ttl", "3s")
        both_are_used(self.traffic)
        self.row_of_each("inst-2 starts again", "service_1", began, first_by("inst-2", began))

    def is_killed(self):
        """The program alone: `rollcall run` sees that, and takes it out."""
        replies = self.traffic.since("HAProxy", "service_1", 0)
        pid = next(reply.pid for reply in reversed(replies) if reply.instance == "inst-2")
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        self.programs.ended("inst-2")
        self.traffic.settles("inst-1 is used", "service_1", lambda reply: reply.instance == "inst-1")
        self.row_of_each("inst-2's program is killed", "service_1", began, last_to("inst-2", began))
        self.world.start_instance("inst-2", "--ttl", "3s")
        both_are_used(self.traffic)

    def crashes(self):
        """All at once, as with the machine: nobody takes it out, its lease ends."""
        replies = self.traffic.since("HAProxy", "service_1", 0)
        pid = next(reply.pid for reply in reversed(replies) if reply.instance == "inst-2")
        began = time.monotonic()
        self.programs.send("inst-2", signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        self.programs.ended("inst-2")
        path = "/v1/apps/service-1/instances/inst-2"
        wait_until("the lease ends", lambda: self.world.api(path)[0] == 404)
        ended = time.monotonic() - began
        self.traffic.settles("inst-1 is used", "service_1", lambda reply: reply.instance == "inst-1")
        seen = last_to("inst-2", began)
        self.row_of_each(
            "inst-2's machine crashes", "service_1", began,
            lambda replies: f"{seen(replies)}; its lease ended after {ended:.1f} s",
        )  # fmt: skip
        self.world.start_instance("inst-2")
        both_are_used(self.traffic)

    def last_departs(self):
        began = time.monotonic()
        self.programs.send("inst-3", signal.SIGTERM)
        self.programs.ended("inst-3")
        self.traffic.settles("it is gone", "service_2", lambda reply: reply.status in (502, 503))

        def seen(replies):
            first = next(reply for reply in replies if reply.status != 200)
            return f"{first.status} from {first.at - began:.1f} s on"

        self.row_of_each("inst-3, the last one, is stopped", "service_2", began, seen, allowed=True)

    def last_returns(self):
        began = time.monotonic()
        self.world.start_instance("inst-3")
        self.traffic.settles("inst-3 is used", "service_2", lambda reply: reply.status == 200)
        seen = first_by("inst-3", began)
        self.row_of_each("inst-3 starts again", "service_2", began, seen, allowed=True)

    def registry_stops(self):
        began = time.monotonic()
        self.programs.send("etcd", signal.SIGTERM)
        self.programs.ended("etcd")
        # This is the length of the outage, not a wait for anything.
        time.sleep(self.outage)
        self.world.start_etcd()

        def contact():
            sources = self.world.api("/readyz")[1]["sources"]
            return all(source.get("error") is None for source in sources)

        wait_until("rollcall has etcd again", contact)
        back = time.monotonic() - began
        both_are_used(self.traffic)
        self.traffic.settles("inst-3 is used", "service_2", lambda reply: reply.status == 200)
        for gateway in self.world.gateways:
            replies = [
                reply
                for service in ("service_1", "service_2")
                for reply in self.traffic.since(gateway, service, began)
            ]
            seen = f"etcd was away for {back:.1f} s"
            self.row("etcd is stopped", gateway, replies, seen)


def both_are_used(traffic):
    """Both instances of service_1 have a share again of what each gateway sends."""
    for gateway in ("HAProxy", "nginx"):
        began = time.monotonic()

        def used(gateway=gateway, began=began):
            replies = traffic.since(gateway, "service_1", began)
            return {"inst-1", "inst-2"} <= {reply.instance for reply in replies}

        wait_until(f"both instances are used ({gateway})", used)


def last_to(instance, began):
    def say(replies):
        times = [reply.at - began for reply in replies if reply.instance == instance]
        return f"last reply by it after {max(times, default=0):.1f} s"

    return say


def first_by(instance, began):
    def say(replies):
        first = min(reply.at - began for reply in replies if reply.instance == instance)
        return f"first reply by it after {first:.1f} s"

    return say


# ---- what people see ---------------------------------------------------------------------------------

LINE = "{:<34} {:<8} {:>8} {:>7}  {}"


def print_row(row):
    print(LINE.format(row.step, row.gateway, row.requests, row.errors, row.seen), flush=True)


def stop(number, _):
    # A further one is not to keep us from ending what was started.
    for other in (signal.SIGTERM, signal.SIGINT):
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outage", type=float, default=60, help="seconds that etcd is away (default: 60)")
    parser.add_argument("--rollcall", help="the rollcall to try (default: that on PATH, or in target/)")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)

    with tempfile.TemporaryDirectory(prefix="gateway-") as folder:
        world = None
        try:
            world = World(pathlib.Path(folder), options.rollcall)
            world.start()
            print(LINE.format("step", "gateway", "requests", "errors", "seen"))
            steps = Steps(world, options.outage)
            steps.run()
        except Failure as why:
            print(f"run.py: {why}", file=sys.stderr)
            for log in sorted(pathlib.Path(folder).glob("*.log")):
                last = log.read_text(errors="replace").splitlines()[-5:]
                print(f"-- {log.name}", *last, sep="\n", file=sys.stderr)
            return 2
        finally:
            if world:
                world.programs.end_all()
    failed = [row for row in steps.rows if row.errors and not row.allowed]
    for row in failed:
        print(f"run.py: {row.gateway}: {row.errors} requests failed: {row.step}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
