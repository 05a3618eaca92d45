"""What was planted in simulated data, and what was found of it; only where the data was simulated."""

from __future__ import annotations

from bioeval.report.inputs import Facts
from bioeval.report.markup import facts_list, number, paragraph, section, table

KEY, TITLE = "truth", "Planted and found"


def render(facts: Facts) -> str:
    """Families against clusters, defects against rules, the property against its ceiling."""
    truth = facts.truth
    lead = paragraph(
        "This data was simulated, so the answers are known: gene families that must become clusters and stay "
        "in one split, defective records that the rules must find, a property that a probe can predict up to "
        "its noise."
    )
    families = facts_list(
        [
            ("families planted", number(truth["families"])),
            ("clusters found", number(truth["clusters"])),
            ("families lying whole in one cluster", number(truth["families_whole"])),
            ("families torn between splits", number(truth["families_split"])),
            ("clusters that mix families", number(truth["clusters_mixed"])),
            ("best possible Spearman of the property", number(truth["best_possible_spearman"])),
            *(("reached on " + str(r["task"]), number(r["value"])) for r in facts.results),
        ]
    )
    rows = [[kind, number(n["planted"]), number(n["found"])] for kind, n in truth["defects"].items()]
    defects = table(["Planted defect", "planted", "found"], rows)
    return section(KEY, TITLE, lead + families + defects)
