"""Steps that read: gets, lists in pages, watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from differential.step import WATCH, Continue, Revision

if TYPE_CHECKING:
    from differential.kinds import Kind
    from differential.scene import Scene

    Value = dict[str, Any]

__all__ = ["get", "list_", "next_page", "watch"]

_PARTIAL: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_PARTIAL_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_TABLE: Final = "application/json;as=Table;g=meta.k8s.io;v=v1"
_ODD: Final = ("application/odd", "*/*", "application/json;as=Odd;g=meta.k8s.io;v=v1", f"{_TABLE},application/json")
_LABELS: Final = (
    "app=x",
    "app==x",
    "app!=x",
    "tier",
    "!tier",
    "app in (x,y)",
    "app notin (x)",
    "app=x,tier=t",
    "app in (",
    "app=bad value!",
    "a>1",
    ",",
)


def get(scene: Scene) -> Value:
    """Return a GET of one object."""
    kind = scene.kind()
    name = scene.old_name(kind)
    collection = kind.collection(scene.namespace)
    path = f"{collection}/{name}"
    query: Value = {}
    if scene.chance(0.2):
        query["resourceVersion"] = scene.random.choice(("0", Revision(path), Revision(path, back=1), "garbage"))
    if kind.status is not None and scene.chance(0.15):
        path += "/status"
    return {
        "method": "GET",
        "path": path,
        "collection": collection,
        "name": name,
        "query": query,
        "accept": _accept(scene, (_PARTIAL, _TABLE)),
    }


def _accept(scene: Scene, special: tuple[str, ...]) -> str:
    if scene.chance(0.02):
        return scene.random.choice(_ODD)
    return scene.random.choice(special) if scene.chance(0.25) else "application/json"


def _place(scene: Scene, kind: Kind) -> tuple[str, Value]:
    """Return the path of a list or a watch, and a query that holds it in the sequence's namespace."""
    if scene.chance(0.1):
        return kind.collection(""), {"fieldSelector": f"metadata.namespace={scene.namespace}"}
    return kind.collection(scene.namespace), {}


def _selectors(scene: Scene, kind: Kind, query: Value) -> None:
    if scene.chance(0.3):
        query["labelSelector"] = scene.random.choice(_LABELS)
    if scene.chance(0.15):
        fields = ("metadata.name=a", "metadata.name!=a", "spec.odd=1", "metadata.name", "=", *kind.field_selectors)
        fields += kind.field_selectors * 2
        chosen = scene.random.choice(fields)
        query["fieldSelector"] = ",".join(filter(None, (query.get("fieldSelector"), chosen)))


def _any_revision(scene: Scene, path: str, kind: Kind) -> Revision:
    """Return a resourceVersion that was seen: of a list, or of an object."""
    back = scene.random.choice((0, 0, 1, 2, 4))
    if scene.chance(0.5):
        return Revision(path, back)
    plus = scene.random.choice((0, 0, 0, -1))
    return Revision(f"{kind.collection(scene.namespace)}/{scene.old_name(kind)}", back, plus)


def list_(scene: Scene) -> Value:
    """Return a list, of any resourceVersion form, maybe the first page."""
    kind = scene.kind()
    path, query = _place(scene, kind)
    if not query and scene.chance(0.35):  # the pages of all namespaces, of which one is selected, repeat themselves
        query["limit"] = scene.random.choice(("1", "2", "2", "500", "0", "-1" if scene.chance(0.1) else "1"))
    _selectors(scene, kind, query)
    if scene.chance(0.4):
        query["resourceVersion"] = scene.random.choice(
            ("0", "0", "1", "garbage" if scene.chance(0.3) else "0", *[_any_revision(scene, path, kind)] * 6)
        )
        if scene.chance(0.7):
            forms = ("Exact", "Exact", "NotOlderThan", "NotOlderThan", "Odd" if scene.chance(0.1) else "Exact")
            query["resourceVersionMatch"] = scene.random.choice(forms)
    elif scene.chance(0.02):
        query["resourceVersionMatch"] = scene.random.choice(("Exact", "NotOlderThan"))
    return {
        "method": "GET",
        "path": path,
        "collection": path,
        "query": query,
        "accept": _accept(scene, (_PARTIAL_LIST, _TABLE)),
    }


def next_page(scene: Scene) -> Value:
    """Return the next page of the last list, after whatever has happened since."""
    kind = scene.kind()
    path = kind.collection(scene.namespace)
    query: Value = {"continue": Continue(path), "limit": scene.random.choice(("1", "2", "500"))}
    if scene.chance(0.05):
        query["continue"] = "garbage"
    if scene.chance(0.05):
        query["resourceVersion"] = scene.random.choice(("0", "1", Revision(path)))
    return {"method": "GET", "path": path, "collection": path, "query": query, "accept": _accept(scene, (_TABLE,))}


def watch(scene: Scene) -> Value:
    """Return a watch, from any kind of revision."""
    kind = scene.kind()
    path, query = _place(scene, kind)
    _selectors(scene, kind, query)
    if scene.chance(0.75):
        query["resourceVersion"] = scene.random.choice(
            ("0", "1", "garbage" if scene.chance(0.2) else "0", *[_any_revision(scene, path, kind)] * 6)
        )
    if scene.chance(0.25):
        query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
        if scene.chance(0.3):
            del query[scene.random.choice(("resourceVersionMatch", "allowWatchBookmarks"))]
        elif scene.chance(0.1):
            query["sendInitialEvents"] = scene.random.choice(("false", "odd"))
    elif scene.chance(0.2):
        query["allowWatchBookmarks"] = "true"
    elif scene.chance(0.03):
        query["resourceVersionMatch"] = "NotOlderThan"
    if scene.chance(0.05):
        query["timeoutSeconds"] = "1"
    return {
        "method": WATCH,
        "path": path,
        "collection": path,
        "query": query,
        "accept": _accept(scene, (_PARTIAL, _TABLE)),
    }
