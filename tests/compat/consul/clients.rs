//! Clients that other people wrote, with the calls that their documentation shows.

use std::process::Command;

use super::World;
use crate::support::library::{node, python};
use crate::support::server::run;

/// Runs a script that talks to the agent and has to end well.
async fn told(world: &World, mut script: Command) -> String {
    script.env("AGENT", world.agent().to_string());
    run(script).await.done()
}

#[tokio::test]
async fn with_python_consul_a_service_is_registered_kept_alive_and_found() {
    let world = World::new().await;
    let begin = "import os, consul\n\
        host, port = os.environ['AGENT'].split(':')\n\
        c = consul.Consul(host=host, port=int(port))\n";
    let register = python(&[begin, r#"
assert c.agent.service.register('greeter', service_id='greeter-1', address='10.0.0.5', port=9000,
    tags=['blue', 'v2'], check=consul.Check.ttl('30s'))
assert list(c.agent.services()) == ['greeter-1'], c.agent.services()
assert c.health.service('greeter', passing=True)[1] == []
assert c.agent.check.ttl_pass('service:greeter-1', notes='well')
assert c.agent.checks()['service:greeter-1']['Status'] == 'passing'
index, found = c.health.service('greeter', passing=True, tag='blue')
assert [(e['Service']['Address'], e['Service']['Port']) for e in found] == [('10.0.0.5', 9000)], found
assert int(index) > 0
assert c.health.checks('greeter')[1][0]['Output'] == 'well'
assert c.catalog.services()[1] == {'greeter': ['blue', 'v2']}, c.catalog.services()
assert c.catalog.service('greeter')[1][0]['ServiceID'] == 'greeter-1'
assert c.agent.self()['Config']['NodeName'] == c.catalog.nodes()[1][0]['Node']
assert c.agent.members()[0]['Status'] == 1
later, same = c.health.service('greeter', index=index, wait='100ms')
assert len(same) == 1
assert c.status.leader()
"#].concat());
    told(&world, register).await;
    assert_eq!(world.a("blue.greeter.svc").await, ["blue.greeter.svc. A 10.0.0.5"]);
    let fail = python(&[begin, "assert c.agent.check.ttl_fail('service:greeter-1')\n"].concat());
    told(&world, fail).await;
    world.has("greeter.svc", 0).await;
    let pass = [
        begin,
        "assert c.agent.check.ttl_warn('service:greeter-1')\n\
        assert c.agent.service.maintenance('greeter-1', 'true', 'move')\n\
        assert c.agent.service.maintenance('greeter-1', 'false')\n",
    ];
    told(&world, python(&pass.concat())).await;
    world.has("greeter.svc", 1).await;
    let rest = python(
        &[
            begin,
            r#"
assert c.agent.check.register('disk', consul.Check.ttl('10s'), check_id='disk')
assert c.agent.check.ttl_pass('disk')
assert c.agent.check.deregister('disk')
assert c.agent.service.deregister('greeter-1')
assert c.agent.service.register('web', port=80, address='10.0.0.6')
assert c.agent.service.deregister('web')
for refused in [lambda: c.agent.service.register('x', address='0.0.0.0'),
        lambda: c.agent.service.register('x', check=consul.Check.script(['true'], '1s'))]:
    try: refused()
    except consul.base.BadRequest as why: print(why)
    else: raise AssertionError
try: c.kv.get('x')
except consul.ConsulException as why: print(why)
"#,
        ]
        .concat(),
    );
    let said = told(&world, rest).await;
    assert!(said.contains("400 Invalid service address"), "{said}");
    assert!(said.contains("400 Invalid check: Scripts are disabled"), "{said}");
    assert!(said.contains("501 rollcall has no keys"), "{said}");
    world.has("greeter.svc", 0).await;
}

#[tokio::test]
async fn with_node_consul_a_service_is_registered_watched_and_deregistered() {
    let world = World::new().await;
    let script = node(
        r#"
const assert = require('assert');
const Consul = require('consul');
const [host, port] = process.env.AGENT.split(':');
const consul = new Consul({ host, port });
(async () => {
    const seen = [];
    const watch = consul.watch({ method: consul.health.service,
        options: { service: 'greeter', passing: true, wait: '10s' }, backoffFactor: 10 });
    const changed = (wanted) => new Promise((resolve, reject) => {
        const look = (found) => {
            seen.push(found.map((entry) => entry.Service.ID));
            if (found.length === wanted) { watch.removeListener('change', look); resolve(found); }
        };
        watch.on('change', look);
        watch.on('error', reject);
    });
    await changed(0);
    let next = changed(1);
    await consul.agent.service.register({ name: 'greeter', id: 'node:1', address: '10.0.0.5', port: 9000,
        tags: ['blue'], meta: { region: 'a' }, check: { ttl: '30s', notes: 'so' } });
    await consul.agent.check.pass({ id: 'service:node:1', note: 'well' });
    const [found] = await next;
    assert.deepStrictEqual(found.Service.Meta, { region: 'a' });
    assert.strictEqual(found.Checks[1].Output, 'well');
    assert.deepStrictEqual(Object.keys(await consul.agent.service.list()), ['node:1']);
    assert.strictEqual((await consul.agent.check.list())['service:node:1'].Status, 'passing');
    assert.deepStrictEqual(await consul.catalog.service.list(), { greeter: ['blue'] });
    assert.strictEqual((await consul.catalog.service.nodes('greeter'))[0].ServicePort, 9000);
    assert.strictEqual((await consul.health.checks('greeter')).length, 1);
    assert.ok(await consul.status.leader());
    assert.ok((await consul.agent.self()).Config.NodeName);
    next = changed(0);
    await consul.agent.service.maintenance({ id: 'node:1', enable: true, reason: 'move' });
    await next;
    next = changed(1);
    await consul.agent.service.maintenance({ id: 'node:1', enable: false });
    await next;
    next = changed(0);
    await consul.agent.service.deregister('node:1');
    await next;
    watch.end();
    await consul.agent.check.register({ name: 'disk', ttl: '10s' });
    await consul.agent.check.deregister('disk');
    await assert.rejects(consul.agent.service.register({ name: 'x', address: '0.0.0.0' }),
        (error) => error.statusCode === 400);
    console.log(JSON.stringify(seen));
    process.exit(0);
})().catch((error) => { console.error(error); process.exit(1); });
"#,
    );
    let seen = told(&world, script).await;
    // A change that is none to the watcher may be told, too.
    assert_eq!(seen.replace("[],[],", "[],").trim(), r#"[[],["node:1"],[],["node:1"],[]]"#);
    world.has("greeter.svc", 0).await;
}
