"""What the loader says about text that is no intent: one line with file, place, what was given, what is allowed."""

from __future__ import annotations

import pytest

from closet.errors import IntentError
from closet.intent import loads

KEYS = (
    "name, description, pods, superspines, planes, spines, leaves, groups, rails, hosts, wiring, links, bgp, ecmp, "
    "pools, tenants, peerings, nodes"
)
NAME = "^[a-z][a-z0-9-]*$"
UNICAST = "allowed: addresses of hosts, and so nothing of 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/3"
QUOTE = "text (quote a number, date, true or false)"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{here}: &{here} [{','.join([f'*{before}'] * 10)}]\n" for before, here in zip("abcdefgh", "bcdefghi", strict=True)
)

NOT_YAML = {
    "nothing": ("", "f: empty, expected at least a name (see `closet schema`)"),
    "only a comment": ("# to do\n", "f: empty, expected at least a name (see `closet schema`)"),
    "a list": ("- name: x\n", "f: a seq, expected a mapping of words (see `closet schema`)"),
    "a word": ("quickstart\n", "f: a str, expected a mapping of words (see `closet schema`)"),
    "no end": ("name: x\nhosts: {\n", "f:3:1: not YAML: did not find expected node content"),
    "a tab": ("name: x\n\tleaves: 2\n", "f:2:1: not YAML: found a tab character that violates indentation"),
    "two documents": (
        "name: x\n---\nname: y\n",
        "f:2:1: not YAML: expected a single document in the stream, but found another document",
    ),
    "an alias of nothing": ("name: *x\n", "f:1:7: not YAML: found undefined alias"),
    "a tag": ("name: !fabric x\n", "f:1:7: not YAML: could not determine a constructor for the tag '!fabric'"),
    "a Python object": (
        "name: !!python/object/apply:os.getcwd []\n",
        (
            "f:1:7: not YAML: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object/apply:os.getcwd'"
        ),
    ),
    "no such date": ("name: 2001-99-99\n", "f: not YAML: month must be in 1..12"),
    "no such boolean": ("planes: !!bool perhaps\n", "f: not YAML: 'perhaps'"),
    "a NUL": ("name: \0\n", "f: not YAML: unacceptable character #x0000: control characters are not allowed"),
    "a value inside itself": ("hosts: &h {more: *h}\n", "f:1: hosts.more: refers to itself, allowed: values that end"),
    "a list inside itself": ("nodes: &n [*n]\n", "f:1: nodes[0]: refers to itself, allowed: values that end"),
    "an alias bomb": (BOMB, "f:1: e[7][8][8][8][9]: too large or too deep, allowed: 100000 values, 64 deep"),
    "a well": ("name: " + "[" * 65, "f:1: too deep, allowed: 64 values inside one another"),
    "a well that would break the C stack": (
        "name: " + "[" * 400_000,
        "f:1: too deep, allowed: 64 values inside one another",
    ),
    "a key twice": ("name: x\nleaves: 2\nname: y\n", "f:3: name: given twice (first on line 1), allowed: once"),
    "a key twice inside": (
        "name: x\nbgp:\n  bfd: true\n  bfd: false\n",
        "f:4: bgp.bfd: given twice (first on line 3), allowed: once",
    ),
    "a list as a key": ("[a]: b\n", f"f:1: top level: a sequence given as a key, allowed: {QUOTE}"),
    "a number as a key": ("name: x\nnodes: {1: {asn: 1}}\n", f"f:2: nodes: '1' given as a key, allowed: {QUOTE}"),
    "a truth as a key": ("name: x\nyes: 2\n", f"f:2: top level: 'yes' given as a key, allowed: {QUOTE}"),
}

WORDS = {
    "no name": ("leaves: 2\n", "f:1: name: missing, it must be given"),
    "an unknown key": ("name: x\nspine: 2\n", f"f:2: spine: unknown key, allowed: {KEYS}"),
    "an unknown key over two lines": (
        'name: x\n"spine\\nleaf": 2\n',
        f"f:2: 'spine\\nleaf': unknown key, allowed: {KEYS}",
    ),
    "an unknown key without end": (
        f"name: x\n? {'s' * 999}\n: 2\n",
        f"f:2: {'s' * 57}...: unknown key, allowed: {KEYS}",
    ),
    "an unknown key of a block": ("name: x\nbgpp:\n  bfd: true\n", f"f:2: bgpp: unknown key, allowed: {KEYS}"),
    "an unknown key in hosts": (
        "name: x\nhosts: {per_rack: 2}\n",
        "f:2: hosts.per_rack: unknown key, allowed: per_leaf, per_pair, per_group, nics, routes, rdma",
    ),
    "an unknown key in bfd": (
        "name: x\nbgp:\n  bfd:\n    intervall: 50\n",
        "f:4: bgp.bfd.intervall: unknown key, allowed: interval, multiplier",
    ),
    "an unknown key of a node": (
        "name: x\nnodes:\n  leaf1: {colour: red}\n",
        "f:3: nodes.leaf1.colour: unknown key, allowed: name, asn, loopback, ecmp, rdma, config, extra",
    ),
    "an unknown key of a node's ecmp": (
        "name: x\nnodes:\n  leaf1:\n    ecmp: {hsh: l3}\n",
        "f:4: nodes.leaf1.ecmp.hsh: unknown key, allowed: hash, seed",
    ),
    "a word for a number": ("name: x\nleaves: two\n", "f:2: leaves: 'two' given, allowed: a whole number"),
    "text for a number": ("name: x\nleaves: '2'\n", "f:2: leaves: '2' given, allowed: a whole number"),
    "a truth for a number": ("name: x\nleaves: true\n", "f:2: leaves: True given, allowed: a whole number"),
    "a fraction for a number": ("name: x\nleaves: 2.0\n", "f:2: leaves: 2.0 given, allowed: a whole number"),
    "a number for a truth": ("name: x\nplanes: 1\n", "f:2: planes: 1 given, allowed: true or false"),
    "a number for text": ("name: 7\n", "f:1: name: 7 given, allowed: text"),
    "nothing for text": ("name:\n", "f:1: name: None given, allowed: text"),
    "a number for a mapping": ("name: x\nhosts: 4\n", "f:2: hosts: 4 given, allowed: a mapping"),
    "nothing for a mapping": ("name: x\nbgp:\n", "f:2: bgp: None given, allowed: a mapping"),
    "a list for a mapping": ("name: x\nnodes: [leaf1]\n", "f:2: nodes: ['leaf1'] given, allowed: a mapping"),
    "a word for a list": (
        "name: x\nbgp: {asns: {shared: spines}}\n",
        "f:2: bgp.asns.shared: 'spines' given, allowed: a list",
    ),
    "a word for bfd": (
        "name: x\nbgp: {bfd: fast}\n",
        "f:2: bgp.bfd: 'fast' given, allowed: a mapping or true or false",
    ),
    "a long value": (
        f"name: x\nleaves: {'two' * 40}\n",
        f"f:2: leaves: '{('two' * 40)[:56]}... given, allowed: a whole number",
    ),
    "too few": ("name: x\nleaves: 0\n", "f:2: leaves: 0 given, allowed: greater than or equal to 1"),
    "too many": ("name: x\npods: 65\n", "f:2: pods: 65 given, allowed: less than or equal to 64"),
    "too fast": (
        "name: x\nbgp:\n  bfd: {multiplier: 3, interval: 5}\n",
        "f:3: bgp.bfd.interval: 5 given, allowed: greater than or equal to 10",
    ),
    "none of a choice": (
        "name: x\nlinks: {addressing: ipx}\n",
        "f:2: links.addressing: 'ipx' given, allowed: 'unnumbered' or 'numbered'",
    ),
    "none of a choice in a list": (
        "name: x\nbgp: {asns: {shared: [spines, leaves]}}\n",
        "f:2: bgp.asns.shared[1]: 'leaves' given, allowed: 'superspines', 'spines' or 'hosts'",
    ),
    "no address": (
        "name: x\nnodes: {leaf1: {loopback: 10.0.0}}\n",
        "f:2: nodes.leaf1.loopback: '10.0.0' given, allowed: an IPv4 address",
    ),
    "a pool of this machine": (
        "name: x\npools: {hosts: 127.0.0.0/8}\n",
        f"f:2: pools.hosts: 127.0.0.0/8 given, {UNICAST}",
    ),
    "a pool of groups": (
        "name: x\npools: {loopbacks: 192.0.0.0/2}\n",
        f"f:2: pools.loopbacks: 192.0.0.0/2 given, {UNICAST}",
    ),
    "a prefix of groups": (
        "name: x\ntenants:\n  red:\n    hosts: [h1-1]\n    prefix: 239.1.0.0/24\n",
        f"f:5: tenants.red.prefix: 239.1.0.0/24 given, {UNICAST}",
    ),
    "a subnet of nowhere": (
        "name: x\ntenants: {red: {subnets: {a: {hosts: [h1-1], prefix: 0.0.0.0/24}}}}\n",
        f"f:2: tenants.red.subnets.a.prefix: 0.0.0.0/24 given, {UNICAST}",
    ),
    "a network with host bits": (
        "name: x\npools: {hosts: 10.0.0.1/8}\n",
        "f:2: pools.hosts: '10.0.0.1/8' given, allowed: an IPv4 network, with no bits set beyond its length",
    ),
    "port names with a number": (
        "name: x\nlinks: {ports: eth0}\n",
        "f:2: links.ports: 'eth0' given, allowed: text like ^[a-zA-Z][a-zA-Z_.-]*$",
    ),
    "a name with a slash": ("name: a/b\n", f"f:1: name: 'a/b' given, allowed: text like {NAME}"),
    "a name that climbs": ("name: ../../etc\n", f"f:1: name: '../../etc' given, allowed: text like {NAME}"),
    "two dots for a name": ("name: ..\n", f"f:1: name: '..' given, allowed: text like {NAME}"),
    "a name in capitals": ("name: Pod\n", f"f:1: name: 'Pod' given, allowed: text like {NAME}"),
    "a name that is an option": ("name: -rf\n", f"f:1: name: '-rf' given, allowed: text like {NAME}"),
    "a name with a line end": ('name: "x\\n"\n', f"f:1: name: 'x\\n' given, allowed: text like {NAME}"),
    "an empty name": ("name: ''\n", f"f:1: name: '' given, allowed: text like {NAME}"),
    "a long name": (f"name: {'a' * 33}\n", f"f:1: name: '{'a' * 33}' given, allowed: at most 32 characters"),
    "a node's name that climbs": (
        "name: x\nnodes:\n  leaf1:\n    name: ../h\n",
        f"f:4: nodes.leaf1.name: '../h' given, allowed: text like {NAME}",
    ),
    "a node's long name": (
        f"name: x\nnodes: {{leaf1: {{name: {'a' * 33}}}}}\n",
        f"f:2: nodes.leaf1.name: '{'a' * 33}' given, allowed: at most 32 characters",
    ),
}

BASE_8, BASE_60 = (
    f"given, which is in base {base} to YAML, allowed: text in quotes, or a number without : and leading 0"
    for base in (8, 60)
)
TRAPS = {
    "a leading zero": ("name: x\nleaves: 010\n", f"f:2: leaves: 010 {BASE_8}"),
    "two zeros and a sign": ("name: x\nleaves: +0_0\n", f"f:2: leaves: +0_0 {BASE_8}"),
    "an AS number in two parts": ("name: x\nbgp: {asns: {leaves: 1:30}}\n", f"f:2: bgp.asns.leaves: 1:30 {BASE_60}"),
    "a route target without quotes": (
        "name: x\ntenants:\n  red: {hosts: [h1-1], route_target: 65000:10}\n",
        f"f:3: tenants.red.route_target: 65000:10 {BASE_60}",
    ),
    "a host without quotes": ("name: x\nwiring: {links: [[1:2, a]]}\n", f"f:2: wiring.links[0][0]: 1:2 {BASE_60}"),
    "a nine is no octal": ("name: x\nleaves: 09\n", "f:2: leaves: '09' given, allowed: a whole number"),
}
"""What YAML 1.1 takes for another number."""

WIRING = "wiring: {leaves: [a], hosts: [b], links: [[a, b]]}"

RULES = {
    "no leaves": ("", "exactly one of leaves and rails says how many leaves there are"),
    "leaves and rails": ("leaves: 2\nrails: 2", "exactly one of leaves and rails says how many leaves there are"),
    "groups of leaves": ("leaves: 2\ngroups: 2", "groups needs rails"),
    "rails but no groups of hosts": ("rails: 2", "with rails, hosts attach by per_group"),
    "groups of hosts but no rails": ("leaves: 2\nhosts: {per_group: 2}", "hosts.per_group needs rails"),
    "an odd leaf": ("leaves: 3\nhosts: {per_pair: 2}", "hosts.per_pair needs an even number of leaves, got 3"),
    "one NIC for two leaves": (
        "leaves: 2\nhosts: {per_pair: 2, nics: 1}",
        "hosts.per_pair needs at least 2 nics, got 1",
    ),
    "pods apart": ("leaves: 2\npods: 2", "pods: 2 needs superspines to join them, got superspines: 0"),
    "superspines over nothing": ("leaves: 2\nsuperspines: 2\nspines: 0", "superspines need spines, got spines: 0"),
    "planes of nothing": (
        "leaves: 2\nplanes: true",
        "planes needs superspines in a multiple of spines, got 0 and 2",
    ),
    "planes that do not divide": (
        "leaves: 2\nplanes: true\nsuperspines: 3",
        "planes needs superspines in a multiple of spines, got 3 and 2",
    ),
    "leaves apart": ("leaves: 2\nspines: 0", "spines: 0 is for rails or for one leaf, got leaves: 2"),
    "a default from nowhere": (
        "leaves: 1\nspines: 0\nhosts: {per_leaf: 1, routes: default}",
        "hosts.routes: default comes from the spines, got spines: 0 (allowed: aggregates)",
    ),
    "hosts that only say what they hear": (
        "leaves: 2\nhosts: {routes: aggregates}",
        "hosts: exactly one of per_leaf, per_pair and per_group is needed, got none",
    ),
    "counts beside names": (
        f"leaves: 2\nhosts: {{per_leaf: 1, nics: 2}}\nlinks: {{parallel: 1}}\n{WIRING}",
        (
            "wiring says who is there and on what; leaves and hosts.per_leaf and hosts.nics and links.parallel "
            "does not go with it"
        ),
    ),
    "a default from no spine": (
        f"hosts: {{routes: default}}\n{WIRING}",
        "hosts.routes: default comes from the spines, got none in wiring (allowed: aggregates)",
    ),
    "a hyperscaler's cables": (
        "leaves: 4096\nspines: 256\nlinks: {parallel: 16}\nhosts: {per_leaf: 1}",
        "at most 500000 cables, got 16781312",
    ),
    "a data centre": ("leaves: 4096\nhosts: {per_leaf: 10}", "at most 20000 nodes, got 45058"),
}

INNER_RULES = {
    "hosts on nothing": ("hosts: {}", "hosts: exactly one of per_leaf, per_pair and per_group is needed, got none"),
    "hosts on two": (
        "hosts: {per_leaf: 1, per_pair: 1}",
        "hosts: exactly one of per_leaf, per_pair and per_group is needed, got per_leaf and per_pair",
    ),
    "no cables": (
        "wiring: {leaves: [a], hosts: [b]}",
        "wiring.links: missing, it must be given",
    ),
    "a cable with three ends": (
        "wiring: {leaves: [a], hosts: [b], links: [[a, b, c]]}",
        "wiring.links[0]: ['a', 'b', 'c'] given, allowed: tuple should have at most 2 items after validation, not 3",
    ),
    "a port with a slash": (
        "wiring: {leaves: [a], hosts: [b], links: [[a:E1/1, b]]}",
        "wiring.links[0][0]: 'a:E1/1' given, allowed: text like ^[a-z][a-z0-9-]*(:[a-zA-Z][a-zA-Z0-9_.-]{0,14})?$",
    ),
    "a short hold": (
        "bgp: {timers: {keepalive: 10, hold: 9}}",
        "bgp.timers: hold must be at least three times keepalive, got hold 9 and keepalive 10",
    ),
}

CASES = (
    NOT_YAML
    | WORDS
    | TRAPS
    | {name: (f"name: x\n{text}\n", f"f:1: top level: {why}") for name, (text, why) in RULES.items()}
    | {name: (f"name: x\nleaves: 2\n{text}\n", f"f:3: {why}") for name, (text, why) in INNER_RULES.items()}
)


@pytest.mark.parametrize(("text", "message"), CASES.values(), ids=CASES.keys())
def test_what_is_no_intent_is_refused_in_one_line(text, message):
    with pytest.raises(IntentError) as caught:
        loads(text, "f")
    assert str(caught.value) == message
    assert len(message.splitlines()) == 1
    assert caught.value.exit_code == 2
