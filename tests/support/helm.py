"""The real Helm engine, as .venv-tools carries it: `helm.py CHART NAMESPACE REVISION VALUES`.

VALUES are JSON. Prints JSON: the rendered files, or Helm's refusal as `error`.
"""

import json
import sys

if __name__ == "__main__":
    import helm_python

    chart, namespace, revision, values = sys.argv[1:]
    given = json.loads(values)
    try:
        with helm_python.Chart.load(chart) as loaded:
            loaded.validate_schema(given)
            made = loaded.render(
                given,
                name="churnhouse",
                namespace=namespace,
                revision=int(revision),
                is_install=revision == "1",
            )
        answer = {"files": made}
    except helm_python.HelmError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))
