"""
The life of containers, driven at random against the real runtime and compared with a model of it.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import kina
from support.containers import WAITS

ENDS = ["sh", "-c", "exit 23"]


class Model:
    """
    What a container should be.
    """

    def __init__(self, box: kina.Container, waits: bool) -> None:
        self.box = box
        self.waits = waits
        self.state = "created"
        self.exits: set[int | None] = set()
        self.ip = box.ip
        self.written = 0

    def ended(self, *codes: int) -> None:
        self.state, self.exits = "stopped", set(codes)


class Life(RuleBasedStateMachine):
    """
    Any order of calls. A call that the state forbids must say so and change nothing.
    """

    image: str
    updates = True
    models = Bundle("models")

    def __init__(self) -> None:
        super().__init__()
        self.alive: list[Model] = []

    @precondition(lambda self: len(self.alive) < 3)
    @rule(target=models, waits=st.booleans())
    def create(self, waits: bool) -> Model:
        box = kina.Container.create(self.image, WAITS if waits else ENDS)
        model = Model(box, waits)
        self.alive.append(model)
        return model

    def act(self, model: Model, allowed: bool, function: Any) -> bool:
        """
        Do it, and say whether it was done.
        """
        if model not in self.alive:
            with pytest.raises(kina.NotFoundError):
                function()
            return False
        if not allowed:
            with pytest.raises(kina.InvalidStateError):
                function()
            return False
        function()
        return True

    @rule(model=models)
    def start(self, model: Model) -> None:
        if self.act(model, model.state in ("created", "stopped"), model.box.start):
            if model.waits:
                model.state, model.exits = "running", set()
            else:
                assert model.box.wait(timeout=20) == 23
                model.ended(23)

    @rule(model=models, timeout=st.sampled_from([0, 5]))
    def stop(self, model: Model, timeout: int) -> None:
        running = model.state in ("running", "paused")
        if self.act(model, True, lambda: model.box.stop(timeout=timeout)) and running:
            # The shell may not have come to its trap yet.
            model.ended(0, 137, 143)

    @rule(model=models)
    def restart(self, model: Model) -> None:
        if self.act(model, True, lambda: model.box.restart(timeout=0)):
            if model.waits:
                model.state, model.exits = "running", set()
            else:
                assert model.box.wait(timeout=20) == 23
                model.ended(23)

    @rule(model=models)
    def kill(self, model: Model) -> None:
        paused = model.state == "paused"
        if self.act(model, model.state in ("running", "paused"), model.box.kill):
            if paused:
                # A frozen process dies when it is thawed.
                model.box.stop(timeout=0)
            assert model.box.wait(timeout=20) == 137
            model.ended(137)

    @rule(model=models)
    def pause(self, model: Model) -> None:
        if self.act(model, model.state == "running", model.box.pause):
            model.state = "paused"

    @rule(model=models)
    def resume(self, model: Model) -> None:
        if self.act(model, model.state == "paused", model.box.resume):
            model.state = "running"

    @precondition(lambda self: any(model.state != "paused" for model in self.alive))
    @rule(model=models)
    def execute(self, model: Model) -> None:
        if model in self.alive and model.state == "paused":
            return
        line = ["sh", "-c", "echo x >> /root/count; wc -l < /root/count"]
        if model not in self.alive or model.state != "running":
            self.act(model, False, lambda: model.box.exec(line))
            return
        done = model.box.exec(line, check=True)
        model.written += 1
        assert int(done.stdout) == model.written, "files are kept over stop and start"

    @rule(model=models)
    def wait(self, model: Model) -> None:
        if model not in self.alive:
            with pytest.raises(kina.NotFoundError):
                model.box.wait(timeout=5)
        elif model.state == "created":
            with pytest.raises(kina.InvalidStateError):
                model.box.wait(timeout=5)
        elif model.state == "stopped":
            assert model.box.wait(timeout=5) in model.exits
        else:
            with pytest.raises(kina.DeadlineExceededError):
                model.box.wait(timeout=0.05)

    @precondition(lambda self: self.updates)
    @rule(model=models, memory=st.sampled_from(["32Mi", "64Mi"]))
    def update(self, model: Model, memory: str) -> None:
        if self.act(model, True, lambda: model.box.update(memory=memory)):
            spec = model.box.inspect().spec
            assert spec is not None
            assert spec.resources.memory == int(memory[:2]) << 20

    @rule(model=models, force=st.booleans())
    def delete(self, model: Model, force: bool) -> None:
        allowed = force or model.state in ("created", "stopped")
        if self.act(model, allowed, lambda: model.box.delete(force=force)):
            self.alive.remove(model)

    @rule(model=consumes(models))
    def forget(self, model: Model) -> None:
        if model in self.alive:
            model.box.delete(force=True)
            self.alive.remove(model)

    @invariant()
    def list_tells_the_truth(self) -> None:
        listed = {box.id: box._known for box in kina.Container.list()}
        assert set(listed) == {model.box.id for model in self.alive}
        for model in self.alive:
            status = listed[model.box.id]
            note(f"{status.name}: {status.state}, model {model.state}")
            assert status.state == model.state
            assert status.addresses[0].address == model.ip
            assert (status.pid is not None) == (model.state in ("running", "paused"))
            if model.state == "stopped":
                assert status.exit is not None
                assert status.exit.exit_code in model.exits
                assert status.exit.reason != "lost"

    def teardown(self) -> None:
        for model in self.alive:
            model.box.delete(force=True)


@pytest.mark.timeout(150, method="signal")
def test_any_order_of_calls_keeps_containers_as_the_model_says(busybox: str) -> None:
    examples = int(os.environ.get("KINA_TEST_EXAMPLES", "12"))
    Life.image = busybox
    with kina.Container.create(busybox, WAITS, memory="32Mi") as box:
        try:
            box.update(memory="64Mi")
        except kina.UnsupportedError:
            Life.updates = False  # Podman: the tests of updates say so
        else:
            Life.updates = True
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            # Shrinking replays everything against the real thing.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
