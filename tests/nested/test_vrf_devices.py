"""Tenants on kernel VRF devices: a fabric of the oci runtime inside a microVM, whose kernel has them.

    pytest tests/nested

takes about eight minutes on two cores without KVM that have other work, too, and needs what `closet doctor --install`
installs.
"""

from __future__ import annotations

import json

from tests.machine import run

INTENT = """name: vrf
spines: 1
leaves: 2
hosts: {per_leaf: 3}
tenants:
  red: {hosts: ["h?-1"], prefix: 10.64.0.0/16}
  blue: {hosts: ["h?-2"], prefix: 10.64.0.0/16}
  services: {hosts: ["h1-3"], prefix: 10.96.0.0/24}
peerings:
  - {between: [red, services]}
"""
OTHER = INTENT.replace('  blue: {hosts: ["h?-2"]', "  gold: {hosts: [h1-2, h2-3]").replace("[red, ", "[gold, ")
"""Blue goes; gold takes a host of its, one of the underlay, and the peering of red."""
SCRIPT = f"""
cat >/intent.yaml <<'END'
{INTENT}END
cat >/other.yaml <<'END'
{OTHER}END
step() {{
  echo "== $1"
  shift
  "$@" 2>/err || echo "returned $?: $(cat /err)"
}}
step up python3 -m closet up /intent.yaml --runtime oci --json
step devices python3 -m closet exec leaf1 -- ip -j link show type vrf
step apply python3 -m closet apply /other.yaml --json
step "devices again" python3 -m closet exec leaf1 -- ip -j link show type vrf
echo "== end"
"""


def test_tenants_on_vrf_devices():
    """Every check passes, and the VRFs of a leaf are devices; so it is when tenants come and go."""
    out = run(SCRIPT, 1200.0).out
    said = dict(part.split("\n", 1) for part in out.split("== ")[1:-1])
    assert "returned" not in out, out[-3000:]
    for command, devices, vrfs in (
        ("up", "devices", {"red", "blue", "services"}),
        ("apply", "devices again", {"red", "gold", "services"}),
    ):
        results = {r["check"]: r for r in json.loads(said[command])["results"]}
        assert [f for r in results.values() for f in [*r["findings"], *filter(None, [r["error"]])]] == []
        assert results["matrix"]["claims"] > 0
        assert {link["ifname"] for link in json.loads(said[devices])} == vrfs
