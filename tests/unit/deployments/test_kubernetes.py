"""The Kubernetes work pool, against Prefect's and Kubernetes' schemas; no cluster has run it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.utilities.schema_tools.validation import is_valid, is_valid_schema
from prefect.utilities.templating import apply_values, find_placeholders
from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration

from tests.support import kubernetes_schema

FOLDER = Path(__file__).parents[3] / "deployments" / "kubernetes"
TEMPLATE: dict[str, Any] = json.loads((FOLDER / "gpu-pool.json").read_text())
CLUSTER = list(yaml.safe_load_all((FOLDER / "cluster.yaml").read_text()))


def fill_in(template: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The job that Prefect's worker asks for, from a template's defaults and these values."""
    properties = template["variables"]["properties"]
    defaults = {
        name: one["default"] for name, one in properties.items() if one.get("default") is not None
    }
    filled = apply_values(
        copy.deepcopy(template["job_configuration"]), defaults | values, remove_notset=True
    )
    return dict(KubernetesWorkerJobConfiguration(**filled).job_manifest)


@pytest.fixture
def job() -> dict[str, Any]:
    """The job of the template as it is."""
    return fill_in(TEMPLATE, name="run")


def test_prefect_accepts_the_template_and_its_form() -> None:
    """Every placeholder has a variable, and the worker's own variables keep their form."""
    variables = TEMPLATE["variables"]
    is_valid_schema(variables)  # raises where it is none
    names = {found.name for found in find_placeholders(json.dumps(TEMPLATE["job_configuration"]))}
    # Values of a run go into `env` by the worker itself.
    assert names <= set(variables["properties"])
    assert set(variables["properties"]) - names <= {"env"}
    theirs = KubernetesWorker.get_default_base_job_template()["variables"]["properties"]
    for name, form in theirs.items():
        if name != "service_account_name":
            ours = variables["properties"][name]
            for key in ("type", "anyOf", "enum", "minimum", "$ref"):
                assert ours.get(key) == form.get(key), (name, key)
    defaults = {
        name: one["default"] for name, one in variables["properties"].items() if "default" in one
    }
    assert is_valid(defaults, variables)
    assert not is_valid({**defaults, "gpus": "0"}, variables)
    assert not is_valid({**defaults, "user": 0}, variables)


def test_kubernetes_has_every_field_of_the_job(job: dict[str, Any]) -> None:
    """With a node selector and two GPUs too."""
    assert kubernetes_schema.find_faults(job) == []
    other = fill_in(
        TEMPLATE, name="run", gpus="2", node_selector={"nvidia.com/gpu.product": "L40S"}
    )
    assert kubernetes_schema.find_faults(other) == []
    container = other["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"


def test_a_misspelt_field_a_wrong_type_and_an_absent_one_are_found(job: dict[str, Any]) -> None:
    """So the test above can fail."""
    pod = job["spec"]["template"]["spec"]
    pod["securitycontext"] = {}
    pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = 1
    pod["volumes"][0]["persistentVolumeClaim"] = {"readOnly": "no"}
    faults = "\n".join(kubernetes_schema.find_faults(job))
    assert "Job.spec.template.spec.securitycontext: V1PodSpec has no such field" in faults
    assert "nvidia.com/gpu: 1 is no str" in faults
    assert "readOnly: 'no' is no bool" in faults
    assert "`claim_name`, must not be `None`" in faults


def test_a_job_may_do_no_more_than_a_run_in_our_container(job: dict[str, Any]) -> None:
    """No token, no root, no privileges, nothing written but cycles and memory, and a time limit."""
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"] == 43200
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert mounts["/inputs"]["readOnly"] is True
    assert set(mounts) == {"/cycles", "/inputs", "/dev/shm", "/tmp"}  # noqa: S108 - the pod's
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes.keys() == {mount["name"] for mount in mounts.values()}
    assert volumes["inputs"]["persistentVolumeClaim"]["readOnly"] is True
    assert not any("hostPath" in volume for volume in volumes.values())
    assert container["resources"]["limits"].keys() >= {"cpu", "memory", "nvidia.com/gpu"}


def test_no_secret_is_in_the_template() -> None:
    """The worker makes references of the server's credentials, as docs/kubernetes.md says."""
    text = json.dumps(TEMPLATE).upper()
    assert not any(word in text for word in ("API_KEY", "AUTH_STRING", "PASSWORD", "TOKEN:"))


def test_the_cluster_has_what_the_job_names(job: dict[str, Any]) -> None:
    """Claims and namespace by their names; the policy is of the job's label."""
    for document in CLUSTER:
        assert kubernetes_schema.find_faults(document) == [], document["kind"]
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for document in CLUSTER:
        by_kind.setdefault(document["kind"], []).append(document)
    (namespace,) = by_kind["Namespace"]
    assert job["metadata"]["namespace"] == namespace["metadata"]["name"]
    claims = {one["metadata"]["name"] for one in by_kind["PersistentVolumeClaim"]}
    assert claims == {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in job["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    (policy,) = by_kind["NetworkPolicy"]
    label = policy["spec"]["podSelector"]["matchLabels"].items()
    assert label <= job["spec"]["template"]["metadata"]["labels"].items()
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in policy["spec"]
    ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert ports == {4200, 53}
