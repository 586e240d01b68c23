import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztopd.collectors.container import Container, container_of

ID = "4c1f6e1f0a9d4f3c8d3a5b7e9f00112233445566778899aabbccddeeff001122"
OTHER = "0123456789abcdef" * 4
POD = "kubepods-burstable-pod2f1d_4f.slice"


@pytest.mark.parametrize(
    ("path", "container"),
    [
        (f"/docker/{ID}", Container(ID, "docker")),
        (f"/system.slice/docker-{ID}.scope", Container(ID, "docker")),
        (f"/system.slice:docker:{ID}", Container(ID, "docker")),
        (f"/docker/{ID}/system.slice/cron.service", Container(ID, "docker")),
        (f"/machine.slice/libpod-{ID}.scope/container", Container(ID, "podman")),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope", Container(ID, "podman")),
        (f"/libpod_parent/libpod-{ID}", Container(ID, "podman")),
        (f"/system.slice/web.service/libpod-payload-{ID}", Container(ID, "podman")),
        (f"/kubepods.slice/kubepods-burstable.slice/{POD}/cri-containerd-{ID}.scope", Container(ID, "containerd")),
        (f"/{POD}:cri-containerd:{ID}", Container(ID, "containerd")),
        (f"/system.slice/nerdctl-{ID}.scope", Container(ID, "containerd")),
        (f"/kubepods.slice/{POD}/crio-{ID}.scope", Container(ID, "cri-o")),
        (f"/kubepods/besteffort/pod2f1d-4f/crio-{ID}", Container(ID, "cri-o")),
        (f"/kubepods/besteffort/pod2f1d-4f/{ID}", Container(ID, "kubernetes")),
        (f"/kubepods.slice/{POD}/{ID}", Container(ID, "kubernetes")),
        ("/lxc/web01", Container("web01", "lxc")),
        ("/lxc/101/ns/init.scope", Container("101", "lxc")),
        ("/lxc.payload.web01/user.slice", Container("web01", "lxc")),
        ("/lxc.payload/web01", Container("web01", "lxc")),
        ("/machine.slice/machine-deb12.scope", Container("deb12", "systemd-nspawn")),
        (r"/machine.slice/machine-my\x2dbox.scope/payload/init.scope", Container("my-box", "systemd-nspawn")),
        ("/machine.slice/systemd-nspawn@deb12.service/payload", Container("deb12", "systemd-nspawn")),
        (f"/docker/{OTHER}/docker/{ID}", Container(ID, "docker")),
        (f"/lxc.payload.host/system.slice/docker-{ID}.scope", Container(ID, "docker")),
        (f"/docker/{OTHER}/kubelet/kubepods/besteffort/pod1/{ID}", Container(ID, "kubernetes")),
    ],
)
def test_forms_of_the_runtimes(path: str, container: Container) -> None:
    assert container_of(path) == container


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "/docker",
        "/lxc",
        "/lxc/",
        f"/docker/{ID[:-1]}",
        f"/docker/{ID}0",
        f"/docker/{ID.upper()}",
        f"/system.slice/docker-{ID}.service",
        f"/machine.slice/libpod-conmon-{ID}.scope",
        f"/crio-conmon-{ID}.scope",
        "/lxc.monitor.web01",
        "/lxc.payload.",
        f"/supervisor/{ID}",
        "/system.slice/docker.service",
        "/system.slice/containerd.service",
        "/kubepods.slice/kubepods-besteffort.slice",
        r"/machine.slice/machine-qemu\x2d1\x2dvm.scope/libvirt/emulator",
        "/machine.slice/machine-.scope",
        "/user.slice/user-1000.slice/session-2.scope",
        f"/docker/{ID}\n",
        f"/docker/{'٣' * 64}",
    ],
)
def test_what_is_no_container(path: str) -> None:
    assert container_of(path) is None


def test_an_escaped_name_that_is_not_utf8_survives() -> None:
    assert container_of(r"/machine.slice/machine-a\xffb.scope") == Container("a\udcffb", "systemd-nspawn")


@given(st.text(st.sampled_from("/:-.@\\x2dlxcmahine0af\n\udcff"), max_size=300))
def test_any_text_is_answered(path: str) -> None:
    container = container_of(path)
    assert container is None or container.id != ""


def test_the_cache_is_bounded() -> None:
    assert container_of.cache_info().maxsize is not None
