"""A study written back as a search-space file that stands alone: it needs neither the first file nor its sweep."""

from __future__ import annotations

import yaml

from raycon.ablation.arms import FULL
from raycon.ablation.study import Study
from raycon.space import trial_to_plain

FILE_NAME = "study.yaml"


def study_file(study: Study) -> str:
    """The file. `raycon ablate` of it, with the same own code, is the same study: equal arms, seeds, claims, identity.

    Arms that were re-tuned are searched for again, with the search seed that a file has by default.
    """
    section = {name: value for name, value in study.canonical()["ablation"].items() if value not in (None, {}, [])}
    section |= {"score": study.score, "seeds": list(study.seeds)}
    whole = {"name": study.of, "trial": trial_to_plain(study.configurations[FULL]), "ablation": section}
    return yaml.safe_dump(whole, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)


def study_command(study: Study) -> str:
    """The command that makes the study again from the file, in the folder of the report. Own code lies beside that."""
    code = "".join(f" --code ../code/{digest}.py" for digest in study.code)
    return f"raycon ablate {FILE_NAME}{code}"
