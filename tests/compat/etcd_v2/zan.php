<?php
// A server and a client of Zan PHP, as zanphp/etcd-registry speaks to etcd (src/ServerRegister.php, src/ServerDiscovery.php):
// forms by http_build_query, which writes true as 1. Argument 1 is the base URL. Prints `done` at the end.
ini_set('display_errors', 'stderr');
set_error_handler(function ($number, $message) {
    throw new ErrorException($message);
});

$base = $argv[1] . '/v2/keys';
$app = '/nova:com.youzan.service/scrm-customer-base';
$key = "$app/10.9.42.107:8100";

function call($method, $url, array $fields = null)
{
    $http = ['method' => $method, 'ignore_errors' => true, 'timeout' => 30];
    if ($fields !== null) {
        $http['header'] = 'Content-Type: application/x-www-form-urlencoded';
        $http['content'] = http_build_query($fields);
    }
    $body = file_get_contents($url, false, stream_context_create(['http' => $http]));
    return json_decode($body, true);
}

function check($what, $got, $expected)
{
    if ($got !== $expected) {
        fwrite(STDERR, "$what: " . json_encode($got) . ' and not ' . json_encode($expected) . "\n");
        exit(1);
    }
}

function detail($status)
{
    $services = [['language' => 'php', 'version' => '1.0.0', 'timestamp' => 1511262135,
        'service' => 'com.youzan.scrm.customer.service.CustomerService', 'methods' => ['getById']]];
    return json_encode(['DataCenter' => 'bc', 'Namespace' => 'com.youzan.service', 'SrvName' => 'scrm-customer-base',
        'IP' => '10.9.42.107', 'Port' => 8100, 'Protocol' => 'nova', 'Status' => $status, 'Weight' => 100,
        'ExtData' => json_encode($services)]);
}

check('nobody', call('GET', $base . $app)['errorCode'], 100);
$set = call('PUT', $base . $key, ['value' => detail(1), 'ttl' => 30]);
check('set', $set['action'], 'set');

$found = call('GET', $base . $app);
check('found', count($found['node']['nodes']), 1);
$node = $found['node']['nodes'][0];
check('key', $node['key'], $key);
check('value', $node['value'], detail(1));
check('ttl', isset($node['ttl']), true);
check('services', json_decode(json_decode($node['value'], true)['ExtData'], true)[0]['language'], 'php');

$beat = call('PUT', $base . $key, ['ttl' => 30, 'refresh' => true, 'prevExist' => true]);
check('beat', $beat['action'], 'update');
check('beat of nobody', call('PUT', "$base$app/10.9.42.108:8100", ['ttl' => 30, 'refresh' => true, 'prevExist' => true])['errorCode'], 100);

$wait = http_build_query(['wait' => true, 'recursive' => true, 'waitIndex' => $node['modifiedIndex'] + 1]);
check('offline', call('PUT', $base . $key, ['value' => detail(3), 'ttl' => 0])['node']['value'], detail(3));
$told = call('GET', "$base$app?$wait");
check('told', $told['node']['value'], detail(3));
check('told without ttl', isset($told['node']['ttl']), false);
check('told of one who had', isset($told['prevNode']['ttl']), true);
$wait = http_build_query(['wait' => true, 'recursive' => true, 'waitIndex' => $told['node']['modifiedIndex'] + 1]);
$told = call('GET', "$base$app?$wait");
check('over', $told['action'], 'expire');
check('over, who', json_decode($told['prevNode']['value'], true)['IP'], '10.9.42.107');
check('empty', call('GET', $base . $app)['node']['nodes'] ?? [], []);
echo "done\n";
