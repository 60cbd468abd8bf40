"""instances.states: every cell of the table of steps, that each walk ends at its wish, and the table of verbs."""

from dataclasses import replace
from itertools import product

import pytest

from instances.states import BOOT_VERBS, LABELS, VERBS, Desired, Observed, Step, Verb, Wish, next_step, refusal
from opsweb.core.access import LEAST_ROLE

U, A, S, R, P, C = (Observed(name) for name in ("unknown", "absent", "stopped", "running", "paused", "crashed"))
ENDS: dict[Desired, set[Observed]] = {
    Desired.RUNNING: {R},
    Desired.PAUSED: {P},
    Desired.STOPPED: {A, S, C},
    Desired.ABSENT: {A},
}
LONGEST_WALK = 5

# What a plain wish does in each state, one line a wish: every one of the 24 cells is written down.
CELLS: dict[Desired, dict[Observed, Step | None]] = {
    Desired.RUNNING: {U: None, A: Step.START, S: Step.START, C: Step.START, R: None, P: Step.RESUME},
    Desired.PAUSED: {U: None, A: Step.START_PAUSED, S: Step.START_PAUSED, C: Step.START_PAUSED, R: Step.PAUSE, P: None},
    Desired.STOPPED: {U: None, A: None, S: None, C: None, R: Step.POWERDOWN, P: Step.RESUME},
    Desired.ABSENT: {U: None, A: None, S: Step.ERASE, C: Step.ERASE, R: Step.ERASE, P: Step.ERASE},
}


@pytest.mark.parametrize(("desired", "observed"), list(product(Desired, Observed)))
def test_each_cell_of_a_plain_wish(desired: Desired, observed: Observed) -> None:
    assert next_step(Wish(desired), observed) == CELLS[desired][observed]


@pytest.mark.parametrize(
    ("wish", "observed", "step"),
    [
        (Wish(Desired.STOPPED, force=True), R, Step.KILL),
        (Wish(Desired.STOPPED, force=True), P, Step.KILL),
        (Wish(Desired.STOPPED, asked=True), R, Step.WAIT),
        (Wish(Desired.STOPPED, asked=True, overdue=True), R, Step.KILL),
        (Wish(Desired.RUNNING, held=True), S, Step.WAIT),
        (Wish(Desired.RUNNING, held=True), R, None),
        (Wish(Desired.RUNNING, reboot=True), R, Step.POWERDOWN),
        (Wish(Desired.RUNNING, reboot=True), S, Step.START),
        (Wish(Desired.RUNNING, reboot=True, asked=True), R, Step.WAIT),
        (Wish(Desired.RUNNING, reboot=True, asked=True, overdue=True), R, Step.KILL),
        (Wish(Desired.RUNNING, reboot=True, force=True), R, Step.RESET),
        (Wish(Desired.ABSENT, asked=True, held=True, reboot=True), R, Step.ERASE),
    ],
)
def test_what_the_other_columns_change(wish: Wish, observed: Observed, step: Step | None) -> None:
    assert next_step(wish, observed) == step


class Host:
    """A model of driver, guest and clock: what each step makes of a VM and of the row's columns."""

    def __init__(self, wish: Wish, observed: Observed, *, obeys: bool) -> None:
        self.wish, self.observed, self.obeys = wish, observed, obeys

    def do(self, step: Step) -> None:
        getattr(self, "_" + step.name.lower())()

    def _start(self) -> None:
        self._boot(R)

    def _start_paused(self) -> None:
        self._boot(P)

    def _boot(self, observed: Observed) -> None:
        self.observed = observed
        self.wish = replace(self.wish, reboot=False, asked=False, overdue=False)

    def _pause(self) -> None:
        assert self.observed is R
        self.observed = P

    def _resume(self) -> None:
        assert self.observed is P
        self.observed = R

    def _powerdown(self) -> None:
        assert self.observed is R, "a frozen guest can't hear the power button"
        self.wish = replace(self.wish, asked=True)
        if self.obeys:
            self._ended()

    def _wait(self) -> None:
        """Time passes: the guest's, or the restart policy's."""
        self.wish = replace(self.wish, overdue=self.wish.asked, held=False)

    def _kill(self) -> None:
        self._ended()

    def _ended(self) -> None:
        self.observed = S
        self.wish = replace(self.wish, asked=False, overdue=False)

    def _reset(self) -> None:
        assert self.observed in (R, P)
        self.wish = replace(self.wish, reboot=False, force=False)

    def _erase(self) -> None:
        self.observed = A


def walk(host: Host) -> list[Step]:
    """Take steps until there is none; no more than LONGEST_WALK."""
    steps: list[Step] = []
    while (step := next_step(host.wish, host.observed)) is not None:
        assert len(steps) < LONGEST_WALK, f"no end: {steps}"
        host.do(step)
        steps.append(step)
    return steps


FLAGS = list(product([False, True], repeat=5))


@pytest.mark.parametrize(("desired", "observed"), list(product(Desired, sorted(set(Observed) - {U}))))
def test_every_walk_ends_at_its_wish(desired: Desired, observed: Observed) -> None:
    """INV-02, for every combination of the other columns, with a guest that obeys and one that does not."""
    for reboot, force, asked, overdue, held in FLAGS:
        if overdue and not asked:
            continue  # no row says so
        for obeys in (False, True):
            host = Host(Wish(desired, reboot, force, asked, overdue, held), observed, obeys=obeys)
            steps = walk(host)
            assert host.observed in ENDS[desired], steps
            assert not (host.wish.reboot and host.observed in (R, P)), "a reboot that was wanted has happened"


@pytest.mark.parametrize("wish", [Wish(desired) for desired in Desired])
def test_nothing_is_done_to_what_was_not_seen(wish: Wish) -> None:
    assert next_step(wish, U) is None


@pytest.mark.parametrize(("verb", "observed"), [(verb, state) for verb, facts in VERBS.items() for state in sorted(facts.allowed - {U})])
def test_each_verb_leads_where_it_says(verb: Verb, observed: Observed) -> None:
    facts = VERBS[verb]
    assert facts.desired is not None
    host = Host(Wish(facts.desired, facts.reboot, facts.force), observed, obeys=False)
    steps = walk(host)
    assert host.observed in ENDS[facts.desired]
    assert not facts.reboot or {Step.RESET, Step.START} & set(steps)


# Every verb in every state of a VM that nothing is wanted of; the rest is refused.
ALLOWED: dict[Verb, set[Observed]] = {
    Verb.START: {A, S, C},
    Verb.STOP: {R, P},
    Verb.FORCE_OFF: {R, P},
    Verb.PAUSE: {R},
    Verb.RESUME: {P},
    Verb.REBOOT: {R},
    Verb.RESET: {R},
    Verb.DELETE: {U, A, S, R, P, C},
}


@pytest.mark.parametrize(("verb", "observed"), list(product(Verb, Observed)))
def test_each_verb_in_each_state(verb: Verb, observed: Observed) -> None:
    reason = refusal(verb, observed, Desired.STOPPED)
    assert (reason == "") is (observed in ALLOWED[verb])
    if reason:
        assert VERBS[verb].label in reason
        assert LABELS[observed][0].lower() in reason


@pytest.mark.parametrize("verb", [Verb.STOP, Verb.FORCE_OFF])
@pytest.mark.parametrize("observed", Observed)
def test_what_is_about_to_start_can_be_called_off(verb: Verb, observed: Observed) -> None:
    """Also what the restart policy would start again."""
    assert refusal(verb, observed, Desired.RUNNING) == ""


def test_the_tables_are_whole() -> None:
    assert set(VERBS) == set(Verb)
    assert set(LABELS) == set(Observed)
    assert {tone for _, tone in LABELS.values()} <= {"run", "wait", "stop", "bad"}
    assert {f"instance.{verb}" for verb in Verb} <= set(LEAST_ROLE)
    assert all(facts.label and facts.doing.endswith("…") for facts in VERBS.values())
    assert {verb for verb, facts in VERBS.items() if facts.force} <= {verb for verb, facts in VERBS.items() if facts.destroys}
    assert set(BOOT_VERBS) == {verb for verb, facts in VERBS.items() if facts.reboot} | {Verb.START}
