"""Hedgehog's objects for tests, in few words."""

from __future__ import annotations


def document(kind: str, name: str, /, **spec) -> dict:
    group = "wiring" if kind in {"Switch", "Server", "Connection", "VLANNamespace"} else "vpc"
    version = f"{group}.githedgehog.com/v1beta1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def fabric_link(name: str, spine: str, leaf: str) -> dict:
    return document("Connection", name, fabric={"links": [{"spine": {"port": spine}, "leaf": {"port": leaf}}]})


def server_link(name: str, server: str, leaf: str, **more) -> dict:
    link = {"server": {"port": server}, "switch": {"port": leaf}}
    return document("Connection", name, unbundled={"link": link, **more})


def vpc(name: str, **spec) -> dict:
    return document("VPC", name, mode="l3vni", **spec)


def attach(name: str, subnet: str, connection: str) -> dict:
    return document("VPCAttachment", name, subnet=subnet, connection=connection)


BASE = [
    document("Switch", "s1", role="spine"),
    document("Switch", "l1", role="server-leaf"),
    document("Switch", "l2", role="server-leaf"),
    *(document("Server", f"h{i}") for i in range(1, 5)),
    fabric_link("s1-l1", "s1/E1/1", "l1/E1/49"),
    fabric_link("s1-l2", "s1/E1/2", "l2/E1/49"),
    server_link("h1-l1", "h1/p1", "l1/E1/1"),
    server_link("h1-l2", "h1/p2", "l2/E1/1"),
    *(server_link(f"h{i}-l1", f"h{i}/p1", f"l1/E1/{i}") for i in range(2, 5)),
]
NET = {"subnets": {"default": {"subnet": "10.0.1.0/24"}}}
