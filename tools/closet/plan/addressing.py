"""Which address goes where: blocks out of pools, and what to say when a pool does not reach."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import combinations

from closet.errors import IntentError
from closet.intent.model import Intent
from closet.plan.fabric import Role
from closet.plan.shape import Draft, Shape


def check_pools(intent: Intent) -> None:
    """Refuse pools that overlap.

    Raises:
        IntentError: names both pools.
    """
    pools = {
        "loopbacks": intent.pools.loopbacks,
        "hosts": intent.pools.hosts,
        "vips": intent.pools.vips,
    }
    if intent.links.addressing == "numbered":
        pools["links"] = intent.pools.links
    for (a, net_a), (b, net_b) in combinations(pools.items(), 2):
        if net_a.overlaps(net_b):
            raise IntentError(
                f"{intent.name}: pools.{b}: {net_b} overlaps pools.{a} {net_a}, allowed: pools that do not overlap"
            )


def pick(intent: Intent, pool: str, index: int) -> IPv4Address:
    """Address `index` (from 0) of a pool; a pool's first address is left out, as people expect."""
    net: IPv4Network = getattr(intent.pools, pool)
    usable = net.num_addresses - (2 if net.prefixlen < 31 else 1)
    if index >= usable:
        raise IntentError(
            f"{intent.name}: pools.{pool}: {net} is too small: address {index + 1} of it is needed, it has {usable}"
        )
    return net[index + 1]


def link_address(intent: Intent, cable: int, end: int) -> IPv4Interface | None:
    """The /31 (RFC 3021) of a numbered link's end, else None."""
    if intent.links.addressing != "numbered":
        return None
    net = intent.pools.links
    at = 2 * cable + end
    if at >= net.num_addresses:
        raise IntentError(
            f"{intent.name}: pools.links: {net} is too small: link {cable + 1} needs a /31, "
            f"it has {net.num_addresses // 2}"
        )
    return IPv4Interface((int(net.network_address) + at, 31))


class HostBlocks:
    """The blocks of the leaves and the /32s of the hosts.

    Each leaf has one block of `pools.hosts`, which it summarises. The lower half holds the VIPs of hosts
    that only this leaf reaches, the upper half one /32 for every NIC on it. The VIP of a host on several
    leaves is taken from `pools.vips` instead: a summary of it by one leaf would draw traffic that this
    leaf could not deliver after a link failure (RFC 7938 section 8.2).

    The guests of a host that is split take their VIPs from the other end of the lower half, each by its first NIC, and
    from later in `pools.vips`: nobody else has others for them.

    Args:
        shape: as it is before any host is split.
    """

    def __init__(self, *, intent: Intent, shape: Shape) -> None:
        self._intent = intent
        self._shape = shape
        self._leaves = [i for i, d in enumerate(shape.drafts) if d.role is Role.LEAF]
        self._vips: dict[int, IPv4Address] = {}
        self._alone: Counter[int] = Counter()
        """VIPs out of the block of each leaf."""
        self._nic: dict[int, int] = {}
        """Cable → which of the NICs on its leaf it has, from 1."""
        self.block: dict[int, IPv4Network] = {}
        """Leaf → its block."""
        self.rail: dict[int, IPv4Address] = {}
        """NIC address by cable."""
        pool, length = intent.pools.hosts, intent.pools.leaf_prefix
        have = 1 << max(length - pool.prefixlen, 0) if length >= pool.prefixlen else 0
        if len(self._leaves) > have:
            raise IntentError(
                f"{intent.name}: pools.hosts: {pool} is too small: {len(self._leaves)} leaves need a /{length} each, "
                f"it has {have} (pools.leaf_prefix sets the length)"
            )
        multihomed = 0
        for n, leaf in enumerate(self._leaves):
            block = IPv4Network((int(pool.network_address) + (n << (32 - length)), length))
            self.block[leaf] = block
            multihomed = self._fill(shape, leaf, block, multihomed)

    def vip(self, host: Draft) -> IPv4Address:
        """The VIP of a host, of a guest, or of what is left of a host.

        Raises:
            IntentError: there is no room for it.
        """
        whole = host.machine or host
        leaves = self._leaves_of(host)
        if host.number == whole.number and (len(leaves) > 1) == (len(self._leaves_of(whole)) > 1):
            return self._vips[whole.number]
        if len(leaves) > 1:
            return pick(self._intent, "vips", host.index)
        leaf, nic = leaves.pop(), self._nic[host.cables[0][0]]
        block = self.block[leaf]
        return block[block.num_addresses // 2 - self._room(block, nic + self._alone[leaf], nic)]

    def _leaves_of(self, host: Draft) -> set[int]:
        return {self._shape.cables[c][0] for c, _ in host.cables}

    def _fill(self, shape: Shape, leaf: int, block: IPv4Network, multihomed: int) -> int:
        half = block.num_addresses // 2
        nics = 0
        for cable, end in shape.drafts[leaf].cables:
            host = shape.drafts[shape.cables[cable][1]]
            if end != 0 or host.role is not Role.HOST:
                continue
            nics += 1
            self._nic[cable] = nics
            self.rail[cable] = block[half + self._room(block, nics, nics)]
            if host.number in self._vips:
                continue
            if self._leaves_of(host) == {leaf}:
                self._alone[leaf] += 1
                self._vips[host.number] = block[self._room(block, self._alone[leaf], self._alone[leaf])]
            else:
                self._vips[host.number] = pick(self._intent, "vips", multihomed)
                multihomed += 1
        return multihomed

    def _room(self, block: IPv4Network, count: int, offset: int) -> int:
        """The offset, if half of the block has room for so many."""
        half = block.num_addresses // 2
        if count >= half:
            raise IntentError(
                f"{self._intent.name}: pools.leaf_prefix: a /{block.prefixlen} is too small: half of it, {half - 1} "
                f"addresses, must hold {count} or more NICs or VIPs of one leaf (allowed: a shorter prefix)"
            )
        return offset
