"""Reads a .bonsai file: what can be set from outside, what it needs, what it writes.

The file is XML that the Bonsai editor saves; it does not name the types of values. Rules of names
and targets follow Bonsai's `ExpressionBuilderGraph`: `-p` sets the properties of top-level
`ExternalizedMapping` nodes (and of the older `ExternalizedProperty`), and `Group.Property` walks
into named nested workflows. What is unknown in a file is passed over: labs have their own nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import NamedTuple

from ...structs import msgspec
from .values import Hint, hint_of
from .xmltree import Element, XmlDocument, XmlError, parse_xml

Address = tuple[int, ...]

_EXACT_HINTS = {
    "IntProperty": Hint.INT,
    "DoubleProperty": Hint.DOUBLE,
    "StringProperty": Hint.TEXT,
    "BooleanProperty": Hint.BOOL,
    "TimeSpanProperty": Hint.TIMESPAN,
}
_FILE_MEMBERS = ("FileName", "Path")
_SUBJECT_USERS = ("SubscribeSubject", "MulticastSubject")


class Target(NamedTuple):
    """One place in the workflow that a settable property sets.

    Attributes:
        address: 0-based node numbers that lead to the node, from the top level into groups.
        type: name of the node's type, such as `Bonsai.Reactive.Timer`.
        member: the node's own name of the property.
        value: its value in the file; None when the file holds none.
    """

    address: Address
    type: str
    member: str
    value: str | None


class Property(NamedTuple):
    """What `-p:Name=Value` may set.

    Attributes:
        name: case-sensitive; `Group.Name` for one of a named nested workflow.
        member: the name of the property inside the nodes it sets.
        targets: what it sets; empty when its node has no edges, and then setting it crashes.
        hint: the type it seems to have.
        duplicated: the workflow gives the name twice, so Bonsai will not build it.
        line: where it stands in the file.
    """

    name: str
    member: str
    targets: tuple[Target, ...]
    hint: Hint
    duplicated: bool
    line: int

    @property
    def value(self) -> str | None:
        """The current value in the file."""
        return next((t.value for t in self.targets if t.value is not None), None)

    @property
    def settable(self) -> bool:
        """Whether Bonsai can set it."""
        return bool(self.targets) and not self.duplicated


class Include(NamedTuple):
    """A workflow that this one includes.

    Attributes:
        path: as written, without the assembly; a file is relative to the working directory.
        assembly: the assembly it is embedded in; empty when it is a file.
        line: where it stands in the file.
    """

    path: str
    assembly: str
    line: int


class Sink(NamedTuple):
    """A node that writes a file.

    Attributes:
        address: see `Target`.
        type: name of the node's type, such as `Bonsai.IO.CsvWriter`.
        member: the property that holds the file's name.
        path: the file's name in the workflow; empty when it has none.
        overwrite: an existing file is replaced.
        append: an existing file is added to.
        suffix: `None`, `FileCount` or `Timestamp`; the last two make new names.
        computed: the workflow itself sets the name while it runs.
    """

    address: Address
    type: str
    member: str
    path: str
    overwrite: bool
    append: bool
    suffix: str
    computed: bool

    def with_values(self, assigned: Mapping[tuple[Address, str], str]) -> Sink:
        """This sink after properties were set; see `Workflow.assign`."""

        def text(member: str, stored: str) -> str:
            return assigned.get((self.address, member), stored)

        return self._replace(
            path=text(self.member, self.path),
            overwrite=text("Overwrite", str(self.overwrite)).strip().lower() == "true",
            append=text("Append", str(self.append)).strip().lower() == "true",
            suffix=text("Suffix", self.suffix),
        )


class NodeType(NamedTuple):
    """A .NET type that the workflow uses, with the assembly that defines it."""

    name: str
    assembly: str


class Workflow(msgspec.Struct, frozen=True, dict=True):
    """What a .bonsai file says.

    Attributes:
        version: of Bonsai.Core when the file was last saved, not of the program that runs it.
        properties: everything that `-p` may name, those of nested workflows last.
        includes: other workflows it includes, in order.
        assemblies: assemblies it needs, without those of .NET itself.
        types: types of active nodes, without Bonsai's built-in ones.
        sinks: nodes that write files, in groups too.
        undeclared_subjects: subjects that are used but declared nowhere in this file; with
            `includes` they may be declared there.
    """

    version: str
    properties: tuple[Property, ...]
    includes: tuple[Include, ...]
    assemblies: tuple[str, ...]
    types: tuple[NodeType, ...]
    sinks: tuple[Sink, ...]
    undeclared_subjects: tuple[str, ...]

    @cached_property
    def by_name(self) -> dict[str, Property]:
        """The properties by their names."""
        return {found.name: found for found in reversed(self.properties)}

    def assign(self, values: Mapping[str, str]) -> dict[tuple[Address, str], str]:
        """The members that setting properties (text by name) sets, by node and member."""
        return {
            (target.address, target.member): text
            for name, text in values.items()
            if name in self.by_name
            for target in self.by_name[name].targets
        }

    @property
    def duplicate_names(self) -> tuple[str, ...]:
        """Names that are given twice; Bonsai refuses to build such a workflow."""
        return tuple(dict.fromkeys(p.name for p in self.properties if p.duplicated))


@lru_cache(maxsize=32)  # it is read to plan a session, to check it, and in a folder of files
def read_workflow(data: bytes, name: str = "The workflow") -> Workflow:
    """Read a .bonsai file.

    Args:
        data: its bytes.
        name: what to call it in an error.

    Raises:
        XmlError: an `EngineError` with line and column: it is not XML, or no workflow.
    """
    document = parse_xml(data, name)
    root = document.root
    if root.name != "WorkflowBuilder":
        raise XmlError(
            name,
            f"<{root.name}> was not expected; a workflow starts with <WorkflowBuilder>",
            root.line,
            1,
        )
    active = list(_elements(root, disabled=False))
    includes = tuple(_includes(root))
    top = _Level(root, ())
    return Workflow(
        version=root.attributes.get("Version", ""),
        properties=tuple(_mark_duplicates(list(top.properties()))),
        includes=includes,
        assemblies=_assemblies(document, includes),
        types=tuple(dict.fromkeys(_node_types(active))),
        sinks=tuple(top.sinks(top.computed())),
        undeclared_subjects=_undeclared_subjects(active),
    )


class _Level:
    """The nodes and edges of one workflow: the top level or a nested one."""

    def __init__(self, owner: Element, address: Address) -> None:
        self.address = address
        self.nodes = [node for nodes in owner.every("Workflow", "Nodes") for node in nodes.children]
        numbers = {str(number): number for number in range(len(self.nodes))}
        self._following: dict[int, list[int]] = {}
        for edge in owner.every("Workflow", "Edges", "Edge"):
            start, end = (numbers.get(edge.attributes.get(side, "")) for side in ("From", "To"))
            if start is not None and end is not None:
                self._following.setdefault(start, []).append(end)
        self._known: dict[tuple[int, str], tuple[Target, ...]] = {}
        self.nested = {
            number: _Level(node, (*address, number))
            for number, node in enumerate(self.nodes)
            if node.child("Workflow")
        }

    def properties(self, prefix: str = "") -> Iterator[Property]:
        for number, node in enumerate(self.nodes):
            for member, name in _externalized(node):
                targets = self._targets_of_mapping(number, member)
                yield Property(
                    prefix + name, member, targets, self._hint(targets), False, node.line
                )
        for number, level in self.nested.items():
            group = _text(self.nodes[number].child("Name"))
            if group:
                yield from level.properties(f"{prefix}{group}.")

    def computed(self) -> set[tuple[Address, str]]:
        """The members that mappings inside the workflow set while it runs."""
        found = {
            (target.address, target.member)
            for number, node in enumerate(self.nodes)
            if _kind(node) in ("PropertyMapping", "InputMapping")
            for entry in node.every("PropertyMappings", "Property")
            for target in self._targets_of_mapping(number, entry.attributes.get("Name", ""))
        }
        return found.union(*(level.computed() for level in self.nested.values()))

    def sinks(self, computed: set[tuple[Address, str]]) -> Iterator[Sink]:
        for number, node in enumerate(self.nodes):
            if number in self.nested:
                yield from self.nested[number].sinks(computed)
            elif sink := _sink(node, (*self.address, number), computed):
                yield sink

    def _targets_of_mapping(self, number: int, member: str) -> tuple[Target, ...]:
        """What the mapping node `number` sets with `member`, each target once."""
        if (number, member) not in self._known:
            ends = self._following.get(number, ())
            found = (target for end in ends for target in self._targets(end, member))
            self._known[number, member] = tuple(dict.fromkeys(found))
        return self._known[number, member]

    def _targets(self, number: int, member: str) -> Iterator[Target]:
        if number in self.nested:
            inner = self.nested[number]
            for position, node in enumerate(inner.nodes):
                for inner_member, name in _externalized(node):
                    if name == member:
                        yield from inner._targets_of_mapping(position, inner_member)
            return
        node = _unwrap(self.nodes[number])
        value = _value(node, member)
        yield Target((*self.address, number), _type_name(node), member, value)

    @staticmethod
    def _hint(targets: tuple[Target, ...]) -> Hint:
        for target in targets:
            short = target.type.rpartition(".")[2]
            if target.member == "Value" and short in _EXACT_HINTS:
                return _EXACT_HINTS[short]
            if target.value is not None:
                return hint_of(target.value)
        return Hint.UNKNOWN


def _externalized(node: Element) -> Iterator[tuple[str, str]]:
    """(member, name) of each property that a mapping node makes settable."""
    if _kind(node) == "ExternalizedMapping":
        for entry in node.every("Property"):
            member = entry.attributes.get("Name", "")
            name = entry.attributes.get("DisplayName") or member
            if name:
                yield member, name
    elif _kind(node) == "ExternalizedProperty":
        name = _text(node.child("Name"))
        if name:
            yield _text(node.child("MemberName")), name


def _mark_duplicates(properties: list[Property]) -> Iterator[Property]:
    counts = Counter(found.name for found in properties)
    for found in properties:
        yield found._replace(duplicated=True) if counts[found.name] > 1 else found


def _kind(node: Element) -> str:
    return node.kind[1] if node.kind else ""


def _unwrap(node: Element) -> Element:
    """The node inside a `Disable`."""
    return (node.child("Builder") or node) if _kind(node) == "Disable" else node


def _operator(node: Element) -> Element:
    """The element that holds the properties: the operator inside a combinator, else the node."""
    return node.child("Combinator") or node


def _text(element: Element | None) -> str:
    return element.text.strip() if element else ""


def _value(node: Element, member: str) -> str | None:
    element = _operator(node).child(member)
    if element is None or element.attributes.get("nil") == "true" or element.children:
        return None
    return element.text


def _type_name(node: Element) -> str:
    kind = _operator(node).kind or node.kind
    if kind is None:
        return node.name
    namespace, _ = _clr(kind[0])
    return f"{namespace}.{kind[1]}" if namespace else kind[1]


def _clr(uri: str) -> tuple[str, str]:
    """(.NET namespace, assembly) of a `clr-namespace:NS;assembly=A` name; empty ones otherwise."""
    if not uri.startswith("clr-namespace:"):
        return "", ""
    namespace, _, assembly = uri.removeprefix("clr-namespace:").partition(";assembly=")
    return namespace, assembly.partition(",")[0].strip()


def _sink(node: Element, address: Address, computed: set[tuple[Address, str]]) -> Sink | None:
    if _kind(node) == "Disable":
        return None
    operator = _operator(node)
    member = next((name for name in _FILE_MEMBERS if operator.child(name)), None)
    type_name = _type_name(node)
    if member is None or not (operator.child("Overwrite") or type_name.endswith("Writer")):
        return None
    return Sink(
        address=address,
        type=type_name,
        member=member,
        path=_value(node, member) or "",
        overwrite=_text(operator.child("Overwrite")) == "true",
        append=_text(operator.child("Append")) == "true",
        suffix=_text(operator.child("Suffix")) or "None",
        computed=(address, member) in computed,
    )


def _elements(root: Element, *, disabled: bool) -> Iterator[Element]:
    """All elements in the order of the file; those inside a `Disable` only when asked for."""
    pending = [root]
    while pending:
        current = pending.pop()
        if disabled or _kind(current) != "Disable":
            yield current
            pending.extend(reversed(current.children))


def _includes(root: Element) -> Iterator[Include]:
    for element in _elements(root, disabled=True):
        path = element.attributes.get("Path", "")
        if _kind(element) != "IncludeWorkflow" or not path:
            continue
        head, colon, rest = path.partition(":")
        embedded = bool(colon) and len(head) > 1
        yield Include(rest if embedded else path, head if embedded else "", element.line)


def _assemblies(document: XmlDocument, includes: tuple[Include, ...]) -> tuple[str, ...]:
    declared = [_clr(uri)[1] for uri in document.namespaces]
    named = [*declared, *(include.assembly for include in includes)]
    return tuple(dict.fromkeys(name for name in named if name and not _is_framework(name)))


def _is_framework(assembly: str) -> bool:
    return assembly == "mscorlib" or assembly == "System" or assembly.startswith("System.")


def _node_types(elements: list[Element]) -> Iterator[NodeType]:
    for element in elements:
        if element.kind:
            namespace, assembly = _clr(element.kind[0])
            if assembly:
                local = element.kind[1]
                yield NodeType(f"{namespace}.{local}" if namespace else local, assembly)


def _undeclared_subjects(elements: list[Element]) -> tuple[str, ...]:
    used: dict[str, None] = {}
    declared: set[str] = set()
    for element in elements:
        kind, name = _kind(element), _text(element.child("Name"))
        if kind in _SUBJECT_USERS and name:
            used[name] = None
        elif kind.endswith("Subject"):
            declared.add(name)
    return tuple(name for name in used if name not in declared)
