"""XML elements kept as they came, so that they can stand anywhere else (RFC 4918 section 4.3).

Rules kept here: names, prefixes, attributes, text and the language in scope stay; every namespace that is used is declared in the
element itself; comments and processing instructions are dropped.
"""

from typing import Final

SEPARATOR: Final = "\x01"
"""Between the parts of a name; it stands in no XML."""

_XML: Final = "http://www.w3.org/XML/1998/namespace"
_MOST_PLAIN: Final = 256
_LANGUAGE: Final = SEPARATOR.join((_XML, "lang", "xml"))


def escape_text(text: str) -> str:
    """Character data, of characters that XML can hold."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def escape_attribute(text: str) -> str:
    """The value of an attribute, between double quotes."""
    return escape_text(text).replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;")


class Recorder:
    """Writes down the elements that begin at `depth` (1 is the root).

    Names come as namespace, local name and prefix with SEPARATOR between them.
    """

    def __init__(self, depth: int) -> None:
        self.size = 0
        """Of everything written until now, in characters."""
        self._depth = depth
        self._level = 0
        self._pieces: list[str] = []
        self._tags: list[str] = []
        self._scopes: list[dict[str, str]] = []
        self._languages = [""]
        self._new: list[tuple[str, str]] = []
        self._plain: dict[str, tuple[str, str, dict[str, str]]] = {}

    def declare(self, prefix: str | None, namespace: str | None) -> None:
        """A declaration of the element that begins next."""
        self._new.append((prefix or "", namespace or ""))

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self._level += 1
        language = attributes.get(_LANGUAGE, self._languages[-1])
        self._languages.append(language)
        new, self._new = self._new, []
        if self._level < self._depth:
            return
        if self._level == self._depth:
            self._pieces, self._scopes = [], [{}]
            if not language and not attributes and not new:
                self._begin(self._plain.get(name) or self._plainly(name))
                return
            if language:
                attributes = {**attributes, _LANGUAGE: language}
        scope = dict(self._scopes[-1])
        declared: dict[str, str] = {}
        for prefix, namespace in new:
            _declare(scope, declared, prefix, namespace)
        tag = _qualified(name, scope, declared)
        written = [
            f' {_qualified(key, scope, declared, is_attribute=True)}="{escape_attribute(value)}"'
            for key, value in attributes.items()
        ]
        self._begin((tag, f"<{tag}{_declarations(declared)}{''.join(written)}>", scope))

    def _plainly(self, name: str) -> tuple[str, str, dict[str, str]]:
        """How an element begins that is kept, and has no attributes: most have few names, again and again."""
        if len(self._plain) >= _MOST_PLAIN:
            self._plain.clear()
        scope: dict[str, str] = {}
        declared: dict[str, str] = {}
        tag = _qualified(name, scope, declared)
        found = self._plain[name] = (tag, f"<{tag}{_declarations(declared)}>", scope)
        return found

    def _begin(self, begun: tuple[str, str, dict[str, str]]) -> None:
        """Note the tag, what is written of it, and the prefixes in scope, which nobody changes any more."""
        tag, written, scope = begun
        self._scopes.append(scope)
        self._tags.append(tag)
        self._write(written)

    def characters(self, text: str) -> None:
        """Text."""
        if self._level >= self._depth:
            self._write(escape_text(text))

    def end(self) -> str:
        """The element ends; gives all of it, where it is one that is kept."""
        self._level -= 1
        self._languages.pop()
        if self._level < self._depth - 1:
            return ""
        self._scopes.pop()
        self._write(f"</{self._tags.pop()}>")
        return "".join(self._pieces) if self._level == self._depth - 1 else ""

    def _write(self, piece: str) -> None:
        self.size += len(piece)
        self._pieces.append(piece)


def _declarations(declared: dict[str, str]) -> str:
    return "".join(f' xmlns{":" if at else ""}{at}="{escape_attribute(uri)}"' for at, uri in declared.items())


def _declare(scope: dict[str, str], declared: dict[str, str], prefix: str, namespace: str) -> None:
    if prefix != "xml" and scope.get(prefix, "") != namespace:
        scope[prefix] = declared[prefix] = namespace


def _qualified(name: str, scope: dict[str, str], declared: dict[str, str], *, is_attribute: bool = False) -> str:
    namespace, local, prefix = parts_of(name)
    if namespace or not is_attribute:  # an attribute without a prefix is in no namespace, whatever the default is
        _declare(scope, declared, prefix, namespace)
    return f"{prefix}:{local}" if prefix else local


def parts_of(name: str) -> tuple[str, str, str]:
    """Namespace, local name and prefix of a name as the parser gives it."""
    parts = name.split(SEPARATOR)
    if len(parts) == 1:
        return "", parts[0], ""
    return parts[0], parts[1], parts[2] if len(parts) > 2 else ""
