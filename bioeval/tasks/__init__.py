"""Tasks as data: one YAML file of at most 15 lines each, here or anywhere.

To add a task: write such a file and give its path, or put it into this folder and give its name.
"""

from __future__ import annotations

from bioeval.tasks.describe import describe_tasks, tasks_text
from bioeval.tasks.labels import check_labels
from bioeval.tasks.loader import is_task, load_task, read_task, task_names
from bioeval.tasks.task import Task

__all__ = [
    "Task", "check_labels", "describe_tasks", "is_task", "load_task", "read_task", "task_names", "tasks_text"
]  # fmt: skip
