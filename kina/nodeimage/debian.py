"""
Root file systems of Debian's packages, from the mirrors that the host uses.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from kina.calls import Call
from kina.errors import UnavailableError
from kina.nodeimage.commands import Log, needed, run

__all__ = ["SUITE", "Sources", "architecture", "bootstrap"]

SUITE = "bookworm"
"""Debian's last release with all of Kubernetes' source."""

# What of the host's apt configuration says how to reach mirrors, or how old an index may be.
_TAKEN = re.compile(r"Acquire::(Check-|https?::|Retries|Queue-|ForceIPv)")

# Nobody reads these in a node.
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


@attrs.frozen
class Sources:
    """
    Where Debian's packages come from.

    Attributes:
        entries: In the form of sources.list(5), one line each, without the type.
        options: Of apt's configuration.
    """

    entries: tuple[str, ...]
    options: tuple[str, ...] = ()

    @classmethod
    def of_host(cls, root: Path = Path("/"), suite: str = SUITE) -> Sources:
        """
        Take the host's mirrors, for another release if need be.

        Raises:
            UnavailableError: The host has no sources of Debian's.
        """
        codename = _codename(root)
        entries: list[str] = []
        for path in sorted((root / "etc/apt").rglob("*")):
            if path.suffix == ".sources":
                entries += _deb822(path.read_text())
            elif path.suffix == ".list":
                entries += _one_line(path.read_text())
        wanted = []
        for entry in entries:
            options, uri, named, components = _parts(entry)
            base, _, rest = named.partition("-")
            if base != codename or rest not in ("", "updates", "security"):
                continue
            if not re.search(r"/debian(-security)?/?$", uri):
                continue  # another vendor's packages for this release
            other = f"{suite}-{rest}" if rest else suite
            if "main" in components:
                wanted.append(" ".join(filter(None, [options, uri, other, "main"])))
        if not any(_parts(entry)[2] == suite for entry in wanted):
            raise UnavailableError(
                "no sources of Debian's are configured in /etc/apt",
                hint="a Debian mirror in /etc/apt/sources.list.d is where packages come from",
            )
        return cls(tuple(dict.fromkeys(wanted)), _apt_options() if root == Path("/") else ())

    @property
    def suites(self) -> tuple[str, ...]:
        """
        What is taken, whichever mirror it comes from.
        """
        return tuple(sorted({_parts(entry)[2] for entry in self.entries}))

    def lines(self, types: Sequence[str] = ("deb",)) -> str:
        """
        Write a sources.list.
        """
        return "".join(f"{kind} {entry}\n" for entry in self.entries for kind in types)


def architecture() -> str:
    """
    Return the host's architecture as Debian calls it.
    """
    command = [needed("dpkg", "dpkg"), "--print-architecture"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def bootstrap(
    target: Path,
    packages: Iterable[str],
    sources: Sources,
    log: Log,
    call: Call,
    *,
    source_packages: Iterable[str] = (),
    slim: bool = True,
) -> None:
    """
    Make a root file system.

    Args:
        target: A directory that is not there yet.
        packages: What is installed beside what every system has.
        sources: Where from.
        log: Where the output goes.
        call: Bounds it.
        source_packages: Whose source is put, as archives, into /source.
        slim: Whether documentation is left out.
    """
    mmdebstrap = needed("mmdebstrap", "mmdebstrap")
    downloads = tuple(source_packages)
    listed = target.with_name("sources.list")
    listed.write_text(sources.lines(("deb", "deb-src") if downloads else ("deb",)))
    options = ['Apt::Install-Recommends "false"', 'Acquire::Languages "none"', *sources.options]
    command = [mmdebstrap, "--mode=root", "--variant=minbase", "--format=directory"]
    command += [f"--aptopt={option}" for option in options]
    if slim:
        command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    command.append(f"--include={','.join(packages)}")
    if downloads:
        fetch = f"cd /source && apt-get source --download-only {' '.join(downloads)}"
        command += ['--customize-hook=mkdir "$1/source"']
        command += [f"--customize-hook=chroot \"$1\" sh -c '{fetch}'"]
    # Which mirror it was is the host's business.
    command += ['--customize-hook=rm -f "$1/etc/apt/sources.list"', SUITE, str(target)]
    run([*command, str(listed)], log, call)
    listed.unlink()


def _codename(root: Path) -> str:
    release = root / "etc/os-release"
    found = re.search(r"^VERSION_CODENAME=\"?(\w+)", release.read_text(), re.MULTILINE)
    return found[1] if found else SUITE


def _deb822(text: str) -> list[str]:
    entries = []
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        folded = re.sub(r"\n\s+", " ", "\n".join(lines))
        fields = {
            name.strip().lower(): value.split()
            for name, found, value in (line.partition(":") for line in folded.splitlines())
            if found
        }
        if "deb" not in fields.get("types", ()) or fields.get("enabled") == ["no"]:
            continue
        key = fields.get("signed-by", [])
        options = f"[signed-by={','.join(key)}]" if key and key[0].startswith("/") else ""
        entries += [
            " ".join(filter(None, [options, uri, suite, *fields.get("components", ())]))
            for uri in fields.get("uris", ())
            for suite in fields.get("suites", ())
        ]
    return entries


def _one_line(text: str) -> list[str]:
    found = re.findall(r"^deb\s+(.*?)\s*(?:#.*)?$", text, re.MULTILINE)
    return [" ".join(entry.split()) for entry in found]


def _parts(entry: str) -> tuple[str, str, str, list[str]]:
    options, rest = "", entry
    if entry.startswith("["):
        options, _, rest = entry.partition("]")
        options += "]"
    uri, suite, *components = [*rest.split(), "", ""][: max(2, len(rest.split()))]
    return options, uri, suite, components


def _apt_options() -> tuple[str, ...]:
    command = [needed("apt-config", "apt"), "dump"]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    options = []
    for line in dump.splitlines():
        name, _, value = line.rstrip(";").partition(" ")
        if _TAKEN.match(name) and value not in ('""', ""):
            options.append(f"{name} {value}")
    return tuple(options)
