"""
The user's kubeconfig: a cluster's entries are merged into it, and taken out again.

The file is the user's, and other tools write it too. So it is changed as a tree of YAML nodes, in
which each value that is not kina's stays spelled as it was; under the lock that kubectl and kind
take; and by renaming, so that nobody ever sees half of it.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from kina.errors import DeadlineExceededError, InvalidStateError, PermissionDeniedError

if TYPE_CHECKING:
    import yaml

__all__ = ["check", "entry_name", "files", "merge", "remove", "rewrite", "target"]

LOCK_SECONDS: Final = 10.0
_OURS: Final = b"kina\n"
_LISTS: Final = ("clusters", "users", "contexts")


def entry_name(cluster: str) -> str:
    """
    Return what a cluster, its user and its context are called in a kubeconfig.
    """
    return f"kina-{cluster}"


def files(path: str | os.PathLike[str] | None = None) -> list[Path]:
    """
    Return the files that kubectl would read: the one given, else $KUBECONFIG's, else the usual one.
    """
    if path is not None:
        return [Path(path).expanduser().absolute()]
    listed = [item for item in os.environ.get("KUBECONFIG", "").split(os.pathsep) if item]
    if listed:
        return [Path(item).absolute() for item in dict.fromkeys(listed)]
    return [Path("~/.kube/config").expanduser()]


def target(path: str | os.PathLike[str] | None = None) -> Path:
    """
    Return the file that entries go to: the first that exists, else the last, as for kubectl.
    """
    candidates = files(path)
    return next((item for item in candidates if item.exists()), candidates[-1])


def check(path: str | os.PathLike[str] | None = None) -> Path:
    """
    Say which file entries would go to, after seeing that it can be read and understood.

    Raises:
        InvalidStateError: It is broken.
        PermissionDeniedError: It can't be read.
    """
    file = target(path)
    _Document.read(file)
    return file


def rewrite(admin: str, cluster: str, server: str) -> dict[str, Any]:
    """
    Make a cluster's kubeconfig of the one that kubeadm wrote.

    Args:
        admin: /etc/kubernetes/admin.conf.
        cluster: The cluster's name.
        server: The API server's URL, as the host reaches it.
    """
    import yaml

    read = yaml.safe_load(admin)
    name = entry_name(cluster)
    authority = read["clusters"][0]["cluster"]["certificate-authority-data"]
    where = {"server": server, "certificate-authority-data": authority}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": where}],
        "users": [{"name": name, "user": read["users"][0]["user"]}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def merge(
    config: Mapping[str, Any], path: str | os.PathLike[str] | None = None, *, use: bool = True
) -> Path:
    """
    Put a cluster's entries into the user's kubeconfig, replacing those of their names.

    Args:
        config: What `rewrite` made.
        path: The file; what $KUBECONFIG says when None.
        use: Whether its context becomes the current one.

    Returns:
        The file.

    Raises:
        InvalidStateError: The file is broken; it is left as it is.
        PermissionDeniedError: It can't be read or written.
        DeadlineExceededError: Another program holds its lock.
    """
    file = target(path)
    with _locked(file):
        document = _Document.read(file)
        for kind in _LISTS:
            for entry in config[kind]:
                document.put(kind, entry)
        if use:
            document.set("current-context", config["current-context"])
        document.write()
    return file


def remove(cluster: str, path: str | os.PathLike[str] | None = None) -> list[Path]:
    """
    Take a cluster's entries out of every file that has them.

    Args:
        cluster: The cluster's name.
        path: A further file.

    Returns:
        The files that changed.

    Raises:
        InvalidStateError: A file is broken; it is left as it is.
        PermissionDeniedError: A file can't be read or written.
        DeadlineExceededError: Another program holds a file's lock.
    """
    name = entry_name(cluster)
    candidates = dict.fromkeys([*files(), *(files(path) if path is not None else [])])
    changed: list[Path] = []
    for file in candidates:
        # Read without a lock first: most files have nothing of ours, and stay untouched.
        if not file.exists() or name.encode() not in _content(file):
            continue
        with _locked(file):
            document = _Document.read(file)
            gone = [document.drop(kind, name) for kind in _LISTS]
            if document.get("current-context") == name:
                document.set("current-context", "")
            if any(gone):
                document.write()
                changed.append(file)
    return changed


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
    except PermissionError as error:
        raise _refused(file, error) from None
    except OSError as error:
        raise InvalidStateError(f"kubeconfig {os.fspath(file)!r}: {error.strerror}") from None


def _refused(file: Path, error: OSError) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"kubeconfig {os.fspath(file)!r}: {error.strerror}",
        hint="set KUBECONFIG to a file of yours, or pass kubeconfig=False",
    )


class _Document:
    """
    A kubeconfig as YAML nodes.
    """

    def __init__(self, file: Path, root: yaml.MappingNode) -> None:
        self._file, self._root = file, root

    @classmethod
    def read(cls, file: Path) -> _Document:
        """
        Read a file; one that is missing or empty will be made.
        """
        import yaml

        hint = "repair it, set KUBECONFIG to another file, or pass kubeconfig=False"
        try:
            root = yaml.compose(_content(file).decode(), yaml.SafeLoader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InvalidStateError(
                f"kubeconfig {os.fspath(file)!r} is broken, and was left as it is: {error}",
                hint=hint,
            ) from None
        empty = root is None or root.tag == "tag:yaml.org,2002:null"
        if empty:
            root = yaml.MappingNode("tag:yaml.org,2002:map", [], flow_style=False)
        wrong = _wrong(root)
        if wrong is not None:
            raise InvalidStateError(
                f"kubeconfig {os.fspath(file)!r} is broken, and was left as it is: {wrong}",
                hint=hint,
            )
        document = cls(file, cast("yaml.MappingNode", root))
        if empty:
            document.set("apiVersion", "v1")
            document.set("kind", "Config")
        return document

    def _value(self, key: str) -> yaml.Node | None:
        return next((value for name, value in self._root.value if name.value == key), None)

    def get(self, key: str) -> str | None:
        """
        Return a scalar of the top level.
        """
        node = self._value(key)
        return None if node is None else str(node.value)

    def set(self, key: str, value: Any) -> None:
        """
        Set a value of the top level.
        """
        made = _node(value)
        for index, (name, _) in enumerate(self._root.value):
            if name.value == key:
                self._root.value[index] = (name, made)
                return
        self._root.value.append((_node(key), made))

    def put(self, kind: str, entry: Mapping[str, Any]) -> None:
        """
        Set an entry of a list, at the place of the one with its name.
        """
        made = _node(dict(entry))
        node = self._value(kind)
        if node is None or _is_null(node):
            self.set(kind, [])
            node = self._value(kind)
            assert node is not None
        node.flow_style = False  # type: ignore[attr-defined]  # it is a SequenceNode
        for index, item in enumerate(node.value):
            if _named(item) == entry["name"]:
                node.value[index] = made
                return
        node.value.append(made)

    def drop(self, kind: str, name: str) -> bool:
        """
        Take an entry out of a list, and say whether it was there.
        """
        node = self._value(kind)
        if node is None or _is_null(node):
            return False
        kept = [item for item in node.value if _named(item) != name]
        dropped = len(kept) < len(node.value)
        node.value[:] = kept
        return dropped

    def write(self) -> None:
        """
        Write the file at once, for its owner's eyes only.
        """
        import yaml

        text = yaml.serialize(self._root, Dumper=yaml.SafeDumper, allow_unicode=True, width=1 << 20)
        assert isinstance(text, str)
        file = Path(os.path.realpath(self._file))  # a link stays one
        try:
            owner = file.stat() if file.exists() else None
            fd, partial = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
            try:
                with os.fdopen(fd, "w", encoding="utf-8") as out:
                    out.write(text)
                    out.flush()
                    if owner is not None and (owner.st_uid, owner.st_gid) != (
                        os.geteuid(),
                        os.getegid(),
                    ):
                        os.fchown(fd, owner.st_uid, owner.st_gid)
                    os.fsync(fd)
                Path(partial).replace(file)
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
        except PermissionError as error:
            raise _refused(self._file, error) from None


def _node(value: Any) -> yaml.Node:
    import yaml

    out = io.StringIO()
    dumper = yaml.SafeDumper(out, sort_keys=False, default_flow_style=False)
    node: yaml.Node = dumper.represent_data(value)
    return node


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _wrong(root: yaml.Node | None) -> str | None:
    """
    Say why a file is no kubeconfig.
    """
    import yaml

    if not isinstance(root, yaml.MappingNode):
        return "it is not a mapping"
    for name, node in root.value:
        if name.value in _LISTS and not (_is_null(node) or isinstance(node, yaml.SequenceNode)):
            return f"{name.value} is not a list"
    return None


def _named(item: yaml.Node) -> str | None:
    pairs = item.value if isinstance(item.value, list) else []
    found = [pair[1].value for pair in pairs if isinstance(pair, tuple) and pair[0].value == "name"]
    return str(found[0]) if found else None


# -- The lock --------------------------------------------------------------------------------------


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """
    Hold the lock that kubectl and kind take: a file beside the kubeconfig that only one can make.

    Ours is itself locked, with flock, and says that it is ours: so that one whose maker was killed
    is known and taken away.
    """
    lock = Path(f"{file}.lock")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd, made = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.lock.")
    except PermissionError as error:
        raise _refused(file, error) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(fd, _OURS)
        _claim(made, lock)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
    finally:
        Path(made).unlink(missing_ok=True)
        os.close(fd)


def _claim(made: str, lock: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    pause = 0.001
    while True:
        try:
            os.link(made, lock)
        except FileExistsError:
            _take_away_stale(lock)
        else:
            return
        if time.monotonic() > deadline:
            raise DeadlineExceededError(
                f"another program has locked the kubeconfig for {LOCK_SECONDS:.0f} s",
                hint=f"if none runs, remove {os.fspath(lock)!r}",
            )
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _take_away_stale(lock: Path) -> None:
    with suppress(FileNotFoundError):
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.read(fd, len(_OURS)) != _OURS:
                return
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                return
            # Its maker is gone. Whoever came first may have taken it away, and made another.
            if os.fstat(fd).st_ino == lock.stat().st_ino:
                lock.unlink()
        finally:
            os.close(fd)
