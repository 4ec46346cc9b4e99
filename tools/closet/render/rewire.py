"""From the VRFs a node has to those it is to have: what goes, what comes, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from closet.plan import DEFAULT_VRF, Fabric, Node, Port, Tenant
from closet.render.environment import TEMPLATES
from closet.render.files import Files
from closet.render.vrf import FIRST_TABLE, SPACES, Veth, nft_file, nft_table, veths, vrfs_script

Identity = tuple[str, int, str]
"""Of a VRF: name, VNI, route target."""
Ends = tuple[tuple[str, str], tuple[str, str]]
"""Of a cable between VRFs: (VRF, interface) at each."""
CONTROL_PLANE = ("closet", "nftables.conf")
"""Table and file of a switch's filter before itself; where VRFs are namespaces, each has it, too."""


@dataclass(frozen=True, slots=True)
class Rewire:
    """What changes in the kernel of a node.

    Attributes:
        vrfs: those that what goes may be in.
        drop, make: VRFs that go and come; one whose numbers change does both.
        cut, lay: cables between VRFs that go and come.
        ports: those that go down and come up again, in another VRF or with another MTU or address.
        place: (port, VRF) for those of them that end in one.
        filters: (VRF, nftables table, file) of what is loaded anew where it stays.
    """

    node: Node
    vrfs: tuple[str, ...] = ()
    drop: tuple[Tenant, ...] = ()
    make: tuple[Tenant, ...] = ()
    cut: tuple[Veth, ...] = ()
    lay: tuple[Veth, ...] = ()
    ports: tuple[Port, ...] = ()
    place: tuple[tuple[str, str], ...] = ()
    filters: tuple[tuple[str, str, str], ...] = ()

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of the VRFs that go, each once."""
        return tuple(dict.fromkeys(t.name for t in self.drop))

    def leave(self) -> str:
        """The script that takes away what goes; what is gone already is fine."""
        if not (self.drop or self.cut or self.ports):
            return ""
        devices = [d for t in self.drop for d in (t.bridge, t.vxlan)]
        devices += [v.ends[0][1] for v in self.cut] + [v.ends[1][1] for v in self.cut]
        return TEMPLATES.get_template("leave.sh.j2").render(
            node=self.node,
            ports=[(p.name, p.mtu) for p in self.ports],
            vrfs=self.vrfs,
            devices=devices,
            drop=self.drop,
            spaces=SPACES,
            first_table=FIRST_TABLE,
            table=nft_table,
        )

    def arrive(self, new: Fabric) -> str:
        """The script that makes what comes."""
        if not (self.make or self.lay or self.place):
            return ""
        return vrfs_script(new, self.node, self.make, self.place, self.lay)

    def reload(self) -> str:
        """The script that loads the filters that change, each in one transaction."""
        if not self.filters:
            return ""
        return TEMPLATES.get_template("reload.sh.j2").render(node=self.node, filters=self.filters, default=DEFAULT_VRF)


def rewire(old: Fabric, new: Fabric, name: str, files: tuple[Files, Files], *, thorough: bool = False) -> Rewire:
    """What changes in the kernel of the node of that name.

    Args:
        files: of the node, as rendered for either plan.
        thorough: take nothing for granted of what differs: whatever of either plan is there goes first. So the way
            back is found from anywhere between the two.
    """
    before, after = old[name], new[name]
    if before.is_host:
        changed = before != after or (thorough and files[0] != files[1])
        return Rewire(after, ports=after.ports if changed else ())
    was, will = ({_identity(t): t for t in f.vrfs(f[name])} for f in (old, new))
    kept = {t.name for i, t in will.items() if i in was}
    drop = {i: t for i, t in (was | will if thorough else was).items() if not (i in was and i in will)}
    had, has = ({v.ends: v for v in veths(f, f[name])} for f in (old, new))
    same = {ends for ends in had if ends in has and {vrf for vrf, _ in ends} <= kept}
    cut = {ends: v for ends, v in (had | has if thorough else had).items() if ends not in same}
    ports = tuple(
        a
        for b, a in zip(before.ports, after.ports, strict=True)
        if b != a or (a.vrf != DEFAULT_VRF and a.vrf not in kept)
    )
    return Rewire(
        node=after,
        vrfs=tuple(dict.fromkeys(name for name, *_ in [*was, *will]) if thorough else _left(before, ports, drop, cut)),
        drop=tuple(drop.values()),
        make=tuple(t for i, t in will.items() if i not in was),
        cut=tuple(cut.values()),
        lay=tuple(v for ends, v in has.items() if ends not in same),
        ports=ports,
        place=tuple((p.name, p.vrf) for p in ports if p.vrf != DEFAULT_VRF),
        filters=tuple(_filters([t for t in will.values() if t.name in kept], files)),
    )


def _left(before: Node, ports: Iterable[Port], drop: Iterable[Identity], cut: Iterable[Ends]) -> dict[str, None]:
    """The VRFs that something leaves."""
    moved = (before.port(p.name).vrf for p in ports)
    places = (*(name for name, *_ in drop), *(vrf for ends in cut for vrf, _ in ends), *moved)
    return dict.fromkeys(vrf for vrf in places if vrf != DEFAULT_VRF)


def _identity(tenant: Tenant) -> Identity:
    """What makes a VRF: with another VNI or route target it is another one."""
    return tenant.name, tenant.vni, tenant.route_target


def _filters(kept: list[Tenant], files: tuple[Files, Files]) -> Iterator[tuple[str, str, str]]:
    old, new = files
    if old[CONTROL_PLANE[1]] != new[CONTROL_PLANE[1]]:
        yield from ((vrf, *CONTROL_PLANE) for vrf in (DEFAULT_VRF, *(t.name for t in kept)))
    for tenant in kept:
        if old[nft_file(tenant)] != new[nft_file(tenant)]:
            yield tenant.name, nft_table(tenant), nft_file(tenant)
