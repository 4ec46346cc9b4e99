"""The words of an intent. Every key has a default that suits the quickstart; unknown keys are errors."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from closet.intent.tenants import Peering, Tenant, VrfName
from closet.intent.wiring import Wiring
from closet.intent.words import Asn, Bool, Count, Int, Name, Network, Rdma, Words

MAX_NODES = 20_000
"""Switches and hosts of one fabric."""
MAX_CABLES = 500_000
"""Cables of one fabric: what a plan of them costs in time and memory."""

COUNTS = ("pods", "superspines", "planes", "spines", "leaves", "groups", "rails")
"""The words that say how many there are of what; `wiring` goes without them."""
INNER_COUNTS = {"hosts": ("per_leaf", "per_pair", "per_group", "nics"), "links": ("parallel",)}
"""Such words inside others."""


class Hosts(Words):
    """The hosts: how many, where they attach and with how many NICs.

    Exactly one of `per_leaf` (all NICs on one leaf), `per_pair` (dual-homed: NICs alternate over a pair of
    leaves) and `per_group` (rails: NIC i on leaf i of its group) says how they attach; with `wiring`, none.
    """

    per_leaf: Count | None = None
    """Hosts on each leaf, single-homed."""
    per_pair: Count | None = None
    """Hosts on each pair of neighbouring leaves, dual-homed."""
    per_group: Count | None = None
    """Hosts in each rail group: NIC i on the leaf of rail i."""
    nics: Annotated[Int, Field(ge=1, le=64)] | None = None
    """NICs of each host; default 1 with `per_leaf`, 2 with `per_pair`, one a rail with `per_group`."""
    routes: Literal["default", "aggregates"] | None = None
    """What leaves announce to hosts: a default route that comes from the top of the fabric, or the
    aggregates of the leaves. Default: `default` where there is a spine, else `aggregates`."""
    rdma: Rdma = "none"
    """RDMA on every NIC: `verbs` is Soft-RoCE, in the host's own namespace or in a microVM, `endpoint` is closet's
    RoCEv2 in userspace, and `auto` is verbs where this machine can."""

    @model_validator(mode="after")
    def _one_way_to_attach(self) -> Self:
        given = self.attached_by()
        if len(given) > 1 or not self.model_fields_set:
            got = " and ".join(given) or "none"
            msg = f"exactly one of per_leaf, per_pair and per_group is needed, got {got}"
            raise ValueError(msg)
        return self

    def attached_by(self) -> list[str]:
        """Which of the ways to attach are given."""
        return [k for k in ("per_leaf", "per_pair", "per_group") if getattr(self, k) is not None]


class Links(Words):
    """Every link of the fabric, those to hosts included."""

    mtu: Annotated[Int, Field(ge=1280, le=65535)] = 9216
    """IP MTU of every link, in bytes."""
    addressing: Literal["unnumbered", "numbered"] = "unnumbered"
    """`unnumbered`: BGP over IPv6 link-local addresses (RFC 8950); `numbered`: a /31 a link (RFC 3021)."""
    parallel: Annotated[Int, Field(ge=1, le=16)] = 1
    """Links between each pair of switches that are joined."""
    ports: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z_.-]*$")] = "eth"
    """Prefix of port names; a number follows. Together they fit a Linux interface name (15 bytes)."""


class Bfd(Words):
    """BFD (RFC 5880) on every BGP session; a failure is seen after `interval * multiplier`."""

    interval: Annotated[Int, Field(ge=10, le=60000)] = 300
    """Desired minimum transmit and required minimum receive interval, in milliseconds."""
    multiplier: Annotated[Int, Field(ge=2, le=255)] = 3
    """Detection multiplier."""


class Timers(Words):
    """BGP timers in seconds (RFC 4271 section 10)."""

    keepalive: Annotated[Int, Field(ge=1, le=21845)] = 3
    """Between two KEEPALIVEs."""
    hold: Annotated[Int, Field(ge=3, le=65535)] = 9
    """Silence after which a session ends; at least three times `keepalive`."""
    connect: Annotated[Int, Field(ge=1, le=65535)] = 1
    """Between two tries to connect."""

    @model_validator(mode="after")
    def _hold_outlives_keepalive(self) -> Self:
        if self.hold < 3 * self.keepalive:
            msg = f"hold must be at least three times keepalive, got hold {self.hold} and keepalive {self.keepalive}"
            raise ValueError(msg)
        return self


class Asns(Words):
    """The AS number plan (RFC 7938 section 5.2.1): the first number of each tier, and who shares one."""

    superspines: Asn = 4200000000
    """Of the first superspine, or of all."""
    spines: Asn = 4200000100
    """Of the first spine, or of all spines of the first pod."""
    leaves: Asn = 4200001000
    """Of the first leaf; every leaf has one of its own."""
    hosts: Asn = 4200100000
    """Of the first host, or of all."""
    shared: tuple[Literal["superspines", "spines", "hosts"], ...] = ("superspines", "spines")
    """Tiers whose nodes share one AS number: all superspines, the spines of each pod, all hosts."""


class Bgp(Words):
    """BGP everywhere: the only routing protocol of the fabric."""

    asns: Asns = Asns.model_construct()
    timers: Timers = Timers.model_construct()
    bfd: Bfd | Bool = False
    """BFD on every session: true for 300 ms x 3, or the numbers."""
    max_paths: Annotated[Int, Field(ge=1, le=256)] = 128
    """Widest equal-cost set: at least as wide as a node has uplinks."""


class Ecmp(Words):
    """How switches and hosts choose among equal-cost paths."""

    hash: Literal["l3", "l4"] = "l4"
    """What is hashed: addresses only, or the 5-tuple (net.ipv4.fib_multipath_hash_policy 0 or 1). Of the former no
    check claims that flows spread."""
    seed: Annotated[Int, Field(ge=1, le=4294967295)] | None = None
    """One hash seed for all nodes; default: one a node, so tiers do not polarise. Of tiers that do no check claims that
    flows spread."""


class Pools(Words):
    """IPv4 pools; none may overlap another."""

    loopbacks: Network = IPv4Network("10.255.0.0/16")
    """One /32 a switch: router id and VTEP address."""
    links: Network = IPv4Network("10.254.0.0/16")
    """One /31 a link, when links are numbered."""
    hosts: Network = IPv4Network("10.0.0.0/9")
    """One block a leaf: the /32s of its hosts, summarised towards the spines."""
    vips: Network = IPv4Network("10.192.0.0/12")
    """VIPs of hosts on several leaves, which no single leaf can summarise."""
    leaf_prefix: Annotated[Int, Field(ge=8, le=30)] = 24
    """Prefix length of a leaf's block out of `hosts`; half of it for VIPs, half for NICs."""


class Node(Words):
    """What differs on one node, or on every node a pattern matches."""

    name: Name | None = None
    """Another name for this node; the key must then name exactly one."""
    asn: Asn | None = None
    """Another AS number."""
    loopback: IPv4Address | None = None
    """Another loopback /32 (a host's VIP)."""
    ecmp: Ecmp | None = None
    """What differs from `ecmp` of the fabric."""
    rdma: Rdma | None = None
    """On a host: another way than `hosts.rdma`."""
    config: str | None = None
    """A file, relative to the intent, with the user's own frr.conf in place of the generated one."""
    extra: str | None = None
    """FRR configuration lines appended to the generated ones."""


class Intent(Words):
    """One fabric."""

    name: Name
    """The lab's name unless `closet up --name` gives another."""
    description: str = ""
    """For people; nothing reads it."""
    pods: Annotated[Int, Field(ge=1, le=64)] = 1
    """Pods, each of `spines` and `leaves`; more than one needs superspines to join them."""
    superspines: Annotated[Int, Field(ge=0, le=256)] = 0
    """Superspines, each joined to every spine of every pod (or of its plane)."""
    planes: Bool = False
    """With superspines: spine i of every pod joins only plane i's superspines."""
    spines: Annotated[Int, Field(ge=0, le=256)] = 2
    """Spines in each pod, each joined to every leaf of its pod; 0 for rails-only."""
    leaves: Count | None = None
    """Leaves in each pod; not with rails."""
    groups: Count | None = None
    """Rail groups in each pod, each of `rails` leaves; default 1."""
    rails: Annotated[Int, Field(ge=1, le=64)] | None = None
    """Leaves of a group: NIC i of each of its hosts is on leaf i."""
    hosts: Hosts = Hosts(per_leaf=2)
    wiring: Wiring | None = None
    """Instead of counts: every node by name, and every cable."""
    links: Links = Links.model_construct()
    bgp: Bgp = Bgp.model_construct()
    ecmp: Ecmp = Ecmp.model_construct()
    pools: Pools = Pools.model_construct()
    tenants: dict[VrfName, Tenant] = Field(default_factory=dict)
    """VRFs over EVPN: name → who is in it. A host in none is in the underlay."""
    peerings: tuple[Peering, ...] = ()
    """Which tenants' hosts meet; two tenants that no peering names never do."""
    nodes: dict[str, Node] = Field(default_factory=dict)
    """Overrides: a node's name or a pattern (`leaf*`, `p1-*`) and what differs there."""

    @model_validator(mode="after")
    def _shape(self) -> Self:
        for wrong, why in _shape_errors(self):
            if wrong:
                raise ValueError(why)
        return self

    def said(self) -> str:
        """What was said, as JSON, and no defaults: those of an override would override others."""
        return self.model_dump_json(exclude_unset=True)

    @property
    def has_spines(self) -> bool:
        """Whether anything is above the leaves."""
        return bool(self.spines if self.wiring is None else self.wiring.spines)

    def node_count(self) -> tuple[int, int]:
        """Switches and hosts this intent asks for, before anything is planned."""
        if self.wiring is not None:
            w = self.wiring
            return len(w.superspines) + len(w.spines) + len(w.leaves), len(w.hosts)
        leaves = self.leaves or (self.groups or 1) * (self.rails or 1)
        if self.hosts.per_leaf:
            hosts = leaves * self.hosts.per_leaf
        elif self.hosts.per_pair:
            hosts = leaves // 2 * self.hosts.per_pair
        else:
            hosts = (self.groups or 1) * (self.hosts.per_group or 0)
        return self.superspines + self.pods * (self.spines + leaves), self.pods * hosts

    def cable_count(self) -> int:
        """Cables this intent asks for, before anything is planned."""
        if self.wiring is not None:
            return len(self.wiring.links)
        leaves = self.leaves or (self.groups or 1) * (self.rails or 1)
        above = self.superspines // max(self.spines, 1) if self.planes else self.superspines
        nics = self.hosts.nics or self.rails or (2 if self.hosts.per_pair else 1)
        return self.pods * self.spines * (leaves + above) * self.links.parallel + self.node_count()[1] * nics


def _shape_errors(i: Intent) -> list[tuple[bool, str]]:
    """The rules that tie several words together, each with the sentence that says so."""
    nodes, cables = sum(i.node_count()), i.cable_count()
    return [
        *(_count_errors(i) if i.wiring is None else _wiring_errors(i)),
        (nodes > MAX_NODES, f"at most {MAX_NODES} nodes, got {nodes}"),
        (cables > MAX_CABLES, f"at most {MAX_CABLES} cables, got {cables}"),
    ]


def _wiring_errors(i: Intent) -> list[tuple[bool, str]]:
    """What says how many there are does not go with what says who they are."""
    given = [k for k in COUNTS if k in i.model_fields_set]
    for part in sorted(INNER_COUNTS.keys() & i.model_fields_set):
        words = getattr(i, part)
        given += [f"{part}.{k}" for k in INNER_COUNTS[part] if k in words.model_fields_set]
    return [
        (bool(given), f"wiring says who is there and on what; {' and '.join(given)} does not go with it"),
        (
            not (i.wiring and i.wiring.spines) and i.hosts.routes == "default",
            "hosts.routes: default comes from the spines, got none in wiring (allowed: aggregates)",
        ),
    ]


def _count_errors(i: Intent) -> list[tuple[bool, str]]:
    rails = i.rails is not None
    return [
        (rails == (i.leaves is not None), "exactly one of leaves and rails says how many leaves there are"),
        (not i.hosts.attached_by(), "hosts: exactly one of per_leaf, per_pair and per_group is needed, got none"),
        (not rails and i.groups is not None, "groups needs rails"),
        (rails and i.hosts.per_group is None, "with rails, hosts attach by per_group"),
        (not rails and i.hosts.per_group is not None, "hosts.per_group needs rails"),
        (
            i.hosts.per_pair is not None and (i.leaves or 0) % 2 == 1,
            f"hosts.per_pair needs an even number of leaves, got {i.leaves}",
        ),
        (
            i.hosts.per_pair is not None and (i.hosts.nics or 2) < 2,
            f"hosts.per_pair needs at least 2 nics, got {i.hosts.nics}",
        ),
        (
            i.pods > 1 and i.superspines == 0,
            f"pods: {i.pods} needs superspines to join them, got superspines: 0",
        ),
        (i.superspines > 0 and i.spines == 0, "superspines need spines, got spines: 0"),
        (
            i.planes and (i.superspines == 0 or i.superspines % max(i.spines, 1) != 0),
            f"planes needs superspines in a multiple of spines, got {i.superspines} and {i.spines}",
        ),
        (
            i.spines == 0 and not rails and (i.leaves or 0) > 1,
            f"spines: 0 is for rails or for one leaf, got leaves: {i.leaves}",
        ),
        (
            i.spines == 0 and i.hosts.routes == "default",
            "hosts.routes: default comes from the spines, got spines: 0 (allowed: aggregates)",
        ),
    ]
