"""A storm: what a switched network would carry to everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from closet.attack.attacker import Attacker, attackers, token
from closet.attack.registry import packets
from closet.attack.shot import Shot
from closet.plan import Fabric
from closet.roce.wire import UDP_PORT

FRAMES = 200
"""Of each kind."""
UNKNOWN = "02:00:5e:00:53:01"
"""A MAC nobody has."""


@packets(
    "broadcast, multicast and frames to unknown MACs end at the leaf, however many",
    protection="ports are routed: there is no bridge between any two; no multicast routing",
)
def storm(fabric: Fabric) -> Iterator[Shot]:
    """Hundreds of each: IPv4 and IPv6, ARP, unknown unicast, and what bridges say to one another."""
    for a in attackers(fabric):
        for kind, (mac, packet) in _kinds(a).items():
            mark = token("storm", a, kind)
            frame = a.frame(packet / (mark * 6), to=mac)
            yield Shot(f"{a}: {FRAMES} frames of {kind}", a.place, (frame,) * FRAMES, (mark,), a.beyond())


def _kinds(a: Attacker) -> dict[str, tuple[str, Any]]:
    """Kind → where it goes in Ethernet, and what it is."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import ARP, LLC, STP

    udp = UDP(sport=UDP_PORT, dport=UDP_PORT)
    four, six = str(a.address), str(a.port.link_local)
    return {
        "IPv4 broadcast": ("ff:ff:ff:ff:ff:ff", IP(src=four, dst="255.255.255.255") / udp),
        "IPv4 multicast on the link": ("01:00:5e:00:00:fb", IP(src=four, dst="224.0.0.251", ttl=255) / udp),
        "IPv4 multicast": ("01:00:5e:01:01:01", IP(src=four, dst="239.1.1.1", ttl=64) / udp),
        "IPv6 multicast on the link": ("33:33:00:00:00:01", IPv6(src=six, dst="ff02::1", hlim=255) / udp),
        "IPv6 multicast": ("33:33:00:00:00:02", IPv6(src=six, dst="ff0e::2", hlim=64) / udp),
        "ARP": ("ff:ff:ff:ff:ff:ff", ARP(psrc=four, hwsrc=a.port.mac, pdst=four)),
        "unknown unicast": (UNKNOWN, IP(src=four, dst="203.0.113.1") / udp),
        "bridge protocol": ("01:80:c2:00:00:00", LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP()),
    }
