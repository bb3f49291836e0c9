"""python-etcd against rollcall: argument 1 is the port. Prints `done` at the end."""

import json
import sys
import threading
import time

import etcd

port = int(sys.argv[1])
client = etcd.Client(host="127.0.0.1", port=port, read_timeout=20, allow_reconnect=True)


def raises(error, call, *args, **kwargs):
    try:
        result = call(*args, **kwargs)
    except error as raised:
        return raised
    raise AssertionError("%s did not raise %s: %s" % (call, error, result))


# What it asks to know where it is.
assert client.machines == ["http://127.0.0.1:%d" % port], client.machines
assert client.version.startswith("2."), client.version
members = client.members
assert [m["clientURLs"] for m in members.values()] == [["http://127.0.0.1:%d" % port]], members

APP = "/services/redis"
KEY = APP + "/node1:redis.0:6379"
raises(etcd.EtcdKeyNotFound, client.read, KEY)

# A registration, as it is set, read and listed.
written = client.write(KEY, "10.0.0.1:6379", ttl=30)
assert written.action == "set" and written.newKey and written.ttl == 30, written
read = client.read(KEY)
assert read.value == "10.0.0.1:6379" and 28 <= read.ttl <= 30 and not read.dir, read
assert read.modifiedIndex == written.modifiedIndex and read.etcd_index >= read.modifiedIndex
client.write(APP + "/node2:redis.0:6379", "10.0.0.2:6379", ttl=30)
listed = client.read(APP, recursive=True, sorted=True)
assert listed.dir and [c.value for c in listed.children] == ["10.0.0.1:6379", "10.0.0.2:6379"]
assert [c.key for c in client.read("/services").children] == [APP]
assert KEY in client and "/services/other" not in client

# Preconditions.
raises(etcd.EtcdAlreadyExist, client.write, KEY, "x", prevExist=False)
raises(etcd.EtcdCompareFailed, client.write, KEY, "x", prevValue="y")
raises(etcd.EtcdCompareFailed, client.test_and_set, KEY, "x", "y")
raises(etcd.EtcdKeyNotFound, client.write, APP + "/none", "x", prevExist=True)
raises(etcd.EtcdNotFile, client.write, APP, "x")
raises(etcd.EtcdNotDir, client.write, KEY + "/x", "x")
raises(etcd.EtcdRootReadOnly, client.delete, "/", recursive=True)
raises(etcd.EtcdInsufficientPermissions, client.write, "/elsewhere/a", "x")
raises(etcd.EtcdKeyNotFound, client.refresh, APP + "/none", 30)
swapped = client.test_and_set(KEY, "10.0.0.1:6380", "10.0.0.1:6379", ttl=30)
assert swapped.action == "compareAndSwap" and swapped._prev_node.value == "10.0.0.1:6379"
read = client.read(KEY)
read.value = "10.0.0.1:6379"
read.ttl = 30
updated = client.update(read)
assert updated.value == "10.0.0.1:6379", updated

# Somebody waits: no refresh is told, and the rest in its order.
events = []


def follow(since):
    for event in client.eternal_watch(APP, index=since, recursive=True):
        events.append((event.action, event.key.rsplit("/", 1)[1], event.value))
        if event.value == "last":
            return


follower = threading.Thread(target=follow, args=(client.read(APP).etcd_index + 1,))
follower.daemon = True
follower.start()
for _ in range(3):
    client.refresh(KEY, 30)
client.refresh(KEY, 60)
assert client.read(KEY).ttl > 30
client.write(APP + "/c", "c", prevExist=False, ttl=30)
client.write(APP + "/c", "over", ttl=0)
raises(etcd.EtcdKeyNotFound, client.read, APP + "/c")
client.delete(KEY, prevValue="10.0.0.1:6379")
client.write(APP + "/d", "last")
follower.join(20)
assert not follower.is_alive(), events
assert events == [
    ("create", "c", "c"),
    ("set", "c", "over"),
    ("expire", "c", None),
    ("compareAndDelete", "node1:redis.0:6379", None),
    ("set", "d", "last"),
], events

# A wait for the past, and one that ends without an event.
past = client.watch(APP, index=written.modifiedIndex, recursive=True)
assert past.modifiedIndex == written.modifiedIndex, past
raises(etcd.EtcdWatchTimedOut, client.watch, APP, timeout=1, recursive=True)

# What nobody renews ends.
client.write(APP + "/short", "x", ttl=2)
gone = client.watch(APP + "/short", index=client.read(APP).etcd_index + 1)
assert gone.action == "expire" and gone._prev_node.value == "x", gone

raises(etcd.EtcdDirNotEmpty, client.delete, APP, dir=True)
assert client.delete(APP, recursive=True).action == "delete"
raises(etcd.EtcdKeyNotFound, client.read, APP)
print("done")
