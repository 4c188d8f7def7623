// balsa from JavaScript, by the client of etcd that is called etcd3.
//
// Where the servers are, ENDPOINTS says: HOST:PORT,... The default is those of `balsa dev`.

const { once } = require('events');
const { Etcd3, EtcdLockFailedError } = require('etcd3');

const endpoints = process.env.ENDPOINTS ?? '127.0.0.1:23790,127.0.0.1:23791,127.0.0.1:23792';

async function main() {
  const client = new Etcd3({ hosts: endpoints.split(',').map((e) => `http://${e}`) });
  const mine = client.namespace('javascript/'); // puts the prefix before all keys

  // A read sees every write that was acknowledged before.
  await mine.put('greeting').value('hello');
  console.log('get:', await mine.get('greeting').string());

  // All keys with a prefix, in their order.
  await mine.put('list/1').value('one');
  await mine.put('list/2').value('two');
  console.log('list:', await mine.getAll().prefix('list/').strings());

  // A watch from a revision of the past on: it misses nothing that came since, even if the connection was lost.
  const first = await mine.put('watched').value('first');
  await mine.put('watched').value('second');
  const watcher = await mine.watch().key('watched').startRevision(first.header.revision).watcher();
  await new Promise((done) => {
    watcher.on('put', (entry) => {
      console.log('watch:', entry.value.toString());
      if (entry.value.toString() === 'second') done();
    });
  });
  await watcher.cancel();

  // A transaction compares, and then executes one of two lists, all at one revision. This one makes a key unless it
  // is there, so that of many that try exactly one succeeds.
  const claim = () =>
    mine.if('job', 'Version', '==', 0).then(mine.put('job').value('mine')).else(mine.get('job')).commit();
  await mine.delete().key('job');
  console.log('transaction:', (await claim()).succeeded);
  console.log('transaction, again:', (await claim()).succeeded);

  // A key on a lease vanishes when nobody has kept the lease alive for its time to live, here 30 s. The client does so
  // by itself, and says when the lease is lost all the same.
  const lease = mine.lease(30);
  lease.on('lost', (err) => console.error('lease: lost', err));
  const keptAlive = once(lease, 'keepaliveSucceeded');
  await lease.put('member').value('alive');
  await keptAlive;
  console.log('lease: its key is', await mine.get('member').string());
  await lease.revoke();
  console.log('lease: its key is', await mine.get('member').string());

  // A lock is held by one client at a time, and ends with its lease if the client does.
  await mine.lock('lock').ttl(30).do(async () => {
    console.log('lock: held');
    await mine.lock('lock').acquire().catch((err) => {
      if (!(err instanceof EtcdLockFailedError)) throw err;
      console.log('lock: refused to another one');
    });
  });
  await mine.lock('lock').do(() => console.log('lock: held again'));

  await mine.delete().all();
  client.close();
}

// The client may wait for an answer about a lease that has ended, so the program does not wait for the client.
main().then(() => process.exit());
