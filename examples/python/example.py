"""balsa from Python, by the client of etcd that is called etcd3.

Where the server is, ENDPOINT says: HOST:PORT, 127.0.0.1:23790 unless it is set.
"""

import os

import etcd3

host, port = os.environ.get("ENDPOINT", "127.0.0.1:23790").rsplit(":", 1)
client = etcd3.client(host=host, port=int(port))

# Keys and values are bytes; text is taken as UTF-8. A read sees every write that was acknowledged before.
client.put("python/greeting", "hello")
value, about = client.get("python/greeting")
print("get:", value.decode(), "at version", about.version)

# All keys with a prefix, in their order.
client.put("python/list/1", "one")
client.put("python/list/2", "two")
for value, about in client.get_prefix("python/list/"):
    print("list:", about.key.decode(), "=", value.decode())

# A watch from a revision of the past on: it misses nothing that came since, even if the connection was lost.
revision = client.put("python/watched", "first").header.revision
client.put("python/watched", "second")
events, cancel = client.watch("python/watched", start_revision=revision)
print("watch:", next(events).value.decode())
print("watch:", next(events).value.decode())
cancel()

# A transaction compares, and then executes one of two lists, all at one revision. This one makes a key
# unless it is there, so that of many that try exactly one succeeds.
claim = dict(
    compare=[client.transactions.version("python/job") == 0],
    success=[client.transactions.put("python/job", "mine")],
    failure=[client.transactions.get("python/job")],
)
client.delete("python/job")
print("transaction:", client.transaction(**claim)[0])
print("transaction, again:", client.transaction(**claim)[0])

# A key on a lease vanishes when nobody has kept the lease alive for its time to live, here 30 s.
lease = client.lease(30)
client.put("python/member", "alive", lease=lease)
lease.refresh()  # a program does so every few seconds
print("lease:", "is alive" if lease.remaining_ttl > 0 else "has ended")
lease.revoke()
print("lease: its key is", client.get("python/member")[0])

# A lock is held by one client at a time, and ends with its lease if the client does.
with client.lock("python-lock", ttl=30) as lock:
    print("lock: held is", lock.is_acquired())
print("lock: held is", lock.is_acquired())

client.delete_prefix("python/")
