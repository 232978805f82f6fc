"""A small XML reader for the files of Bonsai: workflows and `Bonsai.config`.

`xml.etree` drops the prefixes that `xsi:type` and the assemblies of a workflow depend on, and
expands entities. This one keeps the first, refuses the second (so does Bonsai: the .NET reader
prohibits a DTD), and knows the line of every element.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

from ...errors import EngineError

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_MAX_DEPTH = 500


class XmlError(EngineError):
    """The file is not XML that Bonsai could read.

    Attributes:
        line: 1-based.
        column: 1-based.
        reason: what the parser said.
    """

    default_code = "bonsai-xml-broken"

    def __init__(self, name: str, reason: str, line: int, column: int) -> None:
        self.line, self.column, self.reason = line, column, reason
        super().__init__(
            f"{name} is not readable XML: {reason} (line {line}, column {column}).",
            where=f"{name}:{line}:{column}",
            fix="Open and save it again with the Bonsai editor, or restore it from the repository.",
        )


class Element:
    """One element: local name, attributes (local names), children, text and its `xsi:type`.

    Attributes:
        kind: (namespace, local name) that its `xsi:type` stands for, None when it has none.
        line: line of its start tag.
    """

    __slots__ = ("attributes", "children", "kind", "line", "name", "text")

    def __init__(
        self, name: str, attributes: dict[str, str], kind: tuple[str, str] | None, line: int
    ) -> None:
        self.name = name
        self.attributes = attributes
        self.kind = kind
        self.line = line
        self.children: list[Element] = []
        self.text = ""

    def child(self, name: str) -> Element | None:
        """The first child of this local name, in any namespace."""
        return next((child for child in self.children if child.name == name), None)

    def every(self, *names: str) -> Iterator[Element]:
        """All elements that a path of local names leads to."""
        first, *rest = names
        for child in self.children:
            if child.name == first:
                if rest:
                    yield from child.every(*rest)
                else:
                    yield child


class XmlDocument:
    """A parsed document.

    Attributes:
        root: its outermost element.
        namespaces: every namespace declared anywhere in it, in order, each once.
    """

    def __init__(self, root: Element, namespaces: tuple[str, ...]) -> None:
        self.root = root
        self.namespaces = namespaces


class _Builder:
    def __init__(self, name: str) -> None:
        self._name = name
        self._parser = parser = expat.ParserCreate(namespace_separator="\n")
        parser.buffer_text = True
        parser.buffer_size = 1 << 20
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartNamespaceDeclHandler = self._declare
        parser.EndNamespaceDeclHandler = self._undeclare
        parser.StartDoctypeDeclHandler = self._refuse_dtd
        self._open: list[Element] = []
        self._scopes: dict[str, list[str]] = {}
        self._namespaces: dict[str, None] = {}
        self._root: Element | None = None

    def parse(self, data: bytes) -> XmlDocument:
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise XmlError(self._name, reason, error.lineno, error.offset + 1) from error
        except (LookupError, ValueError) as error:  # an encoding that Python or expat cannot read
            raise self._error(str(error)) from error
        if self._root is None:
            raise self._error("no element found")
        return XmlDocument(self._root, tuple(self._namespaces))

    def _error(self, reason: str) -> XmlError:
        return XmlError(
            self._name,
            reason,
            self._parser.CurrentLineNumber,
            self._parser.CurrentColumnNumber + 1,
        )

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        self._scopes.setdefault(prefix or "", []).append(uri or "")
        if uri:
            self._namespaces[uri] = None

    def _undeclare(self, prefix: str | None) -> None:
        self._scopes[prefix or ""].pop()

    def _start(self, tag: str, raw: dict[str, str]) -> None:
        if len(self._open) >= _MAX_DEPTH:
            raise self._error(f"elements are nested more than {_MAX_DEPTH} levels deep")
        attributes = {name.rpartition("\n")[2]: value for name, value in raw.items()}
        kind = self._resolve(raw.get(f"{_XSI}\ntype"))
        name = tag.rpartition("\n")[2]
        element = Element(name, attributes, kind, self._parser.CurrentLineNumber)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _resolve(self, qualified: str | None) -> tuple[str, str] | None:
        if qualified is None:
            return None
        prefix, _, local = qualified.strip().rpartition(":")
        scope = self._scopes.get(prefix)
        return (scope[-1] if scope else "", local)

    def _end(self, _tag: str) -> None:
        self._open.pop()

    def _characters(self, text: str) -> None:
        self._open[-1].text += text

    def _refuse_dtd(self, *_: object) -> None:
        raise self._error("a document type declaration (DTD) is not allowed")


def parse_xml(data: bytes, name: str) -> XmlDocument:
    """Read a whole XML document; a byte-order mark is accepted.

    Args:
        data: the bytes of the file.
        name: what to call it in an error.

    Raises:
        XmlError: it is not well-formed, declares a DTD, or is nested absurdly deep.
    """
    return _Builder(name).parse(data)
