"""Judge requests by a ValidatingAdmissionPolicy, with a real CEL engine of .venv-tools.

`admission.py POLICY`; standard input is a JSON list of {request, object, oldObject}. Prints a JSON
list: for
each request the messages of the rules that refuse it.
"""

import json
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    import cel
    import yaml

    spec = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))["spec"]

    def judged(values: dict[str, Any]) -> list[str]:
        def evaluate(expression: str) -> Any:
            context = cel.Context(given)
            # Kubernetes adds this function to CEL
            context.add_function("split", lambda text, separator: text.split(separator))
            return cel.evaluate(expression, context)

        given = dict(values)
        if not all(evaluate(condition["expression"]) for condition in spec["matchConditions"]):
            return []
        given["variables"] = {}
        for variable in spec.get("variables", []):
            given["variables"][variable["name"]] = evaluate(variable["expression"])
        refused = []
        for rule in spec["validations"]:
            try:
                is_fine = evaluate(rule["expression"])
            except (RuntimeError, ValueError):
                is_fine = False  # failurePolicy: Fail
            if not is_fine:
                refused.append(rule["message"])
        return refused

    print(json.dumps([judged(values) for values in json.load(sys.stdin)]))
