#!/usr/bin/env bash
# prefect-kubernetes 0.8.0 writes `completions` and `parallelism` into the pod's spec, where Kubernetes
# has no such fields: they belong to the job's. Its check of a template asks for them there, so that
# a job manifest without them, which Kubernetes takes, is refused as "missing required attributes".
# With both in the job's spec, their right place, the check passes: it compares by a JSON patch, which
# then calls the difference a move, and looks for additions and replacements only.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$python" prefect==3.8.8 'fastapi<0.151' 'sqlalchemy<2.1' \
  prefect-kubernetes==0.8.0 kubernetes-asyncio==36.1.0

PREFECT_HOME=$work/prefect "$python" - <<'PROGRAM'
from importlib import metadata

from kubernetes_asyncio.client.models import V1JobSpec, V1PodSpec
from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration

for name in ("prefect", "prefect-kubernetes", "kubernetes-asyncio"):
    print(name, metadata.version(name))
fields = ("completions", "parallelism")
template = KubernetesWorker.get_default_base_job_template()["job_configuration"]["job_manifest"]
in_pod = [name for name in fields if name in template["spec"]["template"]["spec"]]
known = [name for name in fields if name in V1PodSpec.openapi_types]
print("its default template has in the pod's spec:", in_pod)
print("Kubernetes' pod spec has of these:", known)
print("Kubernetes' job spec has:", [name for name in fields if name in V1JobSpec.openapi_types])


def check(job: dict[str, int]) -> str:
    pod = {"restartPolicy": "Never", "containers": [{"name": "prefect-job"}]}
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"labels": {}, "annotations": {}},
        "spec": {**job, "template": {"spec": pod}},
    }
    try:
        KubernetesWorkerJobConfiguration(job_manifest=manifest)
    except ValueError as refused:
        return next(line.strip() for line in str(refused).splitlines() if "missing" in line)
    return "accepted"


without, with_both = check({}), check({"completions": 1, "parallelism": 1})
print("a job without them:", without)
print("a job with them in the job's spec:", with_both)
assert in_pod == list(fields), "they are no longer in the pod's spec"
assert known == [], "Kubernetes has them there now"
assert "/spec/template/spec/completions" in without, "no longer asked for"
assert with_both == "accepted", "no longer accepted"
PROGRAM
