"""What Hedgehog's objects say, as far as closet has a word for it (githedgehog/fabric, `api/*/v1beta1`).

Keys that are not modelled are kept: `unsupported` names those that ask for something closet does not do. Those in
`MEANINGLESS` ask for nothing that could differ here: how a switch boots, how fast a port is, what people call it.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from closet.intent.text import Place
from closet.intent.words import Bool, Int

PortName = Annotated[str, StringConstraints(pattern=r"^[^/\s]+/\S+$", max_length=128)]
"""A device and its port: `leaf-01/E1/1`."""


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        msg = f"{value!r} given, allowed: an address and prefix length like 10.0.1.0/24"
        raise ValueError(msg)
    return value


Cidr = Annotated[IPv4Interface, BeforeValidator(_text)]
"""An address and a prefix length; a number is none, though Python would take it."""
SubnetName = Annotated[str, StringConstraints(pattern=r"^[^/\s]+(/[^/\s]*)?$", max_length=128)]
"""A VPC and a subnet of it: `vpc-1/default`."""


class Spec(BaseModel):
    """The base of every part of an object."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    MEANINGLESS: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        return {k: v for k, v in data.items() if v is not None} if isinstance(data, dict) else data


class Topology(Spec):
    """Where an object is."""

    fabric: str = "default"
    """The fabric it is in: objects of one are read."""


class Switch(Spec):
    """A spine or leaf."""

    MEANINGLESS = frozenset(
        {"description", "profile", "groups", "redundancy", "ip", "boot", "enableAllPorts", "portLocators"}
        | {"portGroupSpeeds", "portSpeeds", "portBreakouts", "portAutoNegs", "portFECs"}
    )

    role: Literal["spine", "server-leaf", "border-leaf", "mixed-leaf"]
    asn: Annotated[Int, Field(ge=0, le=4294967294)] = 0
    """0: whichever."""
    protocol_ip: Cidr | None = Field(default=None, alias="protocolIP")
    vtep_ip: Cidr | None = Field(default=None, alias="vtepIP")
    vlan_namespaces: tuple[str, ...] = Field(default=("default",), alias="vlanNamespaces")
    topology: Topology = Topology()


class Server(Spec):
    """A host."""

    MEANINGLESS = frozenset({"description", "profile"})


class Port(Spec):
    """One end of a link."""

    MEANINGLESS = frozenset({"ip"})  # links are unnumbered here

    port: PortName

    @property
    def device(self) -> str:
        """Name of the switch or server."""
        return self.port.partition("/")[0]

    @property
    def local(self) -> str:
        """The port on that device."""
        return self.port.partition("/")[2]


class FabricLink(Spec):
    """From a spine to a leaf."""

    spine: Port
    leaf: Port


class Fabric(Spec):
    """The links of a spine and a leaf."""

    links: Annotated[tuple[FabricLink, ...], Field(min_length=1)]


class MeshLink(Spec):
    """From leaf to leaf."""

    leaf1: Port
    leaf2: Port


class Mesh(Spec):
    """The links of two leaves."""

    links: Annotated[tuple[MeshLink, ...], Field(min_length=1)]


class ServerLink(Spec):
    """From a leaf to a server."""

    server: Port
    switch: Port


class Unbundled(Spec):
    """A link to a server that is in no port channel."""

    link: ServerLink
    mtu: Annotated[Int, Field(ge=0, le=65535)] = 0
    """Of IP, in bytes; 0: the default."""


class Connection(Spec):
    """Links between two devices; exactly one kind of them."""

    fabric: Fabric | None = None
    mesh: Mesh | None = None
    unbundled: Unbundled | None = None
    topology: Topology = Topology()


class Range(Spec):
    """VLAN IDs."""

    first: Annotated[Int, Field(ge=0, le=4095)] = Field(alias="from")
    last: Annotated[Int, Field(ge=0, le=4095)] = Field(alias="to")


class VLANNamespace(Spec):
    """Where VLAN IDs come from."""

    ranges: Annotated[tuple[Range, ...], Field(min_length=1)]


class IPv4Namespace(Spec):
    """Where the subnets of some VPCs come from; those of different ones may overlap."""

    subnets: Annotated[tuple[Cidr, ...], Field(min_length=1)]
    topology: Topology = Topology()


class Subnet(Spec):
    """Hosts of a VPC that are treated alike."""

    MEANINGLESS = frozenset({"gateway"})  # a host's gateway is the leaf at the other end of each link

    subnet: Cidr
    vlan: Annotated[Int, Field(ge=0, le=4094)] = 0
    isolated: Bool | None = None
    restricted: Bool | None = None
    host_bgp: Bool = Field(default=False, alias="hostBGP")
    shortest: Literal[0, 32] = Field(default=0, alias="hostBGPMinPrefixLen")
    longest: Literal[0, 32] = Field(default=0, alias="hostBGPMaxPrefixLen")


class VPC(Spec):
    """A tenant."""

    mode: Literal["", "l3vni", "l3flat"] = ""
    subnets: Annotated[dict[str, Subnet], Field(min_length=1)]
    ipv4_namespace: str = Field(default="default", alias="ipv4Namespace")
    vlan_namespace: str = Field(default="default", alias="vlanNamespace")
    isolated: Bool = Field(default=False, alias="defaultIsolated")
    restricted: Bool = Field(default=False, alias="defaultRestricted")
    permit: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()
    topology: Topology = Topology()


class VPCAttachment(Spec):
    """A connection's server is in a subnet."""

    MEANINGLESS = frozenset({"nativeVLAN"})

    subnet: SubnetName
    connection: str
    topology: Topology = Topology()


class Peer(Spec):
    """What takes part in a peering: some subnets, or all."""

    subnets: tuple[str, ...] = ()


class VPCPeering(Spec):
    """Two VPCs whose hosts meet; `permit` lists alternatives, each of two VPCs."""

    permit: Annotated[tuple[Annotated[dict[str, Peer], Field(min_length=2, max_length=2)], ...], Field(min_length=1)]
    topology: Topology = Topology()


KINDS: dict[str, type[Spec]] = {
    "Switch": Switch,
    "Server": Server,
    "Connection": Connection,
    "VLANNamespace": VLANNamespace,
    "IPv4Namespace": IPv4Namespace,
    "VPC": VPC,
    "VPCAttachment": VPCAttachment,
    "VPCPeering": VPCPeering,
}
"""The kinds that are read."""

OTHER_CONNECTIONS = (
    "bundled",
    "mclag",
    "mclagDomain",
    "eslag",
    "gateway",
    "vpcLoopback",
    "external",
    "staticExternal",
)
"""Kinds of connections that closet has no counterpart to."""

SILENT_KINDS = frozenset({"Fabric", "SwitchGroup", "SwitchProfile", "ServerProfile", "Rack"})
"""Kinds that ask for nothing that could differ here: ranges of numbers, models of switches, names of sets."""

UNSUPPORTED_KINDS = frozenset(
    {"External", "ExternalAttachment", "ExternalPeering", "RemotePeering", "VPCInterconnect", "DHCPSubnet"}
    | {"Gateway", "GatewayGroup", "GatewayPeering", "VPCInfo"}
)
"""Kinds that ask for what closet does not do."""


def unsupported(spec: Spec, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Place and value of whatever says something that closet has no word for."""
    for key, value in (spec.model_extra or {}).items():
        if key not in spec.MEANINGLESS and not _says_nothing(value):
            yield (*at, key), value
    for name, field in type(spec).model_fields.items():
        yield from _inside(getattr(spec, name), (*at, field.alias or name))


def _inside(value: Any, at: Place) -> Iterator[tuple[Place, Any]]:
    if isinstance(value, Spec):
        yield from unsupported(value, at)
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from _inside(item, (*at, i))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _inside(item, (*at, key))


def _says_nothing(value: Any) -> bool:
    """Whether a value is Kubernetes' way to say nothing: empty, zero or false, or keys with such.

    A key with an empty mapping does say something: `hostBGPExtraPrefixes: {10.9.0.0/24: {}}`.
    """
    if isinstance(value, dict):
        return all(v != {} and _says_nothing(v) for v in value.values())
    return not value
