"""What every part of an intent is made of: strict types, and the base of all words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, StringConstraints

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


class Words(BaseModel):
    """The base of every part of an intent: strict, frozen, and no key it does not know."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True, populate_by_name=True)
