"""A testbed is edited and counts as deployed, without any host or run.

`deploy` plans it and sets its condition, `edit` changes its YAML, `kinds` tells what a
plan does to what.
"""

from orchestration.plan.model import Command, Options
from testbed.models import Testbed
from tests.testbed.preparing import prepare

CONDITIONS = Testbed.Condition


def edit(testbed, old, new, count=-1):
    yaml = testbed.project.yaml
    text = yaml.read_text()
    assert old in text
    yaml.write_text(text.replace(old, new, count))


def deploy(testbed):
    state, _ = prepare(testbed, Command.UP, Options())
    testbed.condition = CONDITIONS.UP
    testbed.save()
    return state


def kinds(plan):
    return {
        entry.kind: [r.name for r in entry.resources] for entry in plan.instructions
    }
