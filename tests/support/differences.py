"""
In what an engine differs from the native runtime: the tests that it can't pass, and why.

This is the one place for it. Such a test is run all the same, and one that passes after all fails
here (`xfail_strict`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest

import kina

__all__ = ["mark"]

_NO_UPDATE = "4.3 has no update in Docker's API, and its own forgets it at the next start"

# What an engine refuses: kina says so with UnsupportedError, and a hint.
UNSUPPORTED: Final[Mapping[str, Mapping[str, str]]] = {
    "docker": {
        "test_spec::test_writable_cgroups_can_be_written": "only privileged containers have them",
    },
    "podman": {
        "test_spec::test_writable_cgroups_can_be_written": "only privileged containers have them",
        "test_stats::test_update_changes_limits_of_what_runs_at_once": _NO_UPDATE,
        "test_stats::test_an_updated_cpu_limit_slows_what_runs": _NO_UPDATE,
        "test_stats::test_an_update_holds_after_a_restart": _NO_UPDATE,
        "test_stats::test_an_update_that_cannot_be_changes_nothing": _NO_UPDATE,
    },
}

# What an engine does in its own way.
_RESOLVER = "its resolver is in each container, and asks the others itself"
_NO_MANIFEST = "it keeps no manifests, and so no digests, of what was loaded"
_FILES = "it packs the files of what does not run, and of attributes only security.capability"
_V1_TMPFS = "the tmpfs that holds v1's hierarchies can be written by who has CAP_SYS_ADMIN"
_OOM = "conmon 2.1 leaves word of it in the service's directory, 4.3 looks in the container's"
DIFFERENT: Final[Mapping[str, Mapping[str, str]]] = {
    "docker": {
        "test_networks::test_dns_and_hosts_are_as_told": _RESOLVER,
        "test_networks::test_the_networks_resolver_is_used_by_default": _RESOLVER,
        "test_images::test_an_image_is_made_of_a_directory_with_its_configuration": _NO_MANIFEST,
        "test_images::test_archives_of_other_tools_are_loaded[oci-path]": _NO_MANIFEST,
        "test_images::test_archives_of_other_tools_are_loaded[oci-bytes]": _NO_MANIFEST,
        "test_images::test_archives_of_other_tools_are_loaded[oci-file]": _NO_MANIFEST,
        "test_images::test_archives_of_other_tools_are_loaded[oci-gzip]": _NO_MANIFEST,
        "test_logs::test_bytes_come_back_as_they_were": "its log is JSON, which knows text alone",
        "test_copy::test_extended_attributes_and_large_owners_are_kept[stopped]": _FILES,
        "test_spec::test_cgroups_cannot_be_written": _V1_TMPFS,
    },
    "podman": {
        "test_images::test_progress_tells_layers_and_bytes": "4.3 tells bytes once a second: of "
        "what is there sooner, none",
        "test_spec::test_cgroups_cannot_be_written": _V1_TMPFS,
        "test_spec::test_namespaces_are_its_own_unless_shared": "on cgroup v1 4.3 has no cgroup "
        "namespaces (pkg/specgen, ParseCgroupNamespace)",
        "test_stats::test_the_memory_limit_is_reported_as_out_of_memory": _OOM,
        "test_stats::test_a_short_run_reports_out_of_memory_too": _OOM,
        "test_events::test_events_can_be_filtered_by_kind_and_object": "4.3 has no events of "
        "networks but connect and disconnect",
    },
}
# What it does in its own way now and then.
SOMETIMES: Final[Mapping[str, Mapping[str, str]]] = {
    "docker": {
        "test_logs::test_timestamps_begin_each_line": "it reads the two streams each by "
        "itself, and stamps a line when it has read it",
        "test_logs::test_follow_goes_on_over_a_rotation": "20.10 repeats lines, or skips "
        "some, when both files are replaced under who follows",
    },
    "podman": {
        "test_networks::test_a_name_goes_with_its_container_and_comes_back": "aardvark-dns reads "
        "its list again when it is told so, a moment after the container's start or end",
        "test_exec::test_input_that_is_not_read_to_its_end_is_fine": "4.3 ends an exec's output "
        "when its input breaks off (libpod, attachExecHTTP)",
    },
}


def mark(item: pytest.Item) -> None:
    """
    Mark a test that an engine is known not to pass.
    """
    callspec = getattr(item, "callspec", None)
    engine = callspec.params.get("runtime") if callspec is not None else None
    if engine not in UNSUPPORTED:
        return
    name = f"{item.path.stem}::{item.name.replace(f'[{engine}]', '').replace(f'[{engine}-', '[')}"
    for key in (name, name.partition("[")[0]):
        if reason := UNSUPPORTED[engine].get(key):
            item.add_marker(pytest.mark.xfail(reason=reason, raises=kina.UnsupportedError))
        if reason := DIFFERENT[engine].get(key):
            item.add_marker(pytest.mark.xfail(reason=reason))
        if reason := SOMETIMES[engine].get(key):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=False))
