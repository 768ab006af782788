"""
In what an engine, or the backend of virtual machines, differs from the native runtime: the tests
that it can't pass, and why.

This is the one place for it. Such a test is run all the same, and one that passes after all fails
here (`xfail_strict`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

import pytest

import kina

__all__ = ["mark"]

_NO_UPDATE = "4.3 has no update in Docker's API, and its own forgets it at the next start"

# Machines: what Containerization 0.40 and the guest that it boots can't do.
_WHOLE_CPUS = "a machine has whole CPUs"
_NO_PIDS = "a machine has no limit of processes"
_SIZED_AT_BOOT = "a machine's size is given to it when it boots"
_NO_PAUSE = "cloud-hypervisor's machines do not pause in Containerization 0.40"
_HOST = "a machine shares no namespace with the host"
_MOUNTS = "the guest's agent copies from and to the root, and sees no mounts in it"
_STREAMS = "on Linux a machine has 16 streams in its life, three for such an exec"
_LEAVES_SESSIONS = "what made a session of its own goes on: the guest's agent kills groups"
_HAS_MEMORY = "a machine has a limit of memory, asked for or not"
# On Linux only: Virtualization.framework's machines do.
_PAUSES: Final[Mapping[str, str]] = (
    {
        "test_copy::test_a_tree_comes_back_as_it_went[paused]": _NO_PAUSE,
        "test_life::test_list_filters_by_label_state_and_name": _NO_PAUSE,
        "test_life::test_pause_freezes_and_resume_thaws": _NO_PAUSE,
        "test_life::test_a_paused_container_can_be_stopped_and_deleted": _NO_PAUSE,
    }
    if sys.platform == "linux"
    else {}
)

_RUNS_OUT: Final[Mapping[str, str]] = (
    {"test_exec::test_execs_at_the_same_time_do_not_mix": _STREAMS}
    if sys.platform == "linux"
    else {}
)

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
    "vm": {
        **_PAUSES,
        "test_copy::test_copies_go_into_volumes_and_tmpfs": _MOUNTS,
        "test_copy::test_a_place_without_attributes_takes_the_rest": _MOUNTS,
        "test_copy::test_links_in_the_container_do_not_lead_out": "the guest's agent takes links "
        "from the root of the guest, not of the container",
        "test_networks::test_the_hosts_network_can_be_shared": _HOST,
        "test_pods::test_a_pod_without_a_network_of_its_own[host]": _HOST,
        "test_spec::test_namespaces_are_its_own_unless_shared": _HOST,
        "test_spec::test_cpus_limit_the_time": _WHOLE_CPUS,
        "test_spec::test_a_cpuset_is_seen_inside": _WHOLE_CPUS,
        "test_spec::test_a_custom_seccomp_profile_is_used": "the guest takes no seccomp profile",
        "test_spec::test_a_device_can_be_used_and_others_cannot": "a machine has no devices of "
        "the host",
        "test_spec::test_a_device_that_is_none_names_the_field": "a machine has no devices of "
        "the host",
        "test_spec::test_supplementary_groups_are_added": "the guest takes groups by number",
        "test_spec::test_spec_and_status_survive_the_way_through_the_record": _WHOLE_CPUS,
        "test_stats::test_one_sample_has_every_figure_with_its_unit": _NO_PIDS,
        "test_stats::test_update_changes_limits_of_what_runs_at_once": _NO_PIDS,
        "test_stats::test_an_updated_cpu_limit_slows_what_runs": _SIZED_AT_BOOT,
        "test_stats::test_an_update_holds_after_a_restart": _NO_PIDS,
        "test_stats::test_an_update_that_cannot_be_changes_nothing": _SIZED_AT_BOOT,
        "test_stats::test_the_pids_limit_stops_a_fork_bomb": _NO_PIDS,
    },
}

# What an engine does in its own way.
_RESOLVER = "its resolver is in each container, and asks the others itself"
_NO_MANIFEST = "it keeps no manifests, and so no digests, of what was loaded"
_FILES = "it packs the files of what does not run, and of attributes only security.capability"
_V1_TMPFS = "the tmpfs that holds v1's hierarchies can be written by who has CAP_SYS_ADMIN"
_OOM = "conmon 2.1 leaves word of it in the service's directory, 4.3 looks in the container's"
_NO_PID = "the process has a number in the machine only"
_NEEDS_AGENT = "the guest's agent copies, and it runs with the machine"
_COPIES = "the guest's agent keeps no set-id bits, times, hard links and attributes"
_POD_NAMESPACES = "Containerization gives each container one of its own, of the same name"
_HOSTS_FILE = "names of containers are in each machine's hosts file, which nslookup does not read"
_ONE_THREAD = "the guest's agent relays all streams on one thread, which waits for both at once"
_NO_FILTER = "the guest filters no calls: its kernel is the container's own"
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
    "vm": {
        "test_life::test_run_returns_a_container_that_runs": _NO_PID,
        "test_life::test_restart_is_another_process": _NO_PID,
        "test_copy::test_a_tree_comes_back_as_it_went[stopped]": _NEEDS_AGENT,
        "test_copy::test_a_tree_comes_back_as_it_went[created]": _NEEDS_AGENT,
        "test_copy::test_a_tree_comes_back_as_it_went[running]": _COPIES,
        "test_copy::test_what_is_copied_is_there_for_programs": _COPIES,
        "test_copy::test_copies_reach_the_volumes_of_a_stopped_container": _NEEDS_AGENT,
        "test_copy::test_extended_attributes_and_large_owners_are_kept": _COPIES,
        "test_copy::test_what_is_mounted_over_is_not_replaced": "its hosts file is one of the root",
        "test_exec::test_much_input_and_output_pass_at_once": _ONE_THREAD,
        "test_exec::test_a_timeout_ends_the_process_and_its_children_in_the_container": (
            _LEAVES_SESSIONS
        ),
        "test_stats::test_what_there_is_not_is_none_and_never_zero": _HAS_MEMORY,
        "test_stats::test_a_series_is_one_numpy_array_with_named_fields": _HAS_MEMORY,
        **_RUNS_OUT,
        "test_networks::test_the_networks_resolver_is_used_by_default": "machines ask the host's "
        "own servers",
        "test_run::test_run_feeds_input_of_any_size": _ONE_THREAD,
        "test_pods::test_a_pod_is_known_by_its_name_and_aliases": _HOSTS_FILE,
        "test_pods::test_they_share_a_namespace[uts]": _POD_NAMESPACES,
        "test_spec::test_seccomp_filters_by_default_and_not_when_unconfined": _NO_FILTER,
        "test_spec::test_seccomp_blocks_what_weakens_a_process": _NO_FILTER,
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
    "vm": {},
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
