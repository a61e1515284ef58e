"""Speaks to a container runtime as a kubelet does (the CRI, version 1): pods of one container, their addresses and commands in them.

Must not know which runtime answers. Blind spot: no image is ever pulled; it must be there under its name.
"""

from dataclasses import dataclass
from typing import Any

import grpc
from cri_api.v1 import api_pb2 as cri
from cri_api.v1.api_pb2_grpc import RuntimeServiceStub

from tests.lab import image

TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Pod:
    """A running pod: the id of its sandbox, of its one container, and its address."""

    sandbox: str
    container: str
    address: str


class Pods:
    """The pods of one runtime."""

    def __init__(self, socket: str, cgroup: str) -> None:
        self._channel = grpc.insecure_channel(f"unix:{socket}")
        self._runtime: Any = RuntimeServiceStub(self._channel)  # type: ignore[no-untyped-call] # generated, without types
        self._cgroup = cgroup

    def ready(self) -> bool:
        """Say whether the runtime calls its network ready."""
        conditions = self._runtime.Status(cri.StatusRequest(), timeout=TIMEOUT).status.conditions
        return any(condition.type == "NetworkReady" and condition.status for condition in conditions)

    def run(self, name: str, *command: str, published: int = 0) -> Pod:
        """Run a pod whose container runs a command; `published` is the host's port that leads to its port 80, 0 for none."""
        ports = [cri.PortMapping(protocol=cri.TCP, container_port=80, host_port=published)] if published else []
        config = cri.PodSandboxConfig(
            metadata=cri.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="default"),
            log_directory="/run/pods",
            port_mappings=ports,
            linux=cri.LinuxPodSandboxConfig(cgroup_parent=self._cgroup),
        )
        sandbox = self._runtime.RunPodSandbox(cri.RunPodSandboxRequest(config=config), timeout=TIMEOUT).pod_sandbox_id
        wanted = cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name=name),
            image=cri.ImageSpec(image=image.IMAGE),
            command=command,
            log_path=f"{name}.log",
        )
        request = cri.CreateContainerRequest(pod_sandbox_id=sandbox, config=wanted, sandbox_config=config)
        container = self._runtime.CreateContainer(request, timeout=TIMEOUT).container_id
        self._runtime.StartContainer(cri.StartContainerRequest(container_id=container), timeout=TIMEOUT)
        status = self._runtime.PodSandboxStatus(cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox), timeout=TIMEOUT)
        return Pod(sandbox, container, status.status.network.ip)

    def execute(self, pod: Pod, *command: str) -> str:
        """Run a command in a pod's container to its end; return what it printed."""
        request = cri.ExecSyncRequest(container_id=pod.container, cmd=command, timeout=20)
        answer = self._runtime.ExecSync(request, timeout=TIMEOUT)
        assert answer.exit_code == 0, answer.stderr.decode()
        return str(answer.stdout.decode()).strip()

    def stop(self, pod: Pod) -> None:
        """Stop a pod; a kubelet does so more than once."""
        self._runtime.StopPodSandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pod.sandbox), timeout=TIMEOUT)

    def remove(self, pod: Pod) -> None:
        """Remove a pod."""
        self._runtime.RemovePodSandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod.sandbox), timeout=TIMEOUT)

    def close(self) -> None:
        """Let go of the runtime."""
        self._channel.close()
