"""
The backend of virtual machines, where there are none: it says what is missing, and what to do.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import kina

HAS_MACHINES = any(Path(place, "libkina-vm.so").exists() for place in kina.__path__)


@pytest.mark.skipif(HAS_MACHINES, reason="built with virtual machines")
def test_without_its_library_it_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(kina.UnavailableError, match=r"libkina-vm\.so is missing") as refused:
        kina.connect(home=tmp_path / "home", backend="vm")
    assert "KINA_BUILD_VM=1" in str(refused.value.hint)


def test_the_doctor_names_what_virtual_machines_need() -> None:
    (report,) = [report for report in kina.doctor().reports if report.backend == "vm"]
    checks = {check.name: check for check in report.checks}
    wanted = {"kina-vmd", "libkina-vm", "KVM", "cloud-hypervisor", "virtiofsd", "guest kernel"}
    assert wanted <= checks.keys()
    assert report.usable == all(check.state != "failed" for check in report.checks)
    # A failure that says nothing to do is of no use.
    failed = [check for check in report.checks if check.state == "failed"]
    assert [check.name for check in failed if not check.fix] == []
