"""The parts of an Office file (ECMA-376): XML in a zip file, which name each other by relationships."""

import posixpath
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lxml import etree

from documents.read.raw import Unreadable
from documents.read.strict_office import usual_names
from documents.read.zip_size import check_unpacked_size

RELATIONS = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_RELATION = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_SECOND_WAY = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
"""What older programs show in place of the same in newer elements."""
_PROPERTIES = "docProps/core.xml"


class Parts:
    """An open file; made by `opened`."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def has(self, name: str) -> bool:
        """Whether the file has this part."""
        return name in self._archive.NameToInfo

    def root(self, name: str) -> Any:
        """The XML of a part; nothing that it refers to is read. Raises Unreadable."""
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        try:
            root = etree.fromstring(usual_names(self._archive.read(name)), parser)
        except (KeyError, etree.XMLSyntaxError, zipfile.BadZipFile, NotImplementedError) as error:
            raise Unreadable("it is damaged") from error
        for second in list(root.iter(_SECOND_WAY)):
            second.getparent().remove(second)
        return root

    def related(self, name: str) -> dict[str, tuple[str, str]]:
        """Id -> (kind, name) of the parts that a part names."""
        folder, file = posixpath.split(name)
        relations = f"{folder}/_rels/{file}.rels"
        if not self.has(relations):
            return {}
        return {
            one.get("Id", ""): (
                one.get("Type", "").rpartition("/")[2],
                posixpath.normpath(posixpath.join("/", folder, one.get("Target", "")))[1:],
            )
            for one in self.root(relations).iter(_RELATION)
            if one.get("TargetMode") != "External"
        }

    def title(self) -> str:
        """What the file's properties call it; "" where they don't."""
        if not self.has(_PROPERTIES):
            return ""
        return "".join(self.root(_PROPERTIES).xpath("string(*[local-name()='title'])")).strip()


@contextmanager
def opened(path: Path, main: str, kind: str) -> Iterator[Parts]:
    """The parts of a file that must have the part `main`. Raises Unreadable and OSError."""
    check_unpacked_size(path)
    with zipfile.ZipFile(path) as archive:
        parts = Parts(archive)
        if not parts.has(main):
            raise Unreadable(f"it is damaged or no {kind} file")
        yield parts
