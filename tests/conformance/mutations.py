"""Fabrics without one of their protections, each a context that puts it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from closet.attack.attacker import Attacker, attackers
from closet.attack.doors import STRANGE
from closet.attack.source import LEFT_BEHIND, NOBODY
from closet.expect.sessions import neighbour_key
from closet.lab import Lab
from closet.observe.vty import ask, ask_json
from closet.plan import DEFAULT_VRF, Port, Role
from closet.render.frr import PEERING_GATEWAYS
from closet.render.vrf import nft_file, nft_table

from . import changes


def one(lab: Lab) -> Attacker:
    """The attacker whose leaf loses its protection: a tenant's, where there are tenants."""
    return attackers(lab.fabric)[0]


def in_underlay(lab: Lab) -> Attacker:
    """The attacker who is in no tenant."""
    return next(a for a in attackers(lab.fabric) if not a.in_tenant)


def _table(lab: Lab, vrf: str) -> tuple[str, str, str]:
    """A VRF's own filter: its table, the chain that hears hosts first, and the file it is from."""
    if vrf == DEFAULT_VRF:
        return "closet", "hosts", "/etc/frr/nftables.conf"
    tenant = lab.fabric.tenants[vrf]
    return nft_table(tenant), "enter", f"/etc/frr/{nft_file(tenant)}"


@contextmanager
def filter_changed(lab: Lab, node: str, vrf: str, *lines: str) -> Iterator[None]:
    """Other rules in a VRF's filter."""
    table, _, file = _table(lab, vrf)
    with changes.rules(lab, node, vrf, table, file, lines):
        yield


@contextmanager
def doors_changed(lab: Lab, node: str, vrf: str, *lines: str) -> Iterator[None]:
    """Other rules in the filter of the control plane, where the devices of a VRF are."""
    with changes.rules(lab, node, vrf, "closet", "/etc/frr/nftables.conf", lines):
        yield


@contextmanager
def no_source_filter(lab: Lab, a: Attacker | None = None) -> Iterator[None]:
    """Hosts may say they are anybody."""
    a = a or one(lab)
    table, chain, _ = _table(lab, a.vrf)
    try:
        with filter_changed(lab, a.leaf.name, a.vrf, f"flush chain inet {table} {chain}"):
            yield
    finally:  # of what it heard meanwhile
        changes.inside(lab, a.leaf.name, a.vrf, "ip", "-6", "neigh", "flush", "to", str(STRANGE), "dev", a.door.name)


@contextmanager
def no_source_filter_in_underlay(lab: Lab) -> Iterator[None]:
    """Hosts in no tenant may say they are anybody."""
    with no_source_filter(lab, in_underlay(lab)):
        yield


def _other_way(lab: Lab, a: Attacker) -> Port:
    """Another port of the attacker's leaf in its VRF."""
    return next(p for p in a.leaf.ports if p.vrf == a.vrf and p.name != a.door.name)


@contextmanager
def ipv6_route_left_behind(lab: Lab) -> Iterator[None]:
    """Somebody's IPv6 route is still there."""
    a = one(lab)
    way = _other_way(lab, a)
    there = lab.fabric[way.peer].port(way.peer_port).link_local
    vrf = () if a.vrf == DEFAULT_VRF or lab[a.leaf.name].has_namespace(a.vrf) else ("vrf", a.vrf)
    route = (f"{LEFT_BEHIND}/128", "via", str(there), "dev", way.name, *vrf)
    changes.inside(lab, a.leaf.name, a.vrf, "ip", "-6", "route", "add", *route)
    try:
        yield
    finally:
        changes.inside(lab, a.leaf.name, a.vrf, "ip", "-6", "route", "del", *route)


@contextmanager
def ipv6_forwarded(lab: Lab) -> Iterator[None]:
    """Such a route, and nothing that keeps IPv6 from it."""
    a = one(lab)
    table, chain, _ = _table(lab, a.vrf)
    flush = [f"flush chain inet {table} {chain}"] + ([f"flush chain inet {table} forward"] if a.in_tenant else [])
    with ipv6_route_left_behind(lab), filter_changed(lab, a.leaf.name, a.vrf, *flush):
        yield


@contextmanager
def no_door_filter(lab: Lab) -> Iterator[None]:
    """Whoever asks the leaf is answered."""
    a = one(lab)
    with doors_changed(lab, a.leaf.name, a.vrf, "delete table inet closet"):
        yield


@contextmanager
def no_door_filter_in_underlay(lab: Lab) -> Iterator[None]:
    """Whoever asks the leaf in the underlay is answered."""
    a = in_underlay(lab)
    with doors_changed(lab, a.leaf.name, DEFAULT_VRF, "delete table inet closet"):
        yield


@contextmanager
def vtep_in_vrf(lab: Lab) -> Iterator[None]:
    """The leaf's VTEP address is in a tenant's VRF, too."""
    a = one(lab)
    # With its last address an interface loses its routes: this one has others, or no routes.
    address = (f"{a.leaf.loopback}/32", "dev", "lo" if lab[a.leaf.name].has_namespace(a.vrf) else a.vrf)
    changes.inside(lab, a.leaf.name, a.vrf, "ip", "address", "add", *address)
    try:
        yield
    finally:
        changes.inside(lab, a.leaf.name, a.vrf, "ip", "address", "del", *address)


@contextmanager
def ttl_made_new(lab: Lab) -> Iterator[None]:
    """A VRF gives every packet a new TTL."""
    a = one(lab)
    table, chain, _ = _table(lab, a.vrf)
    with filter_changed(lab, a.leaf.name, a.vrf, f"add rule inet {table} {chain} ip ttl set 64"):
        yield


@contextmanager
def fragments_pass(lab: Lab) -> Iterator[None]:
    """A stateless filter of the old kind: who has no port is not asked."""
    a = one(lab)
    table, chain, _ = _table(lab, a.vrf)
    with filter_changed(lab, a.leaf.name, a.vrf, f"insert rule inet {table} {chain} ip frag-off & 0x1fff != 0 accept"):
        yield


@contextmanager
def fragments_pass_the_door(lab: Lab) -> Iterator[None]:
    """Fragments are let in unseen."""
    a = one(lab)
    with doors_changed(lab, a.leaf.name, a.vrf, "insert rule inet closet input exthdr frag exists accept"):
        yield


@contextmanager
def arp_believed(lab: Lab) -> Iterator[None]:
    """The leaf believes gratuitous ARP."""
    a = one(lab)
    try:
        with changes.port_settings(lab, a.leaf.name, a.vrf, a.door.name, ipv4__arp_accept=1, ipv4__arp_ignore=0):
            yield
    finally:
        changes.inside(lab, a.leaf.name, a.vrf, "ip", "neigh", "flush", "dev", a.door.name)


@contextmanager
def adverts_believed(lab: Lab) -> Iterator[None]:
    """The leaf's kernel believes router advertisements."""
    a = one(lab)
    try:
        with changes.port_settings(
            lab, a.leaf.name, a.vrf, a.door.name, ipv6__accept_ra=2, ipv6__accept_ra_min_hop_limit=1
        ):
            yield
    finally:
        for line in changes.inside(lab, a.leaf.name, a.vrf, "ip", "-6", "route", "show", "proto", "ra").splitlines():
            changes.inside(lab, a.leaf.name, a.vrf, "ip", "-6", "route", "del", *line.split()[:5])


@contextmanager
def redirects_believed(lab: Lab) -> Iterator[None]:
    """A route by an IPv4 next hop, its neighbour known by ARP, redirects believed, and nobody asked who sends them."""
    a = in_underlay(lab)
    leaf = lab[a.leaf.name]
    route = (f"{NOBODY}/32", "via", PEERING_GATEWAYS[0], "dev", a.door.name, "onlink")
    neighbour = (str(a.address), "lladdr", a.port.mac, "dev", a.door.name)
    leaf.run("ip", "route", "add", *route)
    try:
        leaf.run("ip", "neigh", "replace", *neighbour)
        with (
            no_source_filter(lab, a),
            changes.port_settings(lab, a.leaf.name, a.vrf, a.door.name, ipv4__accept_redirects=1),
        ):
            yield
    finally:
        leaf.run("ip", "route", "del", *route)
        leaf.run("ip", "neigh", "del", *neighbour)


@contextmanager
def bridged(lab: Lab) -> Iterator[None]:
    """Two ports of a leaf are one segment."""
    a = one(lab)
    ports = (a.door.name, _other_way(lab, a).name)
    changes.inside(lab, a.leaf.name, a.vrf, "ip", "link", "add", "l2", "up", "type", "bridge")
    try:
        for port in ports:
            changes.inside(lab, a.leaf.name, a.vrf, "ip", "link", "set", port, "master", "l2")
        yield
    finally:
        changes.inside(lab, a.leaf.name, a.vrf, "ip", "link", "del", "l2")
        if a.in_tenant and not lab[a.leaf.name].has_namespace(a.vrf):
            for port in ports:
                changes.inside(lab, a.leaf.name, a.vrf, "ip", "link", "set", port, "master", a.vrf)


@contextmanager
def no_prefix_lists(lab: Lab, *, bounded: bool = False) -> Iterator[None]:
    """A leaf takes what a host announces; `bounded`: but only so much of it."""
    a = one(lab)
    leaf, name = lab[a.leaf.name], neighbour_key(lab.fabric, a.leaf.name, a.door.name)
    vrf = f" vrf {a.vrf}" if a.in_tenant else ""
    inside = ["configure terminal", f"router bgp {a.leaf.asn}{vrf}"]
    family, fence = "address-family ipv4 unicast", "neighbor HOSTS maximum-prefix 2"
    change = [*inside, "no bgp ebgp-requires-policy", family, f"no neighbor {name} route-map FROM-{a.door.name} in"]
    revert = [*inside, "bgp ebgp-requires-policy", family, f"neighbor {name} route-map FROM-{a.door.name} in"]

    def assert_few() -> None:
        peer = ask_json(leaf, "bgpd", f"show bgp{vrf} neighbors {name} json")[name]
        assert peer.get("addressFamilyInfo", {}).get("ipv4Unicast", {}).get("acceptedPrefixCounter", 0) <= 2

    try:
        ask(leaf, "bgpd", *change, *([] if bounded else [f"no {fence}"]))
        yield
    finally:
        ask(leaf, "bgpd", *revert)
        if bounded:  # the session was ended for what it carried
            ask(leaf, "bgpd", f"clear bgp{vrf} {name}")
        else:  # as it would be now, before all is withdrawn
            changes.eventually(assert_few)
            ask(leaf, "bgpd", *inside, family, fence)


@contextmanager
def vxlan_from_anybody(lab: Lab) -> Iterator[None]:
    """Leaves take VXLAN from whoever sends it."""
    with ExitStack() as stack:
        for leaf in lab.fabric.role(Role.LEAF):
            rule = "insert rule inet closet input udp dport 4789 accept"
            stack.enter_context(doors_changed(lab, leaf.name, DEFAULT_VRF, rule))
        yield


@contextmanager
def vrf_leaks(lab: Lab) -> Iterator[None]:
    """A tenant's VRF has a way to VTEPs, and its hosts may say they are one."""
    a = one(lab)
    node, vteps = lab[a.leaf.name], str(lab.fabric.pools.loopbacks)
    with no_source_filter(lab, a):
        if not node.has_namespace(a.vrf):
            up = lab.fabric.uplinks(a.leaf)[0]
            spine = lab.fabric[up.peer].port(up.peer_port).link_local
            route = (vteps, "via", "inet6", str(spine), "dev", up.name, "vrf", a.vrf)
            node.run("ip", "route", "add", *route)
            try:
                yield
            finally:
                node.run("ip", "route", "del", *route)
            return
        here, there = "leak0", "leak1"
        node.run("ip", "link", "add", here, "up", "type", "veth", "peer", "name", there, "netns", a.vrf)
        try:
            mac = node.run("cat", f"/sys/class/net/{here}/address").stdout.strip()
            changes.inside(lab, a.leaf.name, a.vrf, "ip", "link", "set", there, "up")
            changes.inside(lab, a.leaf.name, a.vrf, "ip", "neigh", "add", "169.254.0.9", "lladdr", mac, "dev", there)
            changes.inside(
                lab, a.leaf.name, a.vrf, "ip", "route", "add", vteps, "via", "169.254.0.9", "dev", there, "onlink"
            )
            yield
        finally:
            node.run("ip", "link", "del", here)


@contextmanager
def nobody_heard(lab: Lab, a: Attacker) -> Iterator[None]:
    """The leaf takes no IPv4 from a host at all, were it the host's own."""
    table, chain, _ = _table(lab, a.vrf)
    rule = f'insert rule inet {table} {chain} iifname "{a.door.name}" meta nfproto ipv4 drop'
    with filter_changed(lab, a.leaf.name, a.vrf, rule):
        yield
