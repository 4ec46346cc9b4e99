"""Results as JSON and as JUnit XML."""

from __future__ import annotations

from dataclasses import asdict
from xml.etree import ElementTree

from closet.suite import Result


def as_data(lab: str, results: list[Result]) -> dict[str, object]:
    """Results as plain data."""
    return {"lab": lab, "passed": all(r.passed for r in results), "results": [asdict(r) for r in results]}


def junit_xml(lab: str, results: list[Result]) -> str:
    """Results as a JUnit XML report: a test case a check; findings are its failure, a failed look its error."""
    suite = ElementTree.Element(
        "testsuite",
        name=f"closet {lab}",
        tests=str(len(results)),
        failures=str(sum(1 for r in results if r.findings)),
        errors=str(sum(1 for r in results if r.error)),
        time=f"{sum(r.seconds for r in results):.3f}",
    )
    for r in results:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"closet.{lab}", name=r.check, time=f"{r.seconds:.3f}"
        )
        if r.findings:
            failure = ElementTree.SubElement(case, "failure", message=f"{len(r.findings)} findings: {r.claim}")
            failure.text = "\n".join(map(str, r.findings))
        if r.error:
            ElementTree.SubElement(case, "error", message=r.error)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)
