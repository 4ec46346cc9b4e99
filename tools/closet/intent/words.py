"""What every part of an intent is made of: strict types, and the base of all words."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, StringConstraints

IFNAMSIZ = 15
"""Longest name of a Linux network interface (include/uapi/linux/if.h: IFNAMSIZ - 1)."""

NAME_MAX = 32
"""Longest name of a lab or node."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=NAME_MAX)]
"""A lab or node name: also a host name, a folder and part of a container name."""

Int = Annotated[int, Strict()]
Bool = Annotated[bool, Strict()]
"""Numbers and truths as YAML writes them: `leaves: true` is no number, `planes: 1` no truth."""

Count = Annotated[Int, Field(ge=1, le=4096)]
Asn = Annotated[Int, Field(ge=1, le=4294967294)]
"""An AS number (RFC 6793)."""


Rdma = Literal["none", "auto", "verbs", "endpoint"]
"""What speaks RDMA on a host: the kernel (Soft-RoCE), closet's endpoint in userspace, or what works of these."""


NO_HOSTS = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")))
"""What no host has an address of: zebra installs no such routes (FRR lib/prefix.h: `ipv4_martian`; RFC 6890)."""


def _of_hosts(network: IPv4Network) -> IPv4Network:
    if any(network.overlaps(n) for n in NO_HOSTS):
        msg = f"{network} given, allowed: addresses of hosts, and so nothing of {', '.join(map(str, NO_HOSTS))}"
        raise ValueError(msg)
    return network


Network = Annotated[IPv4Network, AfterValidator(_of_hosts)]
"""An IPv4 network that hosts and switches can have addresses of."""


class Words(BaseModel):
    """The base of every part of an intent: strict, frozen, and no key it does not know."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True, populate_by_name=True)
