"""The text of an endpoints file -> the endpoints, or what is wrong with it.

It is a list with the entries that `endpoints` of a version in a service file has, or a mapping with that list under
the key `endpoints`, in YAML or JSON. Messages give the line and the rule,
never the text: whoever names a file in a service file need not be allowed to read it.
"""

from controller.core.model.service import Endpoint
from controller.core.servicefile.field_rules import read_endpoint
from controller.core.servicefile.section import Section
from controller.core.servicefile.version_section import MAX_ENDPOINTS, read_weighted_endpoint
from controller.core.servicefile.violation_report import ViolationReport
from controller.core.servicefile.yaml_tree import KeyedNode, MappingNode, SequenceNode, read_tree

EXAMPLE = 'endpoints: ["10.0.0.1:9001"]'


def read_endpoints(text: str) -> tuple[Endpoint, ...]:
    """The endpoints. ValueError says what is wrong.

    A text that ends within a line is half written, unless it ends with the bracket of a whole list. Host names are
    refused: proxies would have to resolve them.
    """
    if not text.strip():
        raise ValueError(f"the file is empty: no endpoints are written `endpoints: []`, some {EXAMPLE}")
    if not text.endswith(("\n", "]", "}")):
        raise ValueError("the file ends within a line: it is half written")
    root, malformed = read_tree(text)
    if malformed:
        raise ValueError(f"line {malformed[0].line}: this is not YAML, or more than a list needs")
    if isinstance(root, SequenceNode):
        root = MappingNode({"endpoints": KeyedNode(root, root.line)}, root.line)
    if not isinstance(root, MappingNode):
        raise ValueError(f"the file is no list of endpoints, such as {EXAMPLE}")
    report = ViolationReport([])
    section = Section(report, "", root)
    section.require("endpoints")
    found = section.values_or_sections("endpoints", read_endpoint, read_weighted_endpoint, MAX_ENDPOINTS)
    section.close()
    for violation in report.in_order():
        wrong = f"{violation.field} is" if violation.field.startswith("endpoints") else "a key other than endpoints is"
        raise ValueError(f"line {violation.line}: {wrong} not as in a service file")
    for number, endpoint in enumerate(found):
        if not endpoint.is_address:
            raise ValueError(f"endpoints[{number}] is a host name: an IP address is needed")
    if len({str(endpoint) for endpoint in found}) < len(found):
        raise ValueError("an endpoint is listed twice")
    return found
